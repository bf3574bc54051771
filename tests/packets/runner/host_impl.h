/* SPDX-License-Identifier: MIT
 *
 * The inside of struct host: host.c has the stack, the wire and the clock, host_sock.c the sockets, host_info.c what
 * they tell.
 */
#ifndef PACKETS_HOST_IMPL_H
#define PACKETS_HOST_IMPL_H

#include "tests/packets/runner/host.h"

enum sock_kind { SOCK_FREE, SOCK_NEW, SOCK_LISTENER, SOCK_CONN, SOCK_UDP };

struct host_sock {
    uint8_t kind; /* enum sock_kind */
    int domain, type;
    bool bound, nonblock, v6_only, reuse_port, broadcast, linger_on;
    bool connecting, connected, read_shut, write_shut, closed; /* closed: hooks.closed has been */
    uint32_t linger_s;
    int error; /* positive errno, to be told once (SO_ERROR) */
    int acceptable;
    struct ip_port local, peer;
    struct conn_opts opts;
    struct conn *conn;
    struct listener *listener;
    struct udp_sock *udp;
    struct buf *rest; /* popped, not yet read to its end */
};

struct host {
    struct net_stack *stack;
    struct host_config conf;
    nsec start, now; /* of the stack's clock */
    struct host_sock socks[HOST_FDS];
    struct host_sock *newest;
    struct host_packet *out, **out_tail;
};

/* NULL: no such descriptor. */
struct host_sock *host_sock(struct host *h, int fd);
extern const struct stack_hooks host_hooks;

#endif
