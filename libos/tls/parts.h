/* SPDX-License-Identifier: MIT
 *
 * Inside of the TLS queue: what queue.c (calls of the program, life), flow.c (bytes), shake.c (handshake) and libos.c
 * have of each other.
 *
 *     SHAKING ---> OPEN ---> FAILED
 *        `--------------------^          a handshake that fails or takes too long, garbage, a cut
 *
 * Nothing is done inside of a completion of the queue below, which may stand in the middle of its stack: that only puts
 * the queue on the libOS's list (tls_schedule()), and the flush that follows turns it. A turn is not entered twice
 * (`turning`), so what completes at once is taken by the loop that asked for it, and no chain of calls grows with the
 * bytes that are there.
 *
 * Bounds, per connection:
 *     ciphertext in      one pop of the queue below: the next is asked for when the engine has read it
 *     plaintext in       what the engine holds of one record; it is given to the next pop without a look at the wire
 *     plaintext out      as it lies in the program's memory, TLS_UNSENT_MAX pieces
 *     ciphertext out     TLS_WINDOW and a record; the rest waits as plaintext until the queue below has got rid of some
 *     a handshake        TLS_SHAKE_BYTES and the context's time
 *     what the peer makes us say while it reads nothing (keys to be changed)    TLS_ANSWER_BYTES
 */
#ifndef TLS_PARTS_H
#define TLS_PARTS_H

#include "alloc/base/list.h"
#include "alloc/buf.h"
#include "libos/border.h"
#include "libos/runtime/runtime.h"
#include "libos/runtime/seg_ring.h"
#include "libos/runtime/stream.h"
#include "libos/tls/tls.h"

#include <stdatomic.h>

#define TLS_UNSENT_MAX   65536u
#define TLS_WINDOW       (512u << 10)
#define TLS_SHAKE_BYTES  (256u << 10)
#define TLS_ANSWER_BYTES (1u << 20)
static_assert(TLS_RECORD_MAX + TLS_OVERHEAD == BUF_LARGE_SIZE, "a record fills a buffer");

struct demi_tls_context {
    const struct tls_engine *engine;
    struct tls_rules *rules;
    uint64_t handshake_ns_max;
    atomic_uint refs;
};

struct tls_libos {
    struct libos base;
    struct list scheduled; /* to be turned by the next flush */
    struct list closing;   /* closed by their program, with bytes that have not left */
    struct list open;
    uint64_t sessions, handshakes, resumed, failed, cut, rx_bytes, tx_bytes, waits;
    char plain[TLS_RECORD_MAX]; /* small pieces that become one record */
    uint8_t record[BUF_LARGE_SIZE];
};
extern const struct libos_ops tls_libos;

enum tls_state { TLS_SHAKING, TLS_OPEN, TLS_FAILED };

struct tls_queue {
    struct queue q;
    struct queue *lower;
    struct tls_libos *libos;
    struct demi_tls_context *context;
    struct tls_session *session; /* NULL: not yet (nobody has said anything), or not any more */
    char *name;                  /* of the server that a client wants */
    struct stream st;
    struct op_list shaking;  /* who waits for the handshake */
    struct op_waiter below;  /* of our operations on lower */
    uint32_t pushes_below;   /* of these, pushes */
    uint32_t in_at;          /* of in: what the engine has read */
    struct buf *in;          /* the last pop, or NULL */
    struct seg_ring out;     /* plaintext that waits */
    uint64_t queued, sealed; /* plaintext: pushed by the program, and given to the queue below */
    uint64_t passed;         /* of that, what is through there */
    uint64_t strict_end;     /* the last push whose operation waits for the peer lies before this */
    uint64_t answered;       /* bytes that reading made the engine write */
    uint64_t shaken;         /* bytes of the handshake */
    uint32_t lingered;       /* bytes thrown away since the end */
    uint64_t stalled_at;     /* sealed, when the closing queue was last looked at */
    struct list all;         /* among libos->open, or ->closing */
    struct list scheduled;
    struct timer timer; /* the handshake's end; of a closing queue, the next look */
    int write_error;    /* positive: with what a push below failed; what had come can still be read */
    int read_error;     /* positive: with what a pop below failed */
    int16_t error;      /* of TLS_FAILED */
    uint8_t state;      /* enum tls_state */
    bool is_server, turning, is_scheduled, popping, pending, partial, eof;
    bool fin_due, end_sent, was_open, closing, lingering, hard; /* hard: SO_LINGER of 0, what waits is dropped */
    bool read_shut, read_shut_below;
    char why[TLS_WHY_SIZE];
};

static inline struct tls_queue *tls_of(const struct queue *q) { return (struct tls_queue *)(uintptr_t)q; }
static inline struct op_table *tls_ops_of(struct tls_queue *t) { return &t->q.rt->ops; }
static inline bool tls_has_input(const struct tls_queue *t) { return t->in || t->pending; }

/* libos.c */
void tls_schedule(struct tls_queue *t);

/* queue.c */
/* Everything there is to do. May free t, if its program has closed it. */
void tls_turn(struct tls_queue *t);
/* Nothing comes or goes any more: err (positive) is told, why kept. */
void tls_fail(struct tls_queue *t, int err, const char *why);
/* Gives a closing queue up when nothing moves. */
void tls_watch_closing(struct tls_queue *t);

/* shake.c */
void tls_shake(struct tls_queue *t);
void tls_shake_deadline(struct timer *timer);

/* flow.c */
/* Takes the results of our operations below. */
void tls_take_below(struct tls_queue *t);
/* Asks for more of the wire. False: it is not there yet, or will never be. */
bool tls_ask_below(struct tls_queue *t);
/* The engine's call, between these two: what it has read is let go of, what it wrote goes below. */
struct tls_wire tls_wire_open(struct tls_queue *t, uint8_t *out, uint32_t room);
void tls_wire_close(struct tls_queue *t, const struct tls_wire *w);
/* Pops, as long as there is something for them; pushes, as long as there is room below. */
void tls_receive(struct tls_queue *t);
void tls_send(struct tls_queue *t);
/* A small push with nothing before it. False: not so. */
bool tls_send_small(struct tls_queue *t, const void *p, uint32_t n);
/* close_notify, once everything else has gone. */
void tls_send_end(struct tls_queue *t);
void tls_drop_out(struct tls_queue *t);

#endif
