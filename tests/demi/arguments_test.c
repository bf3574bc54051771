/* SPDX-License-Identifier: MIT
 *
 * Wrong arguments: each call refuses them with the errno Demikernel gives, whatever else it is told. Upstream's own
 * programs pass NULL and -1 everywhere.
 */
#include "tests/demi/demi_test.h"

static const int strangers[] = {-1, 0, 499, 12345, INT32_MAX, INT32_MIN};

static void test_null_results_are_refused(void **state)
{
    struct sockaddr_in addr = loopback(1);
    demi_sgarray_t sga = sga_pattern(8, 0);
    int qd = socket_new(SOCK_STREAM);
    FAILS(EINVAL, demi_socket(NULL, AF_INET, SOCK_STREAM, 0));
    FAILS(EINVAL, demi_accept(NULL, qd));
    FAILS(EINVAL, demi_connect(NULL, qd, ADDR(&addr)));
    FAILS(EINVAL, demi_pop(NULL, qd));
    FAILS(EINVAL, demi_push(NULL, qd, &sga));
    FAILS(EINVAL, demi_pushto(NULL, qd, &sga, ADDR(&addr)));
    FAILS(EINVAL, demi_timer(NULL, 0));
    FAILS(EINVAL, demi_queue(NULL));
    FAILS(EINVAL, demi_pipe(NULL));
    OK(demi_sgafree(&sga));
}

static void test_null_inputs_are_refused(void **state)
{
    demi_qtoken_t qt;
    socklen_t size = sizeof(struct sockaddr_in);
    struct sockaddr_in addr;
    struct pair p = pair_new();
    int qd = socket_new(SOCK_STREAM);
    FAILS(EINVAL, demi_bind(qd, NULL, sizeof(struct sockaddr_in)));
    FAILS(EINVAL, demi_connect(&qt, qd, NULL, sizeof(struct sockaddr_in)));
    FAILS(EINVAL, demi_push(&qt, p.client, NULL));
    FAILS(EINVAL, demi_pushto(&qt, qd, NULL, NULL, 0));
    FAILS(EINVAL, demi_getpeername(p.client, NULL, &size));
    FAILS(EINVAL, demi_getpeername(p.client, (struct sockaddr *)&addr, NULL));
    FAILS(EINVAL, demi_getsockname(p.client, NULL, &size));
    FAILS(EINVAL, demi_setsockopt(qd, SOL_SOCKET, SO_LINGER, NULL, sizeof(struct linger)));
    FAILS(EINVAL, demi_getsockopt(qd, SOL_SOCKET, SO_LINGER, NULL, &size));
    FAILS(EINVAL, demi_getsockopt(qd, SOL_SOCKET, SO_LINGER, &addr, NULL));
    FAILS(EINVAL, demi_sgafree(NULL));
    pair_close(&p);
}

static void test_unknown_descriptors_are_ebadf(void **state)
{
    struct sockaddr_in addr = loopback(1);
    struct linger linger = {0, 0};
    socklen_t size = sizeof addr;
    demi_sgarray_t sga = sga_pattern(8, 0);
    demi_qtoken_t qt;
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        int qd = strangers[i];
        FAILS(EBADF, demi_bind(qd, ADDR(&addr)));
        FAILS(EBADF, demi_listen(qd, 1));
        FAILS(EBADF, demi_accept(&qt, qd));
        FAILS(EBADF, demi_connect(&qt, qd, ADDR(&addr)));
        FAILS(EBADF, demi_push(&qt, qd, &sga));
        FAILS(EBADF, demi_pushto(&qt, qd, &sga, ADDR(&addr)));
        FAILS(EBADF, demi_pop(&qt, qd));
        FAILS(EBADF, demi_close(qd));
        FAILS(EBADF, demi_getpeername(qd, (struct sockaddr *)&addr, &size));
        FAILS(EBADF, demi_getsockname(qd, (struct sockaddr *)&addr, &size));
        FAILS(EBADF, demi_setsockopt(qd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
        FAILS(EBADF, demi_getsockopt(qd, SOL_SOCKET, SO_LINGER, &linger, &size));
    }
    OK(demi_sgafree(&sga));
}

static void test_unsupported_domains_and_types_are_enotsup(void **state)
{
    static const int domains[] = {-1, 0, AF_PACKET, AF_NETLINK, AF_VSOCK, 9999};
    static const int types[] = {-1, 0, SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET, 9999};
    int qd;
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++) {
        FAILS(ENOTSUP, demi_socket(&qd, domains[i], SOCK_STREAM, 0));
        FAILS(ENOTSUP, demi_socket(&qd, domains[i], SOCK_DGRAM, 0));
    }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) FAILS(ENOTSUP, demi_socket(&qd, AF_INET, types[i], 0));
}

