/* SPDX-License-Identifier: MIT
 *
 * A kernel socket by io_uring as a queue: what the files of this folder share.
 *
 *      NEW --bind--> BOUND --listen--> LISTENING
 *       |              |
 *       +----connect---+--> CONNECTING --> CONNECTED     (a datagram socket is CONNECTED at once)
 *                                              | closed, and the kernel has not taken all that was pushed
 *                                           CLOSING      (no queue any more: close.c)
 *                                              | nothing more goes; requests are taken back
 *                                           ENDING       (until the kernel has answered the last one)
 *
 * What a socket should have with the kernel follows from its state alone, and sock_prepare() makes it so at the flush:
 * a receive that goes on (multishot) while there is room for what it brings, an accept of that kind while somebody
 * accepts, one send at a time. So no function but that one makes requests, and whatever changes a socket says no more
 * than uring_dirty().
 *
 *      dirty --flush: sock_prepare()--> submission queue --io_uring_enter--> kernel --completion--> sock_completed()
 *
 * The descriptor is one that blocks, since io_uring answers EAGAIN for others instead of waiting (a connect is the
 * exception: setup.c); calls made directly say MSG_DONTWAIT. A request keeps the socket open in the kernel, so a close
 * is not one until all have been answered, and the struct lives as long.
 */
#ifndef URING_SOCK_H
#define URING_SOCK_H

#include "alloc/base/list.h"
#include "libos/runtime/cell.h"
#include "libos/runtime/kernel_socket.h"
#include "libos/runtime/runtime.h"
#include "libos/runtime/seg_ring.h"
#include "libos/runtime/stream.h"
#include "libos/uring/provided.h"
#include "libos/uring/uring.h"

#include <liburing.h>

#define URING_SQ_ENTRIES   256u
#define URING_CQ_ENTRIES   4096u
#define URING_UNSENT_MAX   65536u /* segments waiting on one socket: then EBUSY */
#define URING_GATHER_MAX   256u   /* pieces of a send */
#define URING_IOVS         4096u  /* of all sends of one submission */
#define URING_MSGS         128u
#define URING_UNREAD_BUFS  8u /* received and not popped: the kernel keeps what comes behind them */
#define URING_UNREAD_BYTES 65536u
#define URING_UNREAD_DGRAM 64u
#define URING_PARKED_MAX   8u /* accepted by the kernel, and by nobody of the program: others stay in its backlog */

static_assert(URING_IOVS >= URING_GATHER_MAX && URING_MSGS > 0, "one send always fits");

enum uring_group { GROUP_SMALL, GROUP_MIDDLE, GROUP_BULK, GROUP_DGRAM, URING_GROUPS };

struct uring {
    struct libos base;
    struct io_uring ring;
    struct fd_watch news; /* an eventfd that the kernel writes to while the thread sleeps */
    bool armed, reaping;
    struct provided groups[URING_GROUPS];
    struct cells cells;                     /* copies of small pushes */
    struct uring_sock *dirty, **dirty_tail; /* sock_prepare() is due */
    struct list socks;                      /* struct uring_sock.link: all there are */
    struct list held;                       /* struct uring_held.link: memory that the kernel may still read */
    uint32_t held_count;
    bool reports_copies; /* the kernel says whether it had to copy after all */
    struct kernel_defaults defaults;
    uint32_t small_buffers;   /* that the kernel has, of the smallest size */
    uint64_t zero_copy_bytes; /* pushes of so many and more leave without a copy; UINT64_MAX: none */
    struct msghdr from;       /* of receives of datagrams */
    struct iovec iovs[URING_IOVS];
    struct msghdr msgs[URING_MSGS];
    uint32_t iov_count, msg_count; /* used since the last submission */
    uint64_t enters, completions, rx_bytes, rx_starved, tx_sends, tx_bytes, tx_partial, zero_copies, copied_anyway;
    uint64_t accepted, connected, accept_backoff, resets, push_busy, close_drained, close_cut;
};

enum uring_state {
    URING_NEW,
    URING_BOUND,
    URING_LISTENING,
    URING_CONNECTING,
    URING_CONNECTED,
    URING_CLOSING,
    URING_ENDING
};

/* What a completion is of: the upper byte of its word, the rest of which points to the socket (or what is said). */
enum uring_kind {
    URING_CANCEL, /* nobody's */
    URING_RECV,
    URING_SEND,
    URING_HELD, /* struct uring_held */
    URING_DGRAM,
    URING_ACCEPT,
    URING_CONNECT,
    URING_TROUBLE,
};

