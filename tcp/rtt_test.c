/* SPDX-License-Identifier: MIT
 *
 * RTT and RTO against RFC 6298 in floating point.
 */
#include "tcp/rtt.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"

#define MS NSEC_PER_MSEC

static void test_without_a_sample_the_initial_value_counts(void **state)
{
    struct rtt r;
    rtt_init(&r);
    assert_int_equal(rtt_rto(&r, 1000 * MS, 200 * MS, 60000 * MS), 1000 * MS);
    assert_int_equal(r.min, NSEC_NEVER);
    assert_int_equal(rtt_srtt(&r), 0);
}

static void test_the_first_sample_sets_srtt_and_three_of_it_the_timeout(void **state)
{
    struct rtt r;
    rtt_init(&r);
    rtt_sample(&r, 100 * MS, 5);
    assert_int_equal(rtt_srtt(&r), 100 * MS);
    assert_int_equal(rtt_rto(&r, 1, 1, NSEC_NEVER), 300 * MS); /* R + 4 * R/2 */
    assert_int_equal(rtt_rto(&r, 1, 400 * MS, NSEC_NEVER), 400 * MS);
    assert_int_equal(rtt_rto(&r, 1, 1, 250 * MS), 250 * MS);
}

static void test_a_steady_path_comes_down_to_its_rtt_and_the_granularity(void **state)
{
    struct rtt r;
    rtt_init(&r);
    for (unsigned i = 0; i < 200; i++) rtt_sample(&r, 50 * MS, i * MS);
    assert_true(rtt_rto(&r, 1, 1, NSEC_NEVER) - 51 * MS < 100);
}

static void test_random_samples_follow_the_formula(void **state)
{
    struct rng rng;
    rng_seed(&rng, 6298);
    for (unsigned run = 0; run < 50; run++) {
        struct rtt r;
        rtt_init(&r);
        double srtt = 0, rttvar = 0, scale = pow(10, 4 + run % 6);
        for (unsigned i = 0; i < 500; i++) {
            nsec sample = 1 + (nsec)(rng_double(&rng) * scale);
            rtt_sample(&r, sample, i);
            double x = (double)sample;
            if (i == 0) srtt = x, rttvar = x / 2;
            else rttvar = 0.75 * rttvar + 0.25 * fabs(srtt - x), srtt = 0.875 * srtt + 0.125 * x;
            assert_true(fabs((double)r.srtt8 / 8 - srtt) < 8 + srtt * 1e-9);
            assert_true(fabs((double)r.rttvar4 / 4 - rttvar) < 8 + rttvar * 1e-9);
        }
    }
}

static void test_absurd_samples_do_no_harm(void **state)
{
    struct rtt r;
    rtt_init(&r);
    for (unsigned i = 0; i < 1000; i++) rtt_sample(&r, i & 1 ? UINT64_MAX : 0, i);
    nsec rto = rtt_rto(&r, 1, 200 * MS, 120000 * MS);
    assert_true(rto >= 200 * MS && rto <= 120000 * MS);
    assert_true(rtt_srtt(&r) <= 600 * NSEC_PER_SEC);
    rtt_init(&r);
    rtt_sample(&r, 0, 0);
    assert_int_not_equal(r.srtt8, 0); /* a sample it was */
}

static void test_a_minimum_is_forgotten_within_five_minutes(void **state)
{
    struct rtt r;
    rtt_init(&r);
    nsec t = 7 * NSEC_PER_SEC;
    rtt_sample(&r, 10 * MS, t);
    for (unsigned s = 1; s < 150; s++) {
        rtt_sample(&r, 30 * MS, t + s * NSEC_PER_SEC);
        assert_int_equal(r.min, 10 * MS);
    }
    for (unsigned s = 150; s <= 301; s++) rtt_sample(&r, (s == 200 ? 25 : 30) * MS, t + s * NSEC_PER_SEC);
    assert_int_equal(r.min, 25 * MS); /* of the younger half, not merely the latest */
    for (unsigned s = 302; s <= 501; s++) rtt_sample(&r, 30 * MS, t + s * NSEC_PER_SEC);
    assert_int_equal(r.min, 30 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_sample_the_initial_value_counts),
        cmocka_unit_test(test_the_first_sample_sets_srtt_and_three_of_it_the_timeout),
        cmocka_unit_test(test_a_steady_path_comes_down_to_its_rtt_and_the_granularity),
        cmocka_unit_test(test_random_samples_follow_the_formula),
        cmocka_unit_test(test_absurd_samples_do_no_harm),
        cmocka_unit_test(test_a_minimum_is_forgotten_within_five_minutes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
