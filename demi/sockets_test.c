/* SPDX-License-Identifier: MIT
 *
 * Sockets end to end on the posix libOS: both ends in one thread, over loopback.
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

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

static const struct timespec poll_once = {0, 0};

static int set_up(void **state)
{
    struct demi_args args = {0};
    unsetenv("LIBOS");
    unsetenv("CONFIG_PATH");
    return demi_init(&args);
}

static int tear_down(void **state) { return demi_exit(); }

static struct sockaddr_in loopback(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static demi_qresult_t finish(demi_qtoken_t qt)
{
    demi_qresult_t qr;
    assert_int_equal(demi_wait(&qr, qt, NULL), 0);
    assert_int_equal(qr.qr_qt, qt);
    return qr;
}

struct pair {
    int listener, client, server;
};

static int listen_on(struct sockaddr_in *addr)
{
    int qd;
    socklen_t len = sizeof *addr;
    assert_int_equal(demi_socket(&qd, AF_INET, SOCK_STREAM, 0), 0);
    assert_int_equal(demi_bind(qd, (struct sockaddr *)addr, sizeof *addr), 0);
    assert_int_equal(demi_listen(qd, 16), 0);
    assert_int_equal(demi_getsockname(qd, (struct sockaddr *)addr, &len), 0);
    return qd;
}

static struct pair tcp_pair(void)
{
    struct sockaddr_in addr = loopback();
    struct pair p = {.listener = listen_on(&addr)};
    demi_qtoken_t accept, connect;
    assert_int_equal(demi_accept(&accept, p.listener), 0);
    assert_int_equal(demi_socket(&p.client, AF_INET, SOCK_STREAM, 0), 0);
    assert_int_equal(demi_connect(&connect, p.client, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(finish(connect).qr_opcode, DEMI_OPC_CONNECT);
    demi_qresult_t qr = finish(accept);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_ACCEPT);
    assert_int_equal(qr.qr_qd, p.listener);
    assert_int_equal(qr.qr_value.ares.addr.sin_family, AF_INET);
    p.server = qr.qr_value.ares.qd;
    return p;
}

static void close_pair(struct pair p)
{
    assert_int_equal(demi_close(p.client), 0);
    assert_int_equal(demi_close(p.server), 0);
    assert_int_equal(demi_close(p.listener), 0);
}

static demi_qtoken_t push_text(int qd, const char *text)
{
    demi_sgarray_t sga = demi_sgaalloc(strlen(text));
    demi_qtoken_t qt;
    memcpy(sga.sga_segs[0].sgaseg_buf, text, strlen(text));
    assert_int_equal(demi_push(&qt, qd, &sga), 0);
    assert_int_equal(demi_sgafree(&sga), 0);
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
    assert_int_equal(demi_sgafree(&qr.qr_value.sga), 0);
}

static void test_bytes_come_back(void **state)
{
    struct pair p = tcp_pair();
    demi_qtoken_t got = pop(p.server);
    assert_int_equal(finish(push_text(p.client, "ping")).qr_opcode, DEMI_OPC_PUSH);
    demi_qresult_t qr = finish(got);
    demi_qtoken_t qt;
    assert_int_equal(demi_push(&qt, p.server, &qr.qr_value.sga), 0);
    demi_sgafree(&qr.qr_value.sga);
    expect_text(finish(pop(p.client)), "ping");
    finish(qt);
    close_pair(p);
}

static void test_pushes_of_a_turn_leave_in_one_call(void **state)
{
    struct pair p = tcp_pair();
    demi_qtoken_t qts[3] = {push_text(p.client, "a"), push_text(p.client, "b"), push_text(p.client, "c")};
    demi_qresult_t qrs[3];
    assert_int_equal(demi_wait_all(qrs, qts, 3, NULL), 0);
    expect_text(finish(pop(p.server)), "abc");
    close_pair(p);
}

static void test_push_without_token_leaves_before_a_wait(void **state)
{
    struct pair p = tcp_pair();
    char *text = demi_malloc(6);
    memcpy(text, "reply!", 6);
    struct iovec iov[2] = {{text, 3}, {text + 3, 3}};
    demi_qtoken_t qt = 99;
    assert_int_equal(demi_pushv(&qt, p.server, iov, 2, DEMI_PUSH_NO_TOKEN), 0);
    demi_free(text);
    assert_int_equal(qt, 0);
    size_t unsent;
    assert_int_equal(demi_unsent(p.server, &unsent), 0);
    assert_int_equal(unsent, 6);
    expect_text(finish(pop(p.client)), "reply!");
    assert_int_equal(demi_unsent(p.server, &unsent), 0);
    assert_int_equal(unsent, 0);
    close_pair(p);
}

struct seen {
    uint64_t rx_calls, rx_empty, tx_calls;
};

static void look(void *arg, const char *name, uint64_t value)
{
    struct seen *seen = arg;
    if (!strcmp(name, "posix.rx_calls")) seen->rx_calls = value;
    if (!strcmp(name, "posix.rx_empty")) seen->rx_empty = value;
    if (!strcmp(name, "posix.tx_calls")) seen->tx_calls = value;
}

static void test_message_costs_one_send_and_one_receive(void **state)
{
    struct pair p = tcp_pair();
    struct seen before, after;
    demi_counters(look, &before);
    for (int i = 0; i < 100; i++) {
        demi_qtoken_t got = pop(p.server);
        finish(push_text(p.client, "request"));
        expect_text(finish(got), "request");
    }
    demi_counters(look, &after);
    assert_int_equal(after.tx_calls - before.tx_calls, 100);
    assert_int_equal(after.rx_calls - before.rx_calls, 100);
    assert_int_equal(after.rx_empty, before.rx_empty);
    close_pair(p);
}

static void test_accepted_streams_do_not_delay_small_writes(void **state)
{
    struct pair p = tcp_pair();
    int on = 0;
    socklen_t len = sizeof on;
    assert_int_equal(demi_getsockopt(p.server, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_equal(on, 1);
    assert_int_equal(demi_getsockopt(p.server, IPPROTO_IP, IP_RECVTTL, &on, &len), ENOPROTOOPT);
    assert_int_equal(demi_getsockopt(p.server, SOL_SOCKET, SO_RCVTIMEO, &on, &len), ENOPROTOOPT);
    close_pair(p);
}

static void test_end_of_stream_is_an_empty_array_again_and_again(void **state)
{
    struct pair p = tcp_pair();
    push_text(p.client, "last");
    assert_int_equal(demi_shutdown(p.client, SHUT_WR), 0);
    expect_text(finish(pop(p.server)), "last");
    for (int i = 0; i < 3; i++) {
        demi_qresult_t qr = finish(pop(p.server));
        assert_int_equal(qr.qr_opcode, DEMI_OPC_POP);
        assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 0);
        demi_sgafree(&qr.qr_value.sga);
    }
    finish(push_text(p.server, "still open"));
    expect_text(finish(pop(p.client)), "still open");
    close_pair(p);
}

static void test_reset_arrives_as_a_failed_result(void **state)
{
    struct pair p = tcp_pair();
    struct linger hard = {.l_onoff = 1};
    assert_int_equal(demi_setsockopt(p.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    demi_qtoken_t got = pop(p.server);
    demi_close(p.client);
    demi_qresult_t qr = finish(got);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
    assert_int_equal(qr.qr_ret, ECONNRESET);
    demi_close(p.server);
    demi_close(p.listener);
}

static void test_close_cancels_what_is_outstanding(void **state)
{
    struct pair p = tcp_pair();
    demi_qtoken_t got = pop(p.server), accept;
    assert_int_equal(demi_accept(&accept, p.listener), 0);
    close_pair(p);
    assert_int_equal(finish(got).qr_ret, ECANCELED);
    demi_qresult_t qr = finish(accept);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
    assert_int_equal(qr.qr_ret, ECANCELED);
    assert_int_equal(demi_close(p.server), EBADF);
}

static void test_close_sends_what_was_pushed(void **state)
{
    struct pair p = tcp_pair();
    demi_qtoken_t qt = push_text(p.server, "bye");
    demi_close(p.server);
    assert_int_equal(finish(qt).qr_opcode, DEMI_OPC_PUSH);
    expect_text(finish(pop(p.client)), "bye");
    demi_close(p.client);
    demi_close(p.listener);
}

static void test_cancelled_pop_loses_no_bytes(void **state)
{
    struct pair p = tcp_pair();
    demi_qtoken_t got = pop(p.server);
    assert_int_equal(demi_cancel(got), 0);
    assert_int_equal(finish(got).qr_ret, ECANCELED);
    finish(push_text(p.client, "kept"));
    expect_text(finish(pop(p.server)), "kept");
    close_pair(p);
}

static void test_several_accepts_wait_side_by_side(void **state)
{
    struct sockaddr_in addr = loopback();
    int listener = listen_on(&addr), clients[4];
    demi_qtoken_t accepts[4], connects[4];
    demi_qresult_t qrs[4];
    for (int i = 0; i < 4; i++) assert_int_equal(demi_accept(&accepts[i], listener), 0);
    for (int i = 0; i < 4; i++) {
        demi_socket(&clients[i], AF_INET, SOCK_STREAM, 0);
        assert_int_equal(demi_connect(&connects[i], clients[i], (struct sockaddr *)&addr, sizeof addr), 0);
    }
    assert_int_equal(demi_wait_all(qrs, connects, 4, NULL), 0);
    assert_int_equal(demi_wait_all(qrs, accepts, 4, NULL), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(qrs[i].qr_opcode, DEMI_OPC_ACCEPT);
        demi_close(qrs[i].qr_value.ares.qd);
        demi_close(clients[i]);
    }
    demi_close(listener);
}

static void test_refused_connect_fails_in_its_result(void **state)
{
    struct sockaddr_in addr = loopback();
    int listener = listen_on(&addr), qd;
    demi_close(listener);
    demi_qtoken_t qt;
    demi_socket(&qd, AF_INET, SOCK_STREAM, 0);
    assert_int_equal(demi_connect(&qt, qd, (struct sockaddr *)&addr, sizeof addr), 0);
    demi_qresult_t qr = finish(qt);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
    assert_int_equal(qr.qr_ret, ECONNREFUSED);
    demi_close(qd);
}

static void test_slow_reader_holds_the_rest_back(void **state)
{
    struct pair p = tcp_pair();
    enum { BYTES = 8 << 20 };
    char *big = demi_malloc(BYTES);
    for (int i = 0; i < BYTES; i++) big[i] = (char)(i * 7 >> 3);
    struct iovec iov = {big, BYTES};
    demi_qtoken_t qt;
    demi_qresult_t qr;
    assert_int_equal(demi_pushv(&qt, p.server, &iov, 1, 0), 0);
    assert_int_equal(demi_wait(&qr, qt, &poll_once), ETIMEDOUT);
    assert_int_equal(demi_cancel(qt), EBUSY);
    for (int at = 0; at < BYTES;) {
        qr = finish(pop(p.client));
        int n = (int)qr.qr_value.sga.sga_segs[0].sgaseg_len;
        assert_true(n > 0);
        assert_memory_equal(qr.qr_value.sga.sga_segs[0].sgaseg_buf, big + at, (size_t)n);
        demi_sgafree(&qr.qr_value.sga);
        at += n;
    }
    assert_int_equal(finish(qt).qr_opcode, DEMI_OPC_PUSH);
    demi_free(big);
    close_pair(p);
}

static void test_port_can_be_taken_again_while_old_connections_linger(void **state)
{
    struct sockaddr_in addr = loopback();
    int listener = listen_on(&addr), client;
    demi_qtoken_t accept, connect;
    demi_accept(&accept, listener);
    demi_socket(&client, AF_INET, SOCK_STREAM, 0);
    demi_connect(&connect, client, (struct sockaddr *)&addr, sizeof addr);
    finish(connect);
    int server = finish(accept).qr_value.ares.qd;
    demi_close(server); /* this end goes to TIME_WAIT */
    demi_qresult_t qr = finish(pop(client));
    demi_sgafree(&qr.qr_value.sga);
    demi_close(client);
    demi_close(listener);
    demi_close(listen_on(&addr));
}

