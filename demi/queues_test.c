/* SPDX-License-Identifier: MIT
 *
 * Memory queues, pipes, files, timers, tasks, wake-ups and waits, through the public calls.
 */
#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct timespec poll_once = {0, 0};

static int set_up(void **state)
{
    unsetenv("LIBOS");
    unsetenv("CONFIG_PATH");
    return demi_init_with(NULL, NULL);
}

static int tear_down(void **state) { return demi_exit(); }

static demi_qresult_t finish(demi_qtoken_t qt)
{
    demi_qresult_t qr;
    assert_int_equal(demi_wait(&qr, qt, NULL), 0);
    return qr;
}

static demi_qtoken_t push_text(int qd, const char *text)
{
    demi_sgarray_t sga = demi_sgaalloc(strlen(text));
    demi_qtoken_t qt;
    memcpy(sga.sga_segs[0].sgaseg_buf, text, strlen(text));
    assert_int_equal(demi_push(&qt, qd, &sga), 0);
    demi_sgafree(&sga);
    return qt;
}

static demi_qtoken_t pop(int qd)
{
    demi_qtoken_t qt;
    assert_int_equal(demi_pop(&qt, qd), 0);
    return qt;
}

static void expect_text(demi_qresult_t qr, const char *text)
{
    assert_int_equal(qr.qr_opcode, DEMI_OPC_POP);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, strlen(text));
    assert_memory_equal(qr.qr_value.sga.sga_segs[0].sgaseg_buf, text, strlen(text));
    demi_sgafree(&qr.qr_value.sga);
}

/* --- tokens --- */

static void test_numbers_that_are_no_tokens_are_refused(void **state)
{
    const demi_qtoken_t bad[] = {0, UINT64_MAX, 0x0101010101010101, 1, 12345};
    demi_qresult_t qr;
    int at;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(demi_wait(&qr, bad[i], &poll_once), EINVAL);
        assert_int_equal(demi_wait_any(&qr, &at, &bad[i], 1, &poll_once), EINVAL);
        assert_int_equal(demi_cancel(bad[i]), EINVAL);
        assert_int_equal(demi_set_data(bad[i], NULL), EINVAL);
    }
}

static void test_token_is_gone_once_waited_for(void **state)
{
    int qd;
    demi_qresult_t qr;
    demi_queue(&qd);
    demi_qtoken_t qt = push_text(qd, "x");
    finish(qt);
    assert_int_equal(demi_wait(&qr, qt, &poll_once), EINVAL);
    assert_int_equal(demi_wait(&qr, push_text(qd, "y"), &poll_once), 0);
    assert_int_equal(demi_wait(&qr, qt, &poll_once), EINVAL);
    demi_close(qd);
}

static void test_timeout_leaves_the_token(void **state)
{
    int qd;
    demi_qresult_t qr;
    const struct timespec bad = {-1, 0}, worse = {0, 1000000000}, ms = {0, 1000000};
    demi_queue(&qd);
    demi_qtoken_t qt = pop(qd);
    assert_int_equal(demi_wait(&qr, qt, &poll_once), ETIMEDOUT);
    assert_int_equal(demi_wait(&qr, qt, &ms), ETIMEDOUT);
    assert_int_equal(demi_wait(&qr, qt, &bad), EINVAL);
    assert_int_equal(demi_wait(&qr, qt, &worse), EINVAL);
    push_text(qd, "late");
    expect_text(finish(qt), "late");
    demi_close(qd);
}

static void test_words_of_a_whole_batch_can_be_read(void **state)
{
    int qd, n, words[8];
    demi_qresult_t qr[8];
    demi_queue(&qd);
    for (int i = 0; i < 8; i++) assert_int_equal(demi_set_data(push_text(qd, "w"), &words[i]), 0);
    assert_int_equal(demi_wait_batch(qr, 8, &n, NULL), 0);
    assert_int_equal(n, 8);
    demi_qtoken_t more = 0;
    for (int i = 0; i < 8; i++) {
        more = push_text(qd, "new"); /* takes a slot while the batch is still being looked at */
        assert_ptr_equal(demi_result_data(&qr[i]), &words[i]);
    }
    finish(more);
    demi_close(qd);
}

