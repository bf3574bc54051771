/* SPDX-License-Identifier: MIT
 *
 * Runtimes on a clock of their own, several in one thread; contexts; queue table; counters;
 * wake-ups of the library's threads.
 */
#include "libos/runtime/runtime.h"

#include "alloc/buf.h"
#include "libos/runtime/memq.h"
#include "libos/runtime/wait.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static uint64_t clock_ns = 1000000;
static uint64_t virtual_now(void *arg) { return clock_ns; }

/* Time jumps to the next deadline; without one nothing can ever happen. */
static int jump(void *arg, uint64_t deadline)
{
    if (deadline == UINT64_MAX) return -EDEADLK;
    clock_ns = deadline;
    return 0;
}

static const struct runtime_ops virtual_time = {.now_ns = virtual_now, .idle = jump};

static struct runtime *virtual_runtime(uint32_t id)
{
    struct runtime *rt;
    assert_int_equal(runtime_new(&rt, &virtual_time, id), 0);
    return rt;
}

static struct runtime *owner;

static void timer_done(struct timer *t)
{
    op_complete_plain(&owner->ops, (struct op *)((char *)t - offsetof(struct op, value.timer)), 0);
}

static demi_qtoken_t timer_in(struct runtime *rt, uint64_t ns)
{
    struct op *op = op_new(&rt->ops, DEMI_OPC_TIMER, NULL, 0);
    op->value.timer.link = NULL;
    owner = rt;
    wheel_start(&rt->wheel, &op->value.timer, clock_ns + ns, timer_done);
    return op_token(&rt->ops, op);
}

static void test_virtual_clock_jumps_instead_of_sleeping(void **state)
{
    struct runtime *rt = virtual_runtime(1);
    demi_qresult_t qr;
    uint64_t start = clock_ns;
    assert_int_equal(wait_one(rt, timer_in(rt, 3600000000000), WAIT_FOREVER, &qr), 0);
    assert_true(clock_ns >= start + 3600000000000);
    assert_int_equal(rt->epoll_fd, -1);
    runtime_free(rt);
}

static void test_wait_ends_with_what_idle_says(void **state)
{
    struct runtime *rt = virtual_runtime(1);
    struct queue *q;
    demi_qresult_t qr;
    assert_int_equal(memq_new(rt, &q), 0);
    struct op *op = op_new(&rt->ops, DEMI_OPC_POP, q, q->qd);
    assert_int_equal(q->ops->pop(q, op), 0);
    assert_int_equal(wait_one(rt, op_token(&rt->ops, op), WAIT_FOREVER, &qr), -EDEADLK);
    assert_int_equal(wait_one(rt, op_token(&rt->ops, op), clock_ns + 5000, &qr), -ETIMEDOUT);
    runtime_free(rt);
}

static void test_runtimes_of_one_thread_do_not_know_each_other(void **state)
{
    struct runtime *a = virtual_runtime(1), *b = virtual_runtime(2);
    demi_qresult_t qr;
    assert_null(runtime_enter(a));
    assert_ptr_equal(runtime_enter(b), a);
    demi_qtoken_t qt = timer_in(a, 1000);
    assert_int_equal(wait_one(b, qt, WAIT_POLL, &qr), -EINVAL);
    assert_int_equal(wait_one(a, qt, WAIT_FOREVER, &qr), 0);
    assert_ptr_equal(runtime_enter(NULL), b);
    runtime_free(a);
    runtime_free(b);
}

static void test_descriptors_are_dense_and_used_again(void **state)
{
    struct runtime *rt = virtual_runtime(1);
    struct queue *q[200];
    for (int i = 0; i < 200; i++) {
        assert_int_equal(memq_new(rt, &q[i]), 0);
        assert_int_equal(q[i]->qd, QUEUE_BASE + i);
    }
    assert_null(queue_find(&rt->queues, QUEUE_BASE - 1));
    assert_null(queue_find(&rt->queues, -1));
    assert_null(queue_find(&rt->queues, QUEUE_BASE + 200));
    queue_remove(q[7]);
    q[7]->ops->close(q[7]);
    assert_null(queue_find(&rt->queues, QUEUE_BASE + 7));
    assert_int_equal(memq_new(rt, &q[7]), 0);
    assert_int_equal(q[7]->qd, QUEUE_BASE + 7);
    runtime_free(rt);
}

/* A queue over a queue: hands on what it pops in capitals. Its pops are operations of the lower
 * queue that it claims itself. */
struct upper {
    struct queue q;
    struct queue *lower;
    struct op_waiter done;
    struct op_list pops;
};

