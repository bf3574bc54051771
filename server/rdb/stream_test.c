/* SPDX-License-Identifier: MIT */
#include "server/rdb/stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/ds/xstream_group.h"
#include "server/mem.h"

/* --- a stream made by hand ---------------------------------------------------------------------------------------- */

static void put_id(struct rdb_sink *s, uint64_t ms, uint64_t seq)
{
    char id[STREAM_ID_SIZE];
    store_be64(id, ms);
    store_be64(id + 8, seq);
    rdb_put_raw(s, id, sizeof id);
}

static unsigned char *put_numbers(unsigned char *lp, const int *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) lp = lp_append_i64(lp, numbers[i]);
    return lp;
}

#define NUMBERS(lp, ...) put_numbers(lp, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* Three entries: of the shared field, deleted, of two fields of its own. */
static unsigned char *some_node(void)
{
    unsigned char *lp = NUMBERS(lp_new(0), 2, 1, 1);
    lp = NUMBERS(lp_append(lp, BYTES("shared")), 0);
    lp = NUMBERS(lp_append(NUMBERS(lp, 2, 0, 0), BYTES("v1")), 4);
    lp = NUMBERS(lp_append(NUMBERS(lp, 3, 0, 1), BYTES("gone")), 4);
    lp = lp_append(NUMBERS(lp, 0, 2, -1, 2), BYTES("own"));
    lp = lp_append(lp_append(NUMBERS(lp, 7), BYTES("other")), BYTES("v2"));
    return NUMBERS(lp, 8);
}

static void put_node(struct rdb_sink *s, uint64_t ms, unsigned char *lp)
{
    rdb_put_length(s, STREAM_ID_SIZE);
    put_id(s, ms, 1);
    rdb_put_string(s, bytes_of(lp, lp_bytes(lp)));
    lp_free(lp);
}

static void put_lengths(struct rdb_sink *s, int count)
{
    while (count--) rdb_put_length(s, (uint64_t)count * 1000);
}

static void put_head(struct rdb_sink *s, unsigned type, uint64_t entries)
{
    rdb_put_length(s, entries);
    put_lengths(s, type == RDB_STREAM_LISTPACKS ? 2 : 7);
}

struct shape {
    unsigned type;
    uint64_t nodes[2];     /* milliseconds of their IDs */
    uint64_t pending[2];   /* of the group */
    uint64_t owned[2];     /* 0: one less */
    const char *names[2];  /* of consumers */
    const char *groups[2]; /* NULL: one less */
    unsigned char *(*node)(void);
    uint64_t entries; /* of both nodes */
};
static const struct shape fine = {RDB_STREAM_LISTPACKS_3, {1, 9},     {1, 9},    {1, 9},
                                  {"alice", "bob"},       {"g", "h"}, some_node, 4};

static void put_pending(struct rdb_sink *s, const uint64_t ms[2], bool group)
{
    rdb_put_length(s, ms[1] ? 2 : 1);
    for (int i = 0; i < (ms[1] ? 2 : 1); i++) {
        put_id(s, ms[i], 1);
        if (!group) continue;
        rdb_put_u64(s, 1234567);
        rdb_put_length(s, 70);
    }
}

static void put_group(struct rdb_sink *s, const struct shape *x, const char *name)
{
    rdb_put_string(s, bytes_of_str(name));
    put_lengths(s, x->type == RDB_STREAM_LISTPACKS ? 2 : 3);
    put_pending(s, x->pending, true);
    rdb_put_length(s, 2);
    for (int i = 0; i < 2; i++) {
        rdb_put_string(s, bytes_of_str(x->names[i]));
        rdb_put_u64(s, 11111111);
        if (x->type == RDB_STREAM_LISTPACKS_3) rdb_put_u64(s, 0x2222222222222222);
        if (i == 0) put_pending(s, x->owned, false);
        else rdb_put_length(s, 0);
    }
}

/* The caller frees the sink. */
static void make(struct rdb_sink *s, const struct shape *x)
{
    rdb_sink_init(s, NULL, NULL);
    rdb_put_length(s, 2);
    for (int i = 0; i < 2; i++) put_node(s, x->nodes[i], x->node());
    put_head(s, x->type, x->entries);
    rdb_put_length(s, x->groups[1] ? 2 : 1);
    for (int i = 0; i < (x->groups[1] ? 2 : 1); i++) put_group(s, x, x->groups[i]);
}

