/* SPDX-License-Identifier: MIT
 *
 * A socket of our own stack as a queue: what the files of this folder share.
 *
 *      NEW --bind--> BOUND --listen--> LISTENING
 *       |              |
 *       +----connect---+--> CONNECTING --> CONNECTED --> ENDED     (a datagram socket is CONNECTED at once)
 *
 * ENDED: the stack has let go of the connection; what it had received lies in `rest` until it is popped, and then
 * what st has to say (runtime/stream.h).
 *
 * An idle accepted connection costs this struct (112 bytes), the stack's struct conn and one op. What only sockets
 * without a connection need (options to come, the address that was bound) lies aside in struct sock_setup.
 */
#ifndef INET_SOCK_H
#define INET_SOCK_H

#include "alloc/base/assert.h"
#include "alloc/base/list.h"
#include "alloc/base/rng.h"
#include "libos/inet/inet.h"
#include "libos/inet/life.h"
#include "libos/runtime/runtime.h"
#include "libos/runtime/stream.h"
#include "tcp/ports.h"
#include "tcp/tcp.h"
#include "tcp/udp.h"

#define INET_BOUND_BUCKETS 256
/* bytes of a stream queued or on their way: sequence numbers tell no more apart */
#define INET_PUSHED_MAX 0x7fff0000u

struct pcap;
struct share;

struct inet {
    struct libos base;
    struct net_stack *stack;
    struct netdev *dev;
    struct fd_watch watch; /* the device's descriptor; -1: it must be polled */
    bool watched;
    bool stuck;          /* frames wait for room in the device */
    nsec next_at;        /* when the stack's timers want to be looked at, or earlier */
    struct share *share; /* NULL: no other runtime has queues of this device */
    struct pcap *pcap;   /* NULL: nobody looks */
    unsigned captured;   /* of the frames that wait for the device the first so many are in it */
    struct life life;
    uint16_t mtu_most; /* what the configuration says of it; 0: nothing */
    uint8_t port_key[16];
    struct ports ports; /* of port 0 */
    /* the interface is shared with the kernel, or with other runtimes: port 0 gives one that is not theirs */
    bool own_ports;
    bool claimed_all; /* … and those have been claimed */
    struct conn_opts defaults;
    int32_t linger_s; /* default of new streams; -1: off */
    /* struct sock_setup.bound, by port: streams that have an address and no connection */
    struct list bound[INET_BOUND_BUCKETS];
    struct list hungry; /* struct sock_setup.hungry: listeners for which there was no memory or descriptor */
    struct timer retry;
    uint64_t accepted, connected, accept_backoff, resets, push_busy, rx_bytes, tx_bytes, tx_stuck;
};

enum inet_sock_state { SOCK_NEW, SOCK_BOUND, SOCK_LISTENING, SOCK_CONNECTING, SOCK_CONNECTED, SOCK_ENDED };

struct sock_setup {
    struct inet_sock *sock;
    struct list bound, hungry; /* members of the lists of struct inet, or of themselves */
    struct ip_port local;      /* port 0: not bound */
    struct conn_opts opts;
};

struct inet_sock {
    struct queue q;
    struct inet *inet;
    union {
        struct conn *conn;         /* CONNECTING, CONNECTED */
        struct listener *listener; /* LISTENING */
        struct udp_sock *udp;      /* datagrams; NULL until bound */
    };
    struct sock_setup *setup; /* NULL: a socket that was accepted, or connected and not bound */
    struct stream st;         /* pops: or accepts; pushes: or the one connect; of datagrams only who waits, and flags */
    struct buf *rest;         /* ENDED, or shut down for reading: received and not popped, a list through next */
    int32_t linger_s;         /* -1: off */
    uint8_t state;            /* enum inet_sock_state */
    bool dgram : 1, six : 1;  /* AF_INET6 */
    bool v6_only : 1, reuse_port : 1, reuse_addr : 1, broadcast : 1;
    bool port_taken : 1; /* bound and connected: the port is given back at the end */
    bool acceptable;     /* LISTENING: somebody waits */
    uint8_t hops, tos;   /* of a datagram socket, 0: the default */
};
static_assert(sizeof(struct inet_sock) <= 160, "an idle connection is small");

static inline struct inet_sock *sock_of(struct queue *q) { return (struct inet_sock *)q; }
static inline struct op_table *ops_of(const struct inet_sock *s) { return &s->q.rt->ops; }

