/* SPDX-License-Identifier: MIT
 *
 * Push, pop and close on TCP connections.
 */
#include "tests/demi/demi_test.h"

#include <sys/uio.h>

static void test_what_is_pushed_is_popped(void **state)
{
    static const size_t sizes[] = {1, 2, 64, 1024, 1460, 4096, 16384, 65535};
    struct pair p = pair_new();
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        demi_qtoken_t there = push_pattern(p.client, sizes[i], i);
        pop_pattern(p.server, sizes[i], i);
        demi_qtoken_t back = push_pattern(p.server, sizes[i], i + 100);
        pop_pattern(p.client, sizes[i], i + 100);
        demi_qresult_t qr = wait_ok(there, DEMI_OPC_PUSH);
        assert_int_equal(qr.qr_qd, p.client);
        assert_int_equal(qr.qr_ret, 0);
        wait_ok(back, DEMI_OPC_PUSH);
    }
    pair_close(&p);
}

static void test_a_pop_may_come_before_the_push(void **state)
{
    struct pair p = pair_new();
    demi_qresult_t qr;
    demi_qtoken_t pop;
    OK(demi_pop(&pop, p.server));
    FAILS(ETIMEDOUT, demi_wait(&qr, pop, &now));
    wait_ok(push_pattern(p.client, 10, 5), DEMI_OPC_PUSH);
    qr = wait_ok(pop, DEMI_OPC_POP);
    assert_int_equal(qr.qr_qd, p.server);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 10);
    bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 10, 5);
    OK(demi_sgafree(&qr.qr_value.sga));
    pair_close(&p);
}

static void test_a_popped_array_can_be_pushed(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t pop, push;
    push_pattern(p.client, 1000, 3);
    for (size_t got = 0; got < 1000;) {
        OK(demi_pop(&pop, p.server));
        demi_qresult_t qr = wait_ok(pop, DEMI_OPC_POP);
        got += qr.qr_value.sga.sga_segs[0].sgaseg_len;
        OK(demi_push(&push, p.server, &qr.qr_value.sga));
        OK(demi_sgafree(&qr.qr_value.sga));
    }
    pop_pattern(p.client, 1000, 3);
    pair_close(&p);
}

static void test_outstanding_pops_are_served_in_order(void **state)
{
    enum { COUNT = 4 };
    struct pair p = pair_new();
    demi_qtoken_t pops[COUNT];
    for (int i = 0; i < COUNT; i++) OK(demi_pop(&pops[i], p.server));
    for (unsigned i = 0; i < COUNT; i++) {
        wait_ok(push_pattern(p.client, 16, i), DEMI_OPC_PUSH);
        demi_qresult_t qr = wait_ok(pops[i], DEMI_OPC_POP);
        bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 16, i);
        OK(demi_sgafree(&qr.qr_value.sga));
    }
    pair_close(&p);
}

static void test_an_array_may_be_trimmed_before_its_push(void **state)
{
    struct pair p = pair_new();
    demi_sgarray_t sga = sga_pattern(100, 0);
    demi_qtoken_t qt;
    sga.sga_segs[0].sgaseg_buf = (char *)sga.sga_segs[0].sgaseg_buf + 10;
    sga.sga_segs[0].sgaseg_len = 50;
    OK(demi_push(&qt, p.client, &sga));
    OK(demi_sgafree(&sga));
    pop_pattern(p.server, 50, 10);
    wait_ok(qt, DEMI_OPC_PUSH);
    pair_close(&p);
}

