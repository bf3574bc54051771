/* SPDX-License-Identifier: MIT
 *
 * Neighbour discovery (RFC 4861), duplicate address detection and autoconfiguration (RFC 4862, RFC 7217). Without
 * conf.ipv6 addresses set by hand work, and routers are not listened to.
 */
#ifndef TCP_ND_H
#define TCP_ND_H

#include "tcp/stack_impl.h"

enum { ND_ROUTER_SOLICIT = 133, ND_ROUTER_ADVERT = 134, ND_SOLICIT = 135, ND_ADVERT = 136, ND_REDIRECT = 137 };

/* conf.ipv6: makes the link-local address and asks for routers. */
int nd_init(struct net_stack *s);
void nd_fini(struct net_stack *s);
/* An ICMPv6 message of types 133 to 137, checksum verified. Takes p->b. */
void nd_input(struct net_stack *s, struct packet *p);
/* Who has `a`? to NULL: its solicited-node group is asked, else that MAC. */
void nd_ask(struct net_stack *s, const struct ip_addr *a, const uint8_t *to);
/* `a` is tentative: is it somebody's already? */
/* `a` is ours: everybody who knows it otherwise learns so (RFC 4861 7.2.6). */
void nd_announce(struct net_stack *s, const struct ip_addr *a);
void nd_dad_start(struct net_stack *s, struct own_addr *a);
/* The group ff02::1:ffxx:xxxx of an address (RFC 4291 2.7.1). */
struct ip_addr nd_solicited_node(const struct ip_addr *a);

#endif
