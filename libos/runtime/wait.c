/* SPDX-License-Identifier: MIT
 *
 * See wait.h. Every wait first takes what is done already, after sending what was pushed: a reply
 * never sits while its thread looks for more. Then it blocks: the thread's own stack turns the
 * loop, a task suspends itself until the operations it claimed wake it.
 *
 * A program that always finds something done would never turn the loop; so every QUICK_MAX such
 * answers it is turned once.
 */
#include "libos/runtime/wait.h"

#include <errno.h>
#include <time.h>

#define QUICK_MAX 32
/* How often a program that takes batches, and finds some in memory each time, has descriptors looked at: a look is a
 * system call, as dear as a request that comes by memory (Nov 2026). */
#define BATCH_PEEK_NS 20000

/* A waiter that is a task, with the timer of its deadline. */
struct task_waiter {
    struct op_waiter w;
    struct timer timer;
    struct runtime *rt;
    struct task *task;
    bool timed_out;
};

static void wake_task(struct op_waiter *w)
{
    struct task_waiter *tw = container_of(w, struct task_waiter, w);
    task_wake(tw->rt, tw->task);
}

static void deadline_passed(struct timer *t)
{
    struct task_waiter *tw = container_of(t, struct task_waiter, timer);
    tw->timed_out = true;
    task_wake(tw->rt, tw->task);
}

/* Whether what is waited for is there. */
typedef bool (*ready_fn)(struct runtime *rt, struct op_waiter *w, uint64_t want);

static bool enough_claimed(struct runtime *rt, struct op_waiter *w, uint64_t want)
{
    return want == 1 ? w->done.head != NULL : want == 0;
}
static inline uint32_t ready_count(const struct runtime *rt)
{
    return rt->ops.ready_count + (unlikely(rt->tasks.running) ? task_inbox(rt->tasks.running)->ready_count : 0);
}
static bool anything_ready(struct runtime *rt, struct op_waiter *w, uint64_t want) { return ready_count(rt); }

static int block_task(struct runtime *rt, struct task_waiter *tw, uint64_t deadline, ready_fn ready, uint64_t want)
{
    if (deadline == WAIT_POLL) {
        task_yield(rt);
        return ready(rt, &tw->w, want) ? 0 : -ETIMEDOUT;
    }
    if (deadline != WAIT_FOREVER) wheel_start(&rt->wheel, &tw->timer, deadline, deadline_passed);
    while (!ready(rt, &tw->w, want) && !tw->timed_out) task_suspend(rt);
    wheel_stop(&rt->wheel, &tw->timer);
    return ready(rt, &tw->w, want) ? 0 : -ETIMEDOUT;
}

static int block_main(struct runtime *rt, struct op_waiter *w, uint64_t deadline, ready_fn ready, uint64_t want)
{
    bool peek = deadline == WAIT_POLL;
    for (;;) {
        runtime_turn(rt, peek);
        if (ready(rt, w, want)) return 0;
        if (rt->now >= deadline) return -ETIMEDOUT;
        int err = runtime_idle(rt, deadline);
        if (ready(rt, w, want)) return 0;
        if (err) return err;
    }
}

static void waiter_init(struct runtime *rt, struct task_waiter *tw)
{
    tw->w = (struct op_waiter){.wake = rt->tasks.running ? wake_task : NULL};
    tw->timer.link = NULL;
    tw->rt = rt;
    tw->task = rt->tasks.running;
    tw->timed_out = false;
}

static int block(struct runtime *rt, struct task_waiter *tw, uint64_t deadline, ready_fn ready, uint64_t want)
{
    if (tw->task) return block_task(rt, tw, deadline, ready, want);
    return block_main(rt, &tw->w, deadline, ready, want);
}

/* What every wait begins with. Others may run here, so tokens are looked up afterwards. */
static inline void wait_begin(struct runtime *rt)
{
    if (runtime_flush_is_due(rt)) runtime_flush(rt);
    if (unlikely(rt->quick >= QUICK_MAX)) {
        rt->quick = 0;
        if (rt->tasks.running) task_yield(rt);
        else runtime_turn(rt, true);
    }
    op_recycle(&rt->ops);
}

/* There was something without turning. */
static inline void answered(struct runtime *rt) { rt->quick++; }

