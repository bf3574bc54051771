/* SPDX-License-Identifier: MIT
 *
 * The socket options of the IP header: IP_TTL and IP_TOS of AF_INET sockets, IPV6_UNICAST_HOPS and IPV6_TCLASS of
 * AF_INET6 ones, which hold for the IPv4 packets of these, too. What a value may be is said once, here, so that it is
 * the same on every libOS:
 *
 *     hops   1 to 255; -1: the default, 64
 *     tos    0 to 255, of which the two low bits are ECN's (RFC 3168 5) and stay 0; IPV6_TCLASS -1: 0
 *
 * Two deviations from Linux: it takes a hop limit of 0, with which nothing could leave, and cuts an IP_TOS to 8 bits.
 */
#ifndef RUNTIME_IP_OPTION_H
#define RUNTIME_IP_OPTION_H

#include <stdint.h>
#include <sys/socket.h>

#define IP_HOPS_DEFAULT 64

enum ip_option { IP_OPTION_NONE, IP_OPTION_HOPS, IP_OPTION_TOS };

/* Which one this is of a socket of that domain. */
enum ip_option ip_option_of(int domain, int level, int name);
/* The value that a program has given. -EINVAL: it is none, or shorter than an int. */
int ip_option_read(enum ip_option option, int domain, const void *val, socklen_t len, uint8_t *out);

#endif