static void test_wait_any_tells_which(void **state)
{
    int a, b, at;
    demi_qresult_t qr;
    demi_queue(&a);
    demi_queue(&b);
    demi_qtoken_t qts[2] = {pop(a), pop(b)};
    demi_qtoken_t pushed = push_text(b, "two");
    assert_int_equal(demi_wait_any(&qr, &at, qts, 2, NULL), 0);
    assert_int_equal(at, 1);
    assert_int_equal(qr.qr_qd, b);
    expect_text(qr, "two");
    assert_int_equal(demi_wait_any(&qr, &at, qts, 1, &poll_once), ETIMEDOUT);
    finish(pushed);
    demi_close(a);
    demi_close(b);
}

static void test_wait_any_stops_at_an_unknown_token(void **state)
{
    int qd, at;
    demi_qresult_t qr;
    demi_queue(&qd);
    demi_qtoken_t pending = pop(qd), done;
    assert_int_equal(demi_timer(&done, 0), 0);
    finish(done);
    demi_qtoken_t qts[2] = {pending, done};
    assert_int_equal(demi_wait_any(&qr, &at, qts, 2, &poll_once), EINVAL);
    demi_close(qd);
    assert_int_equal(finish(pending).qr_ret, ECANCELED);
}

static void test_wait_next_n_fills_the_array_or_times_out_with_what_there_is(void **state)
{
    int qd, n;
    demi_qresult_t qr[4];
    demi_queue(&qd);
    push_text(qd, "1");
    push_text(qd, "2");
    assert_int_equal(demi_wait_next_n(qr, 4, &n, &poll_once), ETIMEDOUT);
    assert_int_equal(n, 2);
    push_text(qd, "3");
    assert_int_equal(demi_wait_next_n(qr, 1, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(demi_wait_next_n(qr, 0, &n, NULL), EINVAL);
    demi_close(qd);
}

static void test_wait_all_leaves_tokens_on_timeout(void **state)
{
    int qd;
    demi_qresult_t qr[2];
    demi_queue(&qd);
    demi_qtoken_t qts[2] = {push_text(qd, "there"), 0};
    pop(qd);
    qts[1] = pop(qd);
    assert_int_equal(demi_wait_all(qr, qts, 2, &poll_once), ETIMEDOUT);
    push_text(qd, "now");
    assert_int_equal(demi_wait_all(qr, qts, 2, NULL), 0);
    assert_int_equal(qr[0].qr_opcode, DEMI_OPC_PUSH);
    expect_text(qr[1], "now");
    demi_close(qd);
}

static void test_tokens_of_another_thread_are_refused(void **state);

/* --- queues and pipes --- */

static void test_queue_gives_arrays_whole_and_in_order(void **state)
{
    int qd;
    demi_queue(&qd);
    push_text(qd, "first");
    push_text(qd, "second");
    expect_text(finish(pop(qd)), "first");
    expect_text(finish(pop(qd)), "second");
    demi_close(qd);
}

static void test_pipe_ends_when_its_other_end_closes(void **state)
{
    int qd[2];
    demi_sgarray_t sga = demi_sgaalloc(1);
    demi_qtoken_t qt;
    assert_int_equal(demi_pipe(qd), 0);
    push_text(qd[1], "left over");
    demi_close(qd[1]);
    expect_text(finish(pop(qd[0])), "left over");
    expect_text(finish(pop(qd[0])), "");
    assert_int_equal(demi_push(&qt, qd[0], &sga), EPIPE);
    demi_sgafree(&sga);
    demi_close(qd[0]);
}

static void test_pushed_object_survives_being_freed(void **state)
{
    int qd;
    demi_qtoken_t qt;
    demi_queue(&qd);
    char *text = demi_malloc(3000);
    memset(text, 'k', 3000);
    struct iovec iov = {text, 3000};
    assert_int_equal(demi_pushv(&qt, qd, &iov, 1, 0), 0);
    demi_free(text);
    char *other = demi_malloc(3000);
    memset(other, 'z', 3000);
    demi_qresult_t qr = finish(pop(qd));
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 3000);
    assert_int_equal(((char *)qr.qr_value.sga.sga_segs[0].sgaseg_buf)[2999], 'k');
    demi_sgafree(&qr.qr_value.sga);
    demi_free(other);
    demi_close(qd);
}

/* --- timers, tasks, wake-ups --- */

static void test_timers_fire_in_order_and_not_early(void **state)
{
    demi_qtoken_t late, soon;
    demi_qresult_t qr[2];
    int n;
    assert_int_equal(demi_timer(&late, 3000000), 0);
    assert_int_equal(demi_timer(&soon, 1000000), 0);
    assert_int_equal(demi_wait_next_n(qr, 2, &n, NULL), 0);
    assert_int_equal(qr[0].qr_qt, soon);
    assert_int_equal(qr[1].qr_qt, late);
    assert_int_equal(qr[1].qr_opcode, DEMI_OPC_TIMER);
}

static void test_cancelled_timer_never_fires(void **state)
{
    demi_qtoken_t qt;
    demi_timer(&qt, 1000000);
    assert_int_equal(demi_cancel(qt), 0);
    demi_qresult_t qr = finish(qt);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
    assert_int_equal(qr.qr_ret, ECANCELED);
}

struct echo {
    int in, out;
};

static int64_t echo_three(void *arg)
{
    struct echo *e = arg;
    for (int i = 0; i < 3; i++) {
        demi_qtoken_t qt;
        demi_qresult_t qr = finish(pop(e->in));
        assert_int_equal(demi_push(&qt, e->out, &qr.qr_value.sga), 0);
        demi_sgafree(&qr.qr_value.sga);
        finish(qt);
    }
    return 33;
}

static void test_task_waits_without_holding_up_the_thread(void **state)
{
    struct echo e;
    demi_qtoken_t task;
    demi_queue(&e.in);
    demi_queue(&e.out);
    assert_int_equal(demi_spawn(&task, echo_three, &e, 0), 0);
    for (int i = 0; i < 3; i++) {
        finish(push_text(e.in, "to a task"));
        expect_text(finish(pop(e.out)), "to a task");
    }
    demi_qresult_t qr = finish(task);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_TASK);
    assert_int_equal(qr.qr_ret, 33);
    demi_close(e.in);
    demi_close(e.out);
}

