/* SPDX-License-Identifier: MIT
 *
 * What crosses the border between demi/ and the queues of a libOS, said once for both sides: who hands over asserts it
 * before the call, who is handed it at the beginning of its own. Here is only what the program cannot spoil: its
 * arguments were checked before, and what it got wrong is an errno. Debug builds look; in a release build these
 * are nothing, for a push and a pop of each command pass here.
 */
#ifndef RUNTIME_HANDOVER_H
#define RUNTIME_HANDOVER_H

#include "demi/ext.h"
#include "libos/runtime/queue.h"

#define ERRNO_MAX       4095 /* the kernel's own (MAX_ERRNO): what a negative return means */
#define DEMI_PUSH_FLAGS (DEMI_PUSH_HANDED_OVER | DEMI_PUSH_NO_TOKEN | DEMI_PUSH_MORE | DEMI_PUSH_DURABLE)

/* 0, or -errno. */
static inline bool is_result(int err) { return err <= 0 && err >= -ERRNO_MAX; }

/* An operation that q is to start: nobody has it yet, and it ends as what it began. */
static inline void assert_op_given(const struct queue *q, const struct op *op, demi_opcode_t opcode)
{
    DASSERT(op->state == OP_PENDING);
    DASSERT(op->opcode == opcode);
    DASSERT(op->queue == q);
    DASSERT(op->qd == q->qd);
    DASSERT(!op->failed);
}

/* A push: op may be NULL, where nobody waits for it. Every segment has bytes, and something that holds them. */
static inline void assert_push_given(const struct queue *q, const struct op *op, const struct seg *segs, unsigned count,
                                     unsigned flags)
{
    DASSERT(count > 0);
    DASSERT(count <= DEMI_PUSHV_MAX);
    DASSERT(!(flags & ~DEMI_PUSH_FLAGS));
    DASSERT(!(flags & DEMI_PUSH_DURABLE) || q->ops->sync);
    DASSERT(!op || !(flags & DEMI_PUSH_NO_TOKEN));
    if (op) assert_op_given(q, op, DEMI_OPC_PUSH);
#ifdef DEMI_DEBUG
    for (unsigned i = 0; i < count; i++) {
        ASSERT(segs[i].p);
        ASSERT(segs[i].n > 0);
        ASSERT(segs[i].kind == SEG_BUF || segs[i].kind == SEG_PIN || segs[i].kind == SEG_EXTMEM);
        ASSERT(segs[i].hold);
    }
#endif
}

static inline void assert_copy_given(const void *p, uint32_t n)
{
    DASSERT(p);
    DASSERT(n > 0);
    DASSERT(n <= SEG_COPY_MAX);
}

/* A queue that a libOS has made: it is behind its descriptor. */
static inline void assert_queue_made(struct runtime *rt, const struct queue_table *t, const struct queue *q)
{
    ASSERT(q);
    ASSERT(q->rt == rt);
    ASSERT(queue_find(t, q->qd) == q);
}

#endif
