/* SPDX-License-Identifier: MIT
 *
 * Sockets over a device of messages: what the files of this folder share.
 *
 * A socket is what the program has, a connection is what the device has; each may outlive the other.
 *
 *     struct rdma_sock   the queue: who waits, what it is bound to, who was accepted and not taken yet
 *     struct rdma_conn   an end of the device's: what is to be sent and was received, credits, slots. Its address is
 *                        the word that the device knows it by, so it lives until the device has let go of it (end is
 *                        NULL) and nobody else holds it (sock, listener are NULL)
 *
 *     of a socket       NEW --bind--> BOUND --listen--> LISTENING
 *                        |              |
 *                        +---connect----+--> CONNECTING --> CONNECTED
 *     of a connection   IDLE --> LISTENING
 *                        +-----> OPENING --> UP --> ENDING --> RELEASING --> GONE
 *
 *     ENDING     disconnect() was called: nothing is sent any more, DISCONNECTED is waited for
 *     RELEASING  release() was called: RELEASED is waited for
 *
 * Sending. Pushes append segments to `out`, or bytes to a cell behind it. A message takes bytes from the cursor on; its
 * slot says how many segments end in it. Segments, and what else a message holds, are let go of when its slot has
 * passed: at once where the device has copied (inline), else when it was reported.
 *
 *     out      | held by the device, oldest first  | partly sent | not sent |
 *                                                        ^ cursor, cursor_off
 *     requests   wr_reported <= wr_passed <= wr_taken <= wr_built, of which built - reported <= send_depth
 *                wr_taken is what is not in the batch; wr_passed is brought up to it when something has to pass
 *
 * Credits. A message may be sent while sent - granted < window_out, the last place being for messages without data.
 * Both are counts since the beginning; granted comes in the head of each message, and by the peer's write to our word,
 * which is looked at while we wait for room (and then a message comes, too, as WIRE_STALLED asks for).
 */
#ifndef RDMA_SOCK_H
#define RDMA_SOCK_H

#include "alloc/base/list.h"
#include "alloc/base/log.h"
#include "libos/rdma/rdma.h"
#include "libos/rdma/smalls.h"
#include "libos/rdma/strangers.h"
#include "libos/rdma/valkey.h"
#include "libos/rdma/wire.h"
#include "libos/rdma/words.h"
#include "libos/runtime/runtime.h"
#include "libos/runtime/seg_ring.h"
#include "libos/runtime/stream.h"

#include <netinet/in.h>

#define RDMA_DEPTH_MAX  64     /* slots of a connection */
#define RDMA_UNSENT_MAX 65536u /* segments waiting on one socket: then EBUSY */
#define RDMA_HEAD_MAX   32     /* head of a message, or one of Valkey's */
#define RDMA_CELL_BYTES 240u   /* of short pushes: a message of 256, which is what devices copy at once */
#define RDMA_CELLS      256    /* of a thread, 64 KiB */
#define RDMA_PROMPT     128    /* of these, those of prompt.c */

static_assert(RDMA_CELL_BYTES + WIRE_HEAD_SIZE <= WIRE_RECEIVE_MIN, "every peer takes a cell in one message");

/* Short pushes of one connection, behind each other, until the flush makes a message of them as they lie. Only where
 * nothing else waits there, and the device copies so much at once. */
struct rdma_cell {
    union {
        uint8_t head[WIRE_HEAD_SIZE];
        struct rdma_cell *next; /* of the free ones */
    };
    uint8_t bytes[RDMA_CELL_BYTES];
};

/* Requests on their way to the device, with what they point at. */
struct rdma_batch {
    unsigned n;
    struct msgdev_request req[MSGDEV_BURST];
    struct rdma_conn *conn[MSGDEV_BURST];
    struct rdma_cell *cell[MSGDEV_BURST]; /* in which the bytes lie, or NULL */
    uint8_t head[MSGDEV_BURST][RDMA_HEAD_MAX];
    struct msgdev_piece pieces[MSGDEV_BURST][MSGDEV_PIECES_MAX];
};