struct uring_sock {
    struct queue q;
    struct uring *uring;
    struct list link;
    int fd;
    uint8_t state; /* enum uring_state */
    bool dgram;
    bool bound; /* by the program: it stays so when a connection fails */
    /* What the kernel has of ours. */
    bool receiving, accepting, sending, watched;
    bool cancelled;  /* the receive or the accept: its end was asked for */
    uint32_t flight; /* requests that are not answered, cancels not counted */
    uint8_t group, group_wanted;
    uint8_t group_small; /* how often in a row it got far less than a buffer */
    bool fin_due;        /* shut down for writing, once `out` is empty */
    bool copies;         /* zero-copy sends were copied all the same, so there will be no more */
    bool cut;            /* ENDING: by a reset */
    uint16_t domain;
    int16_t broken;                    /* sends fail with that; what had come can still be popped */
    int error;                         /* of a datagram nobody waits for: the next pop tells */
    struct buf *unread, **unread_tail; /* received and not popped, linked through `next` */
    uint32_t unread_count;
    uint64_t unread_bytes;
    uint64_t wanted; /* shut down for reading: bytes that had come before and are still to be received */
    struct uring_sock *dirty_next, **dirty_link; /* dirty_link NULL: not in the list */
    struct stream st;                            /* of datagram sockets only who waits */
    struct op_list accepts;
    struct op *connecting;
    int *parked; /* accepted, for nobody yet; the oldest first */
    uint32_t parked_count, parked_room;
    uint32_t aborts; /* accepts in a row that brought nothing */
    struct seg_ring out;
    uint64_t queued, sent;                    /* bytes of the stream, since its start */
    uint64_t more_at;                         /* behind the last push with DEMI_PUSH_MORE */
    struct list holds;                        /* struct uring_held.sock_link */
    struct uring_held *held;                  /* of the first of `out`, whose bytes leave without a copy */
    struct uring_dgram *dgrams, **dgram_tail; /* to be sent, or being sent: the first dgram_flight of them */
    uint32_t dgram_count, dgram_flight;
    int32_t linger_s;      /* SO_LINGER; -1: off */
    struct timer timer;    /* of a listener without descriptors; of a closing socket */
    uint64_t drain_end_ns; /* when it has to be done; UINT64_MAX: as long as it moves */
    uint64_t drained;      /* bytes that were sent when the timer looked last */
};

static inline struct uring_sock *uring_sock_of(struct queue *q) { return (struct uring_sock *)q; }

/* --- ring.c --- */

