/* SPDX-License-Identifier: MIT */
#include "server/ds/ztree.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/assert_test.h"
#include "server/ds/ztree_elem.h"
#include "server/ds/ztree_node.h"
#include "server/mem.h"

/* The model: an array that is sorted when it is asked for. */
struct member {
    char name[24];
    double score;
    bool in;
    unsigned shown;
};

struct world {
    struct ztree z;
    struct member *all, **sorted;
    unsigned size, in;
    struct rng rng;
};

static struct bytes name_of(const struct member *m) { return bytes_of_str(m->name); }

static void world_init(struct world *w, unsigned size, uint64_t seed)
{
    *w = (struct world){.size = size, .all = calloc(size, sizeof *w->all), .sorted = calloc(size, sizeof *w->sorted)};
    for (unsigned i = 0; i < size; i++) snprintf(w->all[i].name, sizeof w->all[i].name, "m%u", i * 7919u % size);
    rng_seed(&w->rng, seed);
    ztree_init(&w->z, seed);
}

static void world_fini(struct world *w)
{
    ztree_fini(&w->z);
    assert_int_equal(w->z.node_bytes, 0);
    free(w->all);
    free(w->sorted);
}

static int order(const void *a, const void *b)
{
    const struct member *x = *(struct member *const *)a, *y = *(struct member *const *)b;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void model_sort(struct world *w)
{
    unsigned n = 0;
    for (unsigned i = 0; i < w->size; i++) {
        if (w->all[i].in) w->sorted[n++] = &w->all[i];
    }
    assert_int_equal(n, w->in);
    if (n) qsort(w->sorted, n, sizeof *w->sorted, order);
}

static void set(struct world *w, unsigned i, double score)
{
    struct member *m = &w->all[i];
    assert_int_equal(ztree_set(&w->z, name_of(m), score), !m->in);
    w->in += !m->in;
    m->in = true;
    m->score = score;
}

static void del(struct world *w, unsigned i)
{
    struct member *m = &w->all[i];
    assert_int_equal(ztree_delete(&w->z, name_of(m)), m->in);
    w->in -= m->in;
    m->in = false;
}

static void assert_member(struct ztree_pos p, const struct member *m)
{
    double score;
    assert_false(ztree_pos_is_end(p));
    assert_true(bytes_equal(ztree_get(p, &score), name_of(m)));
    assert_true(zscore_same_bits(score, m->score));
}

static void check_all(struct world *w)
{
    ztree_check(&w->z);
    assert_int_equal(ztree_count(&w->z), w->in);
    model_sort(w);
    struct ztree_pos p = ztree_at(&w->z, 0);
    for (unsigned i = 0; i < w->in; i++, p = ztree_next(p)) {
        size_t rank;
        double score;
        assert_member(p, w->sorted[i]);
        assert_member(ztree_at(&w->z, i), w->sorted[i]);
        assert_true(ztree_rank(&w->z, name_of(w->sorted[i]), &rank, &score));
        assert_int_equal(rank, i);
        assert_true(zscore_same_bits(score, w->sorted[i]->score));
    }
    assert_true(ztree_pos_is_end(p));
    if (!w->in) return;
    p = ztree_at(&w->z, w->in - 1);
    for (unsigned i = w->in; i-- > 0; p = ztree_prev(p)) assert_member(p, w->sorted[i]);
    assert_true(ztree_pos_is_end(p));
    assert_true(ztree_pos_is_end(ztree_at(&w->z, w->in)));
}

static double draw_score(struct world *w)
{
    static const double odd[] = {0.0, -0.0, INFINITY, -INFINITY, 1.5, -0.1, 1e300, 0x1p53, -0x1p52, 1700000000123.0};
    if (rng_below(&w->rng, 4) == 0) return odd[rng_below(&w->rng, sizeof odd / sizeof *odd)];
    return (double)rng_below(&w->rng, w->size / 3 + 2) - w->size / 6;
}

static void test_elements_give_back_every_score_and_length(void **state)
{
    static const double scores[] = {0.0,
                                    -0.0,
                                    1,
                                    -1,
                                    127,
                                    128,
                                    -128,
                                    -129,
                                    32767,
                                    32768,
                                    -32769,
                                    2147483647.0,
                                    2147483648.0,
                                    -2147483649.0,
                                    0x1p53,
                                    -0x1p53,
                                    0x1p53 - 1,
                                    -0x1p53 + 1,
                                    0.5,
                                    0.1,
                                    INFINITY,
                                    -INFINITY,
                                    1e308,
                                    5e-324,
                                    3.4028234663852886e38,
                                    9007199254740993.0};
    static const size_t lengths[] = {0, 1, 16, 27, 28, 255, 256, 65535, 65536};
    char *member = malloc(65536), *elem = malloc(65600);
    memset(member, 'x', 65536);
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            zelem_put(elem, bytes_of(member, lengths[k]), scores[i]);
            assert_true(zscore_same_bits(zelem_score(elem), scores[i]));
            assert_true(bytes_equal(zelem_member(elem), bytes_of(member, lengths[k])));
            assert_true(zelem_size(lengths[k], scores[i]) <= 9 + 8 + lengths[k]);
            zelem_put(elem, zelem_member(elem), -1234.5678); /* in place */
            assert_true(bytes_equal(zelem_member(elem), bytes_of(member, lengths[k])));
            assert_true(zelem_score(elem) == -1234.5678);
        }
    }
    free(member);
    free(elem);
}

