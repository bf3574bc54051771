/* SPDX-License-Identifier: MIT
 *
 * The two encodings of a sorted set must be told apart by OBJECT ENCODING only: the same random changes go to one of
 * each kind, and everything that can be asked is asked of both.
 */
#include "server/types/zset.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MEMBERS 40

static const struct zset_rules small = {.entries_max = 1000, .value_max = 1000, .seed = 7};
static const struct zset_rules large = {.entries_max = 0, .value_max = 1000, .seed = 7};

struct pair {
    struct zset lp, tree;
};

static struct pair pair_new(void) { return (struct pair){zset_new(1, 0, &small), zset_new(1, 0, &large)}; }
static void pair_free(struct pair *p)
{
    assert_int_equal(p->lp.enc, ENC_LISTPACK);
    assert_int_equal(p->tree.enc, ENC_SKIPLIST);
    zset_free(&p->lp);
    zset_free(&p->tree);
}

static void same_walk(const struct pair *p, struct ztree_span span, bool reverse)
{
    struct zset_iter a, b;
    size_t n = 0;
    zset_iter_init(&a, &p->lp, span, reverse);
    zset_iter_init(&b, &p->tree, span, reverse);
    while (zset_iter_next(&a)) {
        assert_true(zset_iter_next(&b));
        assert_true(bytes_equal(a.member, b.member));
        assert_true(zset_iter_score(&a) == zset_iter_score(&b));
        n++;
    }
    assert_false(zset_iter_next(&b));
    assert_int_equal(n, span.end - span.start);
}

static struct bytes member_of(unsigned i, char buf[40])
{
    static const char *const forms[] = {"%u", "m%u", "-%u", "a longer member %u"};
    return bytes_of(buf, (size_t)snprintf(buf, 40, forms[i % 4], i));
}

static double random_score(struct rng *rng)
{
    static const double odd[] = {0, 1.5, -2, 1e17, 1e300, 5e-324, 0.1, 4611686018427387904.0, 123456789012345680};
    uint64_t k = rng_below(rng, 14);
    if (k == 12) return INFINITY;
    if (k == 13) return -INFINITY;
    return k < 9 ? odd[k] : (double)rng_below(rng, 6);
}

static void change(struct pair *p, struct rng *rng)
{
    char buf[40];
    struct bytes m = member_of((unsigned)rng_below(rng, MEMBERS), buf);
    double score = random_score(rng), had = 0, had2 = 0;
    if (rng_below(rng, 4) == 0) {
        assert_int_equal(zset_remove(&p->lp, m), zset_remove(&p->tree, m));
        return;
    }
    bool added = zset_add(&p->lp, m, score, &had, &small);
    assert_int_equal(zset_add(&p->tree, m, score, &had2, &large), added);
    if (added) return;
    assert_true(had == had2);
    zset_rescore(&p->lp, m, score);
    zset_rescore(&p->tree, m, score);
}

static void compare(const struct pair *p, struct rng *rng)
{
    size_t n = zset_count(&p->tree);
    assert_int_equal(zset_count(&p->lp), n);
    for (unsigned i = 0; i < MEMBERS; i++) {
        char buf[40];
        struct bytes m = member_of(i, buf);
        double a = 0, b = 0;
        size_t ra = 0, rb = 0;
        assert_int_equal(zset_score(&p->lp, m, &a), zset_score(&p->tree, m, &b));
        assert_int_equal(zset_rank(&p->lp, m, &ra), zset_rank(&p->tree, m, &rb));
        assert_true(a == b);
        assert_int_equal(ra, rb);
    }
    for (int i = 0; i < 20; i++) {
        struct ztree_score_range r = {random_score(rng), random_score(rng), rng_below(rng, 2), rng_below(rng, 2)};
        struct ztree_span a = zset_score_span(&p->lp, &r), b = zset_score_span(&p->tree, &r);
        assert_int_equal(a.end - a.start, b.end - b.start);
        if (a.end > a.start) assert_int_equal(a.start, b.start);
    }
    size_t start = rng_below(rng, n + 1), end = start + rng_below(rng, n - start + 1);
    same_walk(p, (struct ztree_span){start, end}, false);
    same_walk(p, (struct ztree_span){start, end}, true);
}