static int64_t take_turns(void *arg)
{
    char **at = arg;
    for (int i = 0; i < 3; i++) {
        *(*at)++ = 'x';
        assert_int_equal(demi_yield(), 0);
    }
    return 0;
}

static int64_t take_turns_too(void *arg)
{
    char **at = arg;
    for (int i = 0; i < 3; i++) {
        *(*at)++ = 'o';
        demi_yield();
    }
    return 0;
}

static void test_tasks_take_turns(void **state)
{
    char order[8] = {0}, *at = order;
    demi_qtoken_t qts[2];
    demi_qresult_t qr[2];
    demi_spawn(&qts[0], take_turns, &at, 0);
    demi_spawn(&qts[1], take_turns_too, &at, 0);
    assert_int_equal(demi_wait_all(qr, qts, 2, NULL), 0);
    assert_string_equal(order, "xoxoxo");
    assert_int_equal(demi_yield(), EINVAL);
}

static int64_t wait_a_little(void *arg)
{
    demi_qresult_t qr;
    const struct timespec ms = {0, 1000000};
    return demi_wait(&qr, pop(*(int *)arg), &ms);
}

static void test_wait_of_a_task_times_out(void **state)
{
    int qd;
    demi_qtoken_t qt;
    demi_queue(&qd);
    demi_spawn(&qt, wait_a_little, &qd, 0);
    assert_int_equal(finish(qt).qr_ret, ETIMEDOUT);
    demi_close(qd);
}

static int64_t drain_batches(void *arg)
{
    demi_qresult_t qr[4];
    int n, total = 0;
    while (total < 10) {
        assert_int_equal(demi_wait_batch(qr, 4, &n, NULL), 0);
        total += n;
    }
    return total;
}

static void test_batches_of_a_task_leave_claimed_tokens_alone(void **state)
{
    demi_qtoken_t task, t;
    for (int i = 0; i < 10; i++) demi_timer(&t, 1000 * (uint64_t)i);
    demi_spawn(&task, drain_batches, NULL, 0);
    assert_int_equal(finish(task).qr_ret, 10);
}

