/* SPDX-License-Identifier: MIT */
#include "server/ds/quicklist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/mem.h"

#define TEXT(s) bytes_of_str(s)

static const struct quicklist_options usual = {.fill = -2, .packed_threshold = QUICKLIST_PACKED_THRESHOLD};

/* What must hold between any two calls. */
static void check(const struct quicklist *q)
{
    uint64_t count = 0;
    uint32_t nodes = 0;
    const struct quicklist_node *prev = NULL;
    for (const struct quicklist_node *node = q->head; node; prev = node, node = node->next, nodes++) {
        assert_ptr_equal(node->prev, prev);
        assert_false(node->in_use);
        bool outer = nodes < q->depth || q->nodes - 1 - nodes < q->depth;
        assert_false(node->compressed && (outer || q->depth == 0));
        unsigned char *scratch;
        const unsigned char *raw = quicklist_node_raw(node, &scratch);
        if (node->plain) {
            assert_int_equal(node->count, 1);
        } else {
            assert_true(lp_validate(raw, node->size, true, NULL, NULL));
            assert_int_equal(lp_count(raw), node->count);
            assert_true(node->count > 0);
        }
        mem_free(scratch);
        count += node->count;
    }
    assert_ptr_equal(q->tail, prev);
    assert_int_equal(q->count, count);
    assert_int_equal(q->nodes, nodes);
}

static void expect(struct quicklist *q, const char *expected)
{
    char got[2048] = "", text[NUMBER_I64_SIZE];
    struct quicklist_iter it;
    struct lp_value v;
    quicklist_iter_init(&it, q, 0, false);
    while (quicklist_iter_next(&it, &v)) {
        struct bytes s = lp_value_bytes(v, text);
        snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s ", (int)s.n, s.p);
    }
    quicklist_iter_fini(&it);
    assert_string_equal(got, expected);
    check(q);
}

static struct quicklist *of_numbers(const struct quicklist_options *o, int n)
{
    struct quicklist *q = quicklist_new(o);
    for (int i = 0; i < n; i++) {
        char text[NUMBER_I64_SIZE];
        quicklist_push_tail(q, bytes_of(text, number_format_i64(text, i)));
    }
    return q;
}

static void test_an_empty_list_gives_nothing(void **state)
{
    struct quicklist *q = quicklist_new(&usual);
    struct lp_value v;
    struct quicklist_iter it;
    assert_false(quicklist_head(q, &v));
    quicklist_drop_tail(q);
    quicklist_iter_init(&it, q, 0, true);
    assert_false(quicklist_iter_next(&it, &v));
    quicklist_iter_fini(&it);
    assert_false(quicklist_replace_at(q, 0, TEXT("x")));
    assert_int_equal(quicklist_delete_range(q, 0, 5), 0);
    quicklist_append_listpack(q, lp_new(0));
    expect(q, "");
    quicklist_free(q);
}

static void test_both_ends_push_and_pop(void **state)
{
    struct quicklist *q = quicklist_new(&usual);
    struct lp_value v;
    quicklist_push_head(q, TEXT("b"));
    quicklist_push_head(q, TEXT("a"));
    quicklist_push_tail(q, TEXT("33"));
    assert_true(quicklist_head(q, &v));
    assert_true(bytes_equal(v.s, TEXT("a")));
    assert_true(quicklist_tail(q, &v) && lp_value_is_i64(v) && v.i == 33);
    quicklist_drop_tail(q);
    quicklist_push_head(q, TEXT("33"));
    expect(q, "33 a b ");
    quicklist_drop_head(q);
    quicklist_drop_tail(q);
    expect(q, "a ");
    quicklist_drop_tail(q);
    assert_int_equal(q->nodes, 0);
    quicklist_free(q);
}

static void test_nodes_keep_to_the_fill(void **state)
{
    static const struct quicklist_options by_count = {.fill = 3, .packed_threshold = QUICKLIST_PACKED_THRESHOLD};
    struct quicklist *q = of_numbers(&by_count, 10);
    assert_int_equal(q->nodes, 4);
    quicklist_free(q);
    char s[1000];
    memset(s, 'x', sizeof s);
    for (int fill = -5; fill < 0; fill++) {
        struct quicklist_options o = {.fill = fill, .packed_threshold = QUICKLIST_PACKED_THRESHOLD};
        q = quicklist_new(&o);
        for (int i = 0; i < 300; i++) quicklist_push_tail(q, bytes_of(s, sizeof s));
        for (const struct quicklist_node *node = q->head; node; node = node->next) {
            assert_true(node->size <= (size_t)2048 << -fill);
            if (node->next) assert_true(node->size + 1008 > (size_t)2048 << -fill);
        }
        check(q);
        quicklist_free(q);
    }
}

