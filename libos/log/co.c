/* SPDX-License-Identifier: MIT
 *
 * See co.h.
 */
#include "libos/log/co.h"

#include "alloc/base/assert.h"
#include "libos/runtime/context.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <stdlib.h>

#define STACK_BYTES (64u << 10)

struct alog_co {
    struct list ready; /* in alog_cos.ready, where it is */
    bool is_ready, is_over;
    struct alog_cos *all;
    struct context *context;
    struct timer timer;
    void (*fn)(void *arg);
    void (*ended)(void *arg);
    void *arg;
};

static void begin(void *arg)
{
    struct alog_co *co = arg;
    co->fn(co->arg);
    co->is_over = true;
    context_exit(co->context, co->all->rt->tasks.main);
}

int alog_co_new(struct alog_co **out, struct alog_cos *all, void (*fn)(void *arg), void (*ended)(void *arg), void *arg)
{
    struct alog_co *co = calloc(1, sizeof *co);
    if (!co) return -ENOMEM;
    *co = (struct alog_co){.all = all, .fn = fn, .ended = ended, .arg = arg};
    co->context = context_new(begin, co, STACK_BYTES);
    if (!co->context) {
        free(co);
        return -ENOMEM;
    }
    *out = co;
    alog_co_wake(co);
    return 0;
}

void alog_co_wake(struct alog_co *co)
{
    if (co->is_ready) return;
    co->is_ready = true;
    list_push_back(&co->all->ready, &co->ready);
    runtime_need_flush(co->all->rt);
}

void alog_co_suspend(struct alog_cos *all)
{
    struct alog_co *co = all->running;
    ASSERT(co);
    all->running = NULL;
    context_switch(co->context, all->rt->tasks.main);
}

static void on_timer(struct timer *t) { alog_co_wake(container_of(t, struct alog_co, timer)); }

void alog_co_sleep(struct alog_cos *all, uint64_t ns)
{
    struct alog_co *co = all->running;
    struct runtime *rt = all->rt;
    wheel_start(&rt->wheel, &co->timer, rt->time.now_ns(rt->time.arg) + ns, on_timer);
    alog_co_suspend(all);
    wheel_stop(&rt->wheel, &co->timer);
}

void alog_co_drop(struct alog_co *co)
{
    ASSERT(co->all->running != co);
    wheel_stop(&co->all->rt->wheel, &co->timer);
    if (co->is_ready) list_remove(&co->ready);
    context_free(co->context);
    free(co);
}

void alog_cos_run(struct alog_cos *all)
{
    struct runtime *rt = all->rt;
    ASSERT(!all->running);
    if (rt->tasks.running) {
        runtime_need_flush(rt);
        return;
    }
    for (struct list *it; (it = list_pop_front(&all->ready));) {
        struct alog_co *co = list_entry(it, struct alog_co, ready);
        co->is_ready = false;
        all->running = co;
        context_switch(rt->tasks.main, co->context);
        all->running = NULL;
        if (!co->is_over) continue;
        void (*ended)(void *arg) = co->ended;
        void *arg = co->arg;
        alog_co_drop(co);
        ended(arg);
    }
}

/* --- operations below --------------------------------------------------------------------------------------------- */

static void on_done(struct op_waiter *w) { alog_co_wake(container_of(w, struct alog_await, w)->co); }

struct op *alog_await_begin(struct alog_await *a, struct alog_cos *all, demi_opcode_t opcode, struct queue *q)
{
    struct op_table *ops = &all->rt->ops;
    *a = (struct alog_await){.w = {.wake = on_done}, .co = all->running};
    ASSERT(a->co);
    a->op = op_new(ops, opcode, q, q ? q->qd : 0);
    if (!a->op) return NULL;
    int err = op_claim(ops, a->op, &a->w, 0);
    ASSERT(!err);
    return a->op;
}

int alog_await_end(struct alog_await *a, struct alog_cos *all, int err, demi_qresult_t *out)
{
    struct op_table *ops = &all->rt->ops;
    demi_qresult_t qr;
    if (err) {
        op_drop(ops, a->op);
        return err;
    }
    while (a->op->state != OP_DONE) alog_co_suspend(all);
    op_take(ops, a->op, &qr);
    if (out) *out = qr;
    return qr.qr_opcode == DEMI_OPC_FAILED ? -(int)qr.qr_ret : 0;
}
