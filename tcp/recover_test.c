/* SPDX-License-Identifier: MIT
 *
 * Two stacks over a wire that loses, doubles, reorders and damages: what arrives is what was sent, and in reasonable
 * time. timeout: 500, for sanitizers. RUNS=n in the environment makes n runs of the random ones, SEED=n begins with
 * that seed.
 */
#include "tcp/lossy_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "alloc/base/sanitize.h"

static bool is_done(const struct pair *p)
{
    return p->side[0].received == p->side[1].to_send && p->side[1].received == p->side[0].to_send && p->side[0].ended &&
           p->side[1].ended;
}

static void run_until_done(struct pair *p, nsec limit)
{
    nsec until = p->now + limit;
    while (!is_done(p) && pair_step(p, until)) {
#ifdef DEMI_DEBUG
        for (int i = 0; i < 2; i++) stack_check(p->s[i]);
#endif
    }
}

static void transfer(struct pair *p, uint64_t forth, uint64_t back)
{
    p->side[0].to_send = forth;
    p->side[1].to_send = back;
    p->side[0].close_when_sent = p->side[1].close_when_sent = true;
    pair_connect(p, NULL);
}

static void check_exact(struct pair *p, uint64_t seed)
{
    if (!is_done(p) || p->side[0].wrong || p->side[1].wrong) {
        char line[512];
        print_message("seed %llu: at %.3f s %llu of %llu, %llu of %llu, errors %d %d, wrong %d %d\n",
                      (unsigned long long)seed, (double)p->now / 1e9, (unsigned long long)p->side[1].received,
                      (unsigned long long)p->side[0].to_send, (unsigned long long)p->side[0].received,
                      (unsigned long long)p->side[1].to_send, p->side[0].error, p->side[1].error, p->side[0].wrong,
                      p->side[1].wrong);
        for (int i = 0; i < 2; i++)
            if (p->side[i].c) print_message("  %s\n", conn_print(p->side[i].c, line, sizeof line));
        fail();
    }
}

static void test_clean_wire_carries_both_ways(void **state)
{
    struct pair p;
    pair_defaults(&p, 1);
    pair_init(&p);
    transfer(&p, 1000000, 300000);
    run_until_done(&p, 10 * NSEC_PER_SEC);
    check_exact(&p, 1);
    assert_int_equal(p.s[0]->n.tcp_retransmits, 0);
    assert_int_equal(p.s[1]->n.tcp_retransmits, 0);
    pair_close(&p);
    pair_fini(&p);
}

/* Everything at once, mildly or badly. */
static void random_run(uint64_t seed)
{
    struct pair p;
    pair_defaults(&p, seed);
    struct rng r;
    rng_seed(&r, seed * 77 + 5);
    p.delay = 10 * NSEC_PER_USEC + rng_below(&r, 50 * NSEC_PER_MSEC);
    if (rng_below(&r, 2)) p.jitter = rng_below(&r, 2 * p.delay);
    if (rng_below(&r, 3)) p.loss_ppm = (uint32_t)rng_below(&r, rng_below(&r, 2) ? 200000 : 20000);
    if (rng_below(&r, 3) == 0) p.dup_ppm = (uint32_t)rng_below(&r, 200000);
    if (rng_below(&r, 4) == 0) p.damage_ppm = (uint32_t)rng_below(&r, 50000);
    if (rng_below(&r, 2)) {
        p.rate = 50000 + rng_below(&r, 20000000);
        p.queue_bytes = 3000 + (uint32_t)rng_below(&r, 100000);
    }
    static const char *const controllers[] = {NULL, "newreno", "cubic", "none", "bbr"};
    for (int i = 0; i < 2; i++) {
        struct stack_config *c = &p.conf[i];
        c->mtu = (uint16_t)(rng_below(&r, 4) ? 1500 : 200 + rng_below(&r, 8800));
        c->no_sack = rng_below(&r, 4) == 0;
        c->no_timestamps = rng_below(&r, 4) == 0;
        c->no_wscale = rng_below(&r, 8) == 0;
        c->ask_ecn = rng_below(&r, 4) == 0;
        c->cc = controllers[rng_below(&r, 5)];
        if (rng_below(&r, 3) == 0) {
            c->offloads = OFFLOAD_TX_L4_CSUM | OFFLOAD_TX_TSO;
            c->tso_max = (uint32_t)(2000 + rng_below(&r, 62000));
        }
        c->segs_max = (uint16_t)(rng_below(&r, 4) ? 8 : 1);
        if (rng_below(&r, 4) == 0) c->limits.rcv_buffer = (uint32_t)(2000 + rng_below(&r, 20000));
        p.side[i].push_max = (uint32_t)(1 + rng_below(&r, rng_below(&r, 2) ? 3000 : 100000));
    }
    pair_init(&p);
    transfer(&p, rng_below(&r, 200000), rng_below(&r, 3) ? rng_below(&r, 50000) : 0);
    run_until_done(&p, 24 * 3600 * NSEC_PER_SEC);
    bool gave_up = p.side[0].error == ETIMEDOUT || p.side[1].error == ETIMEDOUT;
    if (!gave_up || p.loss_ppm + p.damage_ppm < 100000) check_exact(&p, seed);
    else assert_false(p.side[0].wrong || p.side[1].wrong);
    pair_close(&p);
    pair_fini(&p);
}