/* *out is the caller's when it is 0. */
static int read_stream(struct bytes b, unsigned type, struct xstream **out, char why[128])
{
    struct rdb_source s;
    rdb_source_of_bytes(&s, b);
    *out = xstream_new();
    bool ok = rdb_read_stream(&s, type, *out);
    if (ok) assert_int_equal(rdb_source_at_hand(&s), 0);
    else snprintf(why, 128, "%s", s.why), xstream_free(*out);
    int err = s.error;
    rdb_source_fini(&s);
    return err;
}

static void refused(const struct shape *x, const char *words)
{
    struct rdb_sink s;
    struct xstream *b;
    char why[128];
    make(&s, x);
    assert_int_equal(read_stream(rdb_sink_bytes(&s), x->type, &b, why), -EBADMSG);
    assert_non_null(strstr(why, words));
    rdb_sink_fini(&s);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void test_what_is_there_twice_or_belongs_to_nobody_is_refused(void **state)
{
    struct shape x = fine;
    x.nodes[1] = 1;
    refused(&x, "existing key");
    x = fine;
    x.pending[1] = x.owned[1] = 1;
    refused(&x, "Duplicated global PEL");
    x = fine;
    x.owned[1] = 1;
    refused(&x, "Duplicated consumer PEL");
    x = fine;
    x.owned[1] = 8;
    refused(&x, "not found in the group");
    x = fine;
    x.names[1] = "alice";
    refused(&x, "Duplicate stream consumer");
    x = fine;
    x.groups[1] = "g";
    refused(&x, "Duplicated consumer group");
}

static void test_a_pending_entry_has_one_consumer(void **state)
{
    struct shape x = fine;
    x.owned[1] = 0;
    refused(&x, "without consumer");
}

static void test_the_length_is_that_of_the_nodes(void **state)
{
    struct shape x = fine;
    for (x.entries = 0; x.entries < 7; x.entries++)
        if (x.entries != fine.entries) refused(&x, "Stream length inconsistent");
}

static void test_ids_may_come_in_any_order(void **state)
{
    struct shape x = fine;
    struct rdb_sink s;
    struct xstream *b;
    char why[128];
    x.nodes[0] = x.pending[0] = x.owned[0] = 9;
    x.nodes[1] = x.pending[1] = x.owned[1] = 1;
    make(&s, &x);
    assert_int_equal(read_stream(rdb_sink_bytes(&s), x.type, &b, why), 0);
    xstream_free(b);
    rdb_sink_fini(&s);
}

static void test_cut_anywhere_it_is_refused(void **state)
{
    for (unsigned type = 0; type < 3; type++) {
        struct shape x = fine;
        struct rdb_sink s;
        struct xstream *b;
        char why[128];
        x.type = type == 0 ? RDB_STREAM_LISTPACKS : type == 1 ? RDB_STREAM_LISTPACKS_2 : RDB_STREAM_LISTPACKS_3;
        make(&s, &x);
        for (size_t n = 0; n < rdb_sink_bytes(&s).n; n++)
            assert_int_equal(read_stream(bytes_of(s.buf, n), x.type, &b, why), -EBADMSG);
        assert_int_equal(read_stream(rdb_sink_bytes(&s), x.type, &b, why), 0);
        xstream_free(b);
        rdb_sink_fini(&s);
    }
}

static unsigned char *spoilt_node(int which)
{
    unsigned char *lp = some_node(), *at = lp_seek(lp, which);
    return lp_replace(lp, &at, BYTES("word"));
}

static int node_at;
static unsigned char *node_without_a_number(void) { return spoilt_node(node_at); }
static unsigned char *empty_node(void) { return lp_new(0); }
static unsigned char *long_node(void) { return lp_append(some_node(), BYTES("more")); }
static unsigned char *short_node(void)
{
    unsigned char *lp = some_node(), *last = lp_last(lp);
    return lp_delete(lp, &last);
}
static unsigned char *negative_node(void) { return NUMBERS(lp_new(0), -1, 1, 0, 0); }

static void test_every_number_of_a_node_is_one(void **state)
{
    /* entries, deleted, fields; the 0 behind them; flags, ms, seq and the count behind, of the three entries; how many
     * fields the last one has */
    static const int numbers[] = {0, 1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 18, 23};
    struct shape x = fine;
    x.node = node_without_a_number;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        node_at = numbers[i];
        refused(&x, "Stream listpack integrity");
    }
    x.node = empty_node;
    refused(&x, "Stream listpack integrity");
    x.node = long_node;
    refused(&x, "Stream listpack integrity");
    x.node = short_node;
    refused(&x, "Stream listpack integrity");
    x.node = negative_node;
    refused(&x, "Stream listpack integrity");
}

