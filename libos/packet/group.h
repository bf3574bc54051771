/* SPDX-License-Identifier: MIT
 *
 * Several threads of this process on one interface, and which of them is which. Packet sockets form a group among which
 * the kernel deals out flows (PACKET_FANOUT_HASH: both directions of a flow, and all fragments of a datagram, come to
 * one); the queues of a TAP device know each other anyway.
 */
#ifndef PACKET_GROUP_H
#define PACKET_GROUP_H

#include <stdint.h>

/* Joins bound packet socket fd (-1: there is none, or it stays alone) to the interface's group of at most `queues`,
 * made by whoever comes first; *index is the place it got.
 * -EBUSY: all places are taken; -ENOSPC: too many groups; others as the kernel says. */
int group_join(int fd, int ifindex, unsigned queues, unsigned *index);
void group_leave(int ifindex, unsigned index);

#endif
