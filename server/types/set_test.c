/* SPDX-License-Identifier: MIT */
#include "server/types/set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_both_encodings_answer_alike(void **state)
{
    (void)state;
    const struct set_rules ints = {.intset_max = 1000, .seed = 7}, none = {.intset_max = 0, .seed = 7};
    struct set a = set_new(BYTES("1"), &ints), b = set_new(BYTES("1"), &none);
    struct rng rng;
    rng_seed(&rng, 5);
    for (int i = 0; i < 20000; i++) {
        char buf[24];
        int64_t v = (int64_t)rng_below(&rng, 64) - 32;
        if (rng_below(&rng, 8) == 0) v *= INT64_C(1) << 40;
        struct bytes m = bytes_of(buf, number_format_i64(buf, v));
        if (rng_below(&rng, 2)) assert_int_equal(set_add(&a, m, &ints), set_add(&b, m, &none));
        else assert_int_equal(set_remove(&a, m), set_remove(&b, m));
        assert_int_equal(set_count(&a), set_count(&b));
        assert_int_equal(set_has(&a, m), set_has(&b, m));
    }
    assert_int_equal(a.enc, ENC_INTSET);
    assert_int_equal(b.enc, ENC_HT);
    struct set_iter it;
    size_t shown = 0;
    for (set_iter_init(&it, &b); set_iter_next(&it); shown++) assert_true(set_has(&a, it.member));
    set_iter_fini(&it);
    assert_int_equal(shown, set_count(&a));
    set_free(&a);
    set_free(&b);
}

static void test_what_is_no_integer_is_in_no_intset(void **state)
{
    (void)state;
    const struct set_rules rules = {.intset_max = 10, .seed = 7};
    struct set s = set_new(BYTES("5"), &rules);
    set_add(&s, BYTES("5"), &rules);
    assert_false(set_has(&s, BYTES("05")));
    assert_false(set_has(&s, BYTES("+5")));
    assert_false(set_has(&s, BYTES("5 ")));
    assert_false(set_remove(&s, BYTES("05")));
    assert_int_equal(s.enc, ENC_INTSET);
    assert_true(set_add(&s, BYTES("05"), &rules));
    assert_int_equal(s.enc, ENC_HT);
    assert_true(set_has(&s, BYTES("5")));
    assert_int_equal(set_count(&s), 2);
    set_free(&s);
}

static void test_one_too_many_makes_a_hash_table(void **state)
{
    (void)state;
    const struct set_rules rules = {.intset_max = 3, .seed = 7};
    struct set s = set_new_intset();
    for (int i = 0; i < 3; i++) set_add(&s, bytes_of(&"123"[i], 1), &rules);
    set_add(&s, BYTES("2"), &rules); /* not a new one */
    assert_int_equal(s.enc, ENC_INTSET);
    set_add(&s, BYTES("4"), &rules);
    assert_int_equal(s.enc, ENC_HT);
    set_remove(&s, BYTES("4")); /* and never back */
    assert_int_equal(s.enc, ENC_HT);
    assert_int_equal(set_count(&s), 3);
    set_free(&s);
}

/* 60,000 draws of 6 members: 10,000 each with a standard deviation of 91. A fixed seed: it cannot fail by chance. */
static void test_random_members_are_equally_likely(void **state)
{
    (void)state;
    const struct set_rules rules[] = {{.intset_max = 10, .seed = 7}, {.intset_max = 0, .seed = 7}};
    struct rng rng;
    rng_seed(&rng, 11);
    for (int k = 0; k < 2; k++) {
        struct set s = set_new_intset();
        int drawn[6] = {0};
        for (int i = 0; i < 6; i++) set_add(&s, bytes_of(&"012345"[i], 1), &rules[k]);
        for (int i = 0; i < 60000; i++) {
            char buf[NUMBER_I64_SIZE];
            drawn[set_random(&s, &rng, buf).p[0] - '0']++;
        }
        for (int i = 0; i < 6; i++) assert_in_range(drawn[i], 9600, 10400);
        set_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_encodings_answer_alike),
        cmocka_unit_test(test_what_is_no_integer_is_in_no_intset),
        cmocka_unit_test(test_one_too_many_makes_a_hash_table),
        cmocka_unit_test(test_random_members_are_equally_likely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
