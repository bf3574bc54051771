/* SPDX-License-Identifier: MIT
 *
 * The generator: reproducible, within bounds, and not visibly lopsided.
 */
#include "alloc/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_a_bound_of_zero_or_one_gives_zero(void **state)
{
    struct rng r;
    rng_seed(&r, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rng_below(&r, 0), 0);
        assert_int_equal(rng_below(&r, 1), 0);
    }
}

static void test_the_same_seed_gives_the_same_numbers(void **state)
{
    struct rng a, b, c;
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    rng_seed(&c, 43);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = rng_u64(&a);
        assert_true(v == rng_u64(&b));
        same += v == rng_u64(&c);
    }
    assert_int_equal(same, 0);
}

/* The authors' reference with the state 1, 2, 3, 4: computed by hand from the definition for the
 * first two. */
static void test_it_is_xoshiro256_star_star(void **state)
{
    struct rng r = {.s = {1, 2, 3, 4}};
    assert_true(rng_u64(&r) == 11520);
    assert_true(rng_u64(&r) == 0);
    assert_true(rng_u64(&r) == 1509978240);
}

static void test_each_value_below_a_bound_is_as_likely(void **state)
{
    struct rng r;
    int seen[7] = {0};
    rng_seed(&r, 1);
    for (int i = 0; i < 70000; i++) {
        uint64_t v = rng_below(&r, 7);
        assert_true(v < 7);
        seen[v]++;
    }
    for (int i = 0; i < 7; i++) assert_in_range(seen[i], 9500, 10500);
    for (int i = 0; i < 1000; i++) assert_true(rng_below(&r, UINT64_MAX) < UINT64_MAX);
}

static void test_doubles_lie_in_zero_to_one(void **state)
{
    struct rng r;
    double sum = 0;
    rng_seed(&r, 1);
    for (int i = 0; i < 100000; i++) {
        double d = rng_double(&r);
        assert_true(d >= 0 && d < 1);
        sum += d;
    }
    assert_true(sum > 49000 && sum < 51000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bound_of_zero_or_one_gives_zero),
        cmocka_unit_test(test_the_same_seed_gives_the_same_numbers),
        cmocka_unit_test(test_it_is_xoshiro256_star_star),
        cmocka_unit_test(test_each_value_below_a_bound_is_as_likely),
        cmocka_unit_test(test_doubles_lie_in_zero_to_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
