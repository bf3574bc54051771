/* SPDX-License-Identifier: MIT
 *
 * What the runtime itself costs, in ns: a switch to a coroutine and back, waking and running a
 * ready task, a push and a pop on a memory queue with both waits, and one completion with 10 to
 * 100,000 operations outstanding. Best of several rounds; prints, judges nothing.
 */
#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"
#include "libos/runtime/runtime.h"
#include "libos/runtime/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 7

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void print(const char *what, double best) { printf("%-46s %8.1f ns\n", what, best); }

/* Runs fn(n) ROUNDS times; the best ns per step. */
static double best_of(void (*fn)(void *arg, int n), void *arg, int n)
{
    double best = 1e18;
    for (int i = 0; i < ROUNDS; i++) {
        double start = now();
        fn(arg, n);
        double ns = (now() - start) / n;
        if (ns < best) best = ns;
    }
    return best;
}

struct switch_bench {
    struct context *self, *other;
};

static void bounce(void *arg)
{
    struct switch_bench *b = arg;
    for (;;) context_switch(b->other, b->self);
}

static void switches(void *arg, int n)
{
    struct switch_bench *b = arg;
    for (int i = 0; i < n; i++) context_switch(b->self, b->other);
}

static double bench_switch(void)
{
    struct switch_bench b = {.self = context_new_self()};
    b.other = context_new(bounce, &b, 65536);
    double ns = best_of(switches, &b, 1000000);
    print("coroutine switch, there and back", ns);
    context_free(b.other);
    context_free(b.self);
    return ns;
}

static bool stop_yielding;

static int64_t yielder(void *arg)
{
    while (!stop_yielding) task_yield(runtime_current());
    return 0;
}

static void rounds_of_tasks(void *arg, int n)
{
    for (int i = 0; i < n; i += 64) tasks_run(runtime_current());
}

/* A yield sets the task's bit, goes back to the loop, which finds the bit and switches to the task
 * again. So a round of n tasks is n times (wake + find + two switches); what waking and finding
 * cost is that without the two switches, which are measured on their own. */
static void bench_tasks(double switch_ns)
{
    demi_qtoken_t qts[64];
    demi_qresult_t qrs[64];
    for (int i = 0; i < 64; i++)
        if (demi_spawn(&qts[i], yielder, NULL, 0)) exit(1);
    double ns = best_of(rounds_of_tasks, NULL, 1 << 20);
    print("ready task: wake, run and back", ns);
    print("  of it, without the two switches", ns - switch_ns);
    stop_yielding = true;
    demi_wait_all(qrs, qts, 64, NULL);
}

static void tokens(void *arg, int n)
{
    struct runtime *rt = runtime_current();
    demi_qresult_t qr;
    for (int i = 0; i < n; i++) {
        struct op *op = op_new(&rt->ops, DEMI_OPC_TIMER, NULL, 0);
        demi_qtoken_t qt = op_token(&rt->ops, op);
        op_complete_plain(&rt->ops, op, 0);
        if (wait_one(rt, qt, WAIT_FOREVER, &qr)) exit(1);
    }
}

static void pushes_and_pops(void *arg, int n)
{
    int qd = *(int *)arg;
    demi_sgarray_t sga = demi_sgaalloc(64);
    demi_qresult_t qr;
    demi_qtoken_t qt;
    for (int i = 0; i < n; i++) {
        if (demi_push(&qt, qd, &sga) || demi_wait(&qr, qt, NULL)) exit(1);
        if (demi_pop(&qt, qd) || demi_wait(&qr, qt, NULL)) exit(1);
        demi_sgafree(&qr.qr_value.sga);
    }
    demi_sgafree(&sga);
}

/* outstanding operations never complete; one more comes and goes. */
static void bench_outstanding(int count)
{
    char what[64];
    int idle, busy;
    demi_qtoken_t qt;
    demi_queue(&idle);
    demi_queue(&busy);
    for (int i = 0; i < count; i++)
        if (demi_pop(&qt, idle)) exit(1);
    snprintf(what, sizeof what, "push + pop + 2 waits, %d outstanding", count);
    print(what, best_of(pushes_and_pops, &busy, 200000));
    demi_close(idle);
    demi_close(busy);
    demi_qresult_t qr[256];
    int n;
    const struct timespec poll_once = {0, 0};
    while (!demi_wait_batch(qr, 256, &n, &poll_once))
        ;
}

static void timers(void *arg, int n)
{
    struct wheel *w = &runtime_current()->wheel;
    struct timer t = {0};
    for (int i = 0; i < n; i++) wheel_start(w, &t, runtime_current()->now + 1000000u + (uint64_t)i * 997, NULL);
    wheel_stop(w, &t);
}

int main(void)
{
    if (demi_init_with("posix", NULL)) return 1;
    bench_tasks(bench_switch());
    print("token: new, complete, wait", best_of(tokens, NULL, 1000000));
    bench_outstanding(10);
    bench_outstanding(1000);
    bench_outstanding(100000);
    print("timer: stop, start", best_of(timers, NULL, 1000000));
    return demi_exit();
}