static void test_address_in_use_is_refused(void **state)
{
    struct sockaddr_in addr = loopback();
    socklen_t len = sizeof addr;
    int a, b;
    demi_socket(&a, AF_INET, SOCK_STREAM, 0);
    demi_socket(&b, AF_INET, SOCK_STREAM, 0);
    assert_int_equal(demi_bind(a, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(demi_getsockname(a, (struct sockaddr *)&addr, &len), 0);
    assert_int_equal(demi_bind(b, (struct sockaddr *)&addr, sizeof addr), EADDRINUSE);
    assert_int_equal(demi_bind(a, (struct sockaddr *)&addr, sizeof addr), EINVAL);
    assert_int_equal(demi_listen(a, 1), 0);
    assert_int_equal(demi_listen(a, 1), EADDRINUSE);
    assert_int_equal(demi_bind(b, (struct sockaddr *)&addr, sizeof addr), EADDRINUSE);
    demi_close(a);
    demi_close(b);
}

static void test_datagrams_keep_their_bounds_and_tell_their_sender(void **state)
{
    int a, b;
    struct sockaddr_in to = loopback(), from = loopback();
    socklen_t len = sizeof to;
    demi_qtoken_t qt;
    assert_int_equal(demi_socket(&a, AF_INET, SOCK_DGRAM, 0), 0);
    assert_int_equal(demi_socket(&b, AF_INET, SOCK_DGRAM, 0), 0);
    assert_int_equal(demi_pop(&qt, b), EDESTADDRREQ);
    assert_int_equal(demi_bind(a, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(demi_bind(b, (struct sockaddr *)&to, sizeof to), 0);
    demi_getsockname(a, (struct sockaddr *)&from, &len);
    demi_getsockname(b, (struct sockaddr *)&to, &len);
    demi_sgarray_t sga = demi_sgaalloc(2);
    memcpy(sga.sga_segs[0].sgaseg_buf, "hi", 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(demi_pushto(&qt, a, &sga, (struct sockaddr *)&to, sizeof to), 0);
        finish(qt);
    }
    assert_int_equal(demi_push(&qt, a, &sga), ENOTCONN);
    demi_sgafree(&sga);
    for (int i = 0; i < 2; i++) {
        demi_qresult_t qr = finish(pop(b));
        assert_int_equal(qr.qr_value.sga.sga_addr.sin_port, from.sin_port);
        expect_text(qr, "hi");
    }
    demi_close(a);
    demi_close(b);
}

static void test_large_datagram_arrives_whole(void **state)
{
    int a, b;
    struct sockaddr_in to = loopback();
    socklen_t len = sizeof to;
    demi_qtoken_t qt;
    demi_socket(&a, AF_INET, SOCK_DGRAM, 0);
    demi_socket(&b, AF_INET, SOCK_DGRAM, 0);
    demi_bind(b, (struct sockaddr *)&to, sizeof to);
    demi_getsockname(b, (struct sockaddr *)&to, &len);
    assert_int_equal(demi_connect(&qt, a, (struct sockaddr *)&to, sizeof to), 0);
    finish(qt);
    demi_sgarray_t sga = demi_sgaalloc(60000);
    for (int i = 0; i < 60000; i++) ((char *)sga.sga_segs[0].sgaseg_buf)[i] = (char)(i % 251);
    assert_int_equal(demi_push(&qt, a, &sga), 0);
    finish(qt);
    demi_qresult_t qr = finish(pop(b));
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 60000);
    assert_memory_equal(qr.qr_value.sga.sga_segs[0].sgaseg_buf, sga.sga_segs[0].sgaseg_buf, 60000);
    demi_sgafree(&qr.qr_value.sga);
    demi_sgafree(&sga);
    demi_close(a);
    demi_close(b);
}

static void test_unix_streams_work(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "/tmp/demi-test-%d.sock", (int)getpid());
    unlink(addr.sun_path);
    int listener, client;
    demi_qtoken_t accept, connect;
    assert_int_equal(demi_socket(&listener, AF_UNIX, SOCK_STREAM, 0), 0);
    assert_int_equal(demi_bind(listener, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(demi_listen(listener, 4), 0);
    assert_int_equal(demi_accept(&accept, listener), 0);
    assert_int_equal(demi_socket(&client, AF_UNIX, SOCK_STREAM, 0), 0);
    assert_int_equal(demi_connect(&connect, client, (struct sockaddr *)&addr, sizeof addr), 0);
    finish(connect);
    int server = finish(accept).qr_value.ares.qd;
    finish(push_text(client, "unix"));
    expect_text(finish(pop(server)), "unix");
    demi_close(client);
    demi_close(server);
    demi_close(listener);
    unlink(addr.sun_path);
}

static void test_ipv6_works(void **state)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof addr;
    int listener, client;
    demi_qtoken_t accept, connect;
    assert_int_equal(demi_socket(&listener, AF_INET6, SOCK_STREAM, 0), 0);
    int err = demi_bind(listener, (struct sockaddr *)&addr, sizeof addr);
    if (err == EADDRNOTAVAIL) {
        demi_close(listener);
        skip();
    }
    assert_int_equal(err, 0);
    demi_listen(listener, 4);
    demi_getsockname(listener, (struct sockaddr *)&addr, &len);
    demi_accept(&accept, listener);
    demi_socket(&client, AF_INET6, SOCK_STREAM, 0);
    assert_int_equal(demi_connect(&connect, client, (struct sockaddr *)&addr, sizeof addr), 0);
    finish(connect);
    demi_qresult_t qr = finish(accept);
    assert_int_equal(qr.qr_value.ares.addr.sin_family, AF_INET6);
    struct sockaddr_in6 peer;
    socklen_t small = sizeof(struct sockaddr_in);
    len = sizeof peer;
    assert_int_equal(demi_getpeername(qr.qr_value.ares.qd, (struct sockaddr *)&peer, &small), EINVAL);
    assert_int_equal(demi_getpeername(qr.qr_value.ares.qd, (struct sockaddr *)&peer, &len), 0);
    assert_int_equal(peer.sin6_family, AF_INET6);
    assert_memory_equal(&qr.qr_value.ares6.addr, &peer, sizeof peer);
    demi_close(qr.qr_value.ares.qd);
    demi_close(client);
    demi_close(listener);
}

/* Its address is told all the same, and nobody can take it for one that has none. */
static void test_accept_tells_the_address_of_a_peer_that_reset_before(void **state)
{
    struct sockaddr_in addr = loopback(), peer;
    socklen_t len = sizeof addr;
    struct linger now = {.l_onoff = 1};
    int listener = listen_on(&addr), fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&peer, &len), 0);
    assert_int_equal(write(fd, "x", 1), 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
    demi_qtoken_t accept;
    demi_accept(&accept, listener);
    demi_qresult_t qr = finish(accept);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_ACCEPT);
    assert_memory_equal(&qr.qr_value.ares.addr, &peer, sizeof peer);
    len = sizeof addr;
    assert_int_equal(demi_getpeername(qr.qr_value.ares.qd, (struct sockaddr *)&addr, &len), ENOTCONN);
    demi_close(qr.qr_value.ares.qd);
    demi_close(listener);
}

/* Uses up the process's descriptors: the listener must rest, not spin, and go on when there are
 * some again. */
static void test_listener_rests_while_descriptors_are_out(void **state)
{
    struct sockaddr_in addr = loopback();
    int listener = listen_on(&addr), client, hog[64], hogs = 0;
    demi_qtoken_t accept, connect;
    demi_qresult_t qr;
    struct rlimit before, tight;
    demi_accept(&accept, listener);
    demi_socket(&client, AF_INET, SOCK_STREAM, 0);
    demi_connect(&connect, client, (struct sockaddr *)&addr, sizeof addr);
    getrlimit(RLIMIT_NOFILE, &before);
    tight = before;
    tight.rlim_cur = 40;
    setrlimit(RLIMIT_NOFILE, &tight);
    while (hogs < 64 && (hog[hogs] = dup(0)) >= 0) hogs++;
    assert_int_equal(demi_wait(&qr, connect, NULL), 0);
    assert_int_equal(demi_wait(&qr, accept, &poll_once), ETIMEDOUT);
    while (hogs) close(hog[--hogs]);
    setrlimit(RLIMIT_NOFILE, &before);
    qr = finish(accept);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_ACCEPT);
    demi_close(qr.qr_value.ares.qd);
    demi_close(client);
    demi_close(listener);
}