static void test_a_pipe_is_found_by_its_name(void **state)
{
    int a, b, other;
    char buffer[257];
    memset(buffer, 'n', 256);
    buffer[256] = 0;
    assert_int_equal(demi_create_pipe(NULL, "p"), EINVAL);
    assert_int_equal(demi_create_pipe(&a, NULL), EINVAL);
    assert_int_equal(demi_create_pipe(&a, ""), EINVAL);
    assert_int_equal(demi_create_pipe(&a, buffer), ENAMETOOLONG);
    assert_int_equal(demi_open_pipe(&b, NULL), EINVAL);
    assert_int_equal(demi_open_pipe(NULL, "p"), EINVAL);
    assert_int_equal(demi_open_pipe(&b, buffer), ENAMETOOLONG);
    assert_int_equal(demi_open_pipe(&b, "p"), ENOENT);
    assert_int_equal(demi_create_pipe(&a, "p"), 0);
    assert_int_equal(demi_create_pipe(&other, "p"), EEXIST);
    assert_int_equal(demi_create_pipe(&other, buffer + 1), 0);
    push_text(a, "early"); /* waits for who opens it */
    assert_int_equal(demi_open_pipe(&b, "p"), 0);
    assert_int_equal(demi_open_pipe(&other, "p"), EBUSY);
    assert_int_not_equal(a, b);
    demi_qresult_t qr = finish(pop(b));
    assert_memory_equal(qr.qr_value.sga.sga_segs[0].sgaseg_buf, "early", 5);
    demi_sgafree(&qr.qr_value.sga);
    push_text(b, "back");
    qr = finish(pop(a));
    assert_memory_equal(qr.qr_value.sga.sga_segs[0].sgaseg_buf, "back", 4);
    demi_sgafree(&qr.qr_value.sga);
    assert_int_equal(demi_close(b), 0);
    qr = finish(pop(a));
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 0);
    demi_sgafree(&qr.qr_value.sga);
    assert_int_equal(demi_close(a), 0);
    assert_int_equal(demi_open_pipe(&b, "p"), ENOENT);
    assert_int_equal(demi_create_pipe(&a, "p"), 0);
    push_text(a, "to nobody");
    assert_int_equal(demi_close(a), 0); /* its other end was never opened */
    assert_int_equal(demi_create_pipe(&a, "left open"), 0);
}

static void test_timedwait_waits_until_a_moment(void **state)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    struct timespec at;
    demi_timer(&qt, 3600000000000);
    clock_gettime(CLOCK_REALTIME, &at);
    uint64_t before = demi_clock_ns();
    assert_int_equal(demi_timedwait(&qr, qt, &at), ETIMEDOUT); /* over already */
    assert_int_equal(demi_timedwait(&qr, qt, &(struct timespec){0, 0}), ETIMEDOUT);
    assert_int_equal(demi_timedwait(&qr, qt, &(struct timespec){-1, 5}), ETIMEDOUT);
    assert_int_equal(demi_timedwait(&qr, qt, &(struct timespec){INT64_MIN, 5}), ETIMEDOUT);
    assert_true(demi_clock_ns() - before < 1000000000);
    at.tv_nsec += 20000000;
    if (at.tv_nsec >= 1000000000) at = (struct timespec){at.tv_sec + 1, at.tv_nsec - 1000000000};
    assert_int_equal(demi_timedwait(&qr, qt, &at), ETIMEDOUT);
    assert_true(demi_clock_ns() - before >= 15000000);
    assert_int_equal(demi_timedwait(&qr, qt, &(struct timespec){0, -1}), EINVAL);
    assert_int_equal(demi_timedwait(&qr, qt, &(struct timespec){0, 1000000000}), EINVAL);
    assert_int_equal(demi_timedwait(NULL, qt, &at), EINVAL);
    demi_timer(&qt, 1000);
    assert_int_equal(demi_timedwait(&qr, qt, &(struct timespec){INT64_MAX, 0}), 0);
    demi_timer(&qt, 1000);
    assert_int_equal(demi_timedwait(&qr, qt, NULL), 0);
}

