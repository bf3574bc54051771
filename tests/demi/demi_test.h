/* SPDX-License-Identifier: MIT
 *
 * What the conformance tests of the public API share. They know demi/'s public headers only, and run on the libOS of
 * kernel sockets over loopback, or on our own stack's loopback. No result depends on time: a wait that must succeed has
 * ten seconds, one that must not polls once.
 */
#ifndef TESTS_DEMI_DEMI_TEST_H
#define TESTS_DEMI_DEMI_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/types.h"
#include "demi/wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK(call)           assert_int_equal(call, 0)
#define FAILS(error, call) assert_int_equal(call, error)
#define ADDR(a)            (struct sockaddr *)(a), sizeof *(a)

static const struct timespec soon = {10, 0}; /* for what must come */
static const struct timespec now = {0, 0};   /* polls once */

/* The libOS under test: kernel sockets, or, with DEMI_TEST_LIBOS=loop, our own stack talking to itself, or, with shm,
 * shared memory, or, with rdma-loop and rdma, a device of messages, or, with uring, kernel sockets by io_uring. */
static inline const char *test_libos(void)
{
    const char *name = getenv("DEMI_TEST_LIBOS");
    return name && *name ? name : "posix";
}

static inline int test_is_kernel(void) { return !strcmp(test_libos(), "posix") || !strcmp(test_libos(), "uring"); }
/* A device of messages: no datagrams, and whoever connects is answered at once, full backlog or not. */
static inline int test_is_messages(void) { return !strncmp(test_libos(), "rdma", 4); }

/* Whether something wakes a thread that sleeps on it: not our own stack's loopback, nor a device in memory. */
static inline int test_can_sleep(void)
{
    return test_is_kernel() || !strcmp(test_libos(), "shm") || !strcmp(test_libos(), "rdma");
}

static inline int test_setup(void **state)
{
    (void)state;
    setenv("LIBOS", test_libos(), 1);
    unsetenv("CONFIG_PATH");
    return demi_init(NULL);
}

static inline int test_teardown(void **state)
{
    (void)state;
    return demi_exit();
}

/* Each test has a runtime of its own: what one leaves behind the next does not see. */
#define demi_unit_test(f) cmocka_unit_test_setup_teardown(f, test_setup, test_teardown)

static inline struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return addr;
}

static inline demi_qresult_t wait_for(demi_qtoken_t qt)
{
    demi_qresult_t qr;
    OK(demi_wait(&qr, qt, &soon));
    assert_true(qr.qr_qt == qt);
    return qr;
}

/* Waits for an operation that must succeed as `opcode`. */
static inline demi_qresult_t wait_ok(demi_qtoken_t qt, demi_opcode_t opcode)
{
    demi_qresult_t qr = wait_for(qt);
    assert_int_equal(qr.qr_opcode, opcode);
    return qr;
}

/* Waits for an operation that must fail; returns its errno. */
static inline int wait_failed(demi_qtoken_t qt)
{
    demi_qresult_t qr = wait_for(qt);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
    return (int)qr.qr_ret;
}

static inline int socket_new(int type)
{
    int qd = -1;
    if (type == SOCK_DGRAM && test_is_messages()) skip();
    OK(demi_socket(&qd, AF_INET, type, 0));
    assert_true(qd >= 0);
    return qd;
}

/* A socket bound to a free port of loopback, which goes to *addr. */
static inline int socket_bound(int type, struct sockaddr_in *addr)
{
    socklen_t size = sizeof *addr;
    int qd = socket_new(type);
    *addr = loopback(0);
    OK(demi_bind(qd, ADDR(addr)));
    OK(demi_getsockname(qd, (struct sockaddr *)addr, &size));
    assert_int_equal(size, sizeof *addr);
    assert_int_not_equal(addr->sin_port, 0);
    return qd;
}

static inline int listener_new(struct sockaddr_in *addr)
{
    int qd = socket_bound(SOCK_STREAM, addr);
    OK(demi_listen(qd, 16));
    return qd;
}

struct pair {
    int listener, client, server;
    struct sockaddr_in addr; /* the listener's */
};

/* Two ends of one TCP connection. */
static inline struct pair pair_new(void)
{
    struct pair p;
    demi_qtoken_t connecting, accepting;
    p.listener = listener_new(&p.addr);
    p.client = socket_new(SOCK_STREAM);
    OK(demi_accept(&accepting, p.listener));
    OK(demi_connect(&connecting, p.client, ADDR(&p.addr)));
    wait_ok(connecting, DEMI_OPC_CONNECT);
    p.server = wait_ok(accepting, DEMI_OPC_ACCEPT).qr_value.ares.qd;
    return p;
}

static inline void pair_close(struct pair *p)
{
    OK(demi_close(p->client));
    OK(demi_close(p->server));
    OK(demi_close(p->listener));
}

/* An array whose byte i is (seed + i) modulo 251: a prime, so that shifted data shows. */
static inline demi_sgarray_t sga_pattern(size_t size, unsigned seed)
{
    demi_sgarray_t sga = demi_sgaalloc(size);
    assert_int_equal(sga.sga_numsegs, 1);
    unsigned char *bytes = sga.sga_segs[0].sgaseg_buf;
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)((seed + i) % 251);
    return sga;
}

static inline void bytes_check(const void *data, size_t size, unsigned seed)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) assert_int_equal(bytes[i], (seed + i) % 251);
}

static inline demi_qtoken_t push_pattern(int qd, size_t size, unsigned seed)
{
    demi_qtoken_t qt;
    demi_sgarray_t sga = sga_pattern(size, seed);
    OK(demi_push(&qt, qd, &sga));
    OK(demi_sgafree(&sga));
    return qt;
}

/* Pops from a stream until `size` bytes of the pattern have come. */
static inline void pop_pattern(int qd, size_t size, unsigned seed)
{
    for (size_t got = 0; got < size;) {
        demi_qtoken_t qt;
        OK(demi_pop(&qt, qd));
        demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
        size_t length = qr.qr_value.sga.sga_segs[0].sgaseg_len;
        assert_int_equal(qr.qr_value.sga.sga_numsegs, 1);
        assert_in_range(length, 1, size - got);
        bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, length, seed + (unsigned)got);
        OK(demi_sgafree(&qr.qr_value.sga));
        got += length;
    }
}

/* Pops once and expects the end of the stream. */
static inline void pop_end(int qd)
{
    demi_qtoken_t qt;
    OK(demi_pop(&qt, qd));
    demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 0);
    OK(demi_sgafree(&qr.qr_value.sga));
}

#endif
