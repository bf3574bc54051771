/* SPDX-License-Identifier: MIT */
#include "server/ds/xstream_group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "alloc/base/rng.h"
#include "server/mem.h"

/* --- a model ------------------------------------------------------------------------------------------------------ */

#define ENTRIES 3000

/* What a stream is to hold: entry i has the ID of its number; what kind of fields it has follows from it, too. */
static struct {
    bool there[ENTRIES];
    unsigned added;
    uint64_t length;
} model;

static struct stream_id id_of(unsigned i) { return (struct stream_id){1000 + i / 5, i % 5 * 300}; }

/* One of four shapes: the usual fields, a value that is a number, other fields, many of them. */
static unsigned fields_of(unsigned i, struct bytes pairs[80], char text[64])
{
    unsigned n = i % 11 == 7 ? 40 : i % 13 == 5 ? 1 : 2;
    for (unsigned k = 0; k < n; k++) {
        pairs[2 * k] = n == 1 ? BYTES("other") : k % 2 ? BYTES("second") : BYTES("first");
        pairs[2 * k + 1] = k % 3 == 1 ? BYTES("12345") : bytes_of(text, (size_t)snprintf(text, 64, "value of %u", i));
    }
    return n;
}

static void add(struct xstream *s, const struct xstream_limits *limits)
{
    struct bytes pairs[80];
    char text[64];
    unsigned i = model.added++, n = fields_of(i, pairs, text);
    assert_true(xstream_append(s, id_of(i), pairs, n, limits));
    model.there[i] = true;
    model.length++;
}

static void check_entry(struct xstream_iter *it, unsigned i, int64_t fields)
{
    struct bytes pairs[80];
    char text[64], buf[NUMBER_I64_SIZE];
    assert_int_equal(fields, fields_of(i, pairs, text));
    for (unsigned k = 0; k < (unsigned)fields; k++) {
        struct lp_value name, value;
        xstream_iter_field(it, &name, &value);
        assert_true(bytes_equal(lp_value_bytes(name, buf), pairs[2 * k]));
        assert_true(bytes_equal(lp_value_bytes(value, buf), pairs[2 * k + 1]));
    }
}

/* Both ways, from one entry to another; every third time the fields are not read. */
static void check_range(const struct xstream *s, unsigned from, unsigned to)
{
    struct xstream_iter it;
    struct stream_id id;
    int64_t fields;
    unsigned i = from;
    xstream_iter_init(&it, s, id_of(from), id_of(to), false);
    for (; xstream_iter_next(&it, &id, &fields); i++) {
        while (!model.there[i]) i++;
        assert_int_equal(stream_id_compare(id, id_of(i)), 0);
        if (i % 3) check_entry(&it, i, fields);
    }
    for (; i <= to; i++) assert_false(model.there[i]);
    xstream_iter_init(&it, s, id_of(from), id_of(to), true);
    for (i = to; xstream_iter_next(&it, &id, &fields); i--) {
        while (!model.there[i]) i--;
        assert_int_equal(stream_id_compare(id, id_of(i)), 0);
        if (i % 3) check_entry(&it, i, fields);
        if (i == 0) return;
    }
    for (; i >= from && i < ENTRIES; i--) assert_false(model.there[i]);
}

static unsigned first_there(void)
{
    unsigned i = 0;
    while (i < ENTRIES && !model.there[i]) i++;
    return i;
}

static void check_stream(struct xstream *s)
{
#ifdef DEMI_DEBUG
    xstream_check(s);
#endif
    unsigned first = first_there();
    assert_int_equal(s->length, model.length);
    assert_int_equal(s->added, model.added);
    if (s->length) assert_int_equal(stream_id_compare(s->first, id_of(first)), 0);
    else assert_true(stream_id_is_zero(s->first));
    check_range(s, 0, ENTRIES - 1);
}

static void delete_one(struct xstream *s, unsigned i)
{
    assert_int_equal(xstream_has(s, id_of(i)), model.there[i]);
    assert_int_equal(xstream_delete(s, id_of(i)), model.there[i]);
    model.length -= model.there[i];
    model.there[i] = false;
    assert_false(xstream_has(s, id_of(i)));
    xstream_find_first(s);
}

static void trim_to(struct xstream *s, uint64_t length)
{
    int64_t gone = 0;
    for (unsigned i = 0; model.length > length; i++) {
        gone += model.there[i];
        model.length -= model.there[i];
        model.there[i] = false;
    }
    assert_int_equal(xstream_trim(s, &(struct xstream_trim){.by = XSTREAM_TRIM_LENGTH, .length = length}), gone);
}