struct owner {
    int qd;
    demi_qtoken_t left; /* what the task leaves behind */
};

/* Its timer and its pop complete while it does something else. */
static int64_t keep_tokens(void *arg)
{
    struct owner *o = arg;
    demi_qtoken_t timer, popping = pop(o->qd);
    demi_qresult_t qr;
    int n;
    demi_timer(&timer, 1000);
    for (int i = 0; i < 20; i++) demi_yield();
    if (demi_wait(&qr, popping, NULL) || qr.qr_opcode != DEMI_OPC_POP) return 1;
    demi_sgafree(&qr.qr_value.sga);
    if (demi_wait_batch(&qr, 1, &n, NULL) || n != 1 || qr.qr_qt != timer) return 2;
    return demi_timer(&o->left, 1000) ? 3 : 0;
}

static void test_a_tasks_tokens_are_the_tasks(void **state)
{
    const struct timespec some_ms = {0, 3000000};
    struct owner o;
    demi_qtoken_t task;
    demi_qresult_t qr;
    int n;
    demi_queue(&o.qd);
    demi_spawn(&task, keep_tokens, &o, 0);
    assert_int_equal(demi_wait_batch(&qr, 1, &n, &poll_once), ETIMEDOUT); /* it runs, and yields */
    push_text(o.qd, "x");
    for (;;) { /* the thread waits for anything all the time, and sees nothing of the task's */
        if (demi_wait_batch(&qr, 1, &n, &some_ms)) continue;
        if (qr.qr_opcode == DEMI_OPC_TASK) break;
        assert_int_equal(qr.qr_opcode, DEMI_OPC_PUSH);
    }
    assert_int_equal(qr.qr_ret, 0);
    assert_int_equal(demi_wait_batch(&qr, 1, &n, NULL), 0); /* but what it left */
    assert_true(qr.qr_qt == o.left);
    demi_close(o.qd);
}

enum { GENERATIONS = 32768, AROUND = 8 }; /* an inbox's id has 15 bits of them (libos/runtime/task.c) */

static int64_t leave_pops(void *arg)
{
    for (int i = 0; i < 2 * AROUND; i++) pop(*(int *)arg);
    return 0;
}

static int64_t do_nothing(void *arg) { return 0; }

/* Completes one of them, and goes on living. */
static int64_t complete_one(void *arg)
{
    demi_qtoken_t none;
    char x = 1;
    struct iovec iov = {&x, 1};
    if (demi_pushv(&none, *(int *)arg, &iov, 1, DEMI_PUSH_NO_TOKEN)) return -1;
    for (int i = 0; i < 20; i++) demi_yield();
    return 0;
}

static int64_t run_task(int64_t (*fn)(void *arg), void *arg)
{
    demi_qtoken_t qt;
    assert_int_equal(demi_spawn(&qt, fn, arg, 0), 0);
    return finish(qt).qr_ret;
}

static void test_what_a_task_left_is_never_that_of_a_later_task(void **state)
{
    demi_qresult_t qr;
    int qd, n;
    demi_queue(&qd);
    run_task(leave_pops, &qd);
    for (int i = 1; i < GENERATIONS - AROUND; i++) run_task(do_nothing, NULL);
    for (int i = 0; i < 2 * AROUND; i++) {
        demi_qtoken_t task;
        demi_spawn(&task, complete_one, &qd, 0);
        assert_int_equal(demi_wait_batch(&qr, 1, &n, NULL), 0);
        assert_int_equal(qr.qr_opcode, DEMI_OPC_POP); /* the thread sees it while that task lives */
        demi_sgafree(&qr.qr_value.sga);
        assert_int_equal(finish(task).qr_ret, 0);
    }
    demi_close(qd);
}

static void *ring(void *arg)
{
    demi_wake_ring(arg);
    return NULL;
}

static void test_another_thread_rings(void **state)
{
    demi_wake_t *w;
    demi_qtoken_t qt;
    pthread_t t;
    assert_int_equal(demi_wake_new(&w), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(demi_wake_wait(&qt, w), 0);
        pthread_create(&t, NULL, ring, w);
        assert_int_equal(finish(qt).qr_opcode, DEMI_OPC_WAKE);
        pthread_join(t, NULL);
    }
    demi_wake_free(w);
}