static int wait_pending(struct runtime *rt, struct op *op, uint64_t deadline, demi_qresult_t *out)
{
    struct task_waiter tw;
    waiter_init(rt, &tw);
    int err = op_claim(&rt->ops, op, &tw.w, 0);
    if (err) return err;
    err = block(rt, &tw, deadline, enough_claimed, 1);
    if (err) op_unclaim(&rt->ops, op, &tw.w);
    else op_deliver(&rt->ops, op, out);
    return err;
}

int wait_one(struct runtime *rt, demi_qtoken_t qt, uint64_t deadline, demi_qresult_t *out)
{
    wait_begin(rt);
    struct op *op = op_find(&rt->ops, qt);
    if (!op) {
        rt->ops.refused++;
        return -EINVAL;
    }
    if (op->waiter) return -EBUSY;
    if (op->state == OP_DONE) {
        op_deliver(&rt->ops, op, out);
        answered(rt);
        return 0;
    }
    return wait_pending(rt, op, deadline, out);
}

static void unclaim(struct runtime *rt, const demi_qtoken_t *qts, uint32_t count, struct op_waiter *w)
{
    for (uint32_t i = 0; i < count; i++) {
        struct op *op = op_find(&rt->ops, qts[i]);
        if (op) op_unclaim(&rt->ops, op, w);
    }
}

/* Claims tokens in order up to one that is done (its index is returned as *done) or is refused. */
static int claim(struct runtime *rt, const demi_qtoken_t *qts, uint32_t count, struct op_waiter *w, bool stop_at_done)
{
    for (uint32_t i = 0; i < count; i++) {
        struct op *op = op_find(&rt->ops, qts[i]);
        int err = op ? op_claim(&rt->ops, op, w, i) : -EINVAL;
        if (err) {
            rt->ops.refused += !op;
            unclaim(rt, qts, i, w);
            return err;
        }
        if (stop_at_done && op->state == OP_DONE) return (int)i + 1;
    }
    return 0;
}

int wait_any(struct runtime *rt, const demi_qtoken_t *qts, uint32_t count, uint64_t deadline, demi_qresult_t *out,
             uint32_t *offset)
{
    wait_begin(rt);
    struct task_waiter tw;
    waiter_init(rt, &tw);
    int err = claim(rt, qts, count, &tw.w, true);
    if (err < 0) return err;
    uint32_t claimed = err ? (uint32_t)err : count;
    if (err) {
        err = 0;
        answered(rt);
    } else {
        err = block(rt, &tw, deadline, enough_claimed, 1);
    }
    struct op *op = tw.w.done.head;
    if (!err) {
        *offset = op->offset;
        op_deliver(&rt->ops, op, out);
    }
    unclaim(rt, qts, claimed, &tw.w);
    return err;
}

/* The first token of qts that is still pending, from *at on. */
static struct op *next_pending(struct runtime *rt, const demi_qtoken_t *qts, uint32_t count, uint32_t *at)
{
    for (; *at < count; ++*at) {
        struct op *op = op_find(&rt->ops, qts[*at]);
        if (op->state == OP_PENDING) return op;
    }
    return NULL;
}

struct all_wait {
    const demi_qtoken_t *qts;
    uint32_t count, at;
};

static bool all_done(struct runtime *rt, struct op_waiter *w, uint64_t want)
{
    struct all_wait *a = (struct all_wait *)(uintptr_t)want;
    return !next_pending(rt, a->qts, a->count, &a->at);
}

/* A token that stands twice in the array has one result. */
static const demi_qresult_t *result_of(demi_qtoken_t qt, const demi_qresult_t *out)
{
    while (out->qr_qt != qt) out++;
    return out;
}

int wait_all(struct runtime *rt, const demi_qtoken_t *qts, uint32_t count, uint64_t deadline, demi_qresult_t *out)
{
    wait_begin(rt);
    struct task_waiter tw;
    waiter_init(rt, &tw);
    int err = claim(rt, qts, count, &tw.w, false);
    if (err) return err;
    struct all_wait a = {qts, count, 0};
    if (all_done(rt, &tw.w, (uintptr_t)&a)) answered(rt);
    else err = block(rt, &tw, deadline, all_done, (uintptr_t)&a);
    if (err) {
        unclaim(rt, qts, count, &tw.w);
        return err;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct op *op = op_find(&rt->ops, qts[i]);
        if (op) op_deliver(&rt->ops, op, &out[i]);
        else out[i] = *result_of(qts[i], out);
    }
    return 0;
}