struct rdma {
    struct libos base;
    struct msgdev *dev;
    struct rdma_options o;
    struct fd_watch watch, news; /* of the device */
    bool watched, news_watched;
    bool stuck; /* requests wait for room in the device */
    uint8_t link;
    struct timer look; /* at a device that does not tell */
    struct words words;
    struct list conns;   /* all: struct rdma_conn.all */
    struct list dirty;   /* those with something for the next flush */
    struct list waiting; /* those without room at the peer */
    struct list hungry;  /* listeners for which there was no descriptor */
    struct timer retry;
    /* The shared queue: depth receives, by their words, 1 to depth. posted + again_count + place_count == depth. */
    uint32_t depth, posted;
    struct buf **receives;
    uint32_t *again,
        again_count; /* words of those that came back with their buffer, and are posted again as they are */
    uint32_t *places, place_count; /* words of those without a buffer */
    uint32_t reserved;             /* windows given to peers, in messages */
    struct smalls *smalls;
    struct smalls_cell *small;
    struct rdma_batch batch;
    struct rdma_cell *cells, *cells_free;
    uint32_t cell_room; /* bytes of a push that the device copies together with a head */
    struct msgdev_short *prompt, *prompt_next,
        *prompt_end; /* prompt.c: begun up to next; those before end have a cell */
    uint64_t accepted, connected, rejected, foreign, accept_backoff, open_failed, resets, push_busy, rx_bytes, tx_bytes;
    uint64_t rx_messages, tx_messages, tx_inline, tx_copied, tx_stalled, counts_written, count_messages,
        protocol_errors;
    uint64_t keepalives, peers_silent, close_drained, close_cut, no_buffer, receives_short;
    uint64_t status[MSGDEV_STATUS_COUNT]; /* what ended connections */
    uint64_t link_up, link_lost, device_gone, device_returned;
    uint64_t valkey_accepted, valkey_lent; /* connections so far; bytes now */
    struct log_budget lines;               /* of the log, that peers have caused */
    struct strangers strangers;
};

enum rdma_conn_state { CONN_IDLE, CONN_LISTENING, CONN_OPENING, CONN_UP, CONN_ENDING, CONN_RELEASING, CONN_GONE };

struct rdma_slot {
    struct buf *hold; /* head, or a copy; NULL: nothing */
    uint32_t bytes;   /* of the segments */
    uint16_t segs;    /* that end in it */
    bool held;        /* by the device, until it was reported; else it passes as soon as it was taken */
};

struct rdma_conn {
    struct rdma *r;
    struct rdma_sock *sock;     /* NULL: closed by the program, or not accepted by it yet */
    struct rdma_sock *listener; /* not accepted yet */
    struct msgdev_end *end;     /* NULL: the device has let go */
    struct list all, dirty, waiting;
    struct list ready;  /* among the listener's */
    struct timer timer; /* OPENING: that it takes too long; UP: keepalive, or, without a socket, linger; ENDING */
    uint8_t state;      /* enum rdma_conn_state */
    bool passive : 1, fin_due : 1, fin_sent : 1, fin_confirmed : 1, fin_seen_due : 1, fin_received : 1;
    bool peer_stalled : 1, stalled : 1, is_silent : 1, probe_due : 1, probe_out : 1;
    bool six : 1;
    bool is_plain; /* nothing speaks against its next message: rdma_recv_reckon() */
    uint8_t probes_missed;
    uint8_t broken;   /* enum msgdev_status of the first failure */
    struct valkey *v; /* of Valkey's framing; NULL: of ours */
    /* out */
    uint16_t window_out;
    uint16_t depth;
    uint32_t room_out;      /* bytes of the stream in one message */
    struct rdma_cell *cell; /* behind all of out, of which everything is sent then; where cell_bytes is not 0 */
    uint32_t cell_bytes;
    uint32_t prompt; /* so many more messages may leave as prompt.c has it; 0: the next goes the long way */
    struct seg_ring out;
    uint32_t cursor, cursor_off;
    uint32_t wr_built, wr_passed, wr_reported;
    uint32_t wr_in_batch;           /* built, and not taken by the device */
    uint32_t wr_signalled, wr_held; /* behind the last that will be reported; that holds memory */
    uint32_t wr_slotted;            /* ... that has anything in its slot */
    uint64_t queued, built, passed; /* bytes of segments; those of cells are in none of them */
    uint64_t sent, granted;         /* messages */
    uint64_t word_addr;             /* the peer's */
    uint32_t word_key;
    /* in */
    uint32_t window_in, window_half; /* messages; and from where on it is to be told */
    struct rdma_word word;           /* the peer writes into it */
    uint32_t unread;                 /* messages that have come and we are not done with */
    uint64_t consumed, tell_at;      /* messages that we are done with; so many at which the peer is to be told */
    struct buf *rx, **rx_tail;       /* not popped yet, through next */
    struct rdma_slot slots[];        /* depth of them, a power of two */
};

