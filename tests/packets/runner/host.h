/* SPDX-License-Identifier: MIT
 *
 * A host under test: one net_stack, its wire (bare IP packets; Ethernet is put on and taken off here), a clock that
 * stands still until it is told to go, and sockets in the manner of POSIX over conn, listener and udp_sock. Nothing
 * here waits: a call that would block says
 * -EAGAIN (connect: -EINPROGRESS), and whoever wants to wait tries again after the next packet or the next moment.
 *
 * What the stack has sent waits in the order of sending, each with its time, until host_output() takes it.
 */
#ifndef PACKETS_HOST_H
#define PACKETS_HOST_H

#include "tcp/stack.h"
#include "tcp/tcp.h"
#include "tcp/udp.h"
#include "tests/packets/runner/wire.h"

#include <poll.h>
#include <sys/socket.h>

#define HOST_FDS      128
#define HOST_FD_FIRST 3

struct host_config {
    struct stack_config stack; /* mac, seed and the like are filled in by host_new() */
    struct ip_addr local4, remote4, local6, remote6;
    nsec start; /* the stack's clock when the host's is 0: some 1000 s, and this */
    bool nagle; /* of new sockets; off by default, as the stack has it */
};

struct host_packet {
    struct host_packet *next;
    nsec at;
    struct wire w; /* only n bytes of it are there */
};

struct host;

/* Addresses of documentation (RFC 5737, 3849) and the stack's defaults. */
void host_defaults(struct host_config *c);
int host_new(const struct host_config *c, struct host **out);
void host_free(struct host *h); /* the stack is freed with all it holds */

nsec host_now(const struct host *h);        /* since host_new() */
nsec host_deadline(const struct host *h);   /* when the stack wants to be called; NSEC_NEVER */
void host_advance(struct host *h, nsec to); /* timers up to `to` run at their times */
void host_input(struct host *h, const struct wire *w);
/* Ends a turn: what connections have to say leaves. Calls of sockets do not leave anything by themselves. */
void host_flush(struct host *h);
/* The oldest packet that was sent; NULL: none. host_drop_output() frees it. */
struct host_packet *host_output(struct host *h);
void host_drop_output(struct host *h);

struct net_stack *host_stack(struct host *h);
const uint64_t *host_counter(struct host *h, const char *name); /* NULL: no such */

/* --- sockets: -errno ---------------------------------------------------------------------------------------------- */

int host_socket(struct host *h, int domain, int type, int protocol);
int host_bind(struct host *h, int fd, const struct ip_port *e);
int host_listen(struct host *h, int fd, int backlog);
int host_accept(struct host *h, int fd, struct ip_port *peer);
int host_connect(struct host *h, int fd, const struct ip_port *e);
long host_read(struct host *h, int fd, void *p, size_t n, bool peek);
long host_write(struct host *h, int fd, const void *p, size_t n, bool more); /* more: MSG_MORE */
long host_recvfrom(struct host *h, int fd, void *p, size_t n, struct ip_port *from);
long host_sendto(struct host *h, int fd, const void *p, size_t n, const struct ip_port *to);
int host_shutdown(struct host *h, int fd, int how);
int host_close(struct host *h, int fd);
int host_poll(struct host *h, int fd, short events); /* revents */
int host_getsockopt(struct host *h, int fd, int level, int name, void *p, socklen_t *n);
int host_setsockopt(struct host *h, int fd, int level, int name, const void *p, socklen_t n);
int host_getname(struct host *h, int fd, bool peer, struct ip_port *out);
/* The connection behind fd (-1: the newest); NULL: none (any more). */
struct conn *host_conn(struct host *h, int fd);
bool host_is_listener(struct host *h, int fd);
bool host_is_open(struct host *h, int fd);
bool host_nonblock(struct host *h, int fd, int set); /* set 0, 1; -1: asks */

#endif
