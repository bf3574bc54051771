/* SPDX-License-Identifier: MIT
 *
 * Path MTUs that are smaller than the link's (RFC 1191, RFC 8201): a bounded cache by destination.
 */
#ifndef TCP_PMTU_H
#define TCP_PMTU_H

#include "tcp/stack_impl.h"

int pmtu_init(struct net_stack *s);
void pmtu_fini(struct net_stack *s);

/* 0: none is known. */
uint16_t pmtu_get(const struct net_stack *s, const struct ip_addr *dst);
/* A router says so, and was believed. mtu 0: it did not say how much. Whether it is news. */
bool pmtu_learn(struct net_stack *s, const struct ip_addr *dst, uint16_t mtu);

#endif
