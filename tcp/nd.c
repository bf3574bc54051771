/* SPDX-License-Identifier: MIT
 *
 * In work.
 */
#include "tcp/nd.h"
int nd_init(struct net_stack *s) { return 0; }
void nd_fini(struct net_stack *s) {}
void nd_input(struct net_stack *s, struct packet *p) { buf_unref(p->b); }
void nd_ask(struct net_stack *s, const struct ip_addr *a, const uint8_t *to) {}
void nd_dad_start(struct net_stack *s, struct own_addr *a) {}