/* --- sock.c --- */

int inet_sock_new(struct inet *in, bool six, bool dgram, struct inet_sock **out);
/* For one that nobody has seen yet. */
void inet_sock_drop(struct inet_sock *s);
/* -EINVAL: not an address of the socket's family, or of the wrong length; -ENOTSUP: of no family there is. */
int inet_sock_endpoint(const struct inet_sock *s, const struct sockaddr *addr, socklen_t size, struct ip_port *out);
/* Writes the address as the socket's family has it; *len must hold enough of it. */
int inet_sock_address(const struct inet_sock *s, const struct ip_port *e, struct sockaddr *addr, socklen_t *len);
/* NULL: out of memory. */
struct sock_setup *inet_sock_setup(struct inet_sock *s);
int inet_sock_cancel(struct queue *q, struct op *op);
void inet_sock_close(struct queue *q);
int inet_sock_getpeername(struct queue *q, struct sockaddr *addr, socklen_t *len);
int inet_sock_getsockname(struct queue *q, struct sockaddr *addr, socklen_t *len);
/* The device shall give us (on), or not any more, the frames of a port; 0: of every port that inet->ports gives. */
int inet_claim(struct inet *in, bool dgram, uint16_t port, bool on);
/* The same for a socket's port, towards other runtimes on the device as well. -EADDRINUSE: one of them has it. */
int inet_port_take(struct inet_sock *s, uint16_t port);
void inet_port_give(struct inet_sock *s, uint16_t port);
/* A port for port 0. -EADDRINUSE. */
int inet_sock_choose_port(struct inet_sock *s, const struct ip_addr *local, const struct ip_port *remote,
                          uint16_t *out);

/* The stack has done something: is there anything to be sent, and when does it want to be looked at? */
void inet_settle(struct inet *in);
/* The device's descriptor, for sleeping. */
void inet_watch_device(struct inet *in);
void inet_unwatch_device(struct inet *in);

/* Several runtimes on the device of this name: share.h. Nothing to do where it has one queue pair. */
int inet_share(struct inet *in, const char *key);

/* Invariants; debug builds and the simulator look after every event and call. */
void inet_sock_check(const struct inet_sock *s);
static inline void inet_sock_debug(const struct inet_sock *s)
{
#ifdef DEMI_DEBUG
    inet_sock_check(s);
#endif
}

/* --- setup.c: addresses and connections --- */

int inet_sock_bind(struct queue *q, const struct sockaddr *addr, socklen_t size);
int inet_sock_listen(struct queue *q, int backlog);
int inet_sock_accept(struct queue *q, struct op *op);
int inet_sock_connect(struct queue *q, struct op *op, const struct sockaddr *addr, socklen_t size);
void inet_sock_acceptable(struct inet_sock *s);
void inet_sock_retry_accepts(struct timer *t);
void inet_sock_connected(struct inet_sock *s, int err);

/* --- stream.c --- */

int inet_stream_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                     socklen_t size, unsigned flags);
int inet_stream_push_copy(struct queue *q, const void *p, uint32_t n);
int inet_stream_pop(struct queue *q, struct op *op);
int inet_stream_shutdown(struct queue *q, int how);
size_t inet_stream_unsent(struct queue *q);
void inet_stream_readable(struct inet_sock *s);
bool inet_stream_data(void *sock, struct buf *b); /* the stack's hook */
void inet_stream_acked(struct inet_sock *s);
void inet_stream_closed(struct inet_sock *s, int err);
/* What the segs hold as a chain; they are released, also on failure. NULL: out of memory. */
struct buf *inet_chain_of_segs(struct seg *segs, unsigned count);

/* --- dgram.c --- */

int inet_dgram_open(struct inet_sock *s, const struct ip_port *local);
int inet_dgram_connect(struct inet_sock *s, const struct ip_port *peer);
int inet_dgram_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                    socklen_t size, unsigned flags);
int inet_dgram_pop(struct queue *q, struct op *op);
int inet_dgram_shutdown(struct queue *q, int how);
void inet_dgram_readable(struct inet_sock *s);
void inet_dgram_sent(struct inet_sock *s, struct op *op, int err); /* one that waited for a neighbour */

/* --- sockopt.c --- */

int inet_sock_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len);
int inet_sock_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len);

#endif
