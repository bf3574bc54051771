/* SPDX-License-Identifier: MIT
 *
 * Waiting: each completion is delivered once, to one wait. Memory queues stand for any device here: a push on one
 * completes at once, a pop when something was pushed.
 */
#include "tests/demi/demi_test.h"

static const demi_qtoken_t strangers[] = {0, UINT64_MAX, 1, UINT64_C(0x0101010101010101), UINT64_C(0x8000000000000000)};
#define STRANGERS (int)(sizeof strangers / sizeof *strangers)

static int queue_new(void)
{
    int qd;
    OK(demi_queue(&qd));
    return qd;
}

static demi_qtoken_t pop_new(int qd)
{
    demi_qtoken_t qt;
    OK(demi_pop(&qt, qd));
    return qt;
}

/* A token whose operation has completed and was not waited for. */
static demi_qtoken_t done_new(int qd)
{
    demi_qtoken_t done = push_pattern(qd, 8, 0);
    wait_ok(push_pattern(qd, 8, 0), DEMI_OPC_PUSH); /* a queue works in order */
    return done;
}

/* --- demi_wait ---------------------------------------------------------------------------------------- */

static void test_unknown_tokens_are_einval(void **state)
{
    demi_qresult_t qr;
    for (int i = 0; i < STRANGERS; i++) {
        int offset;
        FAILS(EINVAL, demi_wait(&qr, strangers[i], NULL));
        FAILS(EINVAL, demi_wait(&qr, strangers[i], &now));
        FAILS(EINVAL, demi_wait_any(&qr, &offset, &strangers[i], 1, NULL));
        FAILS(EINVAL, demi_wait_all(&qr, &strangers[i], 1, NULL));
        FAILS(EINVAL, demi_cancel(strangers[i]));
        FAILS(EINVAL, demi_set_data(strangers[i], &qr));
    }
}

static void test_null_and_empty_arguments_are_einval(void **state)
{
    demi_qresult_t qr;
    demi_qtoken_t qt = pop_new(queue_new());
    int offset, count;
    FAILS(EINVAL, demi_wait(NULL, qt, &now));
    FAILS(EINVAL, demi_wait_any(NULL, &offset, &qt, 1, &now));
    FAILS(EINVAL, demi_wait_any(&qr, NULL, &qt, 1, &now));
    FAILS(EINVAL, demi_wait_any(&qr, &offset, NULL, 1, &now));
    FAILS(EINVAL, demi_wait_any(&qr, &offset, &qt, -1, &now));
    FAILS(EINVAL, demi_wait_any(NULL, NULL, NULL, -1, NULL));
    FAILS(EINVAL, demi_wait_next_n(NULL, 1, &count, &now));
    FAILS(EINVAL, demi_wait_next_n(&qr, 1, NULL, &now));
    FAILS(EINVAL, demi_wait_next_n(&qr, 0, &count, &now));
    FAILS(EINVAL, demi_wait_next_n(&qr, -1, &count, &now));
    FAILS(EINVAL, demi_wait_batch(NULL, 1, &count, &now));
    FAILS(EINVAL, demi_wait_batch(&qr, 1, NULL, &now));
    FAILS(EINVAL, demi_wait_batch(&qr, 0, &count, &now));
    FAILS(EINVAL, demi_wait_all(NULL, &qt, 1, &now));
    FAILS(EINVAL, demi_wait_all(&qr, NULL, 1, &now));
    FAILS(EINVAL, demi_wait_all(&qr, &qt, -1, &now));
    FAILS(ETIMEDOUT, demi_wait(&qr, qt, &now)); /* none of that used the token up */
}

static void test_impossible_timeouts_are_einval(void **state)
{
    static const struct timespec wrong[] = {{-1, 0}, {0, -1}, {0, 1000000000}};
    demi_qresult_t qr;
    demi_qtoken_t qt = pop_new(queue_new());
    for (int i = 0; i < 3; i++) FAILS(EINVAL, demi_wait(&qr, qt, &wrong[i]));
}

static void test_a_timeout_leaves_the_token_valid(void **state)
{
    static const struct timespec short_while = {0, 1000000};
    int qd = queue_new();
    demi_qtoken_t qt = pop_new(qd);
    demi_qresult_t qr;
    FAILS(ETIMEDOUT, demi_wait(&qr, qt, &now));
    FAILS(ETIMEDOUT, demi_wait(&qr, qt, &short_while));
    push_pattern(qd, 8, 7);
    qr = wait_ok(qt, DEMI_OPC_POP);
    bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 8, 7);
    OK(demi_sgafree(&qr.qr_value.sga));
}

