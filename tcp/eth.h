/* SPDX-License-Identifier: MIT
 *
 * Ethernet II: frames in, to whoever their type says. Tagged frames (802.1Q) are not for us and dropped.
 */
#ifndef TCP_ETH_H
#define TCP_ETH_H

#include "tcp/stack_impl.h"

#define ETH_HDR 14

/* Takes f->b. */
void eth_input(struct net_stack *s, const struct frame *f);

/* Queues b's payload (at least 14 bytes of headroom) to a MAC. Takes b. */
void eth_send(struct net_stack *s, struct buf *b, uint32_t len, const uint8_t dst[ETH_ALEN], uint16_t type);

/* The MAC that stands for an IP multicast or broadcast address (RFC 1112 6.4, RFC 2464 7). */
void eth_group_mac(const struct ip_addr *group, uint8_t out[ETH_ALEN]);

#endif
