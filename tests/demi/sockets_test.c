/* SPDX-License-Identifier: MIT
 *
 * The table of control calls: which call on a socket in which state gives which errno. The rows are those that
 * Demikernel's own system tests assert on real devices; where we go beyond it (wildcard addresses, port 0) ours is
 * asserted.
 */
#include "tests/demi/demi_test.h"

#include <stdio.h>
#include <sys/un.h>

/* A kernel listener whose queue is full: whoever connects to it stays connecting. */
struct full_listener {
    int listener, fillers[8];
    struct sockaddr_in addr;
    int shm[9]; /* the same for shared memory, which has Unix sockets behind its addresses (libos/shm/name.h) */
};

static void fill_shm(struct full_listener *f)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int n = snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "demikernel/shm/4/127.0.0.1:%u", ntohs(f->addr.sin_port));
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    for (int i = 0; i < 9; i++) {
        f->shm[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
        if (i) assert_true(connect(f->shm[i], (struct sockaddr *)&un, size) == 0 || errno == EAGAIN);
        else OK(bind(f->shm[i], (struct sockaddr *)&un, size) | listen(f->shm[i], 0));
    }
}

static struct full_listener full_listener_open(void)
{
    struct full_listener f = {.addr = loopback(0)};
    socklen_t size = sizeof f.addr;
    f.listener = socket(AF_INET, SOCK_STREAM, 0);
    OK(bind(f.listener, ADDR(&f.addr)));
    OK(getsockname(f.listener, (struct sockaddr *)&f.addr, &size));
    OK(listen(f.listener, 0));
    for (int i = 0; i < 8; i++) {
        f.fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_true(connect(f.fillers[i], ADDR(&f.addr)) == 0 || errno == EINPROGRESS);
    }
    fill_shm(&f);
    return f;
}

static void full_listener_close(struct full_listener *f)
{
    for (int i = 0; i < 8; i++) close(f->fillers[i]);
    for (int i = 0; i < 9; i++) close(f->shm[i]);
    close(f->listener);
}

static void one_of(int error, int a, int b) { assert_true(error == a || error == b); }

/* --- bind ------------------------------------------------------------------------------------------- */

static void test_bind_takes_wildcard_addresses_and_port_0(void **state)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in addr = {.sin_family = AF_INET}, got;
        socklen_t size = sizeof got;
        int qd = socket_new(types[i]);
        OK(demi_bind(qd, ADDR(&addr)));
        OK(demi_getsockname(qd, (struct sockaddr *)&got, &size));
        assert_int_equal(got.sin_family, AF_INET);
        assert_int_equal(got.sin_addr.s_addr, INADDR_ANY);
        assert_int_not_equal(got.sin_port, 0);
        OK(demi_close(qd));
    }
}

static void test_bind_twice_is_einval(void **state)
{
    struct sockaddr_in addr, other = loopback(0);
    int qd = socket_bound(SOCK_STREAM, &addr);
    FAILS(EINVAL, demi_bind(qd, ADDR(&addr)));
    FAILS(EINVAL, demi_bind(qd, ADDR(&other)));
}

static void test_bind_of_an_address_in_use_is_eaddrinuse(void **state)
{
    struct sockaddr_in addr;
    listener_new(&addr);
    FAILS(EADDRINUSE, demi_bind(socket_new(SOCK_STREAM), ADDR(&addr)));
    socket_bound(SOCK_DGRAM, &addr);
    FAILS(EADDRINUSE, demi_bind(socket_new(SOCK_DGRAM), ADDR(&addr)));
}

static void test_bind_of_a_foreign_address_is_eaddrnotavail(void **state)
{
    struct sockaddr_in addr = loopback(0);
    int qd = socket_new(SOCK_STREAM);
    assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &addr.sin_addr), 1);
    FAILS(EADDRNOTAVAIL, demi_bind(qd, ADDR(&addr)));
    addr = loopback(0);
    OK(demi_bind(qd, ADDR(&addr))); /* the failure left the socket as it was */
}

static void test_a_closed_port_can_be_bound_again(void **state)
{
    struct pair p = pair_new(); /* whose server side closes first: its connection lingers in TIME-WAIT */
    OK(demi_close(p.server));
    pop_end(p.client);
    OK(demi_close(p.client));
    OK(demi_close(p.listener));
    int qd = socket_new(SOCK_STREAM);
    OK(demi_bind(qd, ADDR(&p.addr)));
    OK(demi_listen(qd, 1));
}

