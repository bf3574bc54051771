/* SPDX-License-Identifier: MIT
 *
 * UDP: one push is one datagram is one pop, with its sender's address.
 */
#include "tests/demi/demi_test.h"

static demi_qtoken_t pushto_pattern(int qd, const struct sockaddr_in *to, size_t size, unsigned seed)
{
    demi_qtoken_t qt;
    demi_sgarray_t sga = sga_pattern(size, seed);
    OK(demi_pushto(&qt, qd, &sga, (const struct sockaddr *)to, sizeof *to));
    OK(demi_sgafree(&sga));
    return qt;
}

static void test_a_datagram_arrives_whole_with_its_sender(void **state)
{
    static const size_t sizes[] = {1, 64, 1400, 9000, 65507};
    struct sockaddr_in a_addr, b_addr;
    int a = socket_bound(SOCK_DGRAM, &a_addr), b = socket_bound(SOCK_DGRAM, &b_addr);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        demi_qtoken_t pop;
        demi_qresult_t qr = wait_ok(pushto_pattern(a, &b_addr, sizes[i], i), DEMI_OPC_PUSH);
        assert_int_equal(qr.qr_qd, a);
        OK(demi_pop(&pop, b));
        qr = wait_ok(pop, DEMI_OPC_POP);
        demi_sgarray_t *sga = &qr.qr_value.sga;
        assert_int_equal(sga->sga_numsegs, 1);
        assert_int_equal(sga->sga_segs[0].sgaseg_len, sizes[i]);
        bytes_check(sga->sga_segs[0].sgaseg_buf, sizes[i], i);
        assert_memory_equal(&sga->sga_addr, &a_addr, 8);
        OK(demi_sgafree(sga));
    }
    OK(demi_close(a));
    OK(demi_close(b));
}

static void test_datagrams_are_not_joined(void **state)
{
    struct sockaddr_in a_addr, b_addr;
    int a = socket_bound(SOCK_DGRAM, &a_addr), b = socket_bound(SOCK_DGRAM, &b_addr);
    for (unsigned i = 0; i < 10; i++) wait_ok(pushto_pattern(a, &b_addr, 10 + i, i), DEMI_OPC_PUSH);
    for (unsigned i = 0; i < 10; i++) {
        demi_qtoken_t pop;
        OK(demi_pop(&pop, b));
        demi_qresult_t qr = wait_ok(pop, DEMI_OPC_POP);
        assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 10 + i);
        bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 10 + i, i);
        OK(demi_sgafree(&qr.qr_value.sga));
    }
}

static void test_an_unbound_socket_pushes_from_a_port_of_its_own(void **state)
{
    struct sockaddr_in addr, from;
    demi_qtoken_t pop;
    int a = socket_new(SOCK_DGRAM), b = socket_bound(SOCK_DGRAM, &addr);
    wait_ok(pushto_pattern(a, &addr, 5, 1), DEMI_OPC_PUSH);
    OK(demi_pop(&pop, b));
    demi_qresult_t qr = wait_ok(pop, DEMI_OPC_POP);
    from = qr.qr_value.sga.sga_addr;
    assert_int_not_equal(from.sin_port, 0);
    OK(demi_sgafree(&qr.qr_value.sga));
    wait_ok(pushto_pattern(b, &from, 6, 2), DEMI_OPC_PUSH); /* and can be answered */
    OK(demi_pop(&pop, a));
    qr = wait_ok(pop, DEMI_OPC_POP);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 6);
    OK(demi_sgafree(&qr.qr_value.sga));
}

static void test_a_pop_on_an_unbound_socket_is_edestaddrreq(void **state)
{
    demi_qtoken_t qt;
    FAILS(EDESTADDRREQ, demi_pop(&qt, socket_new(SOCK_DGRAM)));
}

