/* SPDX-License-Identifier: MIT
 *
 * ARP (RFC 826; RFC 5227 where it says what a host must not believe): questions, answers, announcements.
 */
#ifndef TCP_ARP_H
#define TCP_ARP_H

#include "tcp/link.h"
#include "tcp/stack_impl.h"

/* Takes b, which begins with the ARP header. */
void arp_input(struct net_stack *s, struct buf *b, uint32_t len, const struct link_info *from);

/* Who has `a`? to NULL: everybody is asked, else that MAC alone. */
void arp_ask(struct net_stack *s, const struct ip_addr *a, const uint8_t *to);
/* Is `a` in use? Asked without a sender address, so that nobody learns a wrong one (RFC 5227 2.1.1). */
void arp_probe(struct net_stack *s, const struct ip_addr *a);
/* `a` is ours: everybody who knows it otherwise learns so (RFC 5227 2.3). */
void arp_announce(struct net_stack *s, const struct ip_addr *a);

#endif