static void test_an_empty_tree_has_nothing_anywhere(void **state)
{
    struct world w;
    world_init(&w, 1, 1);
    struct ztree_score_range all = {-INFINITY, INFINITY, false, false};
    struct ztree_lex_range lex = {.min_kind = ZTREE_LEX_LOWEST, .max_kind = ZTREE_LEX_HIGHEST};
    size_t rank;
    assert_int_equal(ztree_score_span(&w.z, &all).end, 0);
    assert_int_equal(ztree_lex_span(&w.z, &lex).end, 0);
    assert_false(ztree_rank(&w.z, BYTES("x"), &rank, NULL));
    assert_false(ztree_score(&w.z, BYTES("x"), NULL));
    assert_false(ztree_delete(&w.z, BYTES("x")));
    assert_int_equal(ztree_delete_span(&w.z, (struct ztree_span){0, 10}, NULL, NULL), 0);
    check_all(&w);
    world_fini(&w);
}

static void test_random_changes_agree_with_a_model(void **state)
{
    static const unsigned sizes[] = {2, 10, 61, 62, 200, 3000, 20000};
    for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct world w;
        world_init(&w, sizes[k], k);
        for (unsigned step = 0; step < 6 * w.size; step++) {
            bool growing = step / w.size % 3 != 2;
            unsigned i = (unsigned)rng_below(&w.rng, w.size);
            if (growing ? rng_below(&w.rng, 8) != 0 : rng_below(&w.rng, 8) == 0) {
                set(&w, i, draw_score(&w));
            } else {
                del(&w, i);
            }
            if (w.size <= 200 && step % 16 == 0) ztree_check(&w.z);
            if (step % (w.size / 2 + 1) == 0) check_all(&w);
        }
        check_all(&w);
        for (unsigned i = 0; i < w.size; i++) del(&w, i);
        check_all(&w);
        assert_int_equal(w.z.height, 0);
        world_fini(&w);
    }
}

static void test_rising_and_falling_scores_fill_their_leaves(void **state)
{
    for (int sign = -1; sign <= 1; sign += 2) {
        struct world w;
        world_init(&w, 30000, 5);
        for (unsigned i = 0; i < w.size; i++) set(&w, i, sign * (double)i);
        check_all(&w);
        assert_true(w.z.node_bytes < 9.5 * w.size);
        world_fini(&w);
    }
}

static void test_random_scores_take_less_than_12_bytes_of_nodes(void **state)
{
    struct world w;
    world_init(&w, 60000, 6);
    for (unsigned i = 0; i < w.size; i++) set(&w, i, rng_double(&w.rng));
    check_all(&w);
    assert_true(w.z.node_bytes < 11.5 * w.size);
    world_fini(&w);
}

static bool score_is_in(const struct ztree_score_range *r, double s)
{
    return (r->min_exclusive ? s > r->min : s >= r->min) && (r->max_exclusive ? s < r->max : s <= r->max);
}

static void test_score_spans_are_what_the_range_says(void **state)
{
    struct world w;
    world_init(&w, 1500, 7);
    for (unsigned i = 0; i < w.size; i++) set(&w, i, draw_score(&w));
    model_sort(&w);
    for (int round = 0; round < 400; round++) {
        struct ztree_score_range r = {draw_score(&w), draw_score(&w), round & 1, round & 2};
        struct ztree_span s = ztree_score_span(&w.z, &r);
        size_t matches = 0;
        assert_true(s.start <= s.end && s.end <= w.in);
        for (unsigned i = 0; i < w.in; i++) matches += score_is_in(&r, w.sorted[i]->score);
        assert_int_equal(s.end - s.start, matches);
        for (size_t i = s.start; i < s.end; i++) assert_true(score_is_in(&r, w.sorted[i]->score));
    }
    world_fini(&w);
}

