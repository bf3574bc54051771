/* SPDX-License-Identifier: MIT
 *
 * TLS over links of every kind: simulated sockets that cut and delay as they like, and our own stack over wires that
 * lose and reorder. The bytes that arrive are those that were pushed, and a stream that was cut is never taken for
 * whole. OpenSSL rolls its own dice, so a seed decides everything but what the records hold.
 */
#include "tests/demi/tls_files.h"
#include "tests/sim/exchange.h"
#include "tests/sim/net.h"

static demi_tls_context_t *contexts[2];

static struct exchange *exchange_new(struct world *w, uint64_t goal_max)
{
    struct exchange *x = w->state = calloc(1, sizeof *x);
    x->goal_max = goal_max;
    memcpy(x->tls, contexts, sizeof contexts);
    return x;
}

static void set_up_links(struct world *w)
{
    struct exchange *x = exchange_new(w, 100000);
    struct sim_host *a = sim_host_add(w->sim, "10.0.0.1", listening_host, w),
                    *b = sim_host_add(w->sim, "10.0.0.2", connecting_host, w);
    struct sim_link l = sim_link_random(w->sim);
    if (l.segment_max < 100 || l.window < 1000) x->goal_max /= 10;
    sim_link_set(w->sim, a, b, &l);
}

static void test_every_byte_arrives_over_any_link(void **state)
{
    run_seeds(&(struct scenario){"tls links", set_up_links, verify_exchange, SEC(3600)}, 40);
}

static void set_up_wires(struct world *w)
{
    exchange_new(w, 100000);
    struct sim_host *a = add_random_net_host(w->sim, "10.0.0.1", listening_host, w);
    struct sim_host *b = add_random_net_host(w->sim, "10.0.0.2", connecting_host, w);
    struct sim_wire there = sim_wire_random(w->sim), back = sim_wire_random(w->sim);
    sim_wire_set_oneway(w->sim, a, b, &there);
    sim_wire_set_oneway(w->sim, b, a, &back);
}

static void test_every_byte_arrives_over_our_own_stack(void **state)
{
    run_seeds(&(struct scenario){"tls wires", set_up_wires, verify_exchange, SEC(36000)}, 30);
}

/* At any moment, in the handshake, too. */
static void break_links(void *arg)
{
    struct world *w = arg;
    struct sim_link l = sim_link_random(w->sim);
    l.reset_ppm = 1 + (uint32_t)rng_below(sim_rng(w->sim), 20000);
    l.delay_ns = l.jitter_ns = 1000;
    sim_link_set(w->sim, NULL, NULL, &l);
}

static void set_up_breaking(struct world *w)
{
    struct exchange *x = exchange_new(w, 1000000);
    x->may_break = true;
    sim_host_add(w->sim, "10.0.0.1", listening_host, w);
    sim_host_add(w->sim, "10.0.0.2", connecting_host, w);
    sim_at(w->sim, SIM_START_NS + MS(20), break_links, w);
}

static void test_what_was_cut_is_not_whole(void **state)
{
    run_seeds(&(struct scenario){"tls resets", set_up_breaking, verify_breaking, SEC(3600)}, 40);
}

/* --- a handshake that never ends ---------------------------------------------------------------------------------- */

struct silence {
    int error;
    uint64_t heard_ns;
};

static int hears_nothing(void *arg)
{
    struct world *w = arg;
    struct silence *x = w->state;
    char in[100];
    int l = listen_at("10.0.0.1", EXCHANGE_PORT, 4), qd = accept_on(l);
    CHECK_EQUAL(w, demi_tls_server(qd, contexts[0]), 0);
    x->error = -pop_bytes(qd, in, sizeof in);
    x->heard_ns = sim_now(w->sim) - SIM_START_NS;
    demi_close(qd);
    demi_close(l);
    return 0;
}

static int says_nothing(void *arg)
{
    struct world *w = arg;
    int qd;
    while ((qd = connect_to("10.0.0.1", EXCHANGE_PORT)) < 0) sleep_ns(MS(1));
    if (w->seed % 2) push_bytes(qd, "\x16\x03\x01\x02\x00\x01", 6);
    sleep_ns(SEC(100));
    demi_close(qd);
    return 0;
}