/* What a task started comes before what nobody in particular waits for. */
static uint32_t take_ready(struct runtime *rt, demi_qresult_t *out, uint32_t room)
{
    uint32_t n = 0;
    struct op *op;
    if (unlikely(rt->tasks.running))
        for (struct op_inbox *in = task_inbox(rt->tasks.running); n < room && (op = in->ready.head); n++)
            op_deliver(&rt->ops, op, &out[n]);
    for (; n < room && (op = rt->ops.ready.head); n++) op_deliver(&rt->ops, op, &out[n]);
    return n;
}

static int wait_anything(struct runtime *rt, uint64_t deadline)
{
    struct task_waiter tw;
    waiter_init(rt, &tw);
    if (!tw.task) return block_main(rt, &tw.w, deadline, anything_ready, 0);
    if (ready_count(rt)) return 0;
    struct op_waiter **at = &rt->ops.anything;
    while (*at) at = &(*at)->next;
    *at = &tw.w;
    task_inbox(tw.task)->waiting = &tw.w;
    int err = block_task(rt, &tw, deadline, anything_ready, 0);
    task_inbox(tw.task)->waiting = NULL;
    for (at = &rt->ops.anything; *at; at = &(*at)->next) {
        if (*at != &tw.w) continue;
        *at = tw.w.next;
        break;
    }
    return err;
}

int wait_batch(struct runtime *rt, demi_qresult_t *out, uint32_t room, uint32_t *count, uint64_t deadline)
{
    wait_begin(rt);
    int err = 0;
    *count = 0;
    /* With room for more than there is, one look at the devices makes the batch bigger. (A task
     * that runs in it may take what was there.) */
    if (rt->ops.ready_count >= room || rt->tasks.running) answered(rt);
    else if (rt->ops.ready_count) runtime_turn(rt, !rt->polled || rt->now - rt->peeked_ns >= BATCH_PEEK_NS);
    if (!ready_count(rt)) err = wait_anything(rt, deadline);
    if (err) return err;
    *count = take_ready(rt, out, room);
    return 0;
}

int wait_next_n(struct runtime *rt, demi_qresult_t *out, uint32_t room, uint32_t *count, uint64_t deadline)
{
    wait_begin(rt);
    *count = 0;
    for (;;) {
        *count += take_ready(rt, out + *count, room - *count);
        if (*count == room) {
            answered(rt);
            return 0;
        }
        int err = wait_anything(rt, deadline);
        if (err) return err;
    }
}

int wait_cancel(struct runtime *rt, demi_qtoken_t qt)
{
    struct op *op = op_find(&rt->ops, qt);
    if (!op) return -EINVAL;
    if (op->state == OP_DONE) return 0;
    if (op->queue) return op->queue->ops->cancel ? op->queue->ops->cancel(op->queue, op) : -EBUSY;
    switch (op->opcode) {
    case DEMI_OPC_TIMER:
        wheel_stop(&rt->wheel, &op->value.timer);
        op_fail(&rt->ops, op, ECANCELED);
        return 0;
    case DEMI_OPC_WAKE:
        ((struct wake *)op->ptr)->op = NULL;
        op_fail(&rt->ops, op, ECANCELED);
        return 0;
    default: /* a task cannot be taken off its stack, nor a name from a helper */ return -EBUSY;
    }
}

int wait_deadline(struct runtime *rt, const struct timespec *timeout, uint64_t *out)
{
    if (!timeout) {
        *out = WAIT_FOREVER;
        return 0;
    }
    if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= 1000000000) return -EINVAL;
    if (!timeout->tv_sec && !timeout->tv_nsec) {
        *out = WAIT_POLL;
        return 0;
    }
    uint64_t now = runtime_now(rt), seconds = (uint64_t)timeout->tv_sec;
    bool far = seconds > (UINT64_MAX - now) / 1000000000u - 1;
    *out = far ? WAIT_FOREVER : now + seconds * 1000000000u + (uint64_t)timeout->tv_nsec;
    return 0;
}