static void test_a_token_is_used_up_by_its_wait(void **state)
{
    demi_qtoken_t qt = push_pattern(queue_new(), 8, 0);
    demi_qresult_t qr = wait_ok(qt, DEMI_OPC_PUSH);
    int offset;
    for (int i = 0; i < 100; i++) { /* nor does it come back when its slot is used again */
        FAILS(EINVAL, demi_wait(&qr, qt, &now));
        FAILS(EINVAL, demi_wait_any(&qr, &offset, &qt, 1, &now));
        FAILS(EINVAL, demi_cancel(qt));
        wait_ok(push_pattern(queue_new(), 8, 0), DEMI_OPC_PUSH);
    }
}

static void test_tokens_can_be_waited_for_in_any_order(void **state)
{
    enum { COUNT = 3000 }; /* more than one chunk of any table */
    static demi_qtoken_t qts[COUNT];
    int qd = queue_new();
    for (int i = 0; i < COUNT; i++) qts[i] = pop_new(qd);
    for (unsigned i = 0; i < COUNT; i++) push_pattern(qd, 4, i);
    for (int i = COUNT - 1; i >= 0; i--) {
        demi_qresult_t qr = wait_ok(qts[i], DEMI_OPC_POP);
        bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 4, (unsigned)i);
        OK(demi_sgafree(&qr.qr_value.sga));
    }
}

/* --- demi_wait_any ------------------------------------------------------------------------------------ */

static void test_wait_any_tells_which(void **state)
{
    int queues[5], offset = -1;
    demi_qtoken_t qts[5];
    demi_qresult_t qr;
    for (int i = 0; i < 5; i++) qts[i] = pop_new(queues[i] = queue_new());
    FAILS(ETIMEDOUT, demi_wait_any(&qr, &offset, qts, 5, &now));
    push_pattern(queues[3], 8, 0);
    OK(demi_wait_any(&qr, &offset, qts, 5, &soon));
    assert_int_equal(offset, 3);
    assert_true(qr.qr_qt == qts[3]);
    assert_int_equal(qr.qr_qd, queues[3]);
    OK(demi_sgafree(&qr.qr_value.sga));
    FAILS(EINVAL, demi_wait_any(&qr, &offset, qts, 5, &now)); /* the array still names the one used up */
    qts[3] = qts[4];
    FAILS(ETIMEDOUT, demi_wait_any(&qr, &offset, qts, 4, &now));
}

static void test_wait_any_takes_the_completed_before_it_meets_the_unknown(void **state)
{
    int offset = -1, qd = queue_new();
    demi_qresult_t qr;
    demi_qtoken_t qts[2] = {done_new(qd), UINT64_MAX};
    OK(demi_wait_any(&qr, &offset, qts, 2, &now));
    assert_int_equal(offset, 0);
    assert_true(qr.qr_qt == qts[0]);
    qts[0] = UINT64_MAX;
    qts[1] = done_new(qd);
    FAILS(EINVAL, demi_wait_any(&qr, &offset, qts, 2, &now));
    wait_ok(qts[1], DEMI_OPC_PUSH); /* which is still there */
}

static void test_what_others_wait_for_is_kept(void **state)
{
    int queues[2] = {queue_new(), queue_new()}, offset;
    demi_qtoken_t a = pop_new(queues[0]), b = pop_new(queues[1]);
    demi_qresult_t qr;
    push_pattern(queues[0], 8, 0);
    push_pattern(queues[1], 8, 1);
    OK(demi_wait_any(&qr, &offset, &b, 1, &soon));
    bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 8, 1);
    OK(demi_sgafree(&qr.qr_value.sga));
    qr = wait_ok(a, DEMI_OPC_POP);
    bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 8, 0);
    OK(demi_sgafree(&qr.qr_value.sga));
}