static void trim_before(struct xstream *s, unsigned min)
{
    int64_t gone = 0;
    for (unsigned i = 0; i < min; i++) {
        gone += model.there[i];
        model.length -= model.there[i];
        model.there[i] = false;
    }
    assert_int_equal(xstream_trim(s, &(struct xstream_trim){.by = XSTREAM_TRIM_ID, .min = id_of(min)}), gone);
}

static void some_change(struct xstream *s, struct rng *rng, const struct xstream_limits *limits)
{
    unsigned what = (unsigned)rng_below(rng, 100), first = first_there();
    if (what < 70 || model.added < 10) add(s, limits);
    else if (what < 96) delete_one(s, (unsigned)rng_below(rng, model.added));
    else if (what < 98) trim_to(s, model.length - rng_below(rng, model.length / 4 + 1));
    else if (first < model.added) trim_before(s, first + (unsigned)rng_below(rng, 30));
}

static void test_a_stream_is_a_list_of_entries(void **state)
{
    static const struct xstream_limits limits[] = {{4096, 100}, {300, 0}, {0, 7}, {0, 1}, {0, 0}, {1, 0}};
    struct rng rng;
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct xstream *s = xstream_new();
        memset(&model, 0, sizeof model);
        rng_seed(&rng, i + 1);
        for (unsigned n = 0; model.added < ENTRIES - 40; n++) {
            some_change(s, &rng, &limits[i]);
            if (n % 200 == 0) check_stream(s);
            if (n % 10 == 0) {
                unsigned a = (unsigned)rng_below(&rng, model.added), b = (unsigned)rng_below(&rng, model.added);
                check_range(s, a < b ? a : b, a < b ? b : a);
            }
        }
        check_stream(s);
        struct xstream *copy = xstream_dup(s);
        trim_to(s, 0);
        check_stream(s);
        assert_int_equal(btree_count(&s->nodes), 0);
        assert_true(copy->length > 0);
        xstream_free(copy);
        xstream_free(s);
    }
}

/* Rough trimming takes whole nodes, and no more entries than it may. */
static void test_a_rough_trim_leaves_nodes_whole(void **state)
{
    struct xstream_limits limits = {0, 10};
    struct xstream_trim t = {.by = XSTREAM_TRIM_LENGTH, .approximate = true, .length = 34, .limit = 1000};
    struct xstream *s = xstream_new();
    memset(&model, 0, sizeof model);
    for (int i = 0; i < 100; i++) add(s, &limits);
    assert_int_equal(xstream_trim(s, &t), 60);
    assert_int_equal(s->length, 40);
    t.length = 0;
    t.limit = 25;
    assert_int_equal(xstream_trim(s, &t), 20);
    t = (struct xstream_trim){.by = XSTREAM_TRIM_ID, .approximate = true, .min = id_of(95)};
    assert_int_equal(xstream_trim(s, &t), 10);
    assert_int_equal(stream_id_compare(s->first, id_of(90)), 0);
    xstream_free(s);
}

/* A full node keeps no room for more. */
static void test_what_is_full_gives_room_back(void **state)
{
    struct xstream_limits limits = {4096, 100};
    struct xstream *s = xstream_new();
    memset(&model, 0, sizeof model);
    for (int i = 0; i < 2000; i++) add(s, &limits);
    size_t used = 0, bytes = 0;
    for (struct btree_pos p = btree_first(&s->nodes); btree_next(p).leaf; p = btree_next(p)) {
        used += lp_bytes(btree_slot(p)->value);
        bytes += mem_size(btree_slot(p)->value);
    }
    assert_true(bytes < used * 106 / 100);
    assert_true(xstream_bytes(s, 0) < bytes * 125 / 100);
    xstream_free(s);
}

/* The first node of a short stream is not made for a hundred entries. */
static void test_a_short_stream_is_small(void **state)
{
    struct xstream_limits limits = {4096, 100};
    struct xstream *s = xstream_new();
    memset(&model, 0, sizeof model);
    add(s, &limits);
    assert_true(xstream_bytes(s, 0) < 1000);
    xstream_free(s);
}

/* --- IDs ---------------------------------------------------------------------------------------------------------- */

