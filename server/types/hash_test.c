/* SPDX-License-Identifier: MIT */
#include "server/types/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define FIELDS 24

static const struct hash_rules rules = {.entries_max = 16, .value_max = 20, .seed = 5};

static struct bytes str(const char *s) { return bytes_of_str(s); }

static void assert_value(const struct hash *h, const char *field, const char *want)
{
    struct lp_value v;
    char num[NUMBER_I64_SIZE];
    assert_int_equal(hash_get(h, str(field), &v), want != NULL);
    assert_int_equal(hash_has(h, str(field)), want != NULL);
    if (want) assert_true(bytes_equal(lp_value_bytes(v, num), str(want)));
}

static void test_a_value_over_the_limit_converts_and_keeps_the_rest(void **state)
{
    (void)state;
    struct hash h = hash_new();
    assert_true(hash_set(&h, str("a"), str("12345678901234567890"), &rules));
    assert_true(hash_set(&h, str("b"), str(""), &rules));
    assert_int_equal(h.enc, ENC_LISTPACK);
    assert_false(hash_set(&h, str("a"), str("123456789012345678901"), &rules));
    assert_int_equal(h.enc, ENC_HT);
    assert_value(&h, "a", "123456789012345678901");
    assert_value(&h, "b", "");
    assert_value(&h, "c", NULL);
    hash_free(&h);
}

static void test_expecting_a_long_field_converts_before_anything_is_set(void **state)
{
    (void)state;
    struct hash h = hash_new();
    struct bytes fine[] = {BYTES("f"), BYTES("v")},
                 too_long[] = {BYTES("f"), BYTES("v"), BYTES("xxxxxxxxxxxxxxxxxxxxx"), BYTES("")};
    hash_expect(&h, fine, 2, &rules);
    assert_int_equal(h.enc, ENC_LISTPACK);
    hash_expect(&h, too_long, 4, &rules);
    assert_int_equal(h.enc, ENC_HT);
    assert_int_equal(hash_count(&h), 0);
    hash_free(&h);
}

static void test_the_field_after_the_last_allowed_converts(void **state)
{
    (void)state;
    struct hash h = hash_new();
    char field[16];
    for (int i = 0; i < 16; i++) {
        snprintf(field, sizeof field, "%d", i);
        hash_set(&h, str(field), str(field), &rules);
    }
    assert_int_equal(h.enc, ENC_LISTPACK);
    hash_set(&h, str("3"), str("again"), &rules);
    assert_int_equal(h.enc, ENC_LISTPACK);
    hash_set(&h, str("new"), str("v"), &rules);
    assert_int_equal(h.enc, ENC_HT);
    assert_int_equal(hash_count(&h), 17);
    assert_value(&h, "3", "again");
    assert_value(&h, "15", "15");
    hash_free(&h);
}

/* A hash that was filled before the limit was lowered. */
static void test_a_lowered_limit_holds_from_the_next_write_of_whatever_field(void **state)
{
    (void)state;
    const struct hash_rules lower = {4, 64, 9};
    char field[16];
    for (int is_new = 0; is_new < 2; is_new++) {
        struct hash h = hash_new();
        for (int i = 0; i < 5; i++) {
            snprintf(field, sizeof field, "%d", i);
            hash_set(&h, str(field), str("v"), &rules);
        }
        hash_remove(&h, str("nobody"));
        assert_int_equal(h.enc, ENC_LISTPACK);
        assert_int_equal(hash_set(&h, str(is_new ? "new" : "3"), str("again"), &lower), is_new);
        assert_int_equal(h.enc, ENC_HT);
        assert_int_equal(hash_count(&h), 5 + is_new);
        hash_free(&h);
    }
}

static void test_expecting_too_many_fields_converts_whether_they_differ_or_not(void **state)
{
    (void)state;
    const struct hash_rules lower = {2, 64, 9};
    const struct bytes args[] = {str("f"), str("1"), str("f"), str("2"), str("f"), str("3")};
    struct hash h = hash_new();
    hash_expect(&h, args, 4, &lower);
    assert_int_equal(h.enc, ENC_LISTPACK);
    hash_expect(&h, args, 6, &lower);
    assert_int_equal(h.enc, ENC_HT);
    hash_free(&h);
}

