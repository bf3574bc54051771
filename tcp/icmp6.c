/* SPDX-License-Identifier: MIT
 *
 * In work.
 */
#include "tcp/icmp6.h"
void icmp6_input(struct net_stack *s, struct packet *p) { buf_unref(p->b); }
void icmp6_send_error(struct net_stack *s, const struct packet *p, uint8_t type, uint8_t code, uint32_t rest) {}