static void test_both_encodings_answer_alike(void **state)
{
    (void)state;
    struct rng rng;
    struct pair p = pair_new();
    rng_seed(&rng, 3);
    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < 10; i++) change(&p, &rng);
        compare(&p, &rng);
        if (round % 8) continue;
        size_t start = rng_below(&rng, zset_count(&p.tree) + 1);
        struct ztree_span span = {start, start + rng_below(&rng, zset_count(&p.tree) - start + 1)};
        zset_delete_span(&p.lp, span);
        zset_delete_span(&p.tree, span);
        compare(&p, &rng);
    }
    ztree_check(p.tree.p);
    pair_free(&p);
}

static void test_lex_spans_are_alike_at_equal_scores(void **state)
{
    (void)state;
    struct pair p = pair_new();
    double had;
    static const char *const words[] = {"", "a", "aa", "ab", "b", "c", "12", "9", "\xff"};
    const unsigned count = sizeof words / sizeof *words;
    for (unsigned i = 0; i < count; i++) {
        zset_add(&p.lp, bytes_of_str(words[i]), 0, &had, &small);
        zset_add(&p.tree, bytes_of_str(words[i]), 0, &had, &large);
    }
    for (unsigned kinds = 0; kinds < 16; kinds++) {
        for (unsigned i = 0; i < count * count; i++) {
            struct ztree_lex_range r = {.min_kind = kinds % 4,
                                        .max_kind = kinds / 4,
                                        .min = bytes_of_str(words[i % count]),
                                        .max = bytes_of_str(words[i / count])};
            struct ztree_span a = zset_lex_span(&p.lp, &r, false), b = zset_lex_span(&p.tree, &r, false);
            struct ztree_span back = zset_lex_span(&p.lp, &r, true);
            assert_int_equal(a.end - a.start, b.end - b.start);
            assert_int_equal(back.end - back.start, b.end - b.start);
            if (b.end == b.start) continue;
            assert_int_equal(a.start, b.start);
            assert_int_equal(back.start, b.start);
        }
    }
    pair_free(&p);
}

static void test_one_too_many_or_too_long_makes_a_tree(void **state)
{
    (void)state;
    const struct zset_rules rules = {.entries_max = 3, .value_max = 4, .seed = 7};
    struct zset z = zset_new(3, 0, &rules);
    double had;
    zset_add(&z, BYTES("1"), 1, &had, &rules);
    zset_add(&z, BYTES("four"), 2, &had, &rules);
    zset_append(&z, BYTES("c"), 3, &rules);
    assert_int_equal(z.enc, ENC_LISTPACK);
    assert_false(zset_add(&z, BYTES("c"), 9, &had, &rules)); /* not a new one */
    assert_int_equal(z.enc, ENC_LISTPACK);
    zset_add(&z, BYTES("d"), -1, &had, &rules);
    assert_int_equal(z.enc, ENC_SKIPLIST);
    assert_int_equal(zset_count(&z), 4);
    ztree_check(z.p);
    zset_free(&z);

    z = zset_new(1, 0, &rules);
    zset_append(&z, BYTES("fives"), 0, &rules);
    assert_int_equal(z.enc, ENC_SKIPLIST);
    zset_free(&z);
    z = zset_new(4, 0, &rules);
    assert_int_equal(z.enc, ENC_SKIPLIST);
    zset_free(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_encodings_answer_alike),
        cmocka_unit_test(test_lex_spans_are_alike_at_equal_scores),
        cmocka_unit_test(test_one_too_many_or_too_long_makes_a_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