enum rdma_sock_state { SOCK_NEW, SOCK_BOUND, SOCK_LISTENING, SOCK_CONNECTING, SOCK_CONNECTED };

union rdma_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct rdma_sock {
    struct queue q;
    struct rdma *r;
    struct rdma_conn *conn; /* NULL: NEW, or BOUND after a failed connect */
    struct stream st;       /* pops: or accepts */
    struct op *connecting;
    struct list ready, hungry; /* LISTENING: connections nobody has accepted; of struct rdma.hungry */
    uint16_t backlog, pending; /* ... and how many there are, those that are opening included */
    int32_t linger_s;          /* -1: the libOS's */
    uint8_t state;             /* enum rdma_sock_state */
    bool six : 1, keepalive : 1, nodelay : 1, reuse_addr : 1;
    uint32_t valkey_buffer;  /* listener: bytes for each peer of Valkey's framing; 0: none is taken */
    uint32_t stranger_bytes; /* ... that those of them may hold together whom the program does not know; 0: any */
    union rdma_addr local;   /* BOUND: what it was bound to */
};

static inline bool rdma_may_tell(struct rdma *r) { return log_may(&r->lines, runtime_clock(r->base.rt)); }
static inline struct rdma_sock *sock_of(struct queue *q) { return (struct rdma_sock *)q; }
static inline struct op_table *ops_of(const struct rdma *r) { return &r->base.rt->ops; }
static inline struct rdma_conn *conn_of(uint64_t word) { return (struct rdma_conn *)(uintptr_t)word; }
static inline uint64_t conn_word(const struct rdma_conn *c) { return (uint64_t)(uintptr_t)c; }

/* --- sock.c: queues and their names --- */

int rdma_sock_new(struct rdma *r, bool six, struct rdma_sock **out);
int rdma_socket(struct libos *l, int domain, int type, int protocol, struct queue **out);
int rdma_sock_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len);
int rdma_sock_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len);

/* Whether somebody reads it, or will. */
static inline bool rdma_conn_is_read(const struct rdma_conn *c)
{
    return c->sock ? !(c->sock->st.flags & STREAM_READ_SHUT) : c->listener != NULL;
}
static inline bool rdma_conn_is_readable(const struct rdma_conn *c)
{
    return c->rx || unlikely(c->v && valkey_wire_readable(&c->v->w));
}

/* --- setup.c: addresses and connections --- */

int rdma_sock_bind(struct queue *q, const struct sockaddr *addr, socklen_t size);
int rdma_sock_listen(struct queue *q, int backlog);
int rdma_sock_accept(struct queue *q, struct op *op);
int rdma_sock_connect(struct queue *q, struct op *op, const struct sockaddr *addr, socklen_t size);
void rdma_setup_requested(struct rdma_sock *listener, const struct msgdev_completion *c);
void rdma_setup_established(struct rdma_conn *c, const struct msgdev_completion *m);
void rdma_setup_failed(struct rdma_conn *c, const struct msgdev_completion *m);
/* Gives up; err: what the connect, if somebody waits for it, ends with. */
void rdma_setup_abandon(struct rdma_conn *c, int err);
void rdma_setup_retry(struct timer *t);
void rdma_setup_late(struct timer *t); /* of a connection that is opening */
/* The listener goes, and whom it has accepted and nobody has taken. */
void rdma_setup_unlisten(struct rdma_sock *s);

/* --- conn.c: life of a connection --- */