static void test_a_value_that_equals_a_field_is_not_found_as_one(void **state)
{
    (void)state;
    struct hash h = hash_new();
    hash_set(&h, str("a"), str("b"), &rules);
    assert_value(&h, "b", NULL);
    assert_false(hash_remove(&h, str("b")));
    assert_true(hash_remove(&h, str("a")));
    assert_int_equal(hash_count(&h), 0);
    hash_free(&h);
}

/* Both encodings against a model: value[i] or -1. */
static void check_random_changes(size_t entries_max)
{
    struct hash_rules mine = {entries_max, 64, 9};
    struct hash h = hash_new();
    struct rng rng;
    int value[FIELDS];
    size_t in = 0;
    char field[16], text[16];
    rng_seed(&rng, entries_max);
    for (int i = 0; i < FIELDS; i++) value[i] = -1;
    for (int step = 0; step < 3000; step++) {
        int i = (int)rng_below(&rng, FIELDS), v = (int)rng_below(&rng, 100000);
        snprintf(field, sizeof field, i % 2 ? "%d" : "f%d", i);
        snprintf(text, sizeof text, v % 2 ? "%d" : "v%d", v);
        if (rng_below(&rng, 3)) {
            assert_int_equal(hash_set(&h, str(field), str(text), &mine), value[i] < 0);
            in += value[i] < 0;
            value[i] = v;
        } else {
            assert_int_equal(hash_remove(&h, str(field)), value[i] >= 0);
            in -= value[i] >= 0;
            value[i] = -1;
        }
        assert_int_equal(hash_count(&h), in);
        snprintf(text, sizeof text, value[i] % 2 ? "%d" : "v%d", value[i]);
        assert_value(&h, field, value[i] < 0 ? NULL : text);
    }
    struct hash_iter it;
    struct lp_value f, v;
    size_t shown = 0;
    hash_iter_init(&it, &h);
    for (; hash_iter_next(&it, &f, &v); shown++) {
        char num[NUMBER_I64_SIZE];
        assert_true(hash_has(&h, lp_value_bytes(f, num)));
    }
    hash_iter_fini(&it);
    assert_int_equal(shown, in);
    hash_free(&h);
}

static void test_random_changes_agree_with_a_model(void **state)
{
    (void)state;
    check_random_changes(FIELDS);
    check_random_changes(0);
    check_random_changes(10);
}

static void test_every_field_is_drawn_about_as_often_with_its_value(void **state)
{
    (void)state;
    for (int table = 0; table < 2; table++) {
        struct hash_rules mine = {table ? 0 : 100, 64, 3};
        struct hash h = hash_new();
        int drawn[10] = {0};
        struct rng rng;
        rng_seed(&rng, 11);
        for (int i = 0; i < 10; i++) {
            char field[2] = {(char)('0' + i), 0}, value[3] = {'v', (char)('0' + i), 0};
            hash_set(&h, str(field), str(value), &mine);
        }
        for (int n = 0; n < 10000; n++) {
            struct lp_value f, v;
            int64_t i;
            hash_random(&h, &rng, &f, &v);
            assert_true(lp_value_i64(f, &i));
            assert_int_equal(v.s.p[1], '0' + i);
            drawn[i]++;
        }
        for (int i = 0; i < 10; i++) assert_in_range(drawn[i], 850, 1150);
        hash_free(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_value_over_the_limit_converts_and_keeps_the_rest),
        cmocka_unit_test(test_expecting_a_long_field_converts_before_anything_is_set),
        cmocka_unit_test(test_the_field_after_the_last_allowed_converts),
        cmocka_unit_test(test_a_lowered_limit_holds_from_the_next_write_of_whatever_field),
        cmocka_unit_test(test_expecting_too_many_fields_converts_whether_they_differ_or_not),
        cmocka_unit_test(test_a_value_that_equals_a_field_is_not_found_as_one),
        cmocka_unit_test(test_random_changes_agree_with_a_model),
        cmocka_unit_test(test_every_field_is_drawn_about_as_often_with_its_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