static void test_ids_are_read_as_redis_reads_them(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t ms, seq;
    } ids[] = {
        {"5", true, 5, 77},
        {"5-6", true, 5, 6},
        {"0", true, 0, 77},
        {"18446744073709551615-18446744073709551615", true, UINT64_MAX, UINT64_MAX},
        {"18446744073709551616", false, 0, 0},
        {"007-01", true, 7, 1},
        {"+5-6", true, 5, 6},
        {"5-+6", true, 5, 6},
        {" 5-6", true, 5, 6},
        {"5 -6", false, 0, 0},
        {"5-6 ", false, 0, 0},
        {"5-", false, 0, 0},
        {"-5", false, 0, 0},
        {"", false, 0, 0},
        {"-", false, 0, 0},
        {"+", false, 0, 0},
        {"5-*", false, 0, 0},
        {"5--6", false, 0, 0},
        {"0x5", false, 0, 0},
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct stream_id id = {0};
        assert_int_equal(stream_id_parse(bytes_of_str(ids[i].text), 77, &id, NULL), ids[i].ok);
        assert_int_equal(id.ms, ids[i].ms);
        assert_int_equal(id.seq, ids[i].seq);
    }
    struct stream_id id;
    bool any;
    assert_true(stream_id_parse(BYTES("5-*"), 0, &id, &any) && any && id.ms == 5 && id.seq == 0);
    assert_true(stream_id_parse(BYTES("5-1"), 0, &id, &any) && !any);
    assert_true(stream_id_parse_bound(BYTES("+"), 0, &id) && id.ms == UINT64_MAX);
}

static void test_the_ends_of_all_ids(void **state)
{
    struct stream_id id = {5, UINT64_MAX};
    assert_true(stream_id_increment(&id) && id.ms == 6 && id.seq == 0);
    assert_true(stream_id_decrement(&id) && id.ms == 5 && id.seq == UINT64_MAX);
    id = STREAM_ID_MAX;
    assert_false(stream_id_increment(&id));
    assert_true(stream_id_is_zero(id));
    assert_false(stream_id_decrement(&id));
    assert_int_equal(stream_id_compare(id, STREAM_ID_MAX), 0);
}

/* The clock may go back; IDs do not. */
static void test_the_next_id_is_always_greater(void **state)
{
    struct xstream s = {.last = {1000, 5}};
    struct stream_id id;
    assert_true(xstream_next_id(&s, 1001, &id) && id.ms == 1001 && id.seq == 0);
    assert_true(xstream_next_id(&s, 1000, &id) && id.ms == 1000 && id.seq == 6);
    assert_true(xstream_next_id(&s, 3, &id) && id.ms == 1000 && id.seq == 6);
    s.last = STREAM_ID_MAX;
    assert_false(xstream_next_id(&s, 1000, &id));
}

/* --- groups ------------------------------------------------------------------------------------------------------- */

static void test_a_nack_is_one_in_two_lists(void **state)
{
    struct xstream *s = xstream_new();
    struct stream_group *g = stream_group_add(s, BYTES("g"), (struct stream_id){0}, 0);
    assert_null(stream_group_add(s, BYTES("g"), (struct stream_id){0}, 0));
    struct stream_consumer *a = stream_consumer_add(g, BYTES("a"), 1), *b = stream_consumer_add(g, BYTES("b"), 2);
    assert_null(stream_consumer_add(g, BYTES("a"), 1));
    for (unsigned i = 0; i < 500; i++) {
        struct stream_nack *n = stream_nack_add(g, id_of(i), 5);
        assert_null(stream_nack_add(g, id_of(i), 5));
        stream_nack_give(n, id_of(i), i % 2 ? a : b);
        if (i % 5 == 0) stream_nack_give(n, id_of(i), a);
    }
    assert_int_equal(btree_count(&a->pending), 300);
    assert_int_equal(btree_count(&b->pending), 200);
    struct xstream *copy = xstream_dup(s);
    stream_nack_remove(g, id_of(1), stream_nack_find(g, id_of(1)));
    assert_int_equal(btree_count(&a->pending), 299);
    stream_consumer_remove(g, b);
    assert_null(stream_consumer_find(g, BYTES("b")));
    assert_int_equal(btree_count(&g->pending), 299);
    stream_group_remove(s, g);
    assert_null(stream_group_find(s, BYTES("g")));
    xstream_free(s);
    g = stream_group_find(copy, BYTES("g"));
    assert_int_equal(btree_count(&g->pending), 500);
    assert_int_equal(btree_count(&stream_consumer_find(g, BYTES("b"))->pending), 200);
    assert_true(xstream_bytes(copy, 0) < 500 * 100);
    xstream_free(copy);
}

/* What a client may say that was read is any number: one more is the least one. */
static void test_entries_read_go_around(void **state)
{
    struct xstream *s = xstream_new();
    struct xstream_limits limits = {0, 0};
    struct stream_id id = {1, 1};
    (void)state;
    struct bytes pair[] = {BYTES("f"), BYTES("v")};
    assert_true(xstream_append(s, id, pair, 1, &limits));
    struct stream_group *g = stream_group_add(s, BYTES("g"), (struct stream_id){0}, INT64_MAX);
    stream_group_passed(s, g, id);
    assert_true(g->read == INT64_MIN);
    xstream_free(s);
}

