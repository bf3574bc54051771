/* SPDX-License-Identifier: MIT
 *
 * Several runtimes of one process on one device: each has a queue pair and a stack of its own, all with the same
 * addresses. The device deals out flows by a hash nobody here knows, so a frame may come to a runtime that has nothing
 * to do with it. Then it is copied and handed over:
 *
 *     answers of ARP, neighbour and router advertisements, ICMP errors, broadcasts     to all
 *     TCP and UDP for a port that is not ours and is somebody else's                    to him
 *
 * Whose a port is, everybody can see: listeners and bound sockets are marked in a map of the group, and ports of active
 * opens are chosen from a part of the range that is one runtime's alone. So a connection needs no marking. A request
 * (ARP, neighbour solicitation, ping) is answered where it comes in. Fragments stay where they come in.
 *
 * Limits: a connection whose segments are handed over to the runtime that accepted it is reset when that one's listener
 * closes, or when the runtime they come in at listens on the port, too (SO_REUSEPORT): have all listen before peers
 * come, and close last.
 */
#ifndef INET_SHARE_H
#define INET_SHARE_H

#include "libos/runtime/wake.h"
#include "tcp/netdev.h"

#define SHARE_MAX 15 /* runtimes */

struct counters;
struct runtime;
struct share;

/* Joins the group of devices named `key` as caps->queue of caps->queue_count; active opens use ports low to high.
 * take() is called on rt's thread with frames of others, whose bufs it owns. -EBUSY: that place is taken; -ENOMEM. */
typedef void (*share_take_fn)(void *arg, struct frame *f, unsigned n);
int share_join(struct runtime *rt, const char *key, const struct netdev_caps *caps, uint16_t low, uint16_t high,
               share_take_fn take, void *arg, struct share **out);
void share_leave(struct share *s); /* NULL is allowed */

/* The part of them that is ours. */
void share_ports(const struct share *s, uint16_t *low, uint16_t *high);
/* This port is ours from now on (on), or not any more; counted. reuse: others may have it, too. -EADDRINUSE. */
int share_own(struct share *s, bool dgram, uint16_t port, bool reuse);
void share_disown(struct share *s, bool dgram, uint16_t port);

/* Hands over what is others', and leaves in f, in order, what is ours; returns how many those are. */
unsigned share_sort(struct share *s, struct frame *f, unsigned n);

#endif