static void test_negative_zero_is_in_ranges_of_zero(void **state)
{
    struct world w;
    world_init(&w, 3, 8);
    set(&w, 0, -0.0);
    set(&w, 1, 0.0);
    struct ztree_score_range zero = {0.0, 0.0, false, false}, above = {-0.0, 1, true, false};
    assert_int_equal(ztree_score_span(&w.z, &zero).end, 2);
    assert_int_equal(ztree_score_span(&w.z, &above).end - ztree_score_span(&w.z, &above).start, 0);
    check_all(&w);
    world_fini(&w);
}

static bool lex_is_in(const struct ztree_lex_range *r, struct bytes m)
{
    int low = bytes_compare(m, r->min), high = bytes_compare(m, r->max);
    bool above = r->min_kind == ZTREE_LEX_LOWEST || (r->min_kind == ZTREE_LEX_INCLUSIVE && low >= 0) ||
                 (r->min_kind == ZTREE_LEX_EXCLUSIVE && low > 0);
    bool below = r->max_kind == ZTREE_LEX_HIGHEST || (r->max_kind == ZTREE_LEX_INCLUSIVE && high <= 0) ||
                 (r->max_kind == ZTREE_LEX_EXCLUSIVE && high < 0);
    return above && below;
}

static void test_lex_spans_are_what_the_range_says(void **state)
{
    struct world w;
    world_init(&w, 1500, 9);
    for (unsigned i = 0; i < w.size; i++) {
        if (rng_below(&w.rng, 2)) set(&w, i, 0);
    }
    model_sort(&w);
    for (unsigned round = 0; round < 400; round++) {
        struct ztree_lex_range r = {.min_kind = round % 4,
                                    .max_kind = round / 4 % 4,
                                    .min = name_of(&w.all[rng_below(&w.rng, w.size)]),
                                    .max = name_of(&w.all[rng_below(&w.rng, w.size)])};
        struct ztree_span s = ztree_lex_span(&w.z, &r);
        size_t matches = 0;
        for (unsigned i = 0; i < w.in; i++) matches += lex_is_in(&r, name_of(w.sorted[i]));
        assert_int_equal(s.end - s.start, matches);
        for (size_t i = s.start; i < s.end; i++) assert_true(lex_is_in(&r, name_of(w.sorted[i])));
    }
    world_fini(&w);
}

struct deleted {
    struct world *w;
    size_t next;
};

static void expect_deleted(void *arg, struct bytes member, double score)
{
    struct deleted *d = arg;
    struct member *m = d->w->sorted[d->next++];
    assert_true(bytes_equal(member, name_of(m)));
    assert_true(zscore_same_bits(score, m->score));
    m->in = false;
    d->w->in--;
}

static void test_deleting_spans_leaves_the_rest(void **state)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world w;
        world_init(&w, 2000, seed);
        for (unsigned i = 0; i < w.size; i++) set(&w, i, draw_score(&w));
        while (w.in) {
            model_sort(&w);
            size_t start = rng_below(&w.rng, w.in), length = 1 + rng_below(&w.rng, 700);
            size_t expect = length < w.in - start ? length : w.in - start;
            struct deleted d = {&w, start};
            struct ztree_span span = {start, start + length};
            assert_int_equal(ztree_delete_span(&w.z, span, expect_deleted, &d), expect);
            check_all(&w);
        }
        world_fini(&w);
    }
}

static void count_shown(void *arg, struct bytes member, double score)
{
    struct world *w = arg;
    for (unsigned i = 0; i < w->size; i++) {
        if (bytes_equal(member, name_of(&w->all[i]))) w->all[i].shown++;
    }
}

static void test_scan_shows_each_member(void **state)
{
    struct world w;
    world_init(&w, 500, 11);
    for (unsigned i = 0; i < w.size; i++) set(&w, i, i);
    uint64_t cursor = 0;
    do cursor = ztree_scan(&w.z, cursor, count_shown, &w);
    while (cursor);
    for (unsigned i = 0; i < w.size; i++) assert_int_equal(w.all[i].shown, 1);
    world_fini(&w);
}

static void check_tree(void *z) { ztree_check(z); }

static void seen_pointer(struct ztree *z, void **field, void *wrong, const char *words, int line)
{
    void *right = *field;
    *field = wrong;
    assert_is_seen(check_tree, z, "a pointer", words, line);
    *field = right;
    ztree_check(z);
}