static void test_errno_is_left_alone(void **state)
{
    int qd;
    errno = 4242;
    FAILS(ENOTSUP, demi_socket(&qd, -1, SOCK_STREAM, 0));
    FAILS(EBADF, demi_close(-1));
    struct pair p = pair_new();
    pair_close(&p);
    assert_int_equal(errno, 4242);
}

static void test_addresses_of_the_wrong_length_are_einval(void **state)
{
    struct sockaddr_in6 addr6 = {.sin6_family = AF_INET6};
    struct sockaddr_in addr = loopback(0);
    demi_qtoken_t qt;
    int qd = socket_new(SOCK_STREAM);
    static const socklen_t sizes[] = {0, 1, 2, 8, 15};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        FAILS(EINVAL, demi_bind(qd, (struct sockaddr *)&addr, sizes[i]));
        FAILS(EINVAL, demi_connect(&qt, qd, (struct sockaddr *)&addr, sizes[i]));
    }
    assert_int_not_equal(demi_bind(qd, ADDR(&addr6)), 0); /* the socket is of the other family */
    OK(demi_bind(qd, ADDR(&addr)));
}

static void test_options_outside_the_set_are_refused(void **state)
{
    int value = 1, qd = socket_new(SOCK_STREAM);
    socklen_t size = sizeof value;
    FAILS(ENOTSUP, demi_setsockopt(qd, 9999, SO_LINGER, &value, sizeof value));
    FAILS(ENOTSUP, demi_getsockopt(qd, 9999, SO_LINGER, &value, &size));
    FAILS(ENOPROTOOPT, demi_setsockopt(qd, SOL_SOCKET, 9999, &value, sizeof value));
    FAILS(ENOPROTOOPT, demi_getsockopt(qd, SOL_SOCKET, 9999, &value, &size));
    FAILS(EINVAL, demi_setsockopt(qd, SOL_SOCKET, SO_LINGER, &value, 1));
}

static void test_linger_is_what_was_set(void **state)
{
    struct linger set = {1, 7}, got = {0, 0};
    socklen_t size = sizeof got;
    int qd = socket_new(SOCK_STREAM);
    OK(demi_setsockopt(qd, SOL_SOCKET, SO_LINGER, &set, sizeof set));
    OK(demi_getsockopt(qd, SOL_SOCKET, SO_LINGER, &got, &size));
    assert_int_equal(size, sizeof got);
    assert_int_equal(got.l_onoff, 1);
    assert_int_equal(got.l_linger, 7);
}

static void test_libos_options_name_their_mistakes(void **state)
{
    FAILS(ENOPROTOOPT, demi_set_option("no-such-knob", "1"));
    FAILS(EINVAL, demi_set_option("spin-us", "many"));
    FAILS(EINVAL, demi_set_option(NULL, "1"));
    FAILS(EINVAL, demi_set_option("spin-us", NULL));
    OK(demi_set_option("spin-us", "0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_null_results_are_refused),
        demi_unit_test(test_null_inputs_are_refused),
        demi_unit_test(test_unknown_descriptors_are_ebadf),
        demi_unit_test(test_unsupported_domains_and_types_are_enotsup),
        demi_unit_test(test_errno_is_left_alone),
        demi_unit_test(test_addresses_of_the_wrong_length_are_einval),
        demi_unit_test(test_options_outside_the_set_are_refused),
        demi_unit_test(test_linger_is_what_was_set),
        demi_unit_test(test_libos_options_name_their_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