static void test_an_old_version_gets_no_times_of_activity(void **state)
{
    struct shape x = fine;
    struct rdb_sink new, old, out;
    struct xstream *b;
    char why[128];
    make(&new, &x);
    x.type = RDB_STREAM_LISTPACKS_2;
    make(&old, &x);
    assert_int_equal(read_stream(rdb_sink_bytes(&new), RDB_STREAM_LISTPACKS_3, &b, why), 0);
    for (int version = RDB_VERSION_MIN; version <= RDB_VERSION; version++) {
        rdb_sink_init(&out, NULL, NULL);
        out.version = version;
        assert_int_equal(rdb_stream_type_of(&out), version < 11 ? RDB_STREAM_LISTPACKS_2 : RDB_STREAM_LISTPACKS_3);
        rdb_put_length(&out, btree_count(&b->nodes));
        for (struct btree_pos p = btree_first(&b->nodes); p.leaf; p = btree_next(p))
            rdb_write_stream_node(&out, btree_slot(p));
        rdb_write_stream_rest(&out, b);
        assert_true(bytes_equal(rdb_sink_bytes(&out), rdb_sink_bytes(version < 11 ? &old : &new)));
        rdb_sink_fini(&out);
    }
    xstream_free(b);
    rdb_sink_fini(&new);
    rdb_sink_fini(&old);
}

static void test_entries_are_shown_with_their_fields(void **state)
{
    struct rdb_sink s;
    struct xstream *b;
    struct xstream_iter it;
    struct stream_id id;
    char why[128], seen[512] = "";
    make(&s, &fine);
    assert_int_equal(read_stream(rdb_sink_bytes(&s), fine.type, &b, why), 0);
#ifdef DEMI_DEBUG
    xstream_check(b);
#endif
    xstream_iter_init(&it, b, (struct stream_id){0}, STREAM_ID_MAX, false);
    for (int64_t fields; xstream_iter_next(&it, &id, &fields);) {
        size_t n = strlen(seen);
        snprintf(seen + n, sizeof seen - n, "%llu-%llu:", (unsigned long long)id.ms, (unsigned long long)id.seq);
        for (; fields; fields--) {
            struct lp_value name, value;
            char a[NUMBER_I64_SIZE], v[NUMBER_I64_SIZE];
            xstream_iter_field(&it, &name, &value);
            struct bytes f = lp_value_bytes(name, a), t = lp_value_bytes(value, v);
            n = strlen(seen);
            snprintf(seen + n, sizeof seen - n, " %.*s=%.*s", (int)f.n, f.p, (int)t.n, t.p);
        }
    }
    assert_string_equal(seen, "1-1: shared=v13-0: own=7 other=v29-1: shared=v111-0: own=7 other=v2");
    xstream_free(b);
    rdb_sink_fini(&s);
}

/* One of version 5 does not say where it begins: that is looked up. */
static void test_an_old_stream_knows_its_first_entry(void **state)
{
    struct shape x = fine;
    struct rdb_sink s;
    struct xstream *b;
    char why[128];
    x.type = RDB_STREAM_LISTPACKS;
    make(&s, &x);
    assert_int_equal(read_stream(rdb_sink_bytes(&s), x.type, &b, why), 0);
    assert_int_equal(b->first.ms, 1);
    assert_int_equal(b->first.seq, 1);
    assert_int_equal(b->added, 4);
    xstream_free(b);
    rdb_sink_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_there_twice_or_belongs_to_nobody_is_refused),
        cmocka_unit_test(test_a_pending_entry_has_one_consumer),
        cmocka_unit_test(test_the_length_is_that_of_the_nodes),
        cmocka_unit_test(test_ids_may_come_in_any_order),
        cmocka_unit_test(test_cut_anywhere_it_is_refused),
        cmocka_unit_test(test_every_number_of_a_node_is_one),
        cmocka_unit_test(test_an_old_version_gets_no_times_of_activity),
        cmocka_unit_test(test_entries_are_shown_with_their_fields),
        cmocka_unit_test(test_an_old_stream_knows_its_first_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
