/* SPDX-License-Identifier: MIT
 *
 * A kernel socket as a queue: what the files of this folder share.
 *
 *      NEW --bind--> BOUND --listen--> LISTENING
 *       |              |
 *       +----connect---+--> CONNECTING --> CONNECTED     (a datagram socket is CONNECTED at once)
 *                                              | closed, and the kernel has not taken all that was pushed
 *                                           CLOSING      (no queue any more: close.c)
 *
 * Reading trusts the edge. `readable` is set by EPOLLIN and cleared by a receive that got less than
 * it asked for: the socket was empty then, and whatever comes later is a new edge. So a request
 * costs one recv, never a second one to hear EAGAIN. A peer that has ended its stream (`hung_up`:
 * EPOLLRDHUP, EPOLLHUP, EPOLLERR) stays readable: the end itself is still to be read.
 *
 * Writing gathers. Pushes append to `out`; the flush at the end of the turn sends what all pushes
 * of the turn left there with one call. EPOLLOUT is asked for only while the kernel's buffer is
 * full.
 */
#ifndef POSIX_SOCK_H
#define POSIX_SOCK_H

#include "alloc/base/list.h"
#include "libos/runtime/cell.h"
#include "libos/posix/posix.h"
#include "libos/runtime/kernel_socket.h"
#include "libos/runtime/runtime.h"
#include "libos/runtime/seg_ring.h"
#include "libos/runtime/stream.h"

#define POSIX_RECV_MIN   2048u /* queues of small requests */
#define POSIX_RECV_START 16384u
#define POSIX_RECV_MAX   65536u /* bulk */
#define POSIX_UNSENT_MAX 65536u /* segments waiting on one socket: then EBUSY */

struct posix {
    struct libos base;
    struct cells cells;                     /* copies of small pushes */
    struct posix_sock *dirty, **dirty_tail; /* have something for the next flush */
    struct list closing;                    /* struct posix_sock.closing: closed, and not drained yet */
    char *overflow; /* where the rest of a datagram that is longer than a small buffer goes first */
    struct kernel_defaults defaults;
    uint64_t rx_calls, rx_bytes, rx_empty, tx_calls, tx_bytes, tx_partial, tx_blocked;
    uint64_t accepted, connected, accept_backoff, resets, push_busy, close_drained, close_cut;
};

enum posix_sock_state { SOCK_NEW, SOCK_BOUND, SOCK_LISTENING, SOCK_CONNECTING, SOCK_CONNECTED, SOCK_CLOSING };

struct posix_sock {
    struct queue q;
    struct posix *posix;
    struct fd_watch watch; /* watch.fd is the socket */
    uint8_t state;         /* enum posix_sock_state */
    bool dgram;
    bool watched, readable, blocked;
    bool bound;   /* by the program: it stays so when a connection fails */
    bool hung_up; /* the peer has ended its stream, or the connection is broken: reading tells */
    bool tail;    /* broken, and the kernel may still have bytes that came before */
    bool fin_due; /* shut down for writing, once `out` is empty */
    uint16_t domain;
    int error;                      /* of a datagram nobody waits for: the next pop tells */
    uint32_t unread;                /* shut down for reading: bytes that had come before and can be popped */
    uint32_t recv_size, recv_small; /* bytes a receive asks for; how often in a row it got far less */
    struct posix_sock *dirty_next, **dirty_link; /* dirty_link NULL: not in the list */
    struct stream st;                            /* of datagram sockets only who waits */
    struct op_list accepts;
    struct op *connecting;
    struct seg_ring out;
    uint64_t queued, sent;                    /* bytes of the stream, since its start */
    uint64_t more_at;                         /* behind the last push with DEMI_PUSH_MORE */
    struct posix_dgram *dgrams, **dgram_tail; /* waiting for room in the kernel */
    uint32_t dgram_count;
    int32_t linger_s;      /* SO_LINGER; -1: off */
    struct timer timer;    /* of a listener without descriptors; of a closing socket */
    struct list closing;   /* CLOSING: in posix->closing */
    uint64_t drain_end_ns; /* when it has to be done; UINT64_MAX: as long as it moves */
    uint64_t drained;      /* bytes that were sent when the timer looked last */
};

static inline struct posix_sock *sock_of(struct queue *q) { return (struct posix_sock *)q; }

/* Makes the queue for an open descriptor, which it owns from then on. On failure the descriptor
 * stays the caller's. */
int sock_new(struct posix *p, int fd, int domain, bool dgram, struct posix_sock **out);
int sock_watch(struct posix_sock *s, uint32_t events);
/* Invariants; debug builds look after every event and call. */
void sock_check(const struct posix_sock *s);
static inline void sock_debug(const struct posix_sock *s)
{
#ifdef DEMI_DEBUG
    sock_check(s);
#endif
}
void sock_dirty(struct posix_sock *s);
void sock_clean(struct posix_sock *s);

/* --- close.c --- */

void sock_close(struct queue *q);
/* Of a socket in CLOSING. */
void sock_closing_event(struct posix_sock *s, uint32_t events);
/* Takes down those that are still closing: what has not left is cut off, and the peer is told so by a reset. */
void sock_close_all(struct posix *p);
/* The descriptors alone, in the child of a fork. */
void sock_close_copies(const struct posix *p);
/* What the closing sockets still have to hand over: bytes, and one a socket. */
uint64_t sock_undrained(const struct posix *p);

/* --- setup.c --- */

int sock_bind(struct queue *q, const struct sockaddr *addr, socklen_t size);
int sock_listen(struct queue *q, int backlog);
int sock_accept(struct queue *q, struct op *op);
int sock_connect(struct queue *q, struct op *op, const struct sockaddr *addr, socklen_t size);
void sock_accept_ready(struct posix_sock *s);
void sock_connect_ready(struct posix_sock *s);
int sock_connect_cancel(struct posix_sock *s);

/* --- stream.c, dgram.c, sockopt.c --- */

int posix_stream_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                      socklen_t size, unsigned flags);
int posix_stream_push_copy(struct queue *q, const void *p, uint32_t n);
int posix_stream_pop(struct queue *q, struct op *op);
void posix_stream_receive(
    struct posix_sock *s); /* bytes have come: for who waits, or, shut down for reading, for nobody */
int posix_stream_shutdown(struct queue *q, int how);
void posix_stream_error(struct posix_sock *s); /* the kernel tells of one */
void posix_stream_send(struct posix_sock *s);
void posix_stream_drop(struct posix_sock *s); /* what waits to be sent */

int dgram_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
               socklen_t size, unsigned flags);
int dgram_pop(struct queue *q, struct op *op);
void dgram_receive(struct posix_sock *s);
void dgram_send(struct posix_sock *s);
void dgram_drop(struct posix_sock *s);
void dgram_cancel(struct posix_sock *s); /* nobody waits any more for those that wait */

int sock_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len);
int sock_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len);
int sock_getpeername(struct queue *q, struct sockaddr *addr, socklen_t *len);
int sock_getsockname(struct queue *q, struct sockaddr *addr, socklen_t *len);

#endif
