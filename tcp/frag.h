/* SPDX-License-Identifier: MIT
 *
 * Fragments of both families: reassembly within bounds, and cutting what is larger than a path takes.
 */
#ifndef TCP_FRAG_H
#define TCP_FRAG_H

#include "tcp/hdr.h"
#include "tcp/stack_impl.h"

int frag_init(struct net_stack *s);
void frag_fini(struct net_stack *s);

/* A fragment: p as of a whole packet, b->data behind the IP header. Takes p->b. */
void frag4_input(struct net_stack *s, struct packet *p, const struct ip4_hdr *h);
/* f is the fragment header, b->data behind it. A datagram that is complete goes on as ip6_next(). Takes p->b. */
void frag6_input(struct net_stack *s, struct packet *p, const struct ip6_frag *f);

/* An L4 packet of len bytes in as many fragments as p->mtu wants. Takes b. */
void frag_send(struct net_stack *s, struct path *p, struct buf *b, uint32_t len, uint8_t ecn);
void frag_check(const struct net_stack *s);

#endif