/* --- listen ----------------------------------------------------------------------------------------- */

static void test_listen_needs_a_bound_socket(void **state)
{
    FAILS(EDESTADDRREQ, demi_listen(socket_new(SOCK_STREAM), 1));
}

static void test_listen_backlog_is_at_least_1_and_may_be_huge(void **state)
{
    struct sockaddr_in addr;
    int qd = socket_bound(SOCK_STREAM, &addr);
    FAILS(EINVAL, demi_listen(qd, 0));
    FAILS(EINVAL, demi_listen(qd, -1));
    FAILS(EINVAL, demi_listen(qd, INT32_MIN));
    OK(demi_listen(qd, INT32_MAX));
}

static void test_listen_twice_is_eaddrinuse(void **state)
{
    struct sockaddr_in addr;
    demi_qtoken_t qt;
    int qd = listener_new(&addr);
    FAILS(EADDRINUSE, demi_listen(qd, 16));
    OK(demi_accept(&qt, qd));
    FAILS(EADDRINUSE, demi_listen(qd, 16));
}

static void test_listen_is_not_for_datagrams(void **state)
{
    struct sockaddr_in addr;
    assert_int_not_equal(demi_listen(socket_bound(SOCK_DGRAM, &addr), 16), 0);
}

/* --- accept ----------------------------------------------------------------------------------------- */

static void test_accept_needs_a_listening_socket(void **state)
{
    struct sockaddr_in addr;
    demi_qtoken_t qt;
    FAILS(EINVAL, demi_accept(&qt, socket_new(SOCK_STREAM)));
    FAILS(EINVAL, demi_accept(&qt, socket_bound(SOCK_STREAM, &addr)));
    struct pair p = pair_new();
    FAILS(EINVAL, demi_accept(&qt, p.client));
    FAILS(EINVAL, demi_accept(&qt, p.server));
}

static void test_accept_without_a_client_stays_outstanding(void **state)
{
    struct sockaddr_in addr;
    demi_qresult_t qr;
    demi_qtoken_t accepting, connecting;
    int qd = listener_new(&addr), client = socket_new(SOCK_STREAM);
    OK(demi_accept(&accepting, qd));
    for (int i = 0; i < 3; i++) FAILS(ETIMEDOUT, demi_wait(&qr, accepting, &now));
    OK(demi_connect(&connecting, client, ADDR(&addr)));
    wait_ok(connecting, DEMI_OPC_CONNECT);
    wait_ok(accepting, DEMI_OPC_ACCEPT);
}

static void test_accept_tells_who_came(void **state)
{
    struct sockaddr_in addr, local, peer;
    socklen_t size = sizeof local;
    demi_qtoken_t accepting, connecting;
    int qd = listener_new(&addr), client = socket_new(SOCK_STREAM);
    OK(demi_accept(&accepting, qd));
    OK(demi_connect(&connecting, client, ADDR(&addr)));
    demi_qresult_t connected = wait_ok(connecting, DEMI_OPC_CONNECT);
    assert_int_equal(connected.qr_qd, client);
    assert_int_equal(connected.qr_ret, 0);
    demi_qresult_t accepted = wait_ok(accepting, DEMI_OPC_ACCEPT);
    assert_int_equal(accepted.qr_qd, qd);
    assert_int_equal(accepted.qr_ret, 0);
    int server = accepted.qr_value.ares.qd;
    assert_true(server != qd && server != client);

    OK(demi_getsockname(client, (struct sockaddr *)&local, &size));
    assert_memory_equal(&accepted.qr_value.ares.addr, &local, 8);
    OK(demi_getpeername(server, (struct sockaddr *)&peer, &size));
    assert_memory_equal(&peer, &local, 8);
    OK(demi_getpeername(client, (struct sockaddr *)&peer, &size));
    assert_memory_equal(&peer, &addr, 8);
}

static void test_several_accepts_each_get_a_client(void **state)
{
    enum { COUNT = 8 };
    struct sockaddr_in addr;
    demi_qtoken_t accepting[COUNT], connecting[COUNT];
    int qd = listener_new(&addr), seen[COUNT];
    for (int i = 0; i < COUNT; i++) OK(demi_accept(&accepting[i], qd));
    for (int i = 0; i < COUNT; i++) OK(demi_connect(&connecting[i], socket_new(SOCK_STREAM), ADDR(&addr)));
    for (int i = 0; i < COUNT; i++) {
        wait_ok(connecting[i], DEMI_OPC_CONNECT);
        seen[i] = wait_ok(accepting[i], DEMI_OPC_ACCEPT).qr_value.ares.qd;
        for (int j = 0; j < i; j++) assert_int_not_equal(seen[i], seen[j]);
    }
}

