/* SPDX-License-Identifier: MIT */
#include "server/types/set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_all_encodings_answer_alike(void **state)
{
    (void)state;
    const struct set_rules ints = {.intset_max = 1000, .seed = 7}, none = {.intset_max = 0, .seed = 7};
    const struct set_rules packed = {.intset_max = 0, .listpack_max = 1000, .value_max = 64, .seed = 7};
    struct set a = set_new(BYTES("1"), 1, &ints), b = set_new(BYTES("1"), 1, &none),
               c = set_new(BYTES("1"), 1, &packed);
    struct rng rng;
    rng_seed(&rng, 5);
    for (int i = 0; i < 20000; i++) {
        char buf[24];
        int64_t v = (int64_t)rng_below(&rng, 64) - 32;
        if (rng_below(&rng, 8) == 0) v *= INT64_C(1) << 40;
        struct bytes m = bytes_of(buf, number_format_i64(buf, v));
        bool add = rng_below(&rng, 2) != 0, changed = add ? set_add(&a, m, &ints) : set_remove(&a, m);
        assert_int_equal(add ? set_add(&b, m, &none) : set_remove(&b, m), changed);
        assert_int_equal(add ? set_add(&c, m, &packed) : set_remove(&c, m), changed);
        assert_int_equal(set_count(&a), set_count(&b));
        assert_int_equal(set_count(&a), set_count(&c));
        assert_int_equal(set_has(&a, m), add);
        assert_int_equal(set_has(&b, m), add);
        assert_int_equal(set_has(&c, m), add);
    }
    assert_int_equal(a.enc, ENC_INTSET);
    assert_int_equal(b.enc, ENC_HT);
    assert_int_equal(c.enc, ENC_LISTPACK);
    const struct set *others[] = {&b, &c};
    for (int k = 0; k < 2; k++) {
        struct set_iter it;
        size_t shown = 0;
        for (set_iter_init(&it, others[k]); set_iter_next(&it); shown++) assert_true(set_has(&a, it.member));
        set_iter_fini(&it);
        assert_int_equal(shown, set_count(&a));
    }
    set_free(&a);
    set_free(&b);
    set_free(&c);
}

static void test_what_is_no_integer_is_in_no_intset(void **state)
{
    (void)state;
    const struct set_rules rules = {.intset_max = 10, .seed = 7};
    struct set s = set_new(BYTES("5"), 1, &rules);
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

/* What a set of `has` members (integers, or with `text` one word first) becomes by one more. */
static enum obj_encoding after(int has, bool text, struct bytes more, const struct set_rules *rules)
{
    struct set s = set_new(text ? BYTES("word") : BYTES("0"), 1, rules);
    if (text) set_add(&s, BYTES("word"), rules);
    for (int i = text; i < has; i++) {
        char buf[NUMBER_I64_SIZE];
        set_add(&s, bytes_of(buf, number_format_i64(buf, i)), rules);
    }
    assert_true(set_add(&s, more, rules));
    assert_int_equal(set_count(&s), has + 1);
    enum obj_encoding enc = s.enc;
    set_free(&s);
    return enc;
}

static void test_each_limit_decides_what_a_set_becomes(void **state)
{
    (void)state;
    const struct set_rules rules = {.intset_max = 8, .listpack_max = 4, .value_max = 5, .seed = 7};
    const struct bytes number = BYTES("77777"), word = BYTES("fifth"), long_word = BYTES("sixth!");
    const struct {
        int has;
        bool text;
        struct bytes more;
        enum obj_encoding becomes;
    } cases[] = {
        {7, false, number, ENC_INTSET},  {8, false, number, ENC_HT},    {3, false, word, ENC_LISTPACK},
        {4, false, word, ENC_HT},        {3, false, long_word, ENC_HT}, {3, true, word, ENC_LISTPACK},
        {3, true, number, ENC_LISTPACK}, {4, true, word, ENC_HT},       {1, true, long_word, ENC_HT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(after(cases[i].has, cases[i].text, cases[i].more, &rules), cases[i].becomes);

    /* An integer that is wider than a listpack's member may be keeps its set from becoming one. */
    struct set s = set_new_intset();
    set_add(&s, BYTES("-12345"), &rules);
    set_add(&s, word, &rules);
    assert_int_equal(s.enc, ENC_HT);
    set_free(&s);
}

static void test_what_is_announced_decides_first(void **state)
{
    (void)state;
    const struct set_rules rules = {.intset_max = 8, .listpack_max = 4, .value_max = 5, .seed = 7};
    const struct {
        struct bytes first;
        size_t count;
        enum obj_encoding becomes;
    } cases[] = {
        {BYTES("1"), 8, ENC_INTSET}, {BYTES("1"), 9, ENC_HT}, {BYTES("a"), 4, ENC_LISTPACK}, {BYTES("a"), 5, ENC_HT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct set s = set_new(cases[i].first, cases[i].count, &rules);
        assert_int_equal(s.enc, cases[i].becomes);
        set_free(&s);
        s = set_new(cases[i].first, 1, &rules);
        set_expect(&s, cases[i].count, &rules);
        assert_int_equal(s.enc, cases[i].becomes);
        set_free(&s);
    }
}

static void test_only_integers_become_an_intset_again(void **state)
{
    (void)state;
    const struct set_rules rules = {.intset_max = 3, .listpack_max = 4, .value_max = 5, .seed = 7};
    struct set s = set_new_listpack();
    for (int i = 0; i < 4; i++) set_add(&s, bytes_of(&"1234"[i], 1), &rules);
    assert_false(set_to_intset(&s, &rules)); /* one too many */
    assert_int_equal(s.enc, ENC_LISTPACK);
    set_remove(&s, BYTES("2"));
    set_remove(&s, BYTES("4"));
    set_add(&s, BYTES("x"), &rules);
    assert_false(set_to_intset(&s, &rules));
    assert_int_equal(set_count(&s), 3);
    set_remove(&s, BYTES("x"));
    assert_true(set_to_intset(&s, &rules));
    assert_int_equal(s.enc, ENC_INTSET);
    assert_true(set_has(&s, BYTES("1")) && set_has(&s, BYTES("3")) && set_count(&s) == 2);
    set_free(&s);
}

/* 60,000 draws of 6 members: 10,000 each with a standard deviation of 91. A fixed seed: it cannot fail by chance. */
static void test_random_members_are_equally_likely(void **state)
{
    (void)state;
    const struct set_rules rules[] = {{.intset_max = 10, .seed = 7},
                                      {.intset_max = 0, .seed = 7},
                                      {.intset_max = 0, .listpack_max = 10, .value_max = 1, .seed = 7}};
    struct rng rng;
    rng_seed(&rng, 11);
    for (int k = 0; k < 3; k++) {
        struct set s = set_new(BYTES("0"), 6, &rules[k]);
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
        cmocka_unit_test(test_all_encodings_answer_alike),
        cmocka_unit_test(test_what_is_no_integer_is_in_no_intset),
        cmocka_unit_test(test_one_too_many_makes_a_hash_table),
        cmocka_unit_test(test_each_limit_decides_what_a_set_becomes),
        cmocka_unit_test(test_what_is_announced_decides_first),
        cmocka_unit_test(test_only_integers_become_an_intset_again),
        cmocka_unit_test(test_random_members_are_equally_likely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