static void test_large_elements_are_plain(void **state)
{
    struct quicklist_options o = {.fill = -2, .packed_threshold = 10};
    struct quicklist *q = quicklist_new(&o);
    quicklist_push_tail(q, TEXT("a"));
    quicklist_push_tail(q, TEXT("0123456789"));
    quicklist_push_tail(q, TEXT("b"));
    quicklist_push_tail(q, TEXT("c"));
    assert_int_equal(q->nodes, 3);
    assert_true(q->head->next->plain);
    assert_true(quicklist_replace_at(q, -2, TEXT("bbbbbbbbbbbbbbb"))); /* packed to plain */
    expect(q, "a 0123456789 bbbbbbbbbbbbbbb c ");
    assert_true(quicklist_replace_at(q, 1, TEXT("xxxxxxxxxxx"))); /* plain to plain */
    assert_true(quicklist_replace_at(q, 2, TEXT("y")));           /* plain to packed */
    expect(q, "a xxxxxxxxxxx y c ");
    quicklist_drop_head(q);
    quicklist_push_tail(q, TEXT("a"));
    expect(q, "xxxxxxxxxxx y c a ");
    quicklist_drop_head(q);
    o.packed_threshold = 0;
    char big[8193] = {0};
    quicklist_push_head(q, bytes_of(big, 8192));
    assert_false(q->head->plain);
    quicklist_push_head(q, bytes_of(big, 8193));
    assert_true(q->head->plain);
    check(q);
    quicklist_free(q);
}

static void test_an_iterator_deletes_as_it_goes(void **state)
{
    static const struct quicklist_options o = {.fill = 4, .compress_depth = 1, .packed_threshold = 10};
    for (int backward = 0; backward < 2; backward++) {
        for (long start = -20; start < 20; start += 3) {
            struct quicklist *q = of_numbers(&o, 20);
            struct quicklist_iter it;
            struct lp_value v;
            int64_t expected = start < 0 ? start + 20 : start;
            quicklist_iter_init(&it, q, start, backward);
            while (quicklist_iter_next(&it, &v)) {
                assert_int_equal(v.i, expected);
                if (v.i % 3) quicklist_iter_delete(&it);
                expected += backward ? -1 : 1;
            }
            assert_int_equal(expected, backward ? -1 : 20);
            quicklist_iter_fini(&it);
            check(q);
            quicklist_free(q);
        }
    }
}

static void insert(struct quicklist *q, long index, const char *s, bool after)
{
    struct quicklist_iter it;
    struct lp_value v;
    quicklist_iter_init(&it, q, index, false);
    assert_true(quicklist_iter_next(&it, &v));
    if (after) quicklist_iter_insert_after(&it, TEXT(s));
    else quicklist_iter_insert_before(&it, TEXT(s));
    quicklist_iter_fini(&it);
}

static void test_inserting_splits_full_nodes(void **state)
{
    static const struct quicklist_options o = {.fill = 3, .packed_threshold = 10};
    struct quicklist *q = of_numbers(&o, 6);
    insert(q, 1, "x", true);
    expect(q, "0 1 x 2 3 4 5 ");
    insert(q, 0, "y", false);
    insert(q, -1, "z", true);
    insert(q, 3, "plain element", false);
    expect(q, "y 0 1 plain element x 2 3 4 5 z ");
    quicklist_free(q);
}

static void test_ranges_are_deleted_across_nodes(void **state)
{
    static const struct quicklist_options o = {.fill = 3, .compress_depth = 1, .packed_threshold = 10};
    struct quicklist *q = of_numbers(&o, 20);
    assert_int_equal(quicklist_delete_range(q, 2, 11), 11);
    expect(q, "0 1 13 14 15 16 17 18 19 ");
    assert_int_equal(quicklist_delete_range(q, -2, 100), 2);
    assert_int_equal(quicklist_delete_range(q, 7, 1), 0);
    expect(q, "0 1 13 14 15 16 17 ");
    assert_int_equal(quicklist_delete_range(q, -7, 7), 7);
    expect(q, "");
    quicklist_free(q);
}

