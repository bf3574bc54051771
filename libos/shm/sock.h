/* SPDX-License-Identifier: MIT
 *
 * An end of a connection as a queue: what the files of this folder share.
 *
 *      NEW --bind--> BOUND --listen--> LISTENING ~~ for each who comes: GREETING -> WAITING -> CONNECTED
 *       |              |               (pipe: MEETING, which becomes CONNECTED itself)
 *       +----connect---+--> CONNECTING --> CONNECTED
 *                                              | closed, and the ring has not taken all that was pushed
 *                                           CLOSING      (no queue any more: close.c)
 *
 * A connection is a Unix socket and the memory (area.h) that was handed over it. Bytes go through the memory alone. The
 * socket stays open for three things: a message of one byte rings who sleeps; its hang-up tells, at once, that the
 * other side has closed or died; and the kernel says who that is.
 *
 *     the peer's socket hangs up     and RING_FIN was read (or is in the ring): closed, the stream has ended
 *                                    else: reset, or dead
 *
 * What is in the ring then is copied out and the memory is let go (`rest`): nobody writes to it any more.
 *
 * Hot and cold. A hot end is looked at in every turn (one word of the ring); when the thread goes to sleep, hot ends
 * ask to be rung (`waits` of the area). One that has been idle for long asks so at once and is cold: it costs nothing
 * until it is rung. Who has put something into a ring, or has made room, looks whether the peer wants to be rung once
 * a turn, in the flush; between the two accesses stands wait_barrier(), and the sleeper has it between asking and
 * looking into the ring for the last time, so that one of them sees the other.
 */
#ifndef SHM_SOCK_H
#define SHM_SOCK_H

#include "alloc/base/list.h"
#include "alloc/base/sanitize.h"
#include "alloc/buf.h"
#include "libos/runtime/runtime.h"
#include "libos/runtime/seg_ring.h"
#include "libos/runtime/stream.h"
#include "libos/shm/area.h"
#include "libos/shm/name.h"
#include "libos/shm/shm.h"

#define SHM_UNSENT_MAX   65536u      /* segments waiting on one end: then EBUSY */
#define SHM_GREETING_MAX 1024u       /* of one listener: have come, and were not accepted yet */
#define SHM_HELLO_NS     5000000000u /* within which who has come must have said hello */
#define SHM_OPTIONS      24u

struct shm_hot {
    _Atomic uint64_t *word; /* where the peer's next record begins */
    const char *beside;     /* a line to be fetched with it */
    struct shm_sock *s;
    bool blocked; /* bytes of ours wait for room */
};

struct shm {
    struct libos base;
    struct list socks;      /* shm_sock.link: all there are, for a fork's child and the end */
    struct list connecting; /* shm_sock.work: the kernel has connected them, the flush completes the operation */
    struct list dirty;      /* shm_sock.dirty: something to tell the peer, should it sleep */
    struct list closing;    /* shm_sock.work: closed, and not drained yet */
    struct shm_hot *hot;
    uint32_t hot_count, hot_room, polls, cursor;
    uint32_t ring_size;
    struct name closed; /* what we were bound to last, and when that was */
    uint64_t closed_ns;
    bool any_peer; /* on IP addresses and pipes: not of our user alone */
    _Atomic uint32_t barrier;
    uint64_t rx_bytes, rx_records, tx_bytes, tx_blocked, rings_sent, rings_got, cooled;
    uint64_t accepted, connected, refused, resets, push_busy, broken, close_drained, close_cut;
};

enum shm_state {
    SHM_NEW,
    SHM_BOUND,
    SHM_LISTENING,
    SHM_CONNECTING,
    SHM_GREETING,
    SHM_WAITING,
    SHM_MEETING,
    SHM_CONNECTED,
    SHM_CLOSING
};

struct shm_sock {
    struct queue q; /* qd -1: has no queue yet, or none any more */
    struct shm *shm;
    struct fd_watch watch; /* watch.fd: the Unix socket, or -1 */
    int name_fd;           /* of a pipe's first end: what holds its name; -1: none */
    int mark_fd;           /* what tells that it has been opened; -1: none */
    int area_fd;           /* of a pipe that nobody has opened: the memory, to be handed over; -1: none */
    uint8_t state, side;   /* enum shm_state; which side of the area is ours */
    uint16_t domain;
    uint8_t armed, dirty_bits; /* enum area_waits: what we have asked for; what the peer may have asked for */
    bool watched, bound, pipe;
    bool gone; /* the peer's socket has hung up: there is no memory any more */
    bool fin_due, established;
    bool readable;   /* of a listener: somebody may have come */
    uint32_t hot_at; /* its place in shm->hot, plus one; 0: cold */
    uint32_t ring_size;
    struct area *area; /* NULL: not yet, or not any more */
    struct ring_reader in;
    struct ring_writer tx;
    struct buf *rest, **rest_tail; /* what came from a peer that is gone, or before we shut down for reading */
    struct stream st;
    struct seg_ring out;   /* what the ring has no room for */
    uint64_t queued, sent; /* bytes of the stream, since its start */
    uint64_t news_ns;      /* when something was last found in the ring */
    struct list link, work, dirty;
    struct op_list accepts;
    struct op *connecting;
    struct list greeting; /* of a listener: those that have come; of these: their place there */
    uint32_t greeting_count;
    struct shm_sock *listener;
    struct sockaddr_storage local, peer;
    socklen_t local_size, peer_size;
    int32_t linger_s; /* SO_LINGER; -1: off */
    int32_t options[SHM_OPTIONS];
    struct timer
        timer; /* of a hello that is awaited, a connect that is tried again, a listener at rest, a closing end */
    uint64_t until_ns, drained;
};

