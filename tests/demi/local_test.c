/* SPDX-License-Identifier: MIT
 *
 * What needs no device: queues in memory, pipes, tasks, wake-ups, counters.
 */
#include "tests/demi/demi_test.h"

#include <pthread.h>

/* --- queues ------------------------------------------------------------------------------------------- */

static void test_a_queue_keeps_arrays_whole_and_in_order(void **state)
{
    int qd;
    OK(demi_queue(&qd));
    for (unsigned i = 0; i < 5; i++) wait_ok(push_pattern(qd, 100 + i, i), DEMI_OPC_PUSH);
    for (unsigned i = 0; i < 5; i++) {
        demi_qtoken_t qt;
        OK(demi_pop(&qt, qd));
        demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
        assert_int_equal(qr.qr_qd, qd);
        assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 100 + i);
        bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 100 + i, i);
        OK(demi_sgafree(&qr.qr_value.sga));
    }
    OK(demi_close(qd));
    FAILS(EBADF, demi_close(qd));
}

static void test_closing_a_queue_cancels_its_pops_and_frees_what_it_holds(void **state)
{
    size_t before = demi_mem_used();
    demi_qtoken_t pop;
    int qd;
    OK(demi_queue(&qd));
    OK(demi_pop(&pop, qd));
    OK(demi_close(qd));
    assert_int_equal(wait_failed(pop), ECANCELED);
    OK(demi_queue(&qd));
    wait_ok(push_pattern(qd, 5000, 0), DEMI_OPC_PUSH);
    OK(demi_close(qd));
    assert_int_equal(demi_mem_used(), before);
}

static void test_socket_calls_on_a_queue_are_refused(void **state)
{
    struct sockaddr_in addr = loopback(0);
    socklen_t size = sizeof addr;
    demi_qtoken_t qt;
    int qd;
    OK(demi_queue(&qd));
    assert_int_not_equal(demi_bind(qd, ADDR(&addr)), 0);
    assert_int_not_equal(demi_listen(qd, 1), 0);
    assert_int_not_equal(demi_accept(&qt, qd), 0);
    assert_int_not_equal(demi_connect(&qt, qd, ADDR(&addr)), 0);
    assert_int_not_equal(demi_getpeername(qd, (struct sockaddr *)&addr, &size), 0);
    assert_int_not_equal(demi_lseek(qd, 0, SEEK_SET, &(off_t){0}), 0);
    assert_int_equal(demi_queue_fd(qd), -1);
}

static void test_a_pipe_is_a_stream_with_an_end(void **state)
{
    int ends[2];
    OK(demi_pipe(ends));
    push_pattern(ends[0], 1000, 1);
    pop_pattern(ends[1], 1000, 1);
    push_pattern(ends[1], 200, 2); /* both ways */
    pop_pattern(ends[0], 200, 2);
    push_pattern(ends[0], 10, 3);
    OK(demi_close(ends[0]));
    pop_pattern(ends[1], 10, 3);
    pop_end(ends[1]);
    OK(demi_close(ends[1]));
}

/* --- tasks -------------------------------------------------------------------------------------------- */

static int64_t task_return(void *arg) { return *(int64_t *)arg; }

static void test_a_task_completes_with_its_result(void **state)
{
    static int64_t values[] = {0, 1, -1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < 5; i++) {
        demi_qtoken_t qt;
        OK(demi_spawn(&qt, task_return, &values[i], 0));
        assert_true(wait_ok(qt, DEMI_OPC_TASK).qr_ret == values[i]);
    }
    FAILS(EINVAL, demi_spawn(&(demi_qtoken_t){0}, NULL, NULL, 0));
    FAILS(EINVAL, demi_yield()); /* not a task */
}

struct relay {
    int from, to, rounds;
};

static int64_t task_relay(void *arg)
{
    struct relay *r = arg;
    for (int i = 0; i < r->rounds; i++) {
        demi_qtoken_t qt;
        demi_qresult_t qr;
        if (demi_pop(&qt, r->from) || demi_wait(&qr, qt, NULL) || qr.qr_opcode != DEMI_OPC_POP) return -1;
        int error = demi_push(&qt, r->to, &qr.qr_value.sga);
        demi_sgafree(&qr.qr_value.sga);
        if (error || demi_wait(&qr, qt, NULL) || qr.qr_opcode != DEMI_OPC_PUSH) return -2;
    }
    return r->rounds;
}

static void test_a_wait_inside_a_task_suspends_only_the_task(void **state)
{
    enum { TASKS = 100, ROUNDS = 20 };
    static struct relay relays[TASKS];
    demi_qtoken_t qts[TASKS], pop;
    demi_qresult_t qrs[TASKS], qr;
    int first, next;
    OK(demi_queue(&first));
    next = first;
    for (int i = 0; i < TASKS; i++) { /* a chain: each hands on to the one behind it */
        relays[i].from = next;
        OK(demi_queue(&next));
        relays[i].to = next;
        relays[i].rounds = ROUNDS;
        OK(demi_spawn(&qts[i], task_relay, &relays[i], 0));
    }
    for (unsigned i = 0; i < ROUNDS; i++) push_pattern(first, 16, i);
    for (unsigned i = 0; i < ROUNDS; i++) {
        OK(demi_pop(&pop, next));
        qr = wait_ok(pop, DEMI_OPC_POP);
        bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 16, i);
        OK(demi_sgafree(&qr.qr_value.sga));
    }
    OK(demi_wait_all(qrs, qts, TASKS, &soon));
    for (int i = 0; i < TASKS; i++) assert_int_equal(qrs[i].qr_ret, ROUNDS);
}

