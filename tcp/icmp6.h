/* SPDX-License-Identifier: MIT
 *
 * ICMPv6 (RFC 4443): echoes, errors in and out; neighbour discovery goes to nd.h.
 */
#ifndef TCP_ICMP6_H
#define TCP_ICMP6_H

#include "tcp/stack_impl.h"

enum {
    ICMP6_UNREACHABLE = 1,
    ICMP6_TOO_BIG = 2,
    ICMP6_TIME = 3,
    ICMP6_PARAMETER = 4,
    ICMP6_ECHO = 128,
    ICMP6_ECHO_REPLY = 129
};
enum { ICMP6_UNREACH_PORT = 4, ICMP6_TIME_REASSEMBLY = 1 };
enum { ICMP6_PARAM_FIELD = 0, ICMP6_PARAM_NEXT = 1, ICMP6_PARAM_OPTION = 2 };

/* Takes p->b. */
void icmp6_input(struct net_stack *s, struct packet *p);
/* Says something about p, as far as one may. Does not take p->b. */
void icmp6_send_error(struct net_stack *s, const struct packet *p, uint8_t type, uint8_t code, uint32_t rest);

#endif