/* Bytes a second over a wire of `rate` with a round trip of 2 * delay. */
static double goodput(const char *cc, uint64_t rate, nsec delay, uint32_t loss_ppm, uint64_t bytes, bool tso)
{
    struct pair p;
    pair_defaults(&p, 42);
    p.rate = rate;
    p.delay = delay;
    p.loss_ppm = loss_ppm;
    p.queue_bytes = (uint32_t)(2 * delay * rate / NSEC_PER_SEC);
    for (int i = 0; i < 2; i++) {
        p.conf[i].cc = cc;
        p.conf[i].limits.rcv_buffer = 64u << 20;
        if (tso) p.conf[i].offloads = OFFLOAD_TX_L4_CSUM | OFFLOAD_TX_TSO, p.conf[i].tso_max = 65000;
    }
    pair_init(&p);
    nsec start = p.now;
    transfer(&p, bytes, 0);
    run_until_done(&p, 1000 * NSEC_PER_SEC);
    check_exact(&p, 42);
    double rate_got = (double)bytes * 1e9 / (double)(p.side[1].last_at - start);
    print_message("    %-8s %6.0f Mbit/s, %5.1f ms, loss %5.2f %%%s: %6.1f Mbit/s, %llu timeouts, %llu of %llu again\n",
                  cc, (double)rate * 8e-6, (double)delay * 2e-6, loss_ppm * 1e-4, tso ? ", tso" : "", rate_got * 8e-6,
                  (unsigned long long)p.s[0]->n.tcp_rtos, (unsigned long long)p.s[0]->n.tcp_retransmits,
                  (unsigned long long)p.s[0]->n.tcp_tx);
    pair_close(&p);
    pair_fini(&p);
    return rate_got;
}

static void test_a_clean_link_is_filled(void **state)
{
    static const char *const controllers[] = {"cubic", "newreno", "bbr"};
    for (int i = 0; i < 3; i++) {
        assert_true(goodput(controllers[i], 12500000, 10 * NSEC_PER_MSEC, 0, 20000000, false) > 0.80 * 12500000);
        assert_true(goodput(controllers[i], 12500000, 10 * NSEC_PER_MSEC, 0, 20000000, true) > 0.80 * 12500000);
    }
}

/* Mathis and others: MSS / RTT * sqrt(3/2 / p) for NewReno, and CUBIC is no slower (RFC 9438 4.3); BBR does not
 * care. */
static void test_loss_costs_what_the_controller_says(void **state)
{
    double mathis = 1448 / 0.020 * 38.7; /* p = 0.1 % */
    assert_true(goodput("newreno", 125000000, 10 * NSEC_PER_MSEC, 1000, 40000000, false) > 0.8 * mathis);
    assert_true(goodput("cubic", 125000000, 10 * NSEC_PER_MSEC, 1000, 40000000, false) > 0.8 * mathis);
    assert_true(goodput("bbr", 125000000, 10 * NSEC_PER_MSEC, 1000, 40000000, false) > 5 * mathis);
    assert_true(goodput("cubic", 12500000, 10 * NSEC_PER_MSEC, 10000, 4000000, false) > 0.8 * mathis * 0.316);
}

static unsigned long from_environment(const char *name, unsigned long otherwise)
{
    const char *v = getenv(name);
    return v ? strtoul(v, NULL, 10) : otherwise;
}

/* One thread has no races: a few runs show the thread sanitizer every access. */
#if SANITIZE_THREAD
#define RUNS_USUALLY 30
#else
#define RUNS_USUALLY 300
#endif

static void test_bad_wires_carry_exactly(void **state)
{
    unsigned long first = from_environment("SEED", 1), runs = from_environment("RUNS", RUNS_USUALLY);
    for (unsigned long i = 0; i < runs; i++) random_run(first + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean_wire_carries_both_ways),
        cmocka_unit_test(test_a_clean_link_is_filled),
        cmocka_unit_test(test_loss_costs_what_the_controller_says),
        cmocka_unit_test(test_bad_wires_carry_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