static void test_a_wait_for_none_lasts_as_long_as_its_timeout(void **state)
{
    const struct timespec ms = {0, 5000000};
    demi_qtoken_t qt, short_one;
    demi_qresult_t qr;
    int offset;
    OK(demi_timer(&qt, 10000000000));
    OK(demi_timer(&short_one, 1000000));
    uint64_t before = demi_clock_ns();
    FAILS(ETIMEDOUT, demi_wait_any(&qr, &offset, &qt, 0, &ms));
    FAILS(ETIMEDOUT, demi_wait_any(&qr, &offset, NULL, 0, &ms));
    assert_true(demi_clock_ns() - before >= 10000000);
    FAILS(ETIMEDOUT, demi_wait_any(&qr, &offset, NULL, 0, &now));
    OK(demi_wait(&qr, short_one, &now)); /* the loop was turned meanwhile, and the result kept */
    OK(demi_wait_all(&qr, NULL, 0, NULL));
    OK(demi_wait_all(NULL, NULL, 0, NULL));
}

/* --- demi_wait_next_n and demi_wait_batch ------------------------------------------------------------- */

static void test_wait_next_n_is_0_only_with_a_full_array(void **state)
{
    demi_qresult_t qrs[4];
    demi_qtoken_t qts[6];
    int count = -1, qd = queue_new();
    FAILS(ETIMEDOUT, demi_wait_next_n(qrs, 4, &count, &now));
    assert_int_equal(count, 0);
    for (unsigned i = 0; i < 6; i++) qts[i] = push_pattern(qd, 8, i);
    OK(demi_wait_next_n(qrs, 4, &count, &soon));
    assert_int_equal(count, 4);
    for (int i = 0; i < 4; i++) assert_true(qrs[i].qr_qt == qts[i]); /* in the order in which they completed */
    FAILS(ETIMEDOUT, demi_wait_next_n(qrs, 4, &count, &now));
    assert_int_equal(count, 2);
    assert_true(qrs[0].qr_qt == qts[4]);
    assert_true(qrs[1].qr_qt == qts[5]);
    FAILS(EINVAL, demi_wait(&qrs[0], qts[5], &now)); /* taken is taken */
}

static void test_wait_batch_returns_with_what_there_is(void **state)
{
    demi_qresult_t qrs[4];
    int count = -1, total = 0, qd = queue_new();
    FAILS(ETIMEDOUT, demi_wait_batch(qrs, 4, &count, &now));
    for (unsigned i = 0; i < 6; i++) push_pattern(qd, 8, i);
    while (total < 6) {
        OK(demi_wait_batch(qrs, 4, &count, NULL));
        assert_in_range(count, 1, 4);
        for (int i = 0; i < count; i++) assert_int_equal(qrs[i].qr_opcode, DEMI_OPC_PUSH);
        total += count;
    }
    assert_int_equal(total, 6);
    FAILS(ETIMEDOUT, demi_wait_batch(qrs, 4, &count, &now));
}

/* --- demi_wait_all ------------------------------------------------------------------------------------ */

static void test_wait_all_keeps_results_and_tokens_together(void **state)
{
    enum { COUNT = 10 };
    demi_qtoken_t qts[COUNT];
    demi_qresult_t qrs[COUNT];
    int queues[COUNT];
    for (int i = 0; i < COUNT; i++) qts[i] = pop_new(queues[i] = queue_new());
    for (unsigned i = COUNT; i-- > 0;) push_pattern(queues[i], 8, i);
    OK(demi_wait_all(qrs, qts, COUNT, &soon));
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(qrs[i].qr_qt == qts[i]);
        assert_int_equal(qrs[i].qr_opcode, DEMI_OPC_POP);
        bytes_check(qrs[i].qr_value.sga.sga_segs[0].sgaseg_buf, 8, i);
        OK(demi_sgafree(&qrs[i].qr_value.sga));
        FAILS(EINVAL, demi_wait(&qrs[i], qts[i], &now));
    }
}

static void test_wait_all_that_times_out_uses_nothing_up(void **state)
{
    int qd = queue_new();
    demi_qtoken_t qts[2] = {done_new(qd), pop_new(queue_new())};
    demi_qresult_t qrs[2];
    FAILS(ETIMEDOUT, demi_wait_all(qrs, qts, 2, &now));
    FAILS(ETIMEDOUT, demi_wait_all(qrs, qts, 2, &now));
    wait_ok(qts[0], DEMI_OPC_PUSH);
    FAILS(EINVAL, demi_wait_all(qrs, qts, 2, &now));
    FAILS(ETIMEDOUT, demi_wait(qrs, qts[1], &now));
}

/* --- demi_cancel and the user's word ------------------------------------------------------------------ */