static void test_rings_before_a_wait_are_remembered_as_one(void **state)
{
    demi_wake_t *w;
    demi_qtoken_t qt, second;
    demi_qresult_t qr;
    demi_wake_new(&w);
    demi_wake_ring(w);
    demi_wake_ring(w);
    demi_wake_wait(&qt, w);
    assert_int_equal(finish(qt).qr_opcode, DEMI_OPC_WAKE);
    demi_wake_wait(&qt, w);
    assert_int_equal(demi_wake_wait(&second, w), EBUSY);
    assert_int_equal(demi_wait(&qr, qt, &poll_once), ETIMEDOUT);
    demi_wake_free(w);
    assert_int_equal(finish(qt).qr_ret, ECANCELED);
}

static void *use_foreign_token(void *arg)
{
    demi_qresult_t qr;
    demi_qtoken_t qt = *(demi_qtoken_t *)arg;
    assert_int_equal(demi_wait(&qr, qt, &poll_once), ENOSYS);
    assert_int_equal(demi_init_with("posix", NULL), 0);
    assert_int_equal(demi_wait(&qr, qt, &poll_once), EINVAL);
    assert_int_equal(demi_exit(), 0);
    return NULL;
}

static void test_tokens_of_another_thread_are_refused(void **state)
{
    demi_qtoken_t qt;
    pthread_t t;
    demi_timer(&qt, 0);
    pthread_create(&t, NULL, use_foreign_token, &qt);
    pthread_join(t, NULL);
    finish(qt);
}

/* --- files --- */

static void test_file_reads_what_was_written(void **state)
{
    char path[] = "/tmp/demi-test-XXXXXX";
    int fd = mkstemp(path), qd;
    off_t at;
    demi_qtoken_t qt;
    close(fd);
    assert_int_equal(demi_open(&qd, path, O_RDWR, 0600), 0);
    finish(push_text(qd, "hello "));
    finish(push_text(qd, "disk"));
    assert_int_equal(demi_sync(&qt, qd, false), 0);
    assert_int_equal(finish(qt).qr_opcode, DEMI_OPC_SYNC);
    assert_int_equal(demi_lseek(qd, 0, SEEK_SET, &at), 0);
    expect_text(finish(pop(qd)), "hello disk");
    expect_text(finish(pop(qd)), "");
    assert_int_equal(demi_truncate(&qt, qd, 5), 0);
    finish(qt);
    assert_int_equal(demi_lseek(qd, 0, SEEK_END, &at), 0);
    assert_int_equal(at, 5);
    demi_close(qd);
    assert_int_equal(demi_open(&qd, "/nonexistent/file", O_RDONLY, 0), ENOENT);
    unlink(path);
}

static void test_log_is_read_while_it_is_appended_to(void **state)
{
    char path[] = "/tmp/demi-test-XXXXXX";
    int qd;
    close(mkstemp(path));
    assert_int_equal(demi_open(&qd, path, O_RDWR | O_APPEND, 0600), 0);
    finish(push_text(qd, "one"));
    expect_text(finish(pop(qd)), "one");
    finish(push_text(qd, "two"));
    expect_text(finish(pop(qd)), "two");
    demi_close(qd);
    unlink(path);
}

static void test_closed_file_still_gets_its_writes(void **state)
{
    char path[] = "/tmp/demi-test-XXXXXX";
    struct stat st;
    int qd;
    close(mkstemp(path));
    assert_int_equal(demi_creat(&qd, path, 0600), 0);
    for (int i = 0; i < 100; i++) push_text(qd, "0123456789");
    demi_close(qd);
    demi_exit();
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 1000);
    unlink(path);
    demi_init_with(NULL, NULL);
}

static void test_full_disk_fails_the_push(void **state)
{
    int qd;
    assert_int_equal(demi_open(&qd, "/dev/full", O_WRONLY, 0), 0);
    demi_qresult_t qr = finish(push_text(qd, "no room"));
    assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
    assert_int_equal(qr.qr_ret, ENOSPC);
    demi_close(qd);
}