static void test_inner_nodes_are_compressed(void **state)
{
    static const struct quicklist_options o = {
        .fill = -1, .compress_depth = 2, .packed_threshold = QUICKLIST_PACKED_THRESHOLD};
    struct quicklist *q = quicklist_new(&o);
    char s[200];
    memset(s, 'z', sizeof s);
    for (int i = 0; i < 200; i++) quicklist_push_tail(q, bytes_of(s, sizeof s));
    check(q);
    unsigned compressed = 0;
    for (const struct quicklist_node *node = q->head; node; node = node->next) {
        size_t size;
        if (!node->compressed) continue;
        compressed++;
        assert_non_null(quicklist_node_lzf(node, &size));
        assert_true(size < node->size / 4);
    }
    assert_int_equal(compressed, q->nodes - 4);
    struct quicklist *copy = quicklist_dup(q);
    assert_true(quicklist_bytes(copy) < 40000);
    check(copy);
    assert_true(quicklist_replace_at(q, 100, TEXT("middle")));
    check(q);
    struct quicklist_iter it;
    struct lp_value v;
    quicklist_iter_init(&it, q, 100, false);
    assert_true(quicklist_iter_next(&it, &v) && bytes_equal(v.s, TEXT("middle")));
    quicklist_iter_fini(&it);
    check(q);
    quicklist_free(q);
    quicklist_free(copy);
}

static void test_a_loaded_listpack_may_be_too_long_for_a_node(void **state)
{
    struct quicklist *q = quicklist_new(&usual);
    unsigned char *lp = lp_new(0);
    for (int i = 0; i < 70000; i++) lp = lp_append_i64(lp, 1);
    quicklist_append_listpack(q, lp);
    unsigned char *data = mem_alloc(3);
    memcpy(data, "abc", 3);
    quicklist_append_plain(q, data, 3);
    assert_int_equal(quicklist_count(q), 70001);
    check(q);
    quicklist_free(q);
}

/* Random edits against an array of small numbers, some long enough to be plain. */
static void test_random_edits_match_an_array(void **state)
{
    enum { MAX = 400 };
    static int model[MAX + 2];
    for (int round = 0; round < 12; round++) {
        struct quicklist_options o = {.fill = round % 3 == 0   ? -1
                                              : round % 3 == 1 ? 5
                                                               : 1,
                                      .compress_depth = round % 4,
                                      .packed_threshold = 60};
        struct quicklist *q = quicklist_new(&o);
        size_t n = 0;
        uint32_t x = (uint32_t)round * 977 + 1;
        for (int step = 0; step < 4000; step++) {
            x = x * 1664525 + 1013904223;
            int id = (int)(x >> 12) % 100000;
            char text[128];
            int len = snprintf(text, sizeof text, "%0*d", x % 5 ? 6 + (int)(x >> 8) % 40 : 70, id);
            struct bytes s = bytes_of(text, (size_t)len);
            size_t at = n ? (x >> 9) % n : 0;
            long index = x & 1 ? (long)at : (long)at - (long)n;
            struct quicklist_iter it;
            struct lp_value v;
            unsigned op = (x >> 24) % (n < MAX ? 9 : 6);
            if (n == 0) op = 8;
            switch (op) {
            case 0: quicklist_drop_head(q), memmove(model, model + 1, --n * sizeof *model); break;
            case 1: quicklist_drop_tail(q), n--; break;
            case 2:
                assert_true(quicklist_replace_at(q, index, s));
                model[at] = id;
                break;
            case 3: {
                size_t count = 1 + (x >> 3) % 4;
                if (count > n - at) count = n - at;
                assert_int_equal(quicklist_delete_range(q, index, count), count);
                memmove(model + at, model + at + count, (n - at - count) * sizeof *model);
                n -= count;
                break;
            }
            case 4: {
                quicklist_drop_tail(q);
                quicklist_push_head(q, s);
                memmove(model + 1, model, (n - 1) * sizeof *model);
                model[0] = id;
                break;
            }
            case 5:
                quicklist_iter_init(&it, q, index, x & 2);
                assert_true(quicklist_iter_next(&it, &v));
                quicklist_iter_delete(&it);
                quicklist_iter_fini(&it);
                memmove(model + at, model + at + 1, (--n - at) * sizeof *model);
                break;
            case 6:
                insert(q, index, text, x & 4);
                at += (x & 4) != 0;
                memmove(model + at + 1, model + at, (n++ - at) * sizeof *model);
                model[at] = id;
                break;
            case 7: quicklist_push_head(q, s), memmove(model + 1, model, n++ * sizeof *model), model[0] = id; break;
            default: quicklist_push_tail(q, s), model[n++] = id; break;
            }
            assert_int_equal(quicklist_count(q), n);
            if (step % 50) continue;
            check(q);
            quicklist_iter_init(&it, q, -1, true);
            for (size_t i = n; i-- > 0;) {
                assert_true(quicklist_iter_next(&it, &v));
                struct bytes got = lp_value_bytes(v, text);
                assert_true(got.n < sizeof text);
                memmove(text, got.p, got.n);
                text[got.n] = 0;
                assert_int_equal(atoi(text), model[i]);
            }
            assert_false(quicklist_iter_next(&it, &v));
            quicklist_iter_fini(&it);
            check(q);
        }
        quicklist_free(q);
    }
}