static void test_arguments_are_checked_first(void **state)
{
    struct pair p = tcp_pair();
    demi_qtoken_t qt;
    demi_sgarray_t sga = demi_sgaalloc(8), none = {0};
    char *start = sga.sga_segs[0].sgaseg_buf;
    int qd;
    assert_int_equal(demi_socket(&qd, AF_INET, SOCK_RAW, 0), ENOTSUP);
    assert_int_equal(demi_socket(&qd, AF_APPLETALK, SOCK_STREAM, 0), ENOTSUP);
    assert_int_equal(demi_push(&qt, p.client, &none), EINVAL);
    sga.sga_segs[0].sgaseg_len = 9;
    assert_int_equal(demi_push(&qt, p.client, &sga), EINVAL);
    sga.sga_segs[0].sgaseg_buf = start - 1;
    sga.sga_segs[0].sgaseg_len = 4;
    assert_int_equal(demi_push(&qt, p.client, &sga), EINVAL);
    sga.sga_segs[0].sgaseg_buf = start + 4;
    assert_int_equal(demi_push(&qt, p.client, &sga), 0);
    finish(qt);
    sga.sga_segs[0].sgaseg_len = 0;
    assert_int_equal(demi_push(&qt, p.client, &sga), EINVAL);
    demi_sgafree(&sga);
    assert_int_equal(demi_pop(&qt, 9999), EBADF);
    assert_int_equal(demi_accept(&qt, p.client), EINVAL);
    assert_int_equal(demi_listen(p.listener, 0), EINVAL);
    assert_null(demi_sgaalloc(0).sga_buf);
    assert_null(demi_sgaalloc(65536).sga_buf);
    close_pair(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pushes_of_a_turn_leave_in_one_call, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_push_without_token_leaves_before_a_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_message_costs_one_send_and_one_receive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_accepted_streams_do_not_delay_small_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_of_stream_is_an_empty_array_again_and_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reset_arrives_as_a_failed_result, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_cancels_what_is_outstanding, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_sends_what_was_pushed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancelled_pop_loses_no_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_accepts_wait_side_by_side, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_connect_fails_in_its_result, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_reader_holds_the_rest_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_port_can_be_taken_again_while_old_connections_linger, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_address_in_use_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_datagrams_keep_their_bounds_and_tell_their_sender, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_datagram_arrives_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unix_streams_work, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ipv6_works, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_accept_tells_the_address_of_a_peer_that_reset_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_listener_rests_while_descriptors_are_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_arguments_are_checked_first, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