static void test_closing_a_file_ends_who_waits_on_it(void **state)
{
    char path[] = "/tmp/demi-test-XXXXXX";
    int qd, cancelled = 0;
    demi_qtoken_t qts[200];
    demi_qresult_t qr[200];
    close(mkstemp(path));
    assert_int_equal(demi_open(&qd, path, O_RDWR, 0600), 0);
    for (int i = 0; i < 200; i++) qts[i] = pop(qd);
    demi_close(qd);
    assert_int_equal(demi_wait_all(qr, qts, 200, NULL), 0);
    for (int i = 0; i < 200; i++) {
        if (qr[i].qr_opcode == DEMI_OPC_FAILED) cancelled += qr[i].qr_ret == ECANCELED;
        else demi_sgafree(&qr[i].qr_value.sga);
    }
    assert_true(cancelled > 0);
    unlink(path);
}

static void test_files_beyond_the_helpers_share_them(void **state)
{
    char path[] = "/tmp/demi-test-XXXXXX";
    int qds[10];
    off_t at;
    close(mkstemp(path));
    for (int i = 0; i < 10; i++) assert_int_equal(demi_open(&qds[i], path, O_RDWR, 0600), 0);
    for (int i = 0; i < 10; i++) finish(push_text(qds[i], "same"));
    assert_int_equal(demi_lseek(qds[9], 0, SEEK_END, &at), 0);
    assert_int_equal(at, 4);
    assert_int_equal(demi_lseek(qds[9], -5, SEEK_END, &at), EINVAL);
    for (int i = 0; i < 10; i++) demi_close(qds[i]);
    unlink(path);
}

/* --- start --- */

static void test_start_refuses_what_is_not_there(void **state)
{
    assert_int_equal(demi_init_with(NULL, NULL), EEXIST);
    demi_exit();
    assert_int_equal(demi_exit(), ENOSYS);
    assert_int_equal(demi_init_with("nonesuch", NULL), ENOTSUP);
    assert_int_equal(demi_init_with("posix", "/nonexistent.yaml"), ENOENT);
    assert_int_equal(demi_init_with("catnap", NULL), 0);
    assert_string_equal(demi_libos_name(), "posix");
    assert_int_equal(demi_set_option("spin-us", "abc"), EINVAL);
    assert_int_equal(demi_set_option("spin-us", "20"), 0);
    assert_int_equal(demi_set_option("no-such-knob", "1"), ENOPROTOOPT);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_numbers_that_are_no_tokens_are_refused),
        T(test_token_is_gone_once_waited_for),
        T(test_timeout_leaves_the_token),
        T(test_words_of_a_whole_batch_can_be_read),
        T(test_wait_any_tells_which),
        T(test_wait_any_stops_at_an_unknown_token),
        T(test_wait_next_n_fills_the_array_or_times_out_with_what_there_is),
        T(test_wait_all_leaves_tokens_on_timeout),
        T(test_tokens_of_another_thread_are_refused),
        T(test_queue_gives_arrays_whole_and_in_order),
        T(test_pipe_ends_when_its_other_end_closes),
        T(test_pushed_object_survives_being_freed),
        T(test_timers_fire_in_order_and_not_early),
        T(test_cancelled_timer_never_fires),
        T(test_task_waits_without_holding_up_the_thread),
        T(test_tasks_take_turns),
        T(test_wait_of_a_task_times_out),
        T(test_a_pipe_is_found_by_its_name),
        T(test_timedwait_waits_until_a_moment),
        T(test_a_tasks_tokens_are_the_tasks),
        T(test_what_a_task_left_is_never_that_of_a_later_task),
        T(test_batches_of_a_task_leave_claimed_tokens_alone),
        T(test_another_thread_rings),
        T(test_rings_before_a_wait_are_remembered_as_one),
        T(test_file_reads_what_was_written),
        T(test_log_is_read_while_it_is_appended_to),
        T(test_closed_file_still_gets_its_writes),
        T(test_full_disk_fails_the_push),
        T(test_closing_a_file_ends_who_waits_on_it),
        T(test_files_beyond_the_helpers_share_them),
        T(test_start_refuses_what_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
