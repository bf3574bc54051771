/* SPDX-License-Identifier: MIT
 *
 * Coroutines of the logs' libOS: what waits for a device in the middle. They are not tasks of the runtime, since they
 * must go on when that ends and drains its devices, and runs nothing of the program's any more. They run from the
 * libOS's flush(), on their own stacks, and only while the thread stands on its own.
 */
#ifndef LOG_CO_H
#define LOG_CO_H

#include "alloc/base/list.h"
#include "libos/runtime/libos.h"

struct alog_co;

struct alog_cos { /* of one runtime */
    struct runtime *rt;
    struct list ready;
    struct alog_co *running; /* NULL: none */
};

/* fn(arg) runs from the next flush on; when it has returned ended(arg) is called, on the thread's own stack.
 * -ENOMEM. */
int alog_co_new(struct alog_co **out, struct alog_cos *all, void (*fn)(void *arg), void (*ended)(void *arg), void *arg);
/* It goes on, from the next flush on. */
void alog_co_wake(struct alog_co *co);
/* Inside of one: until somebody wakes it, maybe for nothing. */
void alog_co_suspend(struct alog_cos *all);
/* Inside of one: until `ns` have passed, or somebody wakes it. */
void alog_co_sleep(struct alog_cos *all, uint64_t ns);
/* Runs all that are ready, unless a task of the program's calls it: then they are ready still. */
void alog_cos_run(struct alog_cos *all);
/* One that will never go on is freed where it stands. */
void alog_co_drop(struct alog_co *co);

/* An operation on another libOS's queue, and who waits for it. */
struct alog_await {
    struct op_waiter w;
    struct alog_co *co;
    struct op *op;
};
/* Inside of one: a new operation, which is claimed. NULL: no memory. */
struct op *alog_await_begin(struct alog_await *a, struct alog_cos *all, demi_opcode_t opcode, struct queue *q);
/* err: what starting it said. Waits, and returns 0 or -errno; *out (may be NULL) is the result. */
int alog_await_end(struct alog_await *a, struct alog_cos *all, int err, demi_qresult_t *out);

#endif