static void test_a_push_without_an_address_is_refused(void **state)
{
    struct sockaddr_in addr;
    demi_sgarray_t sga = sga_pattern(8, 0);
    demi_qtoken_t qt;
    int qd = socket_bound(SOCK_DGRAM, &addr);
    int error = demi_push(&qt, qd, &sga);
    assert_true(error == ENOTCONN || error == EDESTADDRREQ);
    FAILS(EINVAL, demi_pushto(&qt, qd, &sga, (struct sockaddr *)&addr, 3));
    FAILS(EINVAL, demi_pushto(&qt, qd, &sga, NULL, sizeof addr));
    OK(demi_sgafree(&sga));
}

static void test_a_connected_socket_pushes_without_an_address(void **state)
{
    struct sockaddr_in a_addr, b_addr;
    demi_qtoken_t qt;
    int a = socket_bound(SOCK_DGRAM, &a_addr), b = socket_bound(SOCK_DGRAM, &b_addr);
    OK(demi_connect(&qt, a, ADDR(&b_addr)));
    wait_ok(qt, DEMI_OPC_CONNECT);
    wait_ok(push_pattern(a, 20, 3), DEMI_OPC_PUSH);
    OK(demi_pop(&qt, b));
    demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
    bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 20, 3);
    OK(demi_sgafree(&qr.qr_value.sga));
}

static void test_a_datagram_nothing_can_carry_fails(void **state)
{
    struct sockaddr_in addr;
    demi_qtoken_t qt;
    int qd = socket_bound(SOCK_DGRAM, &addr);
    demi_sgarray_t sga = sga_pattern(65535, 0);
    int error = demi_pushto(&qt, qd, &sga, ADDR(&addr));
    if (error == 0) error = wait_failed(qt);
    assert_int_equal(error, EMSGSIZE);
    OK(demi_sgafree(&sga));
}

static void test_close_cancels_outstanding_pops(void **state)
{
    struct sockaddr_in addr;
    demi_qtoken_t pops[3];
    int qd = socket_bound(SOCK_DGRAM, &addr);
    for (int i = 0; i < 3; i++) OK(demi_pop(&pops[i], qd));
    OK(demi_close(qd));
    for (int i = 0; i < 3; i++) assert_int_equal(wait_failed(pops[i]), ECANCELED);
    FAILS(EBADF, demi_close(qd));
}

/* Both kinds of sockets have their operations from one table: what a stream left in one is nothing to a datagram. */
static void test_datagrams_go_out_between_streams(void **state)
{
    enum { COUNT = 16 };
    struct pair p = pair_new();
    struct sockaddr_in a_addr, b_addr;
    demi_qtoken_t pushes[COUNT], pop;
    int a = socket_bound(SOCK_DGRAM, &a_addr), b = socket_bound(SOCK_DGRAM, &b_addr);
    for (int turn = 0; turn < 2; turn++) { /* their order is turned round */
        for (unsigned i = 0; i < COUNT; i++) pushes[i] = push_pattern(p.client, 10, i);
        for (unsigned i = 0; i < COUNT; i++) wait_ok(pushes[turn ? i : COUNT - 1 - i], DEMI_OPC_PUSH);
        for (unsigned i = 0; i < COUNT; i++) pushes[i] = pushto_pattern(a, &b_addr, 10 + i, i);
        for (unsigned i = 0; i < COUNT; i++) wait_ok(pushes[i], DEMI_OPC_PUSH);
    }
    OK(demi_pop(&pop, b));
    demi_qresult_t qr = wait_ok(pop, DEMI_OPC_POP);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 10);
    OK(demi_sgafree(&qr.qr_value.sga));
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_a_datagram_arrives_whole_with_its_sender),
        demi_unit_test(test_datagrams_are_not_joined),
        demi_unit_test(test_an_unbound_socket_pushes_from_a_port_of_its_own),
        demi_unit_test(test_a_pop_on_an_unbound_socket_is_edestaddrreq),
        demi_unit_test(test_a_push_without_an_address_is_refused),
        demi_unit_test(test_a_connected_socket_pushes_without_an_address),
        demi_unit_test(test_a_datagram_nothing_can_carry_fails),
        demi_unit_test(test_datagrams_go_out_between_streams),
        demi_unit_test(test_close_cancels_outstanding_pops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