/* NULL: out of memory. */
struct rdma_conn *rdma_conn_new(struct rdma *r);
/* Frees it if nobody holds it. */
void rdma_conn_unhold(struct rdma_conn *c);
/* What keeps memory alive on its behalf goes: device and peer have let go. */
void rdma_conn_released(struct rdma_conn *c);
void rdma_conn_release(struct rdma_conn *c);
/* The connection is over for the program: by the peer (err 0: after an orderly end), or by a failure. */
void rdma_conn_fail(struct rdma_conn *c, int err);
void rdma_conn_disconnected(struct rdma_conn *c);
void rdma_conn_broken(struct rdma_conn *c, uint8_t status, int detail);
void rdma_conn_protocol_error(struct rdma_conn *c, const char *what);
/* The program has closed it: what was pushed goes out, then the end. */
void rdma_conn_close(struct rdma_conn *c, int32_t linger_s);
/* It may be over: something was confirmed, or has come. */
void rdma_conn_settle(struct rdma_conn *c);
void rdma_conn_start_keepalive(struct rdma_conn *c);
int rdma_status_errno(uint8_t status, int err);
const char *rdma_status_text(uint8_t status);
void rdma_conn_check(const struct rdma_conn *c);
static inline void rdma_conn_debug(const struct rdma_conn *c)
{
#ifdef DEMI_DEBUG
    rdma_conn_check(c);
#endif
}

/* --- push.c --- */

/* What lies in the connection's cell becomes a segment. False: no memory. */
bool rdma_cell_move(struct rdma_conn *c);
static inline void rdma_cell_give(struct rdma *r, struct rdma_cell *cell)
{
    cell->next = r->cells_free;
    r->cells_free = cell;
}

/* There are bytes to be sent. */
static inline bool rdma_has_data(const struct rdma_conn *c) { return c->built != c->queued || c->cell_bytes; }

int rdma_stream_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                     socklen_t size, unsigned flags);
int rdma_stream_push_copy(struct queue *q, const void *p, uint32_t n);
size_t rdma_stream_unsent(struct queue *q);

/* --- prompt.c --- */

int rdma_prompt_init(struct rdma *r);
void rdma_prompt_fini(struct rdma *r);
/* All that have begun. False: the device is full. */
bool rdma_prompt_flush(struct rdma *r);
/* From here on, as far as nothing speaks against it. What is in the way of that calls rdma_prompt_end(). */
void rdma_prompt_begin(struct rdma_conn *c);
void rdma_prompt_cut(struct rdma_conn *c);
static inline void rdma_prompt_end(struct rdma_conn *c)
{
    if (c->prompt) rdma_prompt_cut(c);
}

/* --- send.c --- */

/* It has something for the next flush. */
void rdma_send_mark(struct rdma_conn *c);
void rdma_send_flush(struct rdma *r);
/* The request of this number was reported, and all before it. */
void rdma_send_reported(struct rdma_conn *c, uint32_t wr);
/* The peer is done with so many of our messages. False: it cannot be. */
bool rdma_send_granted(struct rdma_conn *c, uint64_t count);
/* What the peers of those that wait have written. How many may go on. */
unsigned rdma_send_look_at_words(struct rdma *r);
/* Forgets what the device has not taken; drops all that was to be sent. */
void rdma_send_forget(struct rdma_conn *c);
void rdma_send_drop(struct rdma_conn *c);

/* --- recv.c --- */

/* Something of it has changed, and its next message is looked at from all sides. */
static inline void rdma_recv_doubt(struct rdma_conn *c) { c->is_plain = false; }
/* The peer has just been told what we are done with. */
static inline void rdma_recv_told(struct rdma_conn *c) { c->tell_at = c->consumed + c->window_half; }
int rdma_stream_pop(struct queue *q, struct op *op);
int rdma_stream_shutdown_read(struct rdma_sock *s);
/* A message of n bytes in b. True: b is the connection's from here on. */
bool rdma_recv_message(struct rdma_conn *c, struct buf *b, uint32_t n);
/* What the device has reported, with room for one more behind it; afterwards receives that have come back are to be
 * posted. */
void rdma_recv_burst(struct rdma *r, struct msgdev_completion *m, unsigned n);
/* Fills the shared queue up. */
void rdma_recv_post(struct rdma *r);
int rdma_recv_init(struct rdma *r);
void rdma_recv_fini(struct rdma *r); /* the device has none any more */
void rdma_recv_drop(struct rdma_conn *c);
/* Gives what is there to who waits. */
void rdma_recv_give(struct rdma_sock *s);

/* --- device.c --- */

unsigned rdma_poll(struct libos *l);
/* Any completion. */
void rdma_event(struct rdma *r, const struct msgdev_completion *m);
void rdma_flush(struct libos *l);
uint64_t rdma_next_deadline(struct libos *l);
int rdma_arm(struct libos *l);
uint64_t rdma_undrained(struct libos *l);
void rdma_stop(struct libos *l);
void rdma_forget(struct libos *l);

#endif
