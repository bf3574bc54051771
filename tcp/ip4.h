/* SPDX-License-Identifier: MIT
 *
 * IPv4 (RFC 791, RFC 1122 3.2): packets in.
 */
#ifndef TCP_IP4_H
#define TCP_IP4_H

#include "tcp/link.h"
#include "tcp/stack_impl.h"

/* Takes b, which begins with the IP header; len bytes came, padding perhaps among them. */
void ip4_input(struct net_stack *s, struct buf *b, uint32_t len, const struct link_info *from);

/* A packet that is whole and checked goes to its protocol. Takes p->b. */
void ip4_deliver(struct net_stack *s, struct packet *p);

#endif
