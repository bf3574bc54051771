/* SPDX-License-Identifier: MIT
 *
 * The slow paths of op.h: growth, claims, taking results, tearing down.
 *
 * Chunks hold 1,024 slots. The free list is last in, first out: the slot used last is in the cache.
 * What pop results hold when a runtime ends without anybody having taken them is given back by the runtime.
 */
#include "libos/runtime/op.h"

#include "alloc/buf.h"

#include <errno.h>
#include <stdlib.h>

static_assert(sizeof(demi_qresult_t) == 64, "API-24");
static_assert(sizeof(demi_sgarray_t) == 40, "API-24");

int op_table_init(struct op_table *t, uint32_t id)
{
    memset(t, 0, sizeof *t);
    t->owner = (2 + id % 253) << OP_INDEX_BITS;
    t->first = id * 2654435761u + 1;
    arrays_init(&t->arrays, t->owner, id);
    return op_table_grow(t) ? 0 : -ENOMEM;
}

void op_table_free(struct op_table *t)
{
    for (uint32_t i = 0; i < t->chunk_count; i++) free(t->chunks[i]);
    free(t->chunks);
    arrays_fini(&t->arrays);
    memset(t, 0, sizeof *t);
}

bool op_table_grow(struct op_table *t)
{
    if (t->chunk_count == OP_MAX / OP_CHUNK) return false;
    if (t->chunk_count == t->chunk_room) {
        uint32_t room = t->chunk_room ? t->chunk_room * 2 : 16;
        struct op **chunks = realloc(t->chunks, room * sizeof *chunks);
        if (!chunks) return false;
        t->chunks = chunks;
        t->chunk_room = room;
    }
    struct op *chunk = aligned_alloc(64, OP_CHUNK * sizeof *chunk);
    if (!chunk) return false;
    memset(chunk, 0, OP_CHUNK * sizeof *chunk);
    for (uint32_t i = OP_CHUNK; i-- > 0;) {
        chunk[i].generation = t->first;
        chunk[i].index = t->chunk_count * OP_CHUNK + i;
        chunk[i].next = t->free;
        t->free = &chunk[i];
    }
    t->chunks[t->chunk_count++] = chunk;
    return true;
}

/* Nobody has claimed it: it waits for whoever waits for anything. */
static void put_ready(struct op_table *t, struct op *op)
{
    struct op_inbox *in = op->owner ? t->inbox_of(t, op->owner) : NULL;
    struct op_waiter *w;
    if (in) {
        op_list_append(&in->ready, op);
        in->ready_count++;
        w = in->waiting;
        in->waiting = NULL;
    } else {
        op->owner = 0;
        op_list_append(&t->ready, op);
        t->ready_count++;
        w = t->anything;
        if (w) t->anything = w->next;
        if (w) w->next = NULL;
    }
    if (w && w->wake) w->wake(w);
}

/* A DONE operation leaves the list on which it waits for anybody. */
static void unput_ready(struct op_table *t, struct op *op)
{
    struct op_inbox *in = unlikely(op->owner) ? t->inbox_of(t, op->owner) : NULL;
    op_list_remove(in ? &in->ready : &t->ready, op);
    if (in) in->ready_count--;
    else t->ready_count--;
}

void op_inbox_end(struct op_table *t, struct op_inbox *in)
{
    for (struct op *op; (op = op_list_shift(&in->ready));) {
        op->owner = 0;
        put_ready(t, op);
    }
    *in = (struct op_inbox){0};
}

void op_table_disown(struct op_table *t, uint32_t round)
{
    const uint32_t all = t->chunk_count << OP_CHUNK_BITS;
    for (uint32_t left = (all + round - 1) / round; left; left--) {
        if (t->disowned >= all) t->disowned = 0;
        struct op *op = op_at(t, t->disowned++);
        if (op->owner && !t->inbox_of(t, op->owner)) op->owner = 0;
    }
}

void op_wake_waiter(struct op_table *t, struct op *op)
{
    struct op_waiter *w = op->waiter;
    if (!w) {
        put_ready(t, op);
        return;
    }
    op_list_append(&w->done, op);
    if (w->wake) w->wake(w);
}

void op_fail_all(struct op_table *t, struct op_list *l, int err)
{
    for (struct op *op; (op = op_list_shift(l));) op_fail(t, op, err);
}

static inline void take_result(struct op_table *t, struct op *op, demi_qresult_t *out)
{
    DASSERT(op->state == OP_DONE);
    out->qr_opcode = op->failed ? DEMI_OPC_FAILED : (demi_opcode_t)op->opcode;
    out->qr_qd = op->qd;
    out->qr_qt = op_token(t, op);
    out->qr_ret = op->ret;
    memcpy(&out->qr_value, &op->value, sizeof out->qr_value);

    if (op->waiter) op_list_remove(&op->waiter->done, op);
    else unput_ready(t, op);
    op->waiter = NULL;
    op->state = OP_TAKEN;
    op->generation++;
    op_list_append(&t->taken, op);
    t->outstanding--;
}

void op_take(struct op_table *t, struct op *op, demi_qresult_t *out) { take_result(t, op, out); }

void op_deliver(struct op_table *t, struct op *op, demi_qresult_t *out)
{
    take_result(t, op, out);
    if (out->qr_opcode != DEMI_OPC_POP || unlikely(!out->qr_value.sga.sga_buf)) return;
    struct buf *b = out->qr_value.sga.sga_buf;
    /* What the queue says it received lies in the buffer it gives. */
    DASSERT(out->qr_value.sga.sga_numsegs == 1);
    DASSERT(buf_contains(b, out->qr_value.sga.sga_segs[0].sgaseg_buf, out->qr_value.sga.sga_segs[0].sgaseg_len));
    DASSERT(!b->next);
    out->qr_value.sga.sga_buf = arrays_give(&t->arrays, b);
    if (likely(out->qr_value.sga.sga_buf != NULL)) return;
    buf_unref(b);
    out->qr_opcode = DEMI_OPC_FAILED;
    out->qr_ret = ENOMEM;
    memset(&out->qr_value, 0, sizeof out->qr_value);
}

int op_claim(struct op_table *t, struct op *op, struct op_waiter *w, uint32_t offset)
{
    if (op->waiter == w) return 0; /* named twice in one array: the first place counts */
    if (op->waiter) return -EBUSY;
    op->waiter = w;
    op->offset = offset;
    if (op->state == OP_DONE) {
        unput_ready(t, op);
        op_list_append(&w->done, op);
    }
    return 0;
}

void op_unclaim(struct op_table *t, struct op *op, struct op_waiter *w)
{
    if (op->waiter != w) return;
    op->waiter = NULL;
    if (op->state != OP_DONE) return;
    op_list_remove(&w->done, op);
    put_ready(t, op);
}

void op_table_check(const struct op_table *t)
{
    uint64_t alive = 0, ready = 0;
    for (uint32_t i = 0; i < t->chunk_count * OP_CHUNK; i++) {
        const struct op *op = op_at(t, i);
        ASSERT(op->index == i);
        alive += op->state == OP_PENDING || op->state == OP_DONE;
    }
    for (const struct op *op = t->ready.head; op; op = op->next) {
        ASSERT(op->state == OP_DONE);
        ASSERT(!op->waiter);
        ready++;
    }
    ASSERT(alive == t->outstanding);
    ASSERT(ready == t->ready_count);
}
