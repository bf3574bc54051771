/* SPDX-License-Identifier: MIT
 *
 * Small pushes without a token: they are copied and gathered, keep their place among other pushes,
 * wait for a slow reader, and are tried once more when the program just exits.
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
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A kernel socket that listens on loopback, and its address. */
static int kernel_listener(struct sockaddr_in *addr)
{
    *addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof *addr;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)addr, len), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    return fd;
}

static int connect_queue(const struct sockaddr_in *addr)
{
    int qd;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    if (demi_socket(&qd, AF_INET, SOCK_STREAM, 0)) return -1;
    if (demi_connect(&qt, qd, (const struct sockaddr *)addr, sizeof *addr)) return -1;
    return demi_wait(&qr, qt, NULL) || qr.qr_opcode != DEMI_OPC_CONNECT ? -1 : qd;
}

/* The stream's byte at i. */
static char byte_at(size_t i) { return (char)(i * 31 + (i >> 8)); }

static size_t push_small(int qd, size_t at, size_t n)
{
    char bytes[2048];
    demi_qtoken_t none = 1;
    for (size_t i = 0; i < n; i++) bytes[i] = byte_at(at + i);
    const struct iovec iov = {bytes, n};
    assert_int_equal(demi_pushv(&none, qd, &iov, 1, DEMI_PUSH_NO_TOKEN), 0);
    assert_int_equal(none, 0);
    memset(bytes, 0, sizeof bytes); /* it was copied */
    return at + n;
}

static size_t push_large(int qd, size_t at, size_t n)
{
    char *p = demi_malloc(n);
    demi_qtoken_t none;
    for (size_t i = 0; i < n; i++) p[i] = byte_at(at + i);
    const struct iovec iov = {p, n};
    assert_int_equal(demi_pushv(&none, qd, &iov, 1, DEMI_PUSH_NO_TOKEN | DEMI_PUSH_HANDED_OVER), 0);
    demi_free(p);
    return at + n;
}

static void turn(void)
{
    const struct timespec poll_once = {0, 0};
    demi_qresult_t qr;
    int n;
    demi_wait_batch(&qr, 1, &n, &poll_once);
}

/* Reads up to the end of what was pushed, turning the loop in between. */
static void expect_bytes(int fd, size_t total)
{
    char bytes[65536];
    for (size_t at = 0; at < total;) {
        turn();
        ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        for (ssize_t i = 0; i < n; i++, at++) assert_int_equal(bytes[i], byte_at(at));
    }
    assert_int_equal(recv(fd, bytes, 1, MSG_DONTWAIT), -1);
}

struct ends {
    int listener, fd, qd;
};

static struct ends connect_ends(void)
{
    struct ends e;
    struct sockaddr_in addr;
    e.listener = kernel_listener(&addr);
    assert_int_equal(demi_init_with("posix", NULL), 0);
    e.qd = connect_queue(&addr);
    e.fd = accept(e.listener, NULL, NULL);
    assert_true(e.qd >= 0 && e.fd >= 0);
    return e;
}

static void close_ends(struct ends e)
{
    assert_int_equal(demi_exit(), 0);
    close(e.fd);
    close(e.listener);
}

static void test_small_and_large_pushes_keep_their_order(void **state)
{
    struct ends e = connect_ends();
    size_t at = 0;
    for (size_t i = 1; i <= 400; i++) {
        at = push_small(e.qd, at, i * 37 % 2048 + 1);
        if (i % 7 == 0) at = push_large(e.qd, at, 3000 + i);
        if (i % 5 == 0) at = push_small(e.qd, at, 1);
    }
    expect_bytes(e.fd, at);
    close_ends(e);
}

static void test_small_pushes_wait_for_a_slow_reader(void **state)
{
    struct ends e = connect_ends();
    size_t at = 0, unsent = 0;
    while (unsent < 100000) {
        at = push_small(e.qd, at, at % 300 + 1);
        turn();
        assert_int_equal(demi_unsent(e.qd, &unsent), 0);
    }
    expect_bytes(e.fd, at);
    assert_int_equal(demi_unsent(e.qd, &unsent), 0);
    assert_int_equal(unsent, 0);
    close_ends(e);
}

static void test_exit_tries_what_was_never_waited_for(void **state)
{
    struct sockaddr_in addr;
    int listener = kernel_listener(&addr);
    pid_t child = fork();
    if (child == 0) {
        int qd = demi_init_with("posix", NULL) ? -1 : connect_queue(&addr);
        const struct iovec iov = {(void *)(uintptr_t) "last words", 10};
        demi_qtoken_t none;
        exit(qd < 0 || demi_pushv(&none, qd, &iov, 1, DEMI_PUSH_NO_TOKEN));
    }
    int fd = accept(listener, NULL, NULL), status;
    char text[16];
    assert_int_equal(recv(fd, text, sizeof text, MSG_WAITALL), 10);
    assert_memory_equal(text, "last words", 10);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(fd);
    close(listener);
}

static void push_flags(int qd, size_t at, size_t n, unsigned flags)
{
    char bytes[100];
    demi_qtoken_t none;
    for (size_t i = 0; i < n; i++) bytes[i] = byte_at(at + i);
    const struct iovec iov = {bytes, n};
    assert_int_equal(demi_pushv(&none, qd, &iov, 1, flags | DEMI_PUSH_NO_TOKEN), 0);
    turn();
}

/* The kernel waits 200 ms for it; a machine on which this takes longer tries again. */
static void test_what_is_to_be_followed_by_more_leaves_with_it(void **state)
{
    struct ends e = connect_ends();
    bool together = false;
    size_t at = 0;
    for (int tries = 0; tries < 50 && !together; tries++, at += 100) {
        char byte;
        push_flags(e.qd, at, 60, DEMI_PUSH_MORE);
        together = recv(e.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
        push_flags(e.qd, at + 60, 40, 0);
        char bytes[100];
        together &= recv(e.fd, bytes, sizeof bytes, MSG_PEEK) == 100;
        assert_int_equal(recv(e.fd, bytes, sizeof bytes, MSG_WAITALL), 100);
        for (size_t i = 0; i < 100; i++) assert_int_equal(bytes[i], byte_at(at + i));
    }
    assert_true(together);
    close_ends(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_tries_what_was_never_waited_for),
        cmocka_unit_test(test_small_and_large_pushes_keep_their_order),
        cmocka_unit_test(test_small_pushes_wait_for_a_slow_reader),
        cmocka_unit_test(test_what_is_to_be_followed_by_more_leaves_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