static void test_close_ends_outstanding_accepts(void **state)
{
    struct sockaddr_in addr;
    demi_qtoken_t qt[3];
    int qd = listener_new(&addr);
    for (int i = 0; i < 3; i++) OK(demi_accept(&qt[i], qd));
    OK(demi_close(qd));
    for (int i = 0; i < 3; i++) {
        demi_qresult_t qr = wait_ok(qt[i], DEMI_OPC_FAILED);
        assert_int_equal(qr.qr_ret, ECANCELED);
        assert_int_equal(qr.qr_qd, qd);
    }
}

/* --- connect ---------------------------------------------------------------------------------------- */

static void test_connect_to_a_closed_port_is_a_failed_result(void **state)
{
    struct sockaddr_in addr;
    demi_qtoken_t qt;
    int gone = socket_bound(SOCK_STREAM, &addr); /* bound, and nobody listens */
    int qd = socket_new(SOCK_STREAM);
    OK(demi_connect(&qt, qd, ADDR(&addr)));
    assert_int_equal(wait_failed(qt), ECONNREFUSED);
    OK(demi_close(qd));
    OK(demi_close(gone));
}

static void test_connect_on_a_listening_socket_is_eopnotsupp(void **state)
{
    struct sockaddr_in addr, other;
    demi_qtoken_t qt;
    int qd = listener_new(&addr);
    listener_new(&other);
    FAILS(EOPNOTSUPP, demi_connect(&qt, qd, ADDR(&other)));
    OK(demi_accept(&qt, qd));
    FAILS(EOPNOTSUPP, demi_connect(&qt, qd, ADDR(&other)));
}

static void test_a_connecting_socket_refuses_everything_but_close(void **state)
{
    if (test_is_messages()) skip();
    struct full_listener full = full_listener_open();
    struct sockaddr_in addr = loopback(0);
    demi_sgarray_t sga = sga_pattern(8, 0);
    demi_qtoken_t connecting, qt;
    demi_qresult_t qr;
    int qd = socket_new(SOCK_STREAM);
    OK(demi_connect(&connecting, qd, ADDR(&full.addr)));
    FAILS(ETIMEDOUT, demi_wait(&qr, connecting, &now));
    FAILS(EINPROGRESS, demi_connect(&qt, qd, ADDR(&full.addr)));
    FAILS(EINVAL, demi_bind(qd, ADDR(&addr)));
    FAILS(EADDRINUSE, demi_listen(qd, 1));
    FAILS(EINVAL, demi_accept(&qt, qd));
    FAILS(ENOTCONN, demi_push(&qt, qd, &sga));
    FAILS(ENOTCONN, demi_pop(&qt, qd));
    OK(demi_close(qd));
    assert_int_equal(wait_failed(connecting), ECANCELED);
    FAILS(EBADF, demi_close(qd));
    OK(demi_sgafree(&sga));
    full_listener_close(&full);
}

static void test_a_connected_socket_refuses_to_be_set_up_again(void **state)
{
    struct pair p = pair_new();
    struct sockaddr_in any = loopback(0);
    demi_qtoken_t qt;
    const int ends[] = {p.client, p.server};
    for (int i = 0; i < 2; i++) {
        FAILS(EISCONN, demi_connect(&qt, ends[i], ADDR(&p.addr)));
        one_of(demi_bind(ends[i], ADDR(&any)), EISCONN, EINVAL);
        one_of(demi_listen(ends[i], 1), EISCONN, EINVAL);
    }
    pair_close(&p);
}

static void test_a_bound_socket_connects_from_its_address(void **state)
{
    struct sockaddr_in addr, mine;
    demi_qtoken_t accepting, connecting;
    int qd = listener_new(&addr), client = socket_bound(SOCK_STREAM, &mine);
    OK(demi_accept(&accepting, qd));
    OK(demi_connect(&connecting, client, ADDR(&addr)));
    wait_ok(connecting, DEMI_OPC_CONNECT);
    demi_qresult_t qr = wait_ok(accepting, DEMI_OPC_ACCEPT);
    assert_memory_equal(&qr.qr_value.ares.addr, &mine, 8);
}

/* --- close ------------------------------------------------------------------------------------------ */