static void test_arrays_that_cannot_be_pushed_are_einval(void **state)
{
    struct pair p = pair_new();
    demi_sgarray_t sga = sga_pattern(100, 0), wrong = sga;
    demi_qtoken_t qt;
    wrong.sga_numsegs = 0;
    FAILS(EINVAL, demi_push(&qt, p.client, &wrong));
    wrong.sga_numsegs = 2;
    FAILS(EINVAL, demi_push(&qt, p.client, &wrong));
    wrong = sga;
    wrong.sga_buf = NULL;
    FAILS(EINVAL, demi_push(&qt, p.client, &wrong));
    wrong = sga;
    wrong.sga_segs[0].sgaseg_len = 0;
    FAILS(EINVAL, demi_push(&qt, p.client, &wrong));
    wrong = sga;
    wrong.sga_segs[0].sgaseg_buf = (char *)sga.sga_segs[0].sgaseg_buf - 1;
    FAILS(EINVAL, demi_push(&qt, p.client, &wrong));
    wrong = sga;
    wrong.sga_segs[0].sgaseg_len = 1u << 20;
    FAILS(EINVAL, demi_push(&qt, p.client, &wrong));
    wrong = sga;
    wrong.sga_segs[0].sgaseg_buf = (char *)sga.sga_segs[0].sgaseg_buf + (1u << 20);
    FAILS(EINVAL, demi_push(&qt, p.client, &wrong));
    OK(demi_push(&qt, p.client, &sga));
    OK(demi_sgafree(&sga));
    pop_pattern(p.server, 100, 0);
    pair_close(&p);
}

static void test_unconnected_sockets_are_enotconn(void **state)
{
    struct sockaddr_in addr;
    demi_sgarray_t sga = sga_pattern(8, 0);
    demi_qtoken_t qt;
    const int fresh = socket_new(SOCK_STREAM), bound = socket_bound(SOCK_STREAM, &addr);
    FAILS(ENOTCONN, demi_push(&qt, fresh, &sga));
    FAILS(ENOTCONN, demi_pop(&qt, fresh));
    FAILS(ENOTCONN, demi_push(&qt, bound, &sga));
    FAILS(ENOTCONN, demi_pop(&qt, bound));
    assert_int_not_equal(demi_pushto(&qt, fresh, &sga, ADDR(&addr)), 0);
    OK(demi_sgafree(&sga));
}

static void test_close_is_the_end_of_the_peers_stream(void **state)
{
    struct pair p = pair_new();
    push_pattern(p.client, 3000, 9);
    OK(demi_close(p.client));
    pop_pattern(p.server, 3000, 9);
    pop_end(p.server);
    pop_end(p.server); /* and it stays the end */
    OK(demi_close(p.server));
    OK(demi_close(p.listener));
}

static void test_close_cancels_what_is_outstanding(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t pops[3];
    for (int i = 0; i < 3; i++) OK(demi_pop(&pops[i], p.client));
    OK(demi_close(p.client));
    for (int i = 0; i < 3; i++) {
        demi_qresult_t qr = wait_ok(pops[i], DEMI_OPC_FAILED);
        assert_int_equal(qr.qr_ret, ECANCELED);
        assert_int_equal(qr.qr_qd, p.client);
    }
    FAILS(EBADF, demi_close(p.client));
}

static void test_a_result_outlives_its_queue(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t pop, seen;
    OK(demi_pop(&pop, p.server));
    OK(demi_pop(&seen, p.server));
    push_pattern(p.client, 10, 1);
    demi_qresult_t qr;
    OK(demi_close(p.client));
    qr = wait_ok(seen, DEMI_OPC_POP); /* the end of the stream; so the ten bytes have been popped as well */
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 0);
    OK(demi_sgafree(&qr.qr_value.sga));
    OK(demi_close(p.server));
    qr = wait_ok(pop, DEMI_OPC_POP);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 10);
    bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 10, 1);
    OK(demi_sgafree(&qr.qr_value.sga));
}

