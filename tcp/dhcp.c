/* SPDX-License-Identifier: MIT
 *
 * In work.
 */
#include "tcp/dhcp.h"
int dhcp_init(struct net_stack *s) { return 0; }
void dhcp_fini(struct net_stack *s) {}
void dhcp_input(struct net_stack *s, struct packet *p) { buf_unref(p->b); }
void dhcp_arp_heard(struct net_stack *s, const struct ip_addr *src, const struct ip_addr *dst, const uint8_t *mac) {}
