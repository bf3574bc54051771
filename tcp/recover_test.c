/* SPDX-License-Identifier: MIT
 *
 * Two stacks over a wire that loses, doubles, reorders and damages: what arrives is what was sent, and in reasonable time.
 * RUNS=n in the environment makes n runs of the random ones, SEED=n begins with that seed.
 */
#include "tcp/lossy_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static bool is_done(const struct pair *p)
{
    return p->side[0].received == p->side[1].to_send && p->side[1].received == p->side[0].to_send && p->side[0].ended && p->side[1].ended;
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
        print_message("seed %llu: at %.3f s %llu of %llu, %llu of %llu, errors %d %d, wrong %d %d\n", (unsigned long long)seed, (double)p->now / 1e9,
                      (unsigned long long)p->side[1].received, (unsigned long long)p->side[0].to_send,
                      (unsigned long long)p->side[0].received, (unsigned long long)p->side[1].to_send, p->side[0].error, p->side[1].error,
                      p->side[0].wrong, p->side[1].wrong);
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
    static const char *const controllers[] = {NULL, "newreno", "cubic", "none"};
    for (int i = 0; i < 2; i++) {
        struct stack_config *c = &p.conf[i];
        c->mtu = (uint16_t)(rng_below(&r, 4) ? 1500 : 200 + rng_below(&r, 8800));
        c->no_sack = rng_below(&r, 4) == 0;
        c->no_timestamps = rng_below(&r, 4) == 0;
        c->no_wscale = rng_below(&r, 8) == 0;
        c->ask_ecn = rng_below(&r, 4) == 0;
        c->cc = controllers[rng_below(&r, 4)];
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

static unsigned long from_environment(const char *name, unsigned long otherwise)
{
    const char *v = getenv(name);
    return v ? strtoul(v, NULL, 10) : otherwise;
}

static void test_bad_wires_carry_exactly(void **state)
{
    unsigned long first = from_environment("SEED", 1), runs = from_environment("RUNS", 300);
    for (unsigned long i = 0; i < runs; i++) random_run(first + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean_wire_carries_both_ways),
        cmocka_unit_test(test_bad_wires_carry_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
