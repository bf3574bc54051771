/* SPDX-License-Identifier: MIT
 *
 * What the calls of demi/ share: the thread's runtime or ENOSYS, a queue or EBADF, and the turn of
 * the sign. Not installed.
 */
#ifndef DEMI_HERE_H
#define DEMI_HERE_H

#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "libos/runtime/handover.h"
#include "libos/runtime/runtime.h"
#include "libos/runtime/wait.h"

#include <errno.h>

static inline void restore_errno(const int *before) { errno = *before; }

/* errno is the caller's: whatever happens until the end of the block, it stays what it was. */
#define KEEP_ERRNO() int errno_before __attribute__((cleanup(restore_errno), unused)) = errno

/* struct runtime *rt = the thread's, or the call ends with ENOSYS. */
#define HERE(rt)                                                                                                       \
    KEEP_ERRNO();                                                                                                      \
    struct runtime *rt = runtime_current();                                                                            \
    if (unlikely(!rt)) return ENOSYS

/* struct queue *q = the queue behind qd, or the call ends with EBADF. */
#define QUEUE(q, rt, qd)                                                                                               \
    struct queue *q = queue_find(&(rt)->queues, qd);                                                                   \
    if (unlikely(!q)) return EBADF

/* An operation begins. One that a task starts is the task's (op_inbox). */
static inline struct op *op_begin(struct runtime *rt, demi_opcode_t opcode, struct queue *q, int qd)
{
    struct op *op = op_new(&rt->ops, opcode, q, qd);
    if (unlikely(op && rt->tasks.running)) op->owner = task_inbox(rt->tasks.running)->id;
    return op;
}

/* What a libOS returned, as the program sees it: 0 or a positive errno. */
static inline int turned(int err)
{
    ASSERT(is_result(err));
    return -err;
}

/* Ends a start: err is what the queue said. On 0 the token is handed out. */
static inline int started(struct runtime *rt, struct op *op, int err, demi_qtoken_t qt, demi_qtoken_t *qt_out)
{
    if (unlikely(err)) {
        op_drop(&rt->ops, op);
        return turned(err);
    }
    DASSERT(op_find(&rt->ops, qt) == op); /* it may be over already, but nobody has taken its result */
    *qt_out = qt;
    return 0;
}

#endif