static void test_a_reset_fails_the_pop(void **state)
{
    struct linger hard = {1, 0};
    struct pair p = pair_new();
    demi_qtoken_t pop;
    OK(demi_pop(&pop, p.server));
    OK(demi_setsockopt(p.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    OK(demi_close(p.client));
    assert_int_equal(wait_failed(pop), ECONNRESET);
    OK(demi_close(p.server));
}

static void test_a_push_to_a_peer_that_is_gone_fails_and_kills_nobody(void **state)
{
    struct linger hard = {1, 0};
    struct pair p = pair_new();
    demi_qtoken_t pop, qt;
    OK(demi_pop(&pop, p.server));
    OK(demi_setsockopt(p.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    OK(demi_close(p.client));
    wait_failed(pop);
    demi_sgarray_t sga = sga_pattern(8, 0);
    int error = demi_push(&qt, p.server, &sga); /* no SIGPIPE */
    if (error == 0) error = wait_failed(qt);
    assert_true(error == ECONNRESET || error == EPIPE || error == ENOTCONN);
    OK(demi_sgafree(&sga));
    OK(demi_close(p.server));
}

static void test_shutdown_sends_what_was_pushed_and_then_the_end(void **state)
{
    struct pair p = pair_new();
    push_pattern(p.client, 5000, 2);
    OK(demi_shutdown(p.client, SHUT_WR));
    pop_pattern(p.server, 5000, 2);
    pop_end(p.server);
    push_pattern(p.server, 100, 4); /* the other direction is still open */
    pop_pattern(p.client, 100, 4);
    demi_sgarray_t sga = sga_pattern(8, 0);
    demi_qtoken_t qt;
    int error = demi_push(&qt, p.client, &sga);
    assert_int_equal(error ? error : wait_failed(qt), EPIPE);
    OK(demi_sgafree(&sga));
    FAILS(EINVAL, demi_shutdown(p.client, 99));
    pair_close(&p);
}

static void test_many_pushes_arrive_in_order(void **state)
{
    enum { COUNT = 400, SIZE = 10007 }; /* 4 MB: more than the kernel's buffers hold */
    struct pair p = pair_new();
    static demi_qtoken_t pushes[COUNT];
    unsigned next = 0, pushed = 0;
    size_t got = 0;
    while (got < (size_t)COUNT * SIZE) {
        while (pushed < COUNT) { /* until it is told to wait */
            demi_sgarray_t sga = sga_pattern(SIZE, pushed * SIZE % 251);
            int error = demi_push(&pushes[pushed], p.client, &sga);
            OK(demi_sgafree(&sga));
            if (error == EBUSY) break;
            OK(error);
            pushed++;
        }
        demi_qtoken_t pop;
        OK(demi_pop(&pop, p.server));
        demi_qresult_t qr = wait_ok(pop, DEMI_OPC_POP);
        size_t length = qr.qr_value.sga.sga_segs[0].sgaseg_len;
        assert_true(length > 0);
        bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, length, (unsigned)(got % 251));
        OK(demi_sgafree(&qr.qr_value.sga));
        got += length;
    }
    while (next < COUNT) wait_ok(pushes[next++], DEMI_OPC_PUSH);
    size_t unsent = 1;
    OK(demi_unsent(p.client, &unsent));
    assert_int_equal(unsent, 0);
    pair_close(&p);
}

static void test_a_push_of_several_segments_is_one_stream(void **state)
{
    struct pair p = pair_new();
    char *a = demi_malloc(1000), *b = demi_malloc(20000);
    demi_sgarray_t c = sga_pattern(300, 21000);
    for (unsigned i = 0; i < 21000; i++) *(i < 1000 ? &a[i] : &b[i - 1000]) = (char)(i % 251);
    struct iovec iov[] = {{a, 1000}, {b, 20000}, {c.sga_segs[0].sgaseg_buf, 300}};
    demi_qtoken_t qt;
    FAILS(EINVAL, demi_pushv(&qt, p.client, iov, 0, 0));
    FAILS(EINVAL, demi_pushv(&qt, p.client, iov, DEMI_PUSHV_MAX + 1, 0));
    FAILS(EINVAL, demi_pushv(&qt, p.client, NULL, 1, 0));
    OK(demi_pushv(&qt, p.client, iov, 3, 0));
    demi_free(a); /* at once */
    demi_free(b);
    OK(demi_sgafree(&c));
    pop_pattern(p.server, 21300, 0);
    wait_ok(qt, DEMI_OPC_PUSH);

    a = demi_malloc(10);
    memset(a, 0, 10);
    struct iovec one = {a, 10};
    OK(demi_pushv(&qt, p.client, &one, 1, DEMI_PUSH_NO_TOKEN));
    assert_true(qt == 0);
    OK(demi_pop(&qt, p.server));
    demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 10);
    OK(demi_sgafree(&qr.qr_value.sga));
    OK(demi_pushv(&qt, p.client, &one, 1, DEMI_PUSH_HANDED_OVER));
    wait_ok(qt, DEMI_OPC_PUSH);
    demi_free(a);
    pair_close(&p);
}

static void test_a_closed_queue_leaves_no_memory_in_use(void **state)
{
    struct pair warm = pair_new();
    pair_close(&warm);
    if (!test_is_kernel()) skip(); /* what TIME-WAIT remembers of each connection is ours to keep */
    size_t before = demi_mem_used();
    for (unsigned i = 0; i < 50; i++) {
        struct pair p = pair_new();
        demi_qtoken_t push = push_pattern(p.client, 5000, i), pop;
        pop_pattern(p.server, 5000, i);
        wait_ok(push, DEMI_OPC_PUSH);
        OK(demi_pop(&pop, p.server));
        pair_close(&p);
        assert_int_equal(wait_ok(pop, DEMI_OPC_FAILED).qr_ret, ECANCELED);
    }
    assert_int_equal(demi_mem_used(), before);
}

static void test_pushto_on_a_connected_stream_goes_to_its_peer(void **state)
{
    struct pair p = pair_new();
    struct sockaddr_in elsewhere = loopback(1);
    int fresh = socket_new(SOCK_STREAM);
    demi_sgarray_t sga = sga_pattern(500, 4);
    demi_qtoken_t qt;
    OK(demi_pushto(&qt, p.client, &sga, ADDR(&p.addr)));
    wait_ok(qt, DEMI_OPC_PUSH);
    pop_pattern(p.server, 500, 4);
    OK(demi_pushto(&qt, p.client, &sga, ADDR(&elsewhere))); /* as sendto(2): a connection has one peer */
    wait_ok(qt, DEMI_OPC_PUSH);
    pop_pattern(p.server, 500, 4);
    FAILS(ENOTCONN, demi_pushto(&qt, fresh, &sga, ADDR(&p.addr)));
    FAILS(EINVAL, demi_pushto(&qt, p.client, &sga, NULL, 0));
    OK(demi_sgafree(&sga));
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_pushto_on_a_connected_stream_goes_to_its_peer),
        demi_unit_test(test_what_is_pushed_is_popped),
        demi_unit_test(test_a_pop_may_come_before_the_push),
        demi_unit_test(test_a_popped_array_can_be_pushed),
        demi_unit_test(test_outstanding_pops_are_served_in_order),
        demi_unit_test(test_an_array_may_be_trimmed_before_its_push),
        demi_unit_test(test_arrays_that_cannot_be_pushed_are_einval),
        demi_unit_test(test_unconnected_sockets_are_enotconn),
        demi_unit_test(test_close_is_the_end_of_the_peers_stream),
        demi_unit_test(test_close_cancels_what_is_outstanding),
        demi_unit_test(test_a_result_outlives_its_queue),
        demi_unit_test(test_a_reset_fails_the_pop),
        demi_unit_test(test_a_push_to_a_peer_that_is_gone_fails_and_kills_nobody),
        demi_unit_test(test_shutdown_sends_what_was_pushed_and_then_the_end),
        demi_unit_test(test_many_pushes_arrive_in_order),
        demi_unit_test(test_a_push_of_several_segments_is_one_stream),
        demi_unit_test(test_a_closed_queue_leaves_no_memory_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
