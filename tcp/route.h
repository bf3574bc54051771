/* SPDX-License-Identifier: MIT
 *
 * Our own addresses and where packets go first: to their destination itself if it is on the link, else to a router. One
 * interface.
 */
#ifndef TCP_ROUTE_H
#define TCP_ROUTE_H

#include "tcp/stack_impl.h"

/* `a` is an address of ours that is in use (not a tentative one; loopback addresses are asked for by
 * stack_is_local()). */
bool route_is_own(const struct net_stack *s, const struct ip_addr *a);
bool route_is_on_link(const struct net_stack *s, const struct ip_addr *a);
/* 255.255.255.255 or the broadcast address of a prefix of ours. */
bool route_is_broadcast(const struct net_stack *s, const struct ip_addr *a);
/* The address of ours to talk to dst from (RFC 6724 5, as far as one interface needs it). -EADDRNOTAVAIL. */
int route_source(const struct net_stack *s, const struct ip_addr *dst, struct ip_addr *src);
/* Who on the link a packet to dst (no group) is handed to. -ENETUNREACH. */
int route_next_hop(struct net_stack *s, const struct ip_addr *dst, struct ip_addr *next);

struct own_addr *route_find(struct net_stack *s, const struct ip_addr *a);
/* -EEXIST, -ENOSPC, -EINVAL. IPv6 addresses become tentative unless sure. out may be NULL. */
int route_add(struct net_stack *s, const struct ip_addr *a, unsigned bits, enum own_addr_origin origin, bool sure,
              struct own_addr **out);
void route_remove(struct net_stack *s, struct own_addr *a);     /* tells the hook, unless it was static, and TCP */
void route_set_usable(struct net_stack *s, struct own_addr *a); /* its duplicate address detection is over */
void route_set_deprecated(struct net_stack *s, struct own_addr *a, bool deprecated);

/* What router advertisements say; until s->now: it goes. */
void route_learn_router(struct net_stack *s, const struct ip_addr *router, nsec until);
/* does not answer: another one is used, if there is any */
void route_router_silent(struct net_stack *s, const struct ip_addr *router);
void route_learn_prefix(struct net_stack *s, const struct ip_addr *prefix, unsigned bits, nsec until);
void route_set_gateway(struct net_stack *s, const struct ip_addr *gateway); /* "any" takes it away */
/* Something paths depend on has changed. */
/* Every usable address of ours is said to all. */
void route_announce(struct net_stack *s);
static inline void route_changed(struct net_stack *s) { s->ip.generation++; }

#endif
