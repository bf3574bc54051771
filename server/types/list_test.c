/* SPDX-License-Identifier: MIT */
#include "server/types/list.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT 200

/* Element i: integers, compressible strings and, with a small threshold, plain ones. */
static struct bytes element(char *buf, size_t i)
{
    if (i % 3 == 0) return bytes_of(buf, (size_t)sprintf(buf, "%zu", i));
    size_t n = i % 3 == 1 ? 5 : 90;
    memset(buf, 'a' + (int)(i % 26), n);
    memcpy(buf, &i, 2);
    return bytes_of(buf, n);
}

static struct quicklist *list_with(struct quicklist_options *o, int fill, int depth)
{
    static struct config cfg;
    char buf[128];
    cfg.list_max_listpack_size = fill;
    cfg.list_compress_depth = depth;
    struct quicklist *q = list_new(o, &cfg);
    for (size_t i = 0; i < COUNT; i++) list_push(q, LIST_TAIL, element(buf, i));
    return q;
}

static void check_reading(struct quicklist *q, size_t from, bool backward)
{
    struct list_reader r;
    struct lp_value v;
    char buf[128], num[NUMBER_I64_SIZE];
    size_t i = from, left = backward ? from + 1 : COUNT - from;
    list_reader_init(&r, q, from, backward);
    for (; left; left--, i += backward ? (size_t)-1 : 1) {
        assert_true(list_reader_next(&r, &v));
        assert_true(bytes_equal(lp_value_bytes(v, num), element(buf, i)));
    }
    assert_false(list_reader_next(&r, &v));
    assert_false(list_reader_next(&r, &v));
    list_reader_fini(&r);
}

static size_t compressed_nodes(const struct quicklist *q)
{
    size_t n = 0;
    for (const struct quicklist_node *node = q->head; node; node = node->next) n += node->compressed;
    return n;
}

static void test_a_reader_shows_every_element_from_anywhere(void **state)
{
    (void)state;
    static const int fills[] = {-2, 1, 7}, depths[] = {0, 1, 2};
    static const size_t thresholds[] = {0, 50};
    for (int k = 0; k < 18; k++) {
        struct quicklist_options o = {0};
        list_set_packed_threshold(&o, thresholds[k / 9]);
        struct quicklist *q = list_with(&o, fills[k % 3], depths[k / 3 % 3]);
        for (size_t i = 0; i < COUNT; i++) {
            check_reading(q, i, false);
            check_reading(q, i, true);
        }
        quicklist_free(q);
    }
}

static void test_reading_leaves_compressed_nodes_compressed(void **state)
{
    (void)state;
    struct quicklist_options o = {0};
    struct quicklist *q = list_with(&o, 10, 1);
    size_t before = compressed_nodes(q);
    assert_true(before > 10);
    struct list_reader r;
    struct lp_value v;
    list_reader_init(&r, q, 0, false);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(list_reader_next(&r, &v));
        assert_int_equal(compressed_nodes(q), before);
    }
    list_reader_fini(&r);
    quicklist_free(q);
}

static void test_a_new_list_takes_fill_and_depth_of_its_time(void **state)
{
    (void)state;
    struct quicklist_options o = {0};
    struct quicklist *a = list_with(&o, 7, 2), *b = list_with(&o, -1, 0);
    assert_int_equal(a->fill, 7);
    assert_int_equal(a->depth, 2);
    assert_int_equal(b->fill, -1);
    assert_int_equal(b->depth, 0);
    assert_ptr_equal(a->options, b->options);
    assert_int_equal(o.packed_threshold, QUICKLIST_PACKED_THRESHOLD);
    quicklist_free(a);
    quicklist_free(b);
}

static void test_the_packed_threshold_has_a_limit_and_zero_means_the_usual(void **state)
{
    (void)state;
    struct quicklist_options o = {0};
    assert_int_equal(list_set_packed_threshold(&o, QUICKLIST_PACKED_THRESHOLD_MAX + 1), -EINVAL);
    assert_int_equal(list_set_packed_threshold(&o, 10), 0);
    assert_int_equal(o.packed_threshold, 10);
    assert_int_equal(list_set_packed_threshold(&o, 0), 0);
    assert_int_equal(o.packed_threshold, QUICKLIST_PACKED_THRESHOLD);
}

static bool is_listpack(const struct list_view *l) { return l->q == &l->own; }

static void list_free(struct list_view *l) { value_free(list_value(l)); }

static void push_counted(struct quicklist_options *o, const struct config *cfg, struct list_view *l, size_t n,
                         size_t size)
{
    char bytes[9000];
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < n; i++) {
        list_push(list_grows(o, cfg, l, size, 1), LIST_TAIL, bytes_of(bytes, size));
    }
}

static void pop_counted(struct quicklist_options *o, const struct config *cfg, struct list_view *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        list_drop(l->q, LIST_TAIL);
        list_shrank(o, cfg, l);
    }
}