static inline struct shm_sock *shm_sock_of(struct queue *q) { return (struct shm_sock *)q; }

/* Orders a write to shared memory before the read of another word there that follows. */
static inline void wait_barrier(struct shm *p)
{
#if SANITIZE_THREAD
    atomic_exchange(&p->barrier, 1); /* it knows no fences */
#else
    (void)p;
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

static inline void shm_dirty(struct shm_sock *s, uint8_t bits)
{
    if (!s->dirty_bits) list_push_back(&s->shm->dirty, &s->dirty);
    s->dirty_bits |= bits;
}

/* --- shm.c --- */

/* Without a queue. NULL: no memory. */
struct shm_sock *shm_sock_new(struct shm *p, int domain);
/* Gives back everything; operations have ended. */
void shm_sock_free(struct shm_sock *s);
int shm_sock_watch(struct shm_sock *s, uint32_t events);
void shm_close_fd(struct shm_sock *s);
/* The memory is there: `side` of it is ours. */
void shm_attach(struct shm_sock *s, struct area *a, uint32_t ring_size, int side);
void shm_detach(struct shm_sock *s);
int shm_heat(struct shm_sock *s);
void shm_cool(struct shm_sock *s);
void shm_sock_check(const struct shm_sock *s);
static inline void shm_debug(const struct shm_sock *s)
{
#ifdef DEMI_DEBUG
    shm_sock_check(s);
#endif
}

/* --- setup.c --- */

int shm_bind(struct queue *q, const struct sockaddr *addr, socklen_t size);
int shm_listen(struct queue *q, int backlog);
int shm_accept(struct queue *q, struct op *op);
int shm_connect(struct queue *q, struct op *op, const struct sockaddr *addr, socklen_t size);
int shm_connect_cancel(struct shm_sock *s);
void shm_connect_done(struct shm_sock *s); /* from the flush */
void shm_accept_ready(struct shm_sock *l); /* somebody has come */
/* Whether who is behind a Unix socket may talk to us. */
bool shm_may_meet(const struct shm *p, int fd, bool accepting);

/* --- meet.c --- */

/* Sends `area_fd`, which stays the caller's. */
int shm_say_hello(int fd, int area_fd, uint32_t ring_size);
/* -EAGAIN: nothing has come yet. 0: the memory is there, and ours is side 1. Else it is nobody we know. */
int shm_hear_hello(struct shm_sock *s);
/* An end that has come to a listener: listens for its hello. It may be gone afterwards. */
void shm_greet(struct shm_sock *s, uint32_t events);
/* Forgets one that has come and was not accepted. */
void shm_greeting_drop(struct shm_sock *s);

/* --- stream.c --- */

int shm_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
             socklen_t size, unsigned flags);
int shm_push_copy(struct queue *q, const void *p, uint32_t n);
int shm_pop(struct queue *q, struct op *op);
int shm_shutdown(struct queue *q, int how);
void shm_receive(struct shm_sock *s); /* for who waits */
void shm_send(struct shm_sock *s);    /* what waits for room */
bool shm_has_news(const struct shm_sock *s);
void shm_drop(struct shm_sock *s);       /* what waits to be sent */
void shm_gone(struct shm_sock *s);       /* the peer's socket has hung up */
void shm_broken(struct shm_sock *s);     /* the peer does not keep to the protocol */
bool shm_has_unread(struct shm_sock *s); /* bytes that nobody has popped */

/* --- close.c, pipe.c, sockopt.c --- */

void shm_close(struct queue *q);
void shm_closing_go_on(struct shm_sock *s);
void shm_close_end(struct shm_sock *s, bool cut);
uint64_t shm_undrained_bytes(const struct shm *p);

int shm_pipe(struct libos *l, const char *name, bool create, struct queue **out);
void shm_pipe_event(struct shm_sock *s); /* somebody opens it */
/* Of the end that has opened it: the memory comes. False: it is gone, or does not understand us. */
bool shm_pipe_opened(struct shm_sock *s);
extern const struct queue_ops shm_stream_ops;

int shm_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len);
int shm_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len);
int shm_getpeername(struct queue *q, struct sockaddr *addr, socklen_t *len);
int shm_getsockname(struct queue *q, struct sockaddr *addr, socklen_t *len);

#endif