static int64_t task_deep(void *arg)
{
    volatile char stack[200 * 1024]; /* deeper than the default */
    for (size_t i = 0; i < sizeof stack; i += 512) stack[i] = (char)i;
    demi_yield();
    int64_t sum = 0;
    for (size_t i = 0; i < sizeof stack; i += 512) sum += stack[i] == (char)i;
    return sum;
}

static void test_a_task_has_the_stack_it_asked_for(void **state)
{
    demi_qtoken_t qt;
    OK(demi_spawn(&qt, task_deep, NULL, 256 * 1024));
    assert_int_equal(wait_ok(qt, DEMI_OPC_TASK).qr_ret, 400);
}

static char order[64];

static int64_t task_write(void *arg)
{
    for (int i = 0; i < 3; i++) {
        strncat(order, arg, 1);
        demi_yield();
    }
    return 0;
}

static void test_yield_lets_the_others_run(void **state)
{
    static char a[] = "a", b[] = "b";
    demi_qtoken_t qts[2];
    demi_qresult_t qrs[2];
    OK(demi_spawn(&qts[0], task_write, a, 0));
    OK(demi_spawn(&qts[1], task_write, b, 0));
    OK(demi_wait_all(qrs, qts, 2, &soon));
    assert_string_equal(order, "ababab");
}

/* --- wake-ups ----------------------------------------------------------------------------------------- */

static void *ring_twice(void *wake)
{
    demi_wake_ring(wake);
    demi_wake_ring(wake);
    return NULL;
}

static void test_another_thread_rings_a_wake_up(void **state)
{
    demi_wake_t *wake;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    pthread_t thread;
    OK(demi_wake_new(&wake));
    OK(demi_wake_wait(&qt, wake));
    FAILS(ETIMEDOUT, demi_wait(&qr, qt, &now));
    OK(pthread_create(&thread, NULL, ring_twice, wake));
    OK(demi_wait(&qr, qt, NULL)); /* sleeping, if it gets so far */
    assert_int_equal(qr.qr_opcode, DEMI_OPC_WAKE);
    OK(pthread_join(thread, NULL));
    demi_wake_free(wake);
}

static void test_rings_that_nobody_waited_for_are_remembered_as_one(void **state)
{
    demi_wake_t *wake;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    OK(demi_wake_new(&wake));
    for (int i = 0; i < 10; i++) demi_wake_ring(wake);
    OK(demi_wake_wait(&qt, wake));
    wait_ok(qt, DEMI_OPC_WAKE);
    OK(demi_wake_wait(&qt, wake));
    FAILS(ETIMEDOUT, demi_wait(&qr, qt, &now));
    demi_wake_ring(wake);
    wait_ok(qt, DEMI_OPC_WAKE);
    demi_wake_free(wake);
}

/* --- seeing inside ------------------------------------------------------------------------------------ */

struct counted {
    unsigned names, unnamed, turns_seen;
};

static void count(void *arg, const char *name, uint64_t value)
{
    struct counted *c = arg;
    c->names++;
    c->unnamed += !strchr(name, '.');
    c->turns_seen += strcmp(name, "libos.turns") == 0 && value > 0;
}

static void test_counters_have_names_and_count(void **state)
{
    struct counted c = {0, 0, 0};
    struct pair p = pair_new();
    wait_ok(push_pattern(p.client, 8, 0), DEMI_OPC_PUSH);
    demi_counters(count, &c);
    assert_true(c.names > 0);
    assert_int_equal(c.unnamed, 0);
    assert_int_equal(c.turns_seen, 1);
    assert_string_equal(demi_version(), "1.1.0");
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_a_queue_keeps_arrays_whole_and_in_order),
        demi_unit_test(test_closing_a_queue_cancels_its_pops_and_frees_what_it_holds),
        demi_unit_test(test_socket_calls_on_a_queue_are_refused),
        demi_unit_test(test_a_pipe_is_a_stream_with_an_end),
        demi_unit_test(test_a_task_completes_with_its_result),
        demi_unit_test(test_a_wait_inside_a_task_suspends_only_the_task),
        demi_unit_test(test_a_task_has_the_stack_it_asked_for),
        demi_unit_test(test_yield_lets_the_others_run),
        demi_unit_test(test_another_thread_rings_a_wake_up),
        demi_unit_test(test_rings_that_nobody_waited_for_are_remembered_as_one),
        demi_unit_test(test_counters_have_names_and_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