static void lower_done(struct op_waiter *w)
{
    struct upper *u = (struct upper *)((char *)w - offsetof(struct upper, done));
    struct op_table *ops = &u->q.rt->ops;
    demi_qresult_t qr;
    op_take(ops, w->done.head, &qr);
    struct op *op = op_list_shift(&u->pops);
    char *p = qr.qr_value.sga.sga_segs[0].sgaseg_buf;
    for (uint32_t i = 0; i < qr.qr_value.sga.sga_segs[0].sgaseg_len; i++) p[i] = (char)(p[i] & ~0x20);
    op->value.sga = qr.qr_value.sga;
    op_complete(ops, op);
}

static int upper_pop(struct queue *q, struct op *op)
{
    struct upper *u = (struct upper *)q;
    struct op *below = op_new(&q->rt->ops, DEMI_OPC_POP, u->lower, u->lower->qd);
    if (!below) return -ENOMEM;
    op_claim(&q->rt->ops, below, &u->done, 0);
    op_list_append(&u->pops, op);
    return u->lower->ops->pop(u->lower, below);
}

static void upper_close(struct queue *q) { op_fail_all(&q->rt->ops, &((struct upper *)q)->pops, ECANCELED); }

static const struct queue_ops upper_ops = {.name = "capitals", .pop = upper_pop, .close = upper_close};

static void push_bytes(struct queue *q, const char *text)
{
    struct seg s;
    assert_int_equal(seg_of_memory(&s, text, (uint32_t)strlen(text)), 0);
    assert_int_equal(q->ops->push(q, NULL, &s, 1, NULL, 0, 0), 0);
}

static void test_queue_over_a_queue_changes_what_it_hands_on(void **state)
{
    struct runtime *rt = virtual_runtime(1);
    struct upper u = {.done.wake = lower_done};
    demi_qresult_t qr;
    assert_int_equal(memq_new(rt, &u.lower), 0);
    assert_int_equal(queue_add(rt, &u.q, &upper_ops), 0);
    for (int first = 0; first < 2; first++) { /* the bytes are there before the pop, and after it */
        if (first) push_bytes(u.lower, "quiet");
        struct op *op = op_new(&rt->ops, DEMI_OPC_POP, &u.q, u.q.qd);
        assert_int_equal(u.q.ops->pop(&u.q, op), 0);
        if (!first) push_bytes(u.lower, "quiet");
        assert_int_equal(wait_one(rt, op_token(&rt->ops, op), WAIT_POLL, &qr), 0);
        assert_int_equal(qr.qr_qd, u.q.qd);
        assert_memory_equal(qr.qr_value.sga.sga_segs[0].sgaseg_buf, "QUIET", 5);
        buf_unref(arrays_take(&rt->ops.arrays, qr.qr_value.sga.sga_buf));
    }
    runtime_free(rt);
}

static void test_freeing_a_runtime_gives_results_back(void **state)
{
    struct runtime *rt = virtual_runtime(1);
    struct queue *q;
    memq_new(rt, &q);
    struct seg s = {.p = "never taken", .n = 11};
    char text[11] = "never taken";
    assert_int_equal(seg_of_memory(&s, text, 11), 0);
    assert_int_equal(q->ops->push(q, NULL, &s, 1, NULL, 0, 0), 0);
    struct op *op = op_new(&rt->ops, DEMI_OPC_POP, q, q->qd);
    q->ops->pop(q, op);
    assert_int_equal(op->state, OP_DONE);
    runtime_free(rt); /* the leak checker of the asan build looks */
}

struct ping {
    struct context *self, *main;
    int sum;
};

static void add_up(void *arg)
{
    struct ping *p = arg;
    for (int i = 1;; i++) {
        p->sum += i;
        context_switch(p->self, p->main);
    }
}

static void test_contexts_keep_their_locals(void **state)
{
    struct ping p[3] = {{0}};
    struct context *self = context_new_self();
    for (int i = 0; i < 3; i++) p[i] = (struct ping){context_new(add_up, &p[i], 16384), self, 0};
    for (int round = 1; round <= 100; round++)
        for (int i = 0; i < 3; i++) context_switch(self, p[i].self);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(p[i].sum, 5050);
        context_free(p[i].self);
    }
    context_free(self);
}

static int64_t count_one(void *arg)
{
    ++*(int *)arg;
    return 0;
}

static void test_thousands_of_tasks_run_and_their_stacks_are_used_again(void **state)
{
    struct runtime *rt = virtual_runtime(1);
    int ran = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++) assert_int_equal(task_spawn(rt, count_one, &ran, 0, NULL), 0);
        assert_int_equal(rt->tasks.live, 1000);
        runtime_turn(rt, false);
        assert_int_equal(rt->tasks.live, 0);
        assert_int_equal(rt->tasks.pooled, TASK_POOL);
    }
    assert_int_equal(ran, 3000);
    assert_int_equal(task_spawn(rt, count_one, &ran, (size_t)TASK_STACK_MAX + 1, NULL), -EINVAL);
    runtime_free(rt);
}

static void sleep_for_ever(struct runtime *rt)
{
    for (;;) task_suspend(rt);
}

static int64_t never_end(void *arg)
{
    sleep_for_ever(arg);
    return 0;
}