static void test_a_cancelled_operation_completes_as_failed(void **state)
{
    int qd = queue_new();
    demi_qtoken_t first = pop_new(qd), second = pop_new(qd);
    OK(demi_cancel(first));
    assert_int_equal(wait_failed(first), ECANCELED);
    FAILS(EINVAL, demi_cancel(first));
    push_pattern(qd, 8, 4); /* goes to the pop that is left */
    demi_qresult_t qr = wait_ok(second, DEMI_OPC_POP);
    bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 8, 4);
    OK(demi_sgafree(&qr.qr_value.sga));
}

static void test_cancel_comes_too_late_for_what_has_completed(void **state)
{
    demi_qtoken_t qt = done_new(queue_new());
    OK(demi_cancel(qt));
    wait_ok(qt, DEMI_OPC_PUSH);
}

static void test_every_kind_of_operation_can_be_cancelled(void **state)
{
    struct sockaddr_in tcp, udp;
    struct pair p = pair_new();
    demi_qtoken_t qts[4];
    OK(demi_accept(&qts[0], listener_new(&tcp)));
    OK(demi_pop(&qts[1], p.server));
    OK(demi_pop(&qts[2], socket_bound(SOCK_DGRAM, &udp)));
    OK(demi_timer(&qts[3], UINT64_C(3600000000000)));
    for (int i = 0; i < 4; i++) {
        OK(demi_cancel(qts[i]));
        assert_int_equal(wait_failed(qts[i]), ECANCELED);
    }
    push_pattern(p.client, 8, 1); /* a cancelled pop has taken nothing with it */
    pop_pattern(p.server, 8, 1);
    pair_close(&p);
}

static void test_a_token_carries_the_users_word(void **state)
{
    int a, b, qd = queue_new();
    demi_qtoken_t first = pop_new(qd), second = pop_new(qd), third = pop_new(qd);
    OK(demi_set_data(first, &a));
    OK(demi_set_data(second, &b));
    for (unsigned i = 0; i < 3; i++) wait_ok(push_pattern(qd, 8, i), DEMI_OPC_PUSH);
    demi_qresult_t qr = wait_ok(second, DEMI_OPC_POP);
    assert_ptr_equal(demi_result_data(&qr), &b);
    OK(demi_sgafree(&qr.qr_value.sga));
    qr = wait_ok(first, DEMI_OPC_POP);
    assert_ptr_equal(demi_result_data(&qr), &a);
    OK(demi_sgafree(&qr.qr_value.sga));
    qr = wait_ok(third, DEMI_OPC_POP);
    assert_null(demi_result_data(&qr));
    OK(demi_sgafree(&qr.qr_value.sga));
}

static void test_a_batch_has_a_word_for_each_result(void **state)
{
    enum { COUNT = 40 };
    static int words[COUNT];
    demi_qresult_t qrs[COUNT];
    int count = 0, qd = queue_new();
    demi_qtoken_t qts[COUNT];
    for (unsigned i = 0; i < COUNT; i++) OK(demi_set_data(qts[i] = push_pattern(qd, 8, i), &words[i]));
    OK(demi_wait_next_n(qrs, COUNT, &count, &soon));
    for (int i = 0; i < COUNT; i++) assert_ptr_equal(demi_result_data(&qrs[i]), &words[i]);
}

/* --- timers ------------------------------------------------------------------------------------------- */

static bool heard;

/* Ready all the time. The bound is for the case that nobody ever hears. */
static int64_t task_always_ready(void *arg)
{
    for (int64_t i = 0; i < 100000000 && !heard; i++) demi_yield();
    return heard;
}

static void wait_for_pop(struct pair *p, demi_qtoken_t popped)
{
    demi_qresult_t qr = wait_ok(popped, DEMI_OPC_POP);
    heard = true;
    OK(demi_sgafree(&qr.qr_value.sga));
    pair_close(p);
}

/* What comes in is seen although there is always something else to do. */
static void test_a_task_that_is_always_ready_hides_no_socket(void **state)
{
    demi_qtoken_t popped, task;
    struct pair p = pair_new();
    heard = false;
    OK(demi_pop(&popped, p.server));
    FAILS(ETIMEDOUT, demi_wait(&(demi_qresult_t){0}, popped, &now));
    OK(demi_spawn(&task, task_always_ready, NULL, 0));
    wait_ok(push_pattern(p.client, 100, 1), DEMI_OPC_PUSH);
    wait_for_pop(&p, popped);
    assert_int_equal(wait_ok(task, DEMI_OPC_TASK).qr_ret, 1);
}

