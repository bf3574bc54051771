/* SPDX-License-Identifier: MIT
 *
 * The half of a stream socket that is the same on every libOS: who waits for bytes, who waits for pushed bytes to be
 * through, and what the ends of a stream mean to either. The other half, where bytes come from and go to, is the
 * libOS's. A libOS embeds struct stream in its socket.
 *
 *     pops     wait for bytes, the oldest first; there are none while there are bytes
 *     pushes   wait for a place in the stream (op->arg), ascending: all up to where the peer (or the kernel) has got
 *
 *                      peer's FIN: ENDED                     a reset, a timeout: FAILED
 *     pops            what is there, then the end            what is there, then the error, then the end
 *     pushes          go on                                  fail
 *     may push        yes                                    no: the error, and EPIPE once a pop has told it
 *
 * A failure is told to every pop that waits; if none does, to the next one, since a reader must not take it for the end
 * of the stream. Behind the peer's FIN nothing is lost to a reader: pops see the end, and a reset is EPIPE to pushes
 * (as on Linux, where the state is CLOSE-WAIT then).
 */
#ifndef RUNTIME_STREAM_H
#define RUNTIME_STREAM_H

#include "alloc/buf.h"
#include "libos/runtime/op.h"

#include <errno.h>

enum stream_flags {
    STREAM_ENDED = 1 << 0,      /* the peer's FIN has come, and all before it */
    STREAM_FAILED = 1 << 1,     /* nothing more comes or goes */
    STREAM_READ_SHUT = 1 << 2,  /* by our program: what comes is thrown away */
    STREAM_WRITE_SHUT = 1 << 3, /* by our program: nothing more is pushed */
};

struct stream {
    struct op_list pops, pushes;
    int16_t error; /* positive: with what it failed; a pop is still to tell */
    uint8_t flags; /* enum stream_flags */
};

/* Ends a pop with the n bytes at p, all that b holds; b is the program's. */
static inline void stream_give_bytes(struct op_table *ops, struct op *op, struct buf *b, void *p, uint32_t n)
{
    DASSERT(b->data == p && b->len == n);
    memset(&op->value, 0, sizeof op->value);
    op->value.sga.sga_buf = b;
    op->value.sga.sga_numsegs = 1;
    op->value.sga.sga_segs[0].sgaseg_buf = p;
    op->value.sga.sga_segs[0].sgaseg_len = n;
    op_complete(ops, op);
}
static inline void stream_give(struct op_table *ops, struct op *op, struct buf *b)
{
    stream_give_bytes(ops, op, b, b->data, b->len);
}

/* Whether a pop can be answered although there are no bytes: with the error, or with the end. */
static inline bool stream_is_at_end(const struct stream *st)
{
    return st->flags & (STREAM_ENDED | STREAM_FAILED | STREAM_READ_SHUT);
}
/* Answers it so. */
void stream_give_end(struct op_table *ops, struct stream *st, struct op *op);
/* All that wait; there are no bytes, and will be none. */
void stream_give_ends(struct op_table *ops, struct stream *st);

/* 0; -EPIPE; or -errno of the failure. */
int stream_why_not_push(const struct stream *st);
static inline int stream_may_push(const struct stream *st)
{
    return likely(!(st->flags & (STREAM_FAILED | STREAM_WRITE_SHUT))) ? 0 : stream_why_not_push(st);
}

/* Op waits until everything up to `end` is through: later than all that wait already. */
static inline void stream_await(struct stream *st, struct op *op, uint64_t end)
{
    DASSERT(!st->pushes.tail || st->pushes.tail->arg <= end);
    op->arg = end;
    op_list_append(&st->pushes, op);
}

/* Everything up to `end` is. */
static inline void stream_passed(struct op_table *ops, struct stream *st, uint64_t end)
{
    for (struct op *op; (op = st->pushes.head) && op->arg <= end;) {
        op_list_remove(&st->pushes, op);
        op_complete_plain(ops, op, 0);
    }
}

/* The connection has failed with err (positive). What was received and not popped can still be popped: readable says
 * whether there is some. */
void stream_fail(struct op_table *ops, struct stream *st, int err, bool readable);
/* Ends a pop or a push with ECANCELED. -EBUSY: a push's bytes have others behind them. */
int stream_cancel(struct op_table *ops, struct stream *st, struct op *op);
/* The program has closed the socket: ECANCELED to all. */
void stream_close(struct op_table *ops, struct stream *st);

/* All of the above. readable: bytes are there. */
void stream_check(const struct stream *st, bool readable);

#endif
