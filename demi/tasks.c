/* SPDX-License-Identifier: MIT
 *
 * Clocks, timers, tasks and wake-ups.
 */
#include "demi/here.h"

#include "alloc/base/clock.h"

#include <stdlib.h>

struct demi_wake {
    struct wake w;
};

static void timer_fired(struct timer *t)
{
    struct op *op = (struct op *)((char *)t - offsetof(struct op, value.timer));
    op_complete_plain(&runtime_current()->ops, op, 0);
}

int demi_timer(demi_qtoken_t *qt_out, uint64_t ns)
{
    if (!qt_out) return EINVAL;
    HERE(rt);
    struct op *op = op_begin(rt, DEMI_OPC_TIMER, NULL, 0);
    if (!op) return ENOMEM;
    /* From now on, not from the beginning of the turn: the caller may have worked for long. */
    uint64_t now = rt->time.now_ns(rt->time.arg);
    op->value.timer.link = NULL;
    wheel_start(&rt->wheel, &op->value.timer, ns > UINT64_MAX - 1 - now ? UINT64_MAX - 1 : now + ns, timer_fired);
    *qt_out = op_token(&rt->ops, op);
    return 0;
}

uint64_t demi_now_ns(void)
{
    struct runtime *rt = runtime_current();
    return rt ? rt->now : 0;
}

uint64_t demi_clock_ns(void)
{
    struct runtime *rt = runtime_current();
    return rt ? rt->time.now_ns(rt->time.arg) : clock_mono_ns();
}

int64_t demi_wall_us(void)
{
    struct runtime *rt = runtime_current();
    return rt && rt->time.wall_us ? rt->time.wall_us(rt->time.arg) : clock_wall_us();
}

int demi_spawn(demi_qtoken_t *qt_out, demi_task_fn fn, void *arg, size_t stack_bytes)
{
    if (!qt_out || !fn) return EINVAL;
    HERE(rt);
    struct op *op = op_begin(rt, DEMI_OPC_TASK, NULL, 0);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    return started(rt, op, task_spawn(rt, fn, arg, stack_bytes, op), qt, qt_out);
}

int demi_yield(void)
{
    HERE(rt);
    if (!rt->tasks.running) return EINVAL;
    task_yield(rt);
    return 0;
}

int demi_wake_new(demi_wake_t **out)
{
    if (!out) return EINVAL;
    HERE(rt);
    int err = runtime_open_fds(rt);
    if (err) return -err;
    demi_wake_t *w = malloc(sizeof *w);
    if (!w) return ENOMEM;
    wake_init(&w->w, rt, NULL);
    *out = w;
    return 0;
}

int demi_wake_wait(demi_qtoken_t *qt_out, demi_wake_t *w)
{
    if (!qt_out || !w) return EINVAL;
    HERE(rt);
    if (w->w.rt != rt) return EINVAL;
    struct op *op = op_begin(rt, DEMI_OPC_WAKE, NULL, 0);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    return started(rt, op, wake_wait(&w->w, op), qt, qt_out);
}

void demi_wake_ring(demi_wake_t *w)
{
    KEEP_ERRNO(); /* a signal's handler may ring, too */
    if (w) wake_ring(&w->w);
}

void demi_wake_free(demi_wake_t *w)
{
    if (!w) return;
    wake_end(&w->w);
    free(w);
}