/* All blocks that are not full are emptied, a few nodes a step; nothing but addresses differs. */
static void test_a_list_that_moves_is_the_same_list(void **state)
{
    (void)state;
    struct quicklist_options small = {.fill = 4, .compress_depth = 1, .packed_threshold = 200};
    struct quicklist *lists[3];
    char text[400];
    memset(text, 'x', sizeof text);
    for (int k = 0; k < 3; k++) lists[k] = quicklist_new(&small);
    for (int i = 0; i < 60000; i++)
        quicklist_push_tail(lists[i % 3], bytes_of(text, (size_t)(i * 7 % (i % 50 ? 60 : 400))));
    quicklist_free(lists[0]);
    quicklist_free(lists[2]);
    struct quicklist *q = lists[1], *copy = quicklist_dup(q);
    struct mem_moves m = {0, 0};
    for (unsigned c = 1; c < DEMI_MEM_CLASSES; c += !demi_mem_defrag_begin(c)) {
    }
    size_t at = 0;
    do at = quicklist_relocate(q, at, 16, &m);
    while (at);
    while (demi_mem_defrag_end(0)) {
    }
    assert_true(m.hits > 1000);
    check(q);
    assert_int_equal(quicklist_count(q), quicklist_count(copy));
    struct quicklist_iter a, b;
    struct lp_value x, y;
    quicklist_iter_init(&a, q, 0, false);
    quicklist_iter_init(&b, copy, 0, false);
    while (quicklist_iter_next(&a, &x)) {
        char i[NUMBER_I64_SIZE], j[NUMBER_I64_SIZE];
        assert_true(quicklist_iter_next(&b, &y));
        assert_true(bytes_equal(lp_value_bytes(x, i), lp_value_bytes(y, j)));
    }
    quicklist_iter_fini(&a);
    quicklist_iter_fini(&b);
    quicklist_free(q);
    quicklist_free(copy);
}

/* Where a walk goes on in a list that no longer is so long, or is very long. */
static void test_a_moved_list_ends_and_its_middle_is_left(void **state)
{
    (void)state;
    struct quicklist_options one = {.fill = 1, .packed_threshold = QUICKLIST_PACKED_THRESHOLD};
    struct quicklist *q = quicklist_new(&one);
    struct mem_moves m = {0, 0};
    assert_int_equal(quicklist_relocate(q, 0, 16, &m), 0);
    for (int i = 0; i < 20000; i++) quicklist_push_tail(q, BYTES("x"));
    assert_int_equal(quicklist_relocate(q, 20000, 16, &m), 0);
    assert_int_equal(quicklist_relocate(q, SIZE_MAX, 16, &m), 0);
    size_t at = 0, steps = 0;
    do at = quicklist_relocate(q, at, 16, &m), steps++;
    while (at);
    assert_int_equal(steps, 2 * 4096 / 16);
    assert_int_equal(m.hits + m.misses, 4 * 4096);
    quicklist_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_list_gives_nothing),
        cmocka_unit_test(test_both_ends_push_and_pop),
        cmocka_unit_test(test_nodes_keep_to_the_fill),
        cmocka_unit_test(test_large_elements_are_plain),
        cmocka_unit_test(test_an_iterator_deletes_as_it_goes),
        cmocka_unit_test(test_inserting_splits_full_nodes),
        cmocka_unit_test(test_ranges_are_deleted_across_nodes),
        cmocka_unit_test(test_inner_nodes_are_compressed),
        cmocka_unit_test(test_a_loaded_listpack_may_be_too_long_for_a_node),
        cmocka_unit_test(test_random_edits_match_an_array),
        cmocka_unit_test(test_a_list_that_moves_is_the_same_list),
        cmocka_unit_test(test_a_moved_list_ends_and_its_middle_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
