/* SPDX-License-Identifier: MIT
 *
 * CUBIC against the closed formulas of RFC 9438 in floating point, and HyStart++ on a path whose delay grows.
 */
#include "tcp/cc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MSS 1460u
#define MS  NSEC_PER_MSEC

struct path {
    struct cc c;
    nsec now, rtt;
    uint32_t una;
};

static struct path path_new(uint32_t cwnd, nsec rtt)
{
    struct path p = {.now = 5 * NSEC_PER_SEC, .rtt = rtt};
    cc_init(&p.c, &cc_cubic, MSS, p.now);
    p.c.cwnd = p.c.ssthresh = cwnd;
    return p;
}

/* A window of segments is acknowledged one by one, spread over a round trip. */
static void round_trip(struct path *p, bool limited)
{
    uint32_t segments = p->c.cwnd / MSS;
    nsec begin = p->now;
    uint32_t nxt = p->una + segments * MSS; /* grows by what each ACK lets go */
    for (uint32_t i = 1; i <= segments; i++) {
        p->now = begin + p->rtt * i / segments;
        struct cc_ack a = {.now = p->now,
                           .acked = MSS,
                           .in_flight = p->c.cwnd,
                           .cwnd_limited = limited,
                           .rtt = p->rtt,
                           .srtt = p->rtt,
                           .min_rtt = p->rtt,
                           .snd_una = p->una += MSS,
                           .snd_nxt = nxt};
        uint32_t before = p->c.cwnd;
        p->c.ops->acked(&p->c, &a);
        nxt += MSS + p->c.cwnd - before;
    }
}

static void loss(struct path *p)
{
    p->c.ops->congestion(&p->c, p->c.cwnd, p->now, false);
    p->c.ops->recovered(&p->c, p->now);
}

static double w_cubic(double w_max, double k, double t) { return 0.4 * pow(t - k, 3) * MSS + w_max; }

static void follow_curve(double segments, nsec rtt)
{
    struct path p = path_new((uint32_t)(segments * MSS), rtt);
    double w_max = p.c.cwnd;
    loss(&p);
    assert_true(fabs(p.c.cwnd - 0.7 * w_max) < 2);
    double cwnd_epoch = p.c.cwnd, k = cbrt((w_max - cwnd_epoch) / MSS / 0.4), r = (double)rtt / 1e9;
    nsec epoch = p.now + rtt / (p.c.cwnd / MSS); /* of the first ACK */
    while ((double)(p.now - epoch) / 1e9 < 2 * k || p.now < epoch) {
        round_trip(&p, true);
        double t = (double)(p.now - epoch) / 1e9;
        /* The window moves towards where the curve is a round trip ahead, and lags behind that by up to a round
         * trip. */
        assert_true(p.c.cwnd >= w_cubic(w_max, k, t - r) - MSS);
        assert_true(p.c.cwnd <= w_cubic(w_max, k, t + r) + MSS);
    }
    assert_true(p.c.cwnd > 1.2 * w_max); /* as far above as it was below */
}

static void test_the_window_follows_the_curve(void **state)
{
    follow_curve(1000, 100 * MS);
    follow_curve(10000, 100 * MS);
    follow_curve(10000, 30 * MS);
    follow_curve(100000, 200 * MS);
}

/* RFC 9438 4.3: with a short round trip the curve is slower than Reno of alpha = 9/17, up to the old window, and of
 * alpha = 1 beyond. */
static void test_on_short_paths_it_is_as_fast_as_reno(void **state)
{
    struct path p = path_new(100 * MSS, 1 * MS);
    uint32_t prior = p.c.cwnd;
    loss(&p);
    double want = p.c.cwnd;
    for (unsigned i = 0; i < 300; i++) {
        round_trip(&p, true);
        want += MSS * (want >= prior ? 1.0 : 9.0 / 17);
        assert_true(fabs(p.c.cwnd - want) < 3 * MSS);
    }
}

static void test_a_second_loss_below_the_old_maximum_gives_way(void **state)
{
    struct path p = path_new(1000 * MSS, 100 * MS);
    loss(&p);
    for (unsigned i = 0; i < 10; i++) round_trip(&p, true);
    double cwnd = p.c.cwnd;
    assert_true(cwnd < 1000 * MSS);
    loss(&p);
    /* W_max is now 0.85 cwnd: the plateau is there */
    double k = cbrt((0.85 * cwnd - 0.7 * cwnd) / MSS / 0.4);
    for (unsigned i = 0; i < (unsigned)(k * 10); i++) round_trip(&p, true);
    assert_true(fabs(p.c.cwnd - 0.85 * cwnd) < 3 * MSS);
}