static void test_unfinished_tasks_go_with_their_runtime(void **state)
{
    struct runtime *rt = virtual_runtime(1);
    task_spawn(rt, never_end, rt, 0, NULL);
    runtime_turn(rt, false);
    assert_int_equal(rt->tasks.live, 1);
    runtime_free(rt);
}

static int events_seen;
static void on_event(struct fd_watch *w, uint32_t events) { events_seen += (events & EPOLLIN) != 0; }

static void test_watched_descriptor_calls_back(void **state)
{
    struct runtime *rt;
    int fd[2];
    assert_int_equal(runtime_new(&rt, NULL, 1), 0);
    assert_int_equal(pipe(fd), 0);
    struct fd_watch w = {.fn = on_event, .fd = fd[0]};
    assert_int_equal(runtime_watch(rt, &w, EPOLLIN | EPOLLET), 0);
    runtime_turn(rt, true);
    assert_int_equal(events_seen, 0);
    assert_int_equal(write(fd[1], "x", 1), 1);
    assert_int_equal(runtime_idle(rt, WAIT_FOREVER), 0);
    assert_int_equal(events_seen, 1);
    runtime_unwatch(rt, &w);
    close(fd[0]);
    close(fd[1]);
    runtime_free(rt);
}

static void find(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, arg)) *(char *)arg = (char)('0' + value);
}

static void test_counters_show_the_value_of_now(void **state)
{
    struct counters c = {0};
    uint64_t values[2] = {3, 4};
    char a[] = "x.a", b[] = "x.b";
    assert_int_equal(counters_add(&c, "x.a", &values[0]), 0);
    assert_int_equal(counters_add(&c, "x.b", &values[1]), 0);
    values[1] = 7;
    counters_visit(&c, find, b);
    assert_int_equal(b[0], '7');
    counters_remove(&c, &values[0], sizeof values[0]);
    counters_visit(&c, find, a);
    assert_int_equal(a[0], 'x');
    assert_int_equal(c.count, 1);
    counters_free(&c);
}

/* A libOS whose flush() has more to do until the last of some completes an operation, as a queue over another does. */
struct late {
    struct libos base;
    struct op *op;
    int rounds;
};

static int late_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct late *l = calloc(1, sizeof *l);
    assert_non_null(l);
    *out = &l->base;
    return 0;
}

static void late_stop(struct libos *l) { free(l); }

static void late_flush(struct libos *base)
{
    struct late *l = (struct late *)base;
    if (!l->op) return;
    if (--l->rounds) {
        runtime_need_flush(base->rt);
        return;
    }
    op_complete_plain(&base->rt->ops, l->op, 0);
    l->op = NULL;
}

static uint64_t late_deadline(struct libos *base) { return ((struct late *)base)->op ? 0 : UINT64_MAX; }

static const struct libos_ops late_libos = {
    .name = "late", .start = late_start, .stop = late_stop, .flush = late_flush, .next_deadline = late_deadline};

static void test_what_a_flush_completes_is_not_slept_over(void **state)
{
    struct runtime *rt = virtual_runtime(1);
    demi_qresult_t qr;
    assert_int_equal(runtime_add_libos(rt, &late_libos, NULL), 0);
    struct late *l = (struct late *)rt->libos[0];
    demi_qtoken_t far = timer_in(rt, 3600000000000u);
    uint64_t before = clock_ns;
    for (int rounds = 1; rounds < 8; rounds++) { /* it ends in each of the flushes that a turn has */
        l->op = op_new(&rt->ops, DEMI_OPC_PUSH, NULL, 0);
        l->rounds = rounds;
        runtime_need_flush(rt);
        assert_int_equal(wait_one(rt, op_token(&rt->ops, l->op), WAIT_FOREVER, &qr), 0);
        assert_true(clock_ns - before < 1000000000u);
    }
    assert_int_equal(wait_one(rt, far, WAIT_FOREVER, &qr), 0);
    runtime_free(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_virtual_clock_jumps_instead_of_sleeping),
        cmocka_unit_test(test_wait_ends_with_what_idle_says),
        cmocka_unit_test(test_runtimes_of_one_thread_do_not_know_each_other),
        cmocka_unit_test(test_descriptors_are_dense_and_used_again),
        cmocka_unit_test(test_queue_over_a_queue_changes_what_it_hands_on),
        cmocka_unit_test(test_freeing_a_runtime_gives_results_back),
        cmocka_unit_test(test_contexts_keep_their_locals),
        cmocka_unit_test(test_thousands_of_tasks_run_and_their_stacks_are_used_again),
        cmocka_unit_test(test_unfinished_tasks_go_with_their_runtime),
        cmocka_unit_test(test_watched_descriptor_calls_back),
        cmocka_unit_test(test_counters_show_the_value_of_now),
        cmocka_unit_test(test_what_a_flush_completes_is_not_slept_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
