/* SPDX-License-Identifier: MIT
 *
 * In work.
 */
#include "tcp/ip6.h"
void ip6_input(struct net_stack *s, struct buf *b, uint32_t len, const struct link_info *from) { buf_unref(b); }
void ip6_next(struct net_stack *s, struct packet *p, bool after_frag) { buf_unref(p->b); }
