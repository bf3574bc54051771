/* SPDX-License-Identifier: MIT
 *
 * IPv6 (RFC 8200): packets in, through their extension headers.
 */
#ifndef TCP_IP6_H
#define TCP_IP6_H

#include "tcp/link.h"
#include "tcp/stack_impl.h"

/* Takes b, which begins with the IPv6 header; len bytes came, padding perhaps among them. */
void ip6_input(struct net_stack *s, struct buf *b, uint32_t len, const struct link_info *from);

/* Goes on behind a header: p->proto is what p->b begins with, an extension header or a protocol. after_frag: it
 * comes out of reassembly, and may not be a fragment again. Takes p->b. */
void ip6_next(struct net_stack *s, struct packet *p, bool after_frag);

#endif