static void set_up_silence(struct world *w)
{
    w->state = calloc(1, sizeof(struct silence));
    sim_host_add(w->sim, "10.0.0.1", hears_nothing, w);
    sim_host_add(w->sim, "10.0.0.2", says_nothing, w);
}

static void verify_silence(struct world *w)
{
    const struct silence *x = w->state;
    CHECK_EQUAL(w, x->error, ETIMEDOUT);
    CHECK(w, x->heard_ns >= SEC(30) && x->heard_ns < SEC(31));
}

static void test_a_handshake_ends_after_half_a_minute(void **state)
{
    run_seeds(&(struct scenario){"tls silence", set_up_silence, verify_silence, SEC(3600)}, 4);
}

/* --- a program that ends ------------------------------------------------------------------------------------------ */

#define LAST_BYTES 3000000u

static int reads_all(void *arg)
{
    struct world *w = arg;
    static uint8_t in[65536];
    uint64_t *got = w->state;
    int l = listen_at("10.0.0.1", EXCHANGE_PORT, 4), qd = accept_on(l), n;
    CHECK_EQUAL(w, demi_tls_server(qd, contexts[0]), 0);
    while ((n = pop_bytes(qd, in, sizeof in)) > 0) {
        CHECK_EQUAL(w, first_wrong(3, *got, in, (size_t)n), n);
        *got += (uint64_t)n;
    }
    CHECK_EQUAL(w, n, 0);
    demi_close(qd);
    demi_close(l);
    return 0;
}

/* Before the handshake is over: nothing of it has left yet. */
static int pushes_and_ends(void *arg)
{
    struct world *w = arg;
    int qd;
    while ((qd = connect_to("10.0.0.1", EXCHANGE_PORT)) < 0) sleep_ns(MS(1));
    CHECK_EQUAL(w, demi_tls_client(qd, contexts[1], NULL), 0);
    uint8_t *p = demi_malloc(LAST_BYTES);
    fill(3, 0, p, LAST_BYTES);
    struct iovec iov = {p, LAST_BYTES};
    demi_qtoken_t qt;
    CHECK_EQUAL(w, demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_NO_TOKEN), 0);
    demi_free(p);
    if (w->seed % 2) demi_close(qd);
    return 0;
}

static void set_up_ending(struct world *w)
{
    struct sim_link l = {.delay_ns = MS(1), .window = 65536, .segment_max = 1460};
    w->state = calloc(1, sizeof(uint64_t));
    struct sim_host *a = sim_host_add(w->sim, "10.0.0.1", reads_all, w);
    struct sim_host *b = sim_host_add(w->sim, "10.0.0.2", pushes_and_ends, w);
    sim_link_set(w->sim, a, b, &l);
}

static void verify_ending(struct world *w) { CHECK_EQUAL(w, *(uint64_t *)w->state, LAST_BYTES); }

static void test_what_was_pushed_outlives_its_program(void **state)
{
    run_seeds(&(struct scenario){"tls end", set_up_ending, verify_ending, SEC(3600)}, 6);
}

int main(void)
{
    const char *missing = tls_missing();
    if (missing) {
        printf("1..0 # SKIP %s\n", missing);
        return 77;
    }
    struct demi_tls_options server = tls_server_options(), client = tls_client_options();
    if (demi_tls_context_new(&contexts[0], &server, NULL, 0) || demi_tls_context_new(&contexts[1], &client, NULL, 0))
        return 1;
    rolls_dice = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_arrives_over_any_link),
        cmocka_unit_test(test_every_byte_arrives_over_our_own_stack),
        cmocka_unit_test(test_what_was_cut_is_not_whole),
        cmocka_unit_test(test_a_handshake_ends_after_half_a_minute),
        cmocka_unit_test(test_what_was_pushed_outlives_its_program),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    demi_tls_context_free(contexts[0]);
    demi_tls_context_free(contexts[1]);
    return failed;
}
