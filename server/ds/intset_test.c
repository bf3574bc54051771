/* SPDX-License-Identifier: MIT */
#include "server/ds/intset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"

static void test_blocks_that_lie_are_refused(void **state)
{
    static const struct {
        const char *block;
        size_t n;
        bool shallow, deep;
    } cases[] = {
        {"", 0, false, false},
        {"\2\0\0\0\0\0\0", 7, false, false},
        {"\2\0\0\0\0\0\0\0", 8, false, false}, /* empty */
        {"\3\0\0\0\1\0\0\0\1\0\0", 11, false, false},
        {"\2\0\0\0\1\0\0\0\1", 9, false, false},
        {"\2\0\0\0\1\0\0\0\1\0\0", 11, false, false},
        {"\2\0\0\0\2\0\0\0\1\0", 10, false, false},
        {"\10\0\0\0\377\377\377\377\1\0", 10, false, false},
        {"\2\0\0\0\2\0\0\0\2\0\1\0", 12, true, false},
        {"\2\0\0\0\2\0\0\0\1\0\1\0", 12, true, false},
        {"\2\0\0\0\2\0\0\0\377\377\1\0", 12, true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(intset_validate(cases[i].block, cases[i].n, false), cases[i].shallow);
        assert_int_equal(intset_validate(cases[i].block, cases[i].n, true), cases[i].deep);
    }
}

static void test_the_block_is_laid_out_as_redis_does(void **state)
{
    struct intset *s = intset_new();
    s = intset_add(s, 5, NULL);
    s = intset_add(s, -2, NULL);
    assert_int_equal(intset_bytes(s), 12);
    assert_memory_equal(s, "\2\0\0\0\2\0\0\0\376\377\5\0", 12);
    s = intset_add(s, 65536, NULL);
    assert_memory_equal(s, "\4\0\0\0\3\0\0\0\376\377\377\377\5\0\0\0\0\0\1\0", 20);
    s = intset_add(s, INT64_MIN, NULL);
    assert_int_equal(intset_bytes(s), 8 + 4 * 8);
    assert_int_equal(intset_get(s, 0), INT64_MIN);
    assert_int_equal(intset_get(s, 3), 65536);
    struct intset *copy = intset_new_from(s, intset_bytes(s));
    assert_memory_equal(copy, s, intset_bytes(s));
    intset_free(copy);
    intset_free(s);
}

static void test_each_limit_takes_its_own_width(void **state)
{
    static const int64_t limits[] = {INT16_MIN, INT16_MAX,     INT32_MIN,     INT32_MAX,       INT64_MIN,
                                     INT64_MAX, INT16_MIN - 1, INT16_MAX + 1, INT32_MIN - 1ll, INT32_MAX + 1ll};
    static const size_t widths[] = {2, 2, 4, 4, 8, 8, 4, 4, 8, 8};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        bool done;
        struct intset *s = intset_add(intset_new(), limits[i], &done);
        assert_true(done);
        assert_int_equal(intset_bytes(s), 8 + widths[i]);
        assert_int_equal(intset_get(s, 0), limits[i]);
        s = intset_remove(s, limits[i], &done);
        assert_true(done);
        assert_int_equal(intset_count(s), 0);
        intset_free(s);
    }
}

static void test_random_changes_agree_with_a_model(void **state)
{
    for (unsigned width = 0; width < 3; width++) {
        static const int64_t factors[] = {1, 100000, 1ll << 40};
        bool in[1000] = {0};
        size_t count = 0;
        struct intset *s = intset_new();
        struct rng rng;
        rng_seed(&rng, width);
        for (int step = 0; step < 20000; step++) {
            size_t i = rng_below(&rng, 1000);
            int64_t v = ((int64_t)i - 500) * factors[width];
            bool changed, want_in = rng_below(&rng, 2);
            assert_int_equal(intset_has(s, v), in[i]);
            if (want_in) {
                s = intset_add(s, v, &changed);
            } else {
                s = intset_remove(s, v, &changed);
            }
            assert_int_equal(changed, in[i] != want_in);
            count = count + want_in - in[i];
            in[i] = want_in;
            assert_int_equal(intset_count(s), count);
            if (step % 500 == 0 && count) assert_true(intset_validate(s, intset_bytes(s), true));
        }
        for (size_t i = 0, k = 0; i < 1000; i++) {
            if (in[i]) assert_int_equal(intset_get(s, k++), ((int64_t)i - 500) * factors[width]);
        }
        intset_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_that_lie_are_refused),
        cmocka_unit_test(test_the_block_is_laid_out_as_redis_does),
        cmocka_unit_test(test_each_limit_takes_its_own_width),
        cmocka_unit_test(test_random_changes_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