static void test_after_close_every_call_is_ebadf(void **state)
{
    struct sockaddr_in addr = loopback(0);
    demi_sgarray_t sga = sga_pattern(8, 0);
    socklen_t size = sizeof addr;
    demi_qtoken_t qt;
    int qd = socket_new(SOCK_STREAM);
    OK(demi_close(qd));
    FAILS(EBADF, demi_close(qd));
    FAILS(EBADF, demi_bind(qd, ADDR(&addr)));
    FAILS(EBADF, demi_listen(qd, 1));
    FAILS(EBADF, demi_accept(&qt, qd));
    FAILS(EBADF, demi_connect(&qt, qd, ADDR(&addr)));
    FAILS(EBADF, demi_push(&qt, qd, &sga));
    FAILS(EBADF, demi_pop(&qt, qd));
    FAILS(EBADF, demi_getpeername(qd, (struct sockaddr *)&addr, &size));
    OK(demi_sgafree(&sga));
}

static void test_descriptors_are_used_again(void **state)
{
    int first = socket_new(SOCK_STREAM);
    OK(demi_close(first));
    for (int i = 0; i < 20000; i++) { /* far more than a process may have descriptors open */
        int qd = socket_new(i % 2 ? SOCK_STREAM : SOCK_DGRAM);
        assert_in_range(qd, 500, 1000);
        OK(demi_close(qd));
    }
}

/* --- names ------------------------------------------------------------------------------------------ */

static void test_names_need_room_and_a_connection(void **state)
{
    struct sockaddr_in addr;
    socklen_t size = sizeof addr;
    int lone = socket_new(SOCK_STREAM);
    FAILS(ENOTCONN, demi_getpeername(lone, (struct sockaddr *)&addr, &size));
    struct pair p = pair_new();
    FAILS(ENOTCONN, demi_getpeername(p.listener, (struct sockaddr *)&addr, &size));
    size = sizeof addr - 1;
    FAILS(EINVAL, demi_getpeername(p.client, (struct sockaddr *)&addr, &size));
    FAILS(EINVAL, demi_getsockname(p.client, (struct sockaddr *)&addr, &size));
    size = sizeof addr;
    OK(demi_getpeername(p.client, (struct sockaddr *)&addr, &size));
    assert_int_equal(size, sizeof addr);
    pair_close(&p);
}

static void test_a_queue_of_kernel_sockets_has_a_descriptor(void **state)
{
    int type = 0, qd = socket_new(SOCK_STREAM);
    socklen_t size = sizeof type;
    if (!test_is_kernel()) {
        assert_int_equal(demi_queue_fd(qd), -1);
        return;
    }
    int fd = demi_queue_fd(qd);
    OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size));
    assert_int_equal(type, SOCK_STREAM);
    assert_int_equal(demi_queue_fd(-1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_bind_takes_wildcard_addresses_and_port_0),
        demi_unit_test(test_bind_twice_is_einval),
        demi_unit_test(test_bind_of_an_address_in_use_is_eaddrinuse),
        demi_unit_test(test_bind_of_a_foreign_address_is_eaddrnotavail),
        demi_unit_test(test_a_closed_port_can_be_bound_again),
        demi_unit_test(test_listen_needs_a_bound_socket),
        demi_unit_test(test_listen_backlog_is_at_least_1_and_may_be_huge),
        demi_unit_test(test_listen_twice_is_eaddrinuse),
        demi_unit_test(test_listen_is_not_for_datagrams),
        demi_unit_test(test_accept_needs_a_listening_socket),
        demi_unit_test(test_accept_without_a_client_stays_outstanding),
        demi_unit_test(test_accept_tells_who_came),
        demi_unit_test(test_several_accepts_each_get_a_client),
        demi_unit_test(test_close_ends_outstanding_accepts),
        demi_unit_test(test_connect_to_a_closed_port_is_a_failed_result),
        demi_unit_test(test_connect_on_a_listening_socket_is_eopnotsupp),
        demi_unit_test(test_a_connecting_socket_refuses_everything_but_close),
        demi_unit_test(test_a_connected_socket_refuses_to_be_set_up_again),
        demi_unit_test(test_a_bound_socket_connects_from_its_address),
        demi_unit_test(test_after_close_every_call_is_ebadf),
        demi_unit_test(test_descriptors_are_used_again),
        demi_unit_test(test_names_need_room_and_a_connection),
        demi_unit_test(test_a_queue_of_kernel_sockets_has_a_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
