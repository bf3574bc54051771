/* SPDX-License-Identifier: MIT
 *
 * Whose an address is: the kernel's or the library OS's. Asked as late as bind, connect or the first datagram.
 *
 * Rules come from the file that DEMI_SHIM_RULES names, one a line, the first that fits decides:
 *
 *     program  address:port                kernel|demi        # words between blanks
 *     *        10.0.0.0/8:*                demi
 *     nginx    *:8000-8999                 demi
 *     *        [fd00::1]:53                kernel
 *
 * Without a rule: multicast and broadcast are the kernel's, port 53 is, too (names are the resolver's business), and so
 * are IPv6 datagrams, whose sender the library cannot tell. Loopback is the kernel's where the library OS has a wire of
 * its own (packet, xdp, dpdk, rdma); everything else is the library OS's.
 */
#ifndef SHIM_ROUTE_H
#define SHIM_ROUTE_H

#include <stdbool.h>
#include <sys/socket.h>

bool shim_route_is_ours(int domain, int type, const struct sockaddr *addr, socklen_t size);
/* Has the library OS a wire and a TCP of its own, so that this host's loopback is not on it? */
bool shim_has_wire(void);
/* "0.0.0.0:0" and "[::]:0" */
bool shim_is_any(const struct sockaddr *addr, socklen_t size);

#endif