static void test_a_listpack_grows_over_its_limit_and_comes_back_at_half(void **state)
{
    (void)state;
    struct config cfg = {.list_max_listpack_size = 8};
    struct quicklist_options o = {0};
    struct list_view l;
    list_open_new(&l, 0);
    push_counted(&o, &cfg, &l, 8, 3);
    assert_true(is_listpack(&l));
    push_counted(&o, &cfg, &l, 1, 3);
    assert_false(is_listpack(&l));
    pop_counted(&o, &cfg, &l, 4);
    assert_false(is_listpack(&l));
    pop_counted(&o, &cfg, &l, 1);
    assert_true(is_listpack(&l));
    assert_int_equal(quicklist_count(l.q), 4);
    list_free(&l);

    cfg.list_max_listpack_size = -1; /* 4,096 bytes, of which an element of 1,000 takes 1,004 and the frame 7 */
    list_open_new(&l, 0);
    push_counted(&o, &cfg, &l, 4, 1000);
    assert_true(is_listpack(&l));
    push_counted(&o, &cfg, &l, 1, 1000);
    assert_false(is_listpack(&l));
    while (l.q->nodes > 1) pop_counted(&o, &cfg, &l, 1);
    assert_false(is_listpack(&l));
    while (quicklist_count(l.q) > 3) pop_counted(&o, &cfg, &l, 1);
    assert_false(is_listpack(&l));
    pop_counted(&o, &cfg, &l, 1);
    assert_true(is_listpack(&l));
    list_free(&l);
}

/* A limit of elements has one of bytes, too, beyond which a listpack does not grow; it shrinks by elements alone. */
static void test_a_limit_of_elements_has_one_of_bytes(void **state)
{
    (void)state;
    struct config cfg = {.list_max_listpack_size = 100};
    struct quicklist_options o = {0};
    struct list_view l;
    list_open_new(&l, 0);
    push_counted(&o, &cfg, &l, 1, 8000);
    assert_true(is_listpack(&l));
    push_counted(&o, &cfg, &l, 1, 8000);
    assert_false(is_listpack(&l));
    pop_counted(&o, &cfg, &l, 1);
    assert_true(is_listpack(&l));
    list_free(&l);
}

/* What a key holds after each change, with a list that falls empty and is filled again while it is open. */
static void test_a_view_is_stored_as_what_it_has_become(void **state)
{
    (void)state;
    struct config cfg = {.list_max_listpack_size = 4};
    struct quicklist_options o = {0};
    struct list_view l;
    struct lp_value v;
    list_open_new(&l, 0);
    for (int i = 0; i < 3; i++) {
        push_counted(&o, &cfg, &l, 1, 40);
        list_drop(l.q, LIST_HEAD);
        assert_int_equal(quicklist_count(l.q), 0);
        if (i) assert_int_equal(lp_count(list_value(&l).p), 0);
    }
    push_counted(&o, &cfg, &l, 2, 5);
    struct value stored = list_value(&l);
    assert_int_equal(stored.enc, ENC_LISTPACK);
    assert_int_equal(lp_count(stored.p), 2);
    assert_true(quicklist_tail(l.q, &v));
    push_counted(&o, &cfg, &l, 3, 5);
    stored = list_value(&l);
    assert_int_equal(stored.enc, ENC_QUICKLIST);
    assert_int_equal(quicklist_count(stored.p), 5);
    pop_counted(&o, &cfg, &l, 3);
    assert_int_equal(list_value(&l).enc, ENC_LISTPACK);
    list_free(&l);
}

static void test_what_is_built_at_once_may_be_as_large_as_the_limit(void **state)
{
    (void)state;
    struct config cfg = {.list_max_listpack_size = 8};
    struct quicklist_options o = {0};
    for (size_t n = 1; n < 12; n++) {
        struct quicklist *q = list_new_usual(&o, &cfg);
        assert_int_equal(q->fill, -2);
        for (size_t i = 0; i < n; i++) list_push(q, LIST_TAIL, BYTES("x"));
        struct value v = list_built(&o, &cfg, q);
        assert_int_equal(v.enc, n <= 8 ? ENC_LISTPACK : ENC_QUICKLIST);
        value_free(v);
    }
}

static void test_a_needle_is_equal_as_text_however_it_is_kept(void **state)
{
    (void)state;
    struct list_needle number = list_needle(BYTES("12")), zeros = list_needle(BYTES("012")),
                       none = list_needle(BYTES(""));
    struct lp_value twelve = {.i = 12}, text = {.s = BYTES("012")}, plain = {.s = BYTES("12")},
                    empty = {.s = BYTES("")}, zero = {.i = 0};
    assert_true(list_needle_is(&number, twelve));
    assert_true(list_needle_is(&number, plain));
    assert_false(list_needle_is(&number, text));
    assert_true(list_needle_is(&zeros, text));
    assert_false(list_needle_is(&zeros, twelve));
    assert_true(list_needle_is(&none, empty));
    assert_false(list_needle_is(&none, zero));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reader_shows_every_element_from_anywhere),
        cmocka_unit_test(test_reading_leaves_compressed_nodes_compressed),
        cmocka_unit_test(test_a_new_list_takes_fill_and_depth_of_its_time),
        cmocka_unit_test(test_the_packed_threshold_has_a_limit_and_zero_means_the_usual),
        cmocka_unit_test(test_a_listpack_grows_over_its_limit_and_comes_back_at_half),
        cmocka_unit_test(test_a_limit_of_elements_has_one_of_bytes),
        cmocka_unit_test(test_a_view_is_stored_as_what_it_has_become),
        cmocka_unit_test(test_what_is_built_at_once_may_be_as_large_as_the_limit),
        cmocka_unit_test(test_a_needle_is_equal_as_text_however_it_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