static void test_after_a_timeout_the_curve_begins_flat(void **state)
{
    struct path p = path_new(1000 * MSS, 100 * MS);
    p.c.ops->timeout(&p.c, 1000 * MSS, p.now);
    assert_int_equal(p.c.cwnd, MSS);
    assert_int_equal(p.c.ssthresh, 700 * MSS);
    p.c.ops->timeout(&p.c, MSS, p.now);
    assert_int_equal(p.c.ssthresh, 700 * MSS);
    while (p.c.cwnd < p.c.ssthresh) round_trip(&p, true);
    uint32_t begin = p.c.cwnd;
    /* a second: C t^3 is 0.4 segments; Reno's way 0.53 a round */
    for (unsigned i = 0; i < 10; i++) round_trip(&p, true);
    assert_in_range(p.c.cwnd, begin, begin + 8 * MSS);
}

static void test_time_without_data_does_not_count(void **state)
{
    struct path a = path_new(1000 * MSS, 100 * MS), b = path_new(1000 * MSS, 100 * MS);
    loss(&a), loss(&b);
    for (unsigned i = 0; i < 20; i++) round_trip(&a, true), round_trip(&b, true);
    uint32_t before = b.c.cwnd;
    for (unsigned i = 0; i < 100; i++) round_trip(&b, false); /* the program has little to say */
    assert_int_equal(b.c.cwnd, before);
    b.now += 150 * MS;
    b.c.ops->idle(&b.c, b.now, 150 * MS, 300 * MS);
    for (unsigned i = 0; i < 20; i++) round_trip(&a, true), round_trip(&b, true);
    assert_true(abs((int)(a.c.cwnd - b.c.cwnd)) < (int)(3 * MSS));
}

static void test_undo_returns_to_the_curve(void **state)
{
    struct path a = path_new(1000 * MSS, 100 * MS);
    loss(&a);
    for (unsigned i = 0; i < 20; i++) round_trip(&a, true);
    struct path b = a;
    b.c.ops->congestion(&b.c, b.c.cwnd, b.now, false);
    b.c.ops->undo(&b.c, b.now);
    assert_int_equal(b.c.cwnd, a.c.cwnd);
    for (unsigned i = 0; i < 40; i++) round_trip(&a, true), round_trip(&b, true);
    assert_true(abs((int)(a.c.cwnd - b.c.cwnd)) < (int)(2 * MSS));
}

static void test_growth_never_overflows(void **state)
{
    struct path p = path_new(1u << 29, 100 * MS);
    struct cc_ack a = {.now = p.now, .acked = 1u << 29, .cwnd_limited = true, .srtt = 100 * MS};
    for (unsigned i = 0; i < 1000; i++) {
        a.now += 1000 * NSEC_PER_SEC;
        uint32_t before = p.c.cwnd;
        p.c.ops->acked(&p.c, &a);
        assert_true(p.c.cwnd >= before && p.c.cwnd <= UINT32_MAX / 2);
    }
    p.c.ops->congestion(&p.c, UINT32_MAX, a.now, true);
    assert_true(p.c.cwnd >= 2 * MSS);
}

/* --- HyStart++ ---------------------------------------------------------------------------------------------------- */

/* The queue grows by what is in flight beyond the room. Returns the window at which slow start has ended. */
static uint32_t start(nsec rtt, uint32_t room, nsec per_segment, unsigned rounds)
{
    struct path p = path_new(10 * MSS, rtt);
    p.c.ssthresh = UINT32_MAX;
    for (unsigned i = 0; i < rounds && p.c.cwnd < p.c.ssthresh; i++) {
        uint32_t segments = p.c.cwnd / MSS;
        p.rtt = rtt + (segments > room ? (segments - room) * per_segment : 0);
        round_trip(&p, true);
    }
    return p.c.cwnd < p.c.ssthresh ? 0 : p.c.cwnd / MSS;
}

static void test_slow_start_ends_when_the_delay_grows(void **state)
{
    uint32_t end = start(50 * MS, 200, NSEC_PER_MSEC / 10, 100);
    /* five gentle rounds beyond the knee, by a quarter each, and then the loss did not come */
    assert_in_range(end, 200, 2000);
    assert_int_equal(start(50 * MS, UINT32_MAX, 0, 12), 0); /* no growth, no end */
}

static void test_a_jitter_of_one_round_does_not_end_slow_start(void **state)
{
    struct path p = path_new(10 * MSS, 50 * MS);
    p.c.ssthresh = UINT32_MAX;
    for (unsigned i = 0; i < 14; i++) {
        p.rtt = i == 4 ? 90 * MS : 50 * MS;
        round_trip(&p, true);
    }
    assert_true(p.c.cwnd < p.c.ssthresh);
    assert_true(p.c.cwnd > 10 * MSS * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_window_follows_the_curve),
        cmocka_unit_test(test_on_short_paths_it_is_as_fast_as_reno),
        cmocka_unit_test(test_a_second_loss_below_the_old_maximum_gives_way),
        cmocka_unit_test(test_after_a_timeout_the_curve_begins_flat),
        cmocka_unit_test(test_time_without_data_does_not_count),
        cmocka_unit_test(test_undo_returns_to_the_curve),
        cmocka_unit_test(test_growth_never_overflows),
        cmocka_unit_test(test_slow_start_ends_when_the_delay_grows),
        cmocka_unit_test(test_a_jitter_of_one_round_does_not_end_slow_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