/* -errno, and why says what is missing. */
int uring_open(struct uring *u);
void uring_close(struct uring *u);
/* NULL: the kernel does not take what there is. */
struct io_uring_sqe *uring_sqe(struct uring *u, enum uring_kind kind, void *of);
/* A header and room for `count` pieces that stay until the submission. NULL: none left, submit. */
struct msghdr *uring_msg(struct uring *u, unsigned count);
/* What was prepared goes; what can be done at once is done. */
void uring_hand_over(struct uring *u);
/* What was prepared goes, and what has happened comes: completions are there, or were. */
void uring_submit(struct uring *u);
/* Completions that are there. Returns how many; 0, too, when it is called from inside of itself. */
unsigned uring_reap(struct uring *u);
/* Whether the kernel has something for us. Costs no call. */
static inline bool uring_has_news(const struct uring *u)
{
    const struct io_uring *r = &u->ring;
    return io_uring_cq_ready(r) || IO_URING_READ_ONCE(*r->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}
/* The same of one socket alone: of others nobody hears before it is their turn. */
void uring_reap_of(struct uring *u, const struct uring_sock *s);

/* --- uring.c --- */

/* Makes the queue for an open descriptor, which it owns from then on. On failure the descriptor stays the caller's. */
int uring_sock_new(struct uring *u, int fd, int domain, bool dgram, struct uring_sock **out);
void uring_dirty(struct uring_sock *s);
void uring_clean(struct uring_sock *s);
/* Everything leaves now. */
void uring_flush_now(struct uring *u);
/* What is dirty of one socket leaves now, and it knows what has become of it. Not of one in ENDING. */
void uring_settle(struct uring_sock *s);
bool uring_prepare_end(struct uring_sock *s);
/* Makes requests. False: the kernel takes none, the socket stays dirty. */
bool sock_prepare(struct uring_sock *s);
void sock_completed(struct uring *u, uint64_t word, int32_t res, uint32_t flags);
/* Invariants; debug builds look after every event and call. */
void uring_sock_check(const struct uring_sock *s);
static inline void uring_debug(const struct uring_sock *s)
{
#ifdef DEMI_DEBUG
    uring_sock_check(s);
#endif
}

/* --- close.c --- */

void uring_sock_close(struct queue *q);
/* Something may have left, of a socket in CLOSING. */
void uring_closing_moved(struct uring_sock *s);
/* Nothing more goes. cut: what has not arrived does not, and the peer hears of a reset. */
void uring_sock_end(struct uring_sock *s, bool cut);
/* All requests of a socket in ENDING are answered. */
void uring_sock_free(struct uring_sock *s);
/* Takes down those that are still closing. */
void uring_close_all(struct uring *u);
/* The descriptors that are behind no queue, in the child of a fork. */
void uring_close_copies(const struct uring *u);
/* What the closing sockets still have to hand over: bytes, and one a socket; one for each piece that is still read. */
uint64_t uring_left(const struct uring *u);

/* --- setup.c --- */

int uring_bind(struct queue *q, const struct sockaddr *addr, socklen_t size);
int uring_listen(struct queue *q, int backlog);
int uring_accept(struct queue *q, struct op *op);
int uring_connect(struct queue *q, struct op *op, const struct sockaddr *addr, socklen_t size);
int uring_connect_cancel(struct uring_sock *s);
void uring_accepted(struct uring_sock *s, int32_t res);
void uring_connected(struct uring_sock *s);
/* Of a listener that is closed: who came and was asked for by nobody. */
void uring_drop_parked(struct uring_sock *s);

/* --- receive.c, send.c, held.c, dgram.c, sockopt.c --- */

/* Puts a buffer behind the others that nobody has popped. */
void uring_keep(struct uring_sock *s, struct buf *b);
struct buf *uring_next_unread(struct uring_sock *s);
void uring_drop_unread(struct uring_sock *s);
int uring_stream_pop(struct queue *q, struct op *op);
bool uring_wants_receive(const struct uring_sock *s);
void uring_stream_received(struct uring_sock *s, int32_t res, struct buf *b);
int uring_stream_shutdown(struct queue *q, int how);
/* The kernel has something to tell of a connection from which nothing is received. */
void uring_stream_trouble(struct uring_sock *s);
/* The connection has failed. */
void uring_stream_broke(struct uring_sock *s, int err);

int uring_stream_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                      socklen_t size, unsigned flags);
int uring_stream_push_copy(struct queue *q, const void *p, uint32_t n);
bool uring_stream_prepare(struct uring_sock *s);
void uring_stream_sent(struct uring_sock *s, int32_t res);
/* Nothing goes out any more; what had come in can still be popped. */
void uring_stream_mute(struct uring_sock *s, int err);
void uring_stream_drop(struct uring_sock *s); /* what waits to be sent */
int uring_shutdown_write(struct uring_sock *s);

struct uring_sock *uring_held_sock(const struct uring_held *h);
/* A send of `seg`, the first of s->out, without a copy. False: the kernel takes none. */
bool uring_held_prepare(struct uring_sock *s, struct seg *seg, int flags);
void uring_held_completed(struct uring *u, struct uring_held *h, int32_t res, uint32_t flags);
/* The first of s->out has gone, or is dropped: its memory is released when the kernel has read it for the last time. */
void uring_held_finish(struct uring_sock *s);
/* Its socket is no more. */
void uring_held_orphan(struct uring_sock *s);
/* What is held still when the ring is gone: it stays where it is. */
void uring_held_abandon(struct uring *u);

int uring_dgram_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                     socklen_t size, unsigned flags);
int uring_dgram_pop(struct queue *q, struct op *op);
bool uring_dgram_prepare(struct uring_sock *s);
struct uring_sock *uring_dgram_sock(const struct uring_dgram *d);
void uring_dgram_sent(struct uring *u, struct uring_dgram *d, int32_t res);
/* The buffer in this slot has it: taken if that is worth it. */
void uring_dgram_received(struct uring_sock *s, int32_t res, struct provided *p, unsigned slot);
int uring_dgram_shutdown(struct queue *q, int how);
void uring_dgram_drop(struct uring_sock *s);
void uring_dgram_cancel(struct uring_sock *s); /* nobody waits any more for those that wait */

int uring_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len);
int uring_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len);
int uring_getpeername(struct queue *q, struct sockaddr *addr, socklen_t *len);
int uring_getsockname(struct queue *q, struct sockaddr *addr, socklen_t *len);

#endif
