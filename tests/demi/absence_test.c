/* SPDX-License-Identifier: MIT
 *
 * A program that was away: it worked for longer between two calls than anything here waits. What it begins then counts
 * from then, and not from the turn of the loop before it left. Looks inside: the runtime's clock jumps.
 */
#include "tests/demi/demi_test.h"
#include "tests/demi/tls_files.h"

#include "libos/runtime/runtime.h"

#define AWAY_NS   ((uint64_t)1000 * 1000000000u)
#define BIG_BYTES 6000000u /* more than kernels and windows hold */
#define PIECE     60000u

static uint64_t (*machine_ns)(void *arg);
static uint64_t passed;

static uint64_t late_ns(void *arg) { return machine_ns(arg) + passed; }

static int begin(void **state)
{
    int err = test_setup(state);
    struct runtime *rt = runtime_current();
    if (err || !rt) return err ? err : ENOSYS;
    passed = 0;
    machine_ns = rt->time.now_ns;
    rt->time.now_ns = late_ns;
    return 0;
}

static void is_away(void) { passed += AWAY_NS; }

#define absence_test(f) cmocka_unit_test_setup_teardown(f, begin, test_teardown)

static uint64_t counted;
static void count(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, arg)) counted = value;
}
static uint64_t counter(const char *name)
{
    counted = 0;
    demi_counters(count, (void *)(uintptr_t)name);
    return counted;
}

static void test_a_connect_has_its_time(void **state)
{
    struct pair p = {.client = socket_new(SOCK_STREAM)};
    demi_qtoken_t connecting, accepting;
    p.listener = listener_new(&p.addr);
    OK(demi_accept(&accepting, p.listener));
    is_away();
    OK(demi_connect(&connecting, p.client, ADDR(&p.addr)));
    wait_ok(connecting, DEMI_OPC_CONNECT);
    p.server = wait_ok(accepting, DEMI_OPC_ACCEPT).qr_value.ares.qd;
    push_pattern(p.client, 100, 7);
    pop_pattern(p.server, 100, 7);
    pair_close(&p);
}

/* What is waited for with a limit comes. */
static void test_a_wait_has_its_time(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t timer;
    OK(demi_timer(&timer, 1000000));
    is_away();
    push_pattern(p.client, 100, 7);
    is_away();
    pop_pattern(p.server, 100, 7);
    wait_ok(timer, DEMI_OPC_TIMER);
    pair_close(&p);
}

static void closes_with_bytes_that_wait(const struct linger *l)
{
    struct pair p = pair_new();
    if (l) OK(demi_setsockopt(p.client, SOL_SOCKET, SO_LINGER, l, sizeof *l));
    for (size_t at = 0; at < BIG_BYTES; at += PIECE) {
        demi_qtoken_t qt;
        demi_sgarray_t sga = sga_pattern(PIECE, (unsigned)at);
        struct iovec piece = {sga.sga_segs[0].sgaseg_buf, PIECE};
        OK(demi_pushv(&qt, p.client, &piece, 1, DEMI_PUSH_NO_TOKEN));
        OK(demi_sgafree(&sga));
    }
    is_away();
    OK(demi_close(p.client));
    pop_pattern(p.server, BIG_BYTES, 0);
    pop_end(p.server);
    OK(demi_close(p.server));
    OK(demi_close(p.listener));
}

static void test_a_close_has_its_time(void **state) { closes_with_bytes_that_wait(NULL); }

static void test_a_close_with_linger_has_its_time(void **state)
{
    const struct linger soft = {1, 20};
    closes_with_bytes_that_wait(&soft);
}

/* A reply that was long in the making goes out once. */
static void test_nothing_is_sent_twice(void **state)
{
    struct pair p = pair_new();
    for (unsigned i = 0; i < 10; i++) {
        is_away();
        push_pattern(p.client, 1000, i);
        pop_pattern(p.server, 1000, i);
    }
    assert_int_equal(counter("tcp.retransmits"), 0);
    pair_close(&p);
}

static void test_a_handshake_of_tls_has_its_time(void **state)
{
    demi_tls_context_t *server, *client;
    char why[256];
    struct demi_tls_options of_server = tls_server_options(), of_client = tls_client_options();
    struct pair p = pair_new();
    OK(demi_tls_context_new(&server, &of_server, why, sizeof why));
    OK(demi_tls_context_new(&client, &of_client, why, sizeof why));
    demi_qtoken_t qts[2];
    demi_qresult_t qrs[2];
    is_away();
    OK(demi_tls_client(p.client, client, NULL));
    OK(demi_tls_server(p.server, server));
    OK(demi_tls_handshake(&qts[0], p.client));
    OK(demi_tls_handshake(&qts[1], p.server));
    OK(demi_wait_all(qrs, qts, 2, &soon));
    for (unsigned i = 0; i < 2; i++) assert_int_not_equal(qrs[i].qr_opcode, DEMI_OPC_FAILED);
    is_away();
    push_pattern(p.client, 1000, 3);
    pop_pattern(p.server, 1000, 3);
    pair_close(&p);
    demi_tls_context_free(server);
    demi_tls_context_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        absence_test(test_a_connect_has_its_time), absence_test(test_a_wait_has_its_time),
        absence_test(test_a_close_has_its_time),   absence_test(test_a_close_with_linger_has_its_time),
        absence_test(test_nothing_is_sent_twice),
    };
    const struct CMUnitTest with_tls[] = {absence_test(test_a_handshake_of_tls_has_its_time)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    const char *missing = tls_missing();
    if (!missing) return failed + cmocka_run_group_tests(with_tls, NULL, NULL);
    printf("# no handshake of TLS: %s\n", missing);
    return failed;
}