static void test_the_check_sees_each_spoilt_field(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 500, 12);
    for (unsigned i = 0; i < w.size; i++) set(&w, i, i);
    struct ztree *z = &w.z;
    ztree_check(z);
    struct ztree_inner *root = z->root;
    struct ztree_leaf *first = z->first;
    assert_int_equal(z->height, 1);
    SEEN(check_tree, z, z->elem_bytes, z->elem_bytes + 8, "elem_bytes == z->elem_bytes");
    SEEN(check_tree, z, z->node_bytes, z->node_bytes + 8, "c.node_bytes == z->node_bytes");
    SEEN(check_tree, z, z->t.count, z->t.count + 1, "count");
    SEEN(check_tree, z, z->first, first->next, "z->first->prev == NULL");
    SEEN(check_tree, z, z->last, z->last->prev, "z->last == leaf");
    SEEN(check_tree, z, first->next, first->next->next, "leaf->next->prev == leaf");
    SEEN(check_tree, z, first->count, LEAF_MAX + 1, "leaf->count <= LEAF_MAX");
    SEEN(check_tree, z, first->count, 0, "leaf->count || z->height == 0");
    SEEN(check_tree, z, first->count, first->count - 1, "inner->size[i] == size");
    seen_pointer(z, &first->elem[1], first->elem[0], "zelem_is_before", __LINE__);
    SEEN(check_tree, z, root->size[0], root->size[0] + 1, "inner->size[i] == size");
    seen_pointer(z, &root->least[1], root->least[0], "inner->least[i] ==", __LINE__);
    SEEN(check_tree, z, root->score[1], root->score[1] + 0.5, "zscore_same_bits");
    seen_pointer(z, &root->child[1], root->child[2], "inner->least[i] ==", __LINE__);
    SEEN(check_tree, z, root->count, 1, "inner->count >= (node == z->root ? 2 : 1)");
    SEEN(check_tree, z, root->count, INNER_MAX + 1, "inner->count <= INNER_MAX");
    SEEN(check_tree, z, root->count, root->count - 1, "count == z->t.count");
    /* Links that agree with each other, and not with the tree. */
    struct ztree_leaf *second = first->next, *third = second->next, beyond = {.prev = z->last};
    first->next = third;
    third->prev = first;
    assert_is_seen(check_tree, z, "a leaf that is passed over", "leaf == c->leaf", __LINE__);
    first->next = second;
    third->prev = second;
    SEEN(check_tree, z, z->last->next, &beyond, "c.leaf == NULL");
    world_fini(&w);
}

/* All blocks that are not full are emptied between changes; nothing but addresses differs. */
static void test_a_tree_that_moves_is_the_same_tree(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        static const unsigned sizes[] = {1, 50, 3000, 40000};
        struct world w;
        struct mem_moves m = {0, 0};
        world_init(&w, sizes[k], k);
        for (unsigned i = 0; i < w.size; i++) set(&w, i, draw_score(&w));
        for (unsigned i = 0; i < w.size; i++)
            if (rng_below(&w.rng, 5)) del(&w, i);
        for (int round = 0; round < 3; round++) {
            for (unsigned c = 1; c < DEMI_MEM_CLASSES; c += !demi_mem_defrag_begin(c)) {
            }
            size_t at = 0, nodes = w.z.node_bytes, elems = w.z.elem_bytes;
            do {
                at = ztree_relocate(&w.z, at, &m);
                if (at && round == 2) set(&w, (unsigned)rng_below(&w.rng, w.size), draw_score(&w));
            } while (at);
            while (demi_mem_defrag_end(0)) {
            }
            if (round < 2) assert_true(w.z.node_bytes == nodes && w.z.elem_bytes == elems);
            check_all(&w);
        }
        if (k == 3) assert_true(m.hits > 5000);
        world_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements_give_back_every_score_and_length),
        cmocka_unit_test(test_an_empty_tree_has_nothing_anywhere),
        cmocka_unit_test(test_random_changes_agree_with_a_model),
        cmocka_unit_test(test_rising_and_falling_scores_fill_their_leaves),
        cmocka_unit_test(test_random_scores_take_less_than_12_bytes_of_nodes),
        cmocka_unit_test(test_score_spans_are_what_the_range_says),
        cmocka_unit_test(test_negative_zero_is_in_ranges_of_zero),
        cmocka_unit_test(test_lex_spans_are_what_the_range_says),
        cmocka_unit_test(test_deleting_spans_leaves_the_rest),
        cmocka_unit_test(test_scan_shows_each_member),
        cmocka_unit_test(test_the_check_sees_each_spoilt_field),
        cmocka_unit_test(test_a_tree_that_moves_is_the_same_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
