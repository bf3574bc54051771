/* SPDX-License-Identifier: MIT
 *
 * ICMP (RFC 792, RFC 1122 3.2.2): echoes are answered, errors about our packets go to who sent them, errors about
 * packets that came are sent.
 */
#ifndef TCP_ICMP4_H
#define TCP_ICMP4_H

#include "tcp/stack_impl.h"

enum { ICMP4_ECHO_REPLY = 0, ICMP4_UNREACHABLE = 3, ICMP4_ECHO = 8, ICMP4_TIME = 11, ICMP4_PARAMETER = 12 };
enum { ICMP4_UNREACH_PROTO = 2, ICMP4_UNREACH_PORT = 3, ICMP4_UNREACH_TOO_BIG = 4 };
enum { ICMP4_TIME_REASSEMBLY = 1 };

void icmp4_input(struct net_stack *s, struct packet *p);
/* Says something about p, as far as one may (see the .c). Does not take p->b. */
void icmp4_send_error(struct net_stack *s, const struct packet *p, uint8_t type, uint8_t code, uint32_t rest);

/* Of both versions: one more error or echo reply may leave in this second; else it is counted as dropped. */
bool icmp_may_send(struct net_stack *s);
/* Answers an echo request in its own buffer; type is the reply's. Takes p->b. */
void icmp_echo_reply(struct net_stack *s, struct packet *p, uint8_t type);
/* An error of `type`, quoting p from its IP header on. */
void icmp_send_quote(struct net_stack *s, const struct packet *p, uint8_t proto, uint8_t type, uint8_t code,
                     uint32_t rest, uint32_t quote_max);

#endif
