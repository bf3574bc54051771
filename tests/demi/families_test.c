/* SPDX-License-Identifier: MIT
 *
 * Families beyond Demikernel's IPv4: IPv6 and Unix sockets carry the same streams and datagrams, with addresses of
 * their own lengths.
 */
#include "tests/demi/demi_test.h"

#include <stdio.h>
#include <sys/un.h>

/* Connects to a bound listener, talks both ways and sees the end. */
static void check_stream(int domain, int listener, const struct sockaddr *addr, socklen_t size)
{
    demi_qtoken_t accepting, connecting;
    int client;
    OK(demi_listen(listener, 4));
    OK(demi_accept(&accepting, listener));
    OK(demi_socket(&client, domain, SOCK_STREAM, 0));
    OK(demi_connect(&connecting, client, addr, size));
    wait_ok(connecting, DEMI_OPC_CONNECT);
    int server = wait_ok(accepting, DEMI_OPC_ACCEPT).qr_value.ares.qd;
    push_pattern(client, 30000, 1);
    pop_pattern(server, 30000, 1);
    push_pattern(server, 100, 2);
    pop_pattern(client, 100, 2);
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof peer;
    OK(demi_getpeername(client, (struct sockaddr *)&peer, &peer_size));
    assert_int_equal(peer.ss_family, domain);
    assert_true(peer_size <= sizeof peer);
    OK(demi_close(client));
    pop_end(server);
    OK(demi_close(server));
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0;
    if (fd >= 0) close(fd);
    return has;
}

static void test_ipv6_carries_streams(void **state)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t size = sizeof addr;
    int qd;
    if (!has_ipv6()) skip();
    OK(demi_socket(&qd, AF_INET6, SOCK_STREAM, 0));
    FAILS(EINVAL, demi_bind(qd, (struct sockaddr *)&addr, sizeof(struct sockaddr_in)));
    OK(demi_bind(qd, ADDR(&addr)));
    OK(demi_getsockname(qd, (struct sockaddr *)&addr, &size));
    assert_int_equal(size, sizeof addr);
    check_stream(AF_INET6, qd, ADDR(&addr));
    size = sizeof(struct sockaddr_in);
    FAILS(EINVAL, demi_getsockname(qd, (struct sockaddr *)&addr, &size)); /* no room for such an address */
}

static void test_ipv6_carries_datagrams(void **state)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t size = sizeof addr;
    demi_qtoken_t push, pop;
    int a, b;
    if (!has_ipv6()) skip();
    OK(demi_socket(&a, AF_INET6, SOCK_DGRAM, 0));
    OK(demi_socket(&b, AF_INET6, SOCK_DGRAM, 0));
    OK(demi_bind(b, ADDR(&addr)));
    OK(demi_getsockname(b, (struct sockaddr *)&addr, &size));
    demi_sgarray_t sga = sga_pattern(500, 3);
    OK(demi_pushto(&push, a, &sga, ADDR(&addr)));
    OK(demi_sgafree(&sga));
    wait_ok(push, DEMI_OPC_PUSH);
    OK(demi_pop(&pop, b));
    demi_qresult_t qr = wait_ok(pop, DEMI_OPC_POP);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 500);
    bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 500, 3);
    OK(demi_sgafree(&qr.qr_value.sga));
}

static void test_unix_sockets_carry_streams(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int qd, other;
    snprintf(addr.sun_path, sizeof addr.sun_path, "/tmp/demi-unix-%d", (int)getpid());
    unlink(addr.sun_path);
    OK(demi_socket(&qd, AF_UNIX, SOCK_STREAM, 0));
    OK(demi_bind(qd, ADDR(&addr)));
    OK(demi_socket(&other, AF_UNIX, SOCK_STREAM, 0));
    FAILS(EADDRINUSE, demi_bind(other, ADDR(&addr)));
    check_stream(AF_UNIX, qd, ADDR(&addr));
    OK(demi_close(qd));
    unlink(addr.sun_path);
}

static void test_connect_to_a_unix_socket_that_is_not_there_fails(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
    demi_qtoken_t qt;
    int qd;
    OK(demi_socket(&qd, AF_UNIX, SOCK_STREAM, 0));
    int error = demi_connect(&qt, qd, ADDR(&addr));
    assert_int_equal(error ? error : wait_failed(qt), ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_ipv6_carries_streams),
        demi_unit_test(test_ipv6_carries_datagrams),
        demi_unit_test(test_unix_sockets_carry_streams),
        demi_unit_test(test_connect_to_a_unix_socket_that_is_not_there_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
