/* SPDX-License-Identifier: MIT
 *
 * The slow paths of stream.h: ends, failures, cancelling.
 */
#include "libos/runtime/stream.h"

#define CHECKED_MAX 64 /* pushes that stream_check() looks at: it is called after each of them */

void stream_give_end(struct op_table *ops, struct stream *st, struct op *op)
{
    if (st->error) {
        int err = st->error;
        st->error = 0;
        op_fail(ops, op, err);
        return;
    }
    struct buf *b = buf_take(0); /* the end: an array of no bytes, now and for every pop to come */
    if (b) stream_give(ops, op, b);
    else op_fail(ops, op, ENOMEM);
}

void stream_give_ends(struct op_table *ops, struct stream *st)
{
    for (struct op *op; (op = op_list_shift(&st->pops));) stream_give_end(ops, st, op);
}

int stream_why_not_push(const struct stream *st)
{
    if (st->flags & STREAM_WRITE_SHUT || !st->error) return -EPIPE;
    return -st->error;
}

void stream_fail(struct op_table *ops, struct stream *st, int err, bool readable)
{
    ASSERT(err > 0);
    if (st->flags & STREAM_FAILED) return;
    DASSERT(!readable || !st->pops.head);
    bool to_readers = !(st->flags & STREAM_ENDED);
    if (!to_readers && err == ECONNRESET) err = EPIPE;
    st->flags |= STREAM_FAILED;
    if (!to_readers) {
        stream_give_ends(ops, st);
    } else if (st->pops.head) {
        op_fail_all(ops, &st->pops, err);
    } else {
        st->error = (int16_t)err;
    }
    op_fail_all(ops, &st->pushes, err);
}

int stream_cancel(struct op_table *ops, struct stream *st, struct op *op)
{
    if (op->opcode != DEMI_OPC_POP) return -EBUSY;
    op_list_remove(&st->pops, op);
    op_fail(ops, op, ECANCELED);
    return 0;
}

void stream_close(struct op_table *ops, struct stream *st)
{
    op_fail_all(ops, &st->pops, ECANCELED);
    op_fail_all(ops, &st->pushes, ECANCELED);
}

void stream_check(const struct stream *st, bool readable)
{
    uint64_t end = 0;
    ASSERT(!st->pops.head == !st->pops.tail);
    ASSERT(!st->pushes.head == !st->pushes.tail);
    ASSERT(!readable || !st->pops.head);
    const struct op *op = st->pushes.head;
    for (int i = 0; op && i < CHECKED_MAX; i++, op = op->next) {
        ASSERT(op->state == OP_PENDING);
        ASSERT(op->arg >= end);
        end = op->arg;
    }
    ASSERT(st->error >= 0);
    ASSERT(!st->error || st->flags & STREAM_FAILED);
    if (!(st->flags & STREAM_FAILED)) return;
    ASSERT(!st->pushes.head);
    ASSERT(!st->pops.head);
}
