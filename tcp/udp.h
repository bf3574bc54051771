/* SPDX-License-Identifier: MIT
 *
 * UDP (RFC 768, RFC 8085): sockets of a struct net_stack. Datagrams are not copied in either direction.
 */
#ifndef TCP_UDP_H
#define TCP_UDP_H

#include "tcp/stack.h"

/* local->port 0: chosen. -EADDRINUSE, -EADDRNOTAVAIL, -ENOMEM. */
int udp_open(struct net_stack *s, const struct ip_port *local, bool v6_only, bool reuse_port, void *user,
             struct udp_sock **out);
void udp_close(struct udp_sock *u);
void *udp_user(const struct udp_sock *u);
const struct ip_port *udp_local(const struct udp_sock *u);
/* Only datagrams of that peer come in from now on, and pushes may leave `to` out. NULL: of everybody again. */
int udp_connect(struct udp_sock *u, const struct ip_port *peer);
const struct ip_port *udp_peer(const struct udp_sock *u); /* NULL: not connected */
void udp_set_hops(struct udp_sock *u, uint8_t hops, uint8_t tos);

/* Takes the chain over on 0 and 1: one datagram. to NULL: the connected peer. 0: it is on its way. 1: it waits for the
 * next hop's link address; with a ticket hooks.udp_sent() says what became of it, unless the socket is closed before,
 * which does not keep it from leaving. -EMSGSIZE, -ENETUNREACH, -EDESTADDRREQ, -EBUSY: the device's queue is full, or
 * too many wait; -EACCES: broadcast. */
int udp_send(struct udp_sock *u, struct buf *chain, const struct ip_port *to, bool broadcast, void *ticket);
/* The same for who does not want to know: what cannot leave later shows as an error of a connected socket. */
static inline int udp_push(struct udp_sock *u, struct buf *chain, const struct ip_port *to, bool broadcast)
{
    int err = udp_send(u, chain, to, broadcast, NULL);
    return err < 0 ? err : 0;
}
/* The oldest datagram, one buf; NULL: none, and *err_out is a positive errno of the socket (ECONNREFUSED by ICMP) or
 * 0. */
struct buf *udp_pop(struct udp_sock *u, struct ip_port *from, int *err_out);

#endif