/* The same when a result comes in every turn: a wait that always has one never gets to sleep. */
static void test_results_of_every_turn_hide_no_socket(void **state)
{
    demi_qtoken_t popped, wake_qt;
    demi_wake_t *wake;
    demi_qresult_t qr;
    struct pair p = pair_new();
    bool came = false;
    OK(demi_wake_new(&wake));
    OK(demi_pop(&popped, p.server));
    FAILS(ETIMEDOUT, demi_wait(&qr, popped, &now));
    OK(demi_wake_wait(&wake_qt, wake));
    wait_ok(push_pattern(p.client, 100, 1), DEMI_OPC_PUSH);
    for (int i = 0; i < 10000000 && !came; i++) {
        int which;
        demi_wake_ring(wake);
        OK(demi_wait_any(&qr, &which, (demi_qtoken_t[]){popped, wake_qt}, 2, &soon));
        came = which == 0;
        if (!came) OK(demi_wake_wait(&wake_qt, wake));
    }
    assert_true(came);
    OK(demi_sgafree(&qr.qr_value.sga));
    wait_ok(wake_qt, DEMI_OPC_WAKE);
    demi_wake_free(wake);
    pair_close(&p);
}

static void test_timers_complete_in_the_order_of_their_time(void **state)
{
    static const uint64_t ms[] = {30, 10, 20, 0};
    demi_qtoken_t qts[4];
    demi_qresult_t qrs[4];
    int count = 0;
    for (int i = 0; i < 4; i++) OK(demi_timer(&qts[i], ms[i] * 1000000));
    OK(demi_wait_next_n(qrs, 4, &count, &soon));
    assert_true(qrs[0].qr_qt == qts[3]);
    assert_true(qrs[1].qr_qt == qts[1]);
    assert_true(qrs[2].qr_qt == qts[2]);
    assert_true(qrs[3].qr_qt == qts[0]);
    for (int i = 0; i < 4; i++) assert_int_equal(qrs[i].qr_opcode, DEMI_OPC_TIMER);
}

static void test_a_timer_is_never_early(void **state)
{
    demi_qtoken_t qt;
    FAILS(ETIMEDOUT, demi_wait_next_n(&(demi_qresult_t){0}, 1, &(int){0}, &now)); /* a fresh turn */
    uint64_t began = demi_now_ns();
    OK(demi_timer(&qt, 5000000));
    wait_ok(qt, DEMI_OPC_TIMER);
    assert_true(demi_now_ns() >= began + 5000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_unknown_tokens_are_einval),
        demi_unit_test(test_null_and_empty_arguments_are_einval),
        demi_unit_test(test_impossible_timeouts_are_einval),
        demi_unit_test(test_a_timeout_leaves_the_token_valid),
        demi_unit_test(test_a_token_is_used_up_by_its_wait),
        demi_unit_test(test_tokens_can_be_waited_for_in_any_order),
        demi_unit_test(test_wait_any_tells_which),
        demi_unit_test(test_wait_any_takes_the_completed_before_it_meets_the_unknown),
        demi_unit_test(test_what_others_wait_for_is_kept),
        demi_unit_test(test_a_wait_for_none_lasts_as_long_as_its_timeout),
        demi_unit_test(test_wait_next_n_is_0_only_with_a_full_array),
        demi_unit_test(test_wait_batch_returns_with_what_there_is),
        demi_unit_test(test_wait_all_keeps_results_and_tokens_together),
        demi_unit_test(test_wait_all_that_times_out_uses_nothing_up),
        demi_unit_test(test_a_cancelled_operation_completes_as_failed),
        demi_unit_test(test_cancel_comes_too_late_for_what_has_completed),
        demi_unit_test(test_every_kind_of_operation_can_be_cancelled),
        demi_unit_test(test_a_token_carries_the_users_word),
        demi_unit_test(test_a_batch_has_a_word_for_each_result),
        demi_unit_test(test_a_task_that_is_always_ready_hides_no_socket),
        demi_unit_test(test_results_of_every_turn_hide_no_socket),
        demi_unit_test(test_timers_complete_in_the_order_of_their_time),
        demi_unit_test(test_a_timer_is_never_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