/* --- from outside ------------------------------------------------------------------------------------------------- */

/* Any byte of a node spoilt: it is no node, or one that can be walked both ways, changed and trimmed. */
static void test_a_spoilt_node_is_refused_or_harmless(void **state)
{
    struct xstream_limits limits = {0, 0};
    struct xstream *s = xstream_new();
    struct rng rng;
    rng_seed(&rng, 3);
    memset(&model, 0, sizeof model);
    for (int i = 0; i < 12; i++) add(s, &limits);
    delete_one(s, 3);
    const unsigned char *whole = btree_slot(btree_first(&s->nodes))->value;
    unsigned taken = 0;
    for (int i = 0; i < 20000; i++) {
        unsigned char *lp = lp_dup(whole);
        size_t n = lp_bytes(lp), at = LP_HEADER_SIZE + rng_below(&rng, n - LP_EMPTY_SIZE);
        uint64_t live;
        lp[at] ^= (unsigned char)(1u << rng_below(&rng, 8));
        if (!lp_validate(lp, n, true, NULL, NULL) || !xstream_node_is_sound(lp, &live)) {
            lp_free(lp);
            continue;
        }
        taken++;
        struct xstream *odd = xstream_new();
        btree_insert(&odd->nodes, stream_id_key(id_of(0)), NULL, lp);
        odd->length = live;
        odd->last = id_of((unsigned)rng_below(&rng, 15));
        for (int back = 0; back < 2; back++) {
            struct xstream_iter it;
            struct stream_id id;
            struct lp_value name, value;
            uint64_t seen = 0;
            xstream_iter_init(&it, odd, (struct stream_id){0}, STREAM_ID_MAX, back);
            for (int64_t fields; xstream_iter_next(&it, &id, &fields); seen++)
                for (; fields; fields--) xstream_iter_field(&it, &name, &value);
            assert_true(seen <= live);
        }
        struct bytes pairs[] = {BYTES("f"), BYTES("v")};
        xstream_append(odd, id_of(14), pairs, 1, &limits);
        xstream_delete(odd, id_of(5));
        xstream_trim(odd, &(struct xstream_trim){.by = XSTREAM_TRIM_LENGTH, .length = 4});
        xstream_trim(odd, &(struct xstream_trim){.by = XSTREAM_TRIM_ID, .min = id_of(9)});
        xstream_free(odd);
    }
    assert_true(taken > 1000 && taken < 19000);
    xstream_free(s);
}

/* --- what redis-server would have --------------------------------------------------------------------------------- */

static void expect_nodes(const struct stream_id *ids, size_t count, uint64_t nodes)
{
    struct xstream *s = xstream_new();
    for (size_t i = 0; i < count; i++) btree_insert(&s->nodes, stream_id_key(ids[i]), NULL, lp_new(0));
    assert_int_equal(xstream_radix_nodes(s), nodes);
    xstream_free(s);
}

/* Counted by redis-server 7.2.4 (tests/compat/cases/stream.txt has longer ones). */
static void test_the_nodes_of_a_radix_tree(void **state)
{
    expect_nodes(NULL, 0, 1);
    expect_nodes((struct stream_id[]){{1, 1}}, 1, 2);
    /* Two that part in the last byte: the bytes in front, where they part, two leaves. */
    expect_nodes((struct stream_id[]){{1, 1}, {1, 2}}, 2, 4);
    /* In the first one: where they part, the rest of each, two leaves. */
    expect_nodes((struct stream_id[]){{1, 1}, {UINT64_C(1) << 56, 1}}, 2, 5);
    expect_nodes((struct stream_id[]){{1, 1}, {1, 2}, {1, 3}, {2, 0}}, 4, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_is_a_list_of_entries),
        cmocka_unit_test(test_a_rough_trim_leaves_nodes_whole),
        cmocka_unit_test(test_what_is_full_gives_room_back),
        cmocka_unit_test(test_a_short_stream_is_small),
        cmocka_unit_test(test_ids_are_read_as_redis_reads_them),
        cmocka_unit_test(test_the_ends_of_all_ids),
        cmocka_unit_test(test_the_next_id_is_always_greater),
        cmocka_unit_test(test_a_nack_is_one_in_two_lists),
        cmocka_unit_test(test_entries_read_go_around),
        cmocka_unit_test(test_a_spoilt_node_is_refused_or_harmless),
        cmocka_unit_test(test_the_nodes_of_a_radix_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
