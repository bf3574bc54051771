/* SPDX-License-Identifier: MIT
 *
 * A DHCP client (RFC 2131, options of RFC 2132): one lease of one IPv4 address, with router, mask and MTU.
 */
#ifndef TCP_DHCP_H
#define TCP_DHCP_H

#include "tcp/stack_impl.h"

#define DHCP_CLIENT_PORT 68
#define DHCP_SERVER_PORT 67

int dhcp_init(struct net_stack *s);
void dhcp_fini(struct net_stack *s);
void dhcp_stop(struct net_stack *s); /* an address was set by hand: the client ends, and its address goes */
/* A datagram to port 68, checksum verified, UDP header still there. Takes p->b. */
void dhcp_input(struct net_stack *s, struct packet *p);
/* Somebody used `src` in ARP, or asked for `dst` without an address of his own: perhaps the one we are about to take
 * (RFC 2131 4.4.1). */
void dhcp_arp_heard(struct net_stack *s, const struct ip_addr *src, const struct ip_addr *dst, const uint8_t *mac);

#endif
