/* SPDX-License-Identifier: MIT
 *
 * Files with and without somebody going ahead: what is loaded, and what is refused and why, is the same. Here and not
 * beside server/rdb/lookahead.c, since it takes a server to load into.
 */
#include "server/rdb/lookahead.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "server/ds/listpack.h"
#include "server/ds/xstream_id.h"
#include "server/exec/session_fixture.h"
#include "server/rdb/crc64.h"
#include "server/rdb/format.h"
#include "server/rdb/snapshot.h"

static struct fixture f;
static struct rng rng;
static struct rdb_notes *notes;

static size_t below(size_t n) { return (size_t)rng_below(&rng, n); }

/* --- files made at random ----------------------------------------------------------------------------------------- */

static void put_key(struct rdb_sink *s, unsigned type)
{
    static unsigned serial;
    static char name[70100];
    size_t n = (size_t)snprintf(name, sizeof name, "%u", ++serial);
    if (below(3)) { /* otherwise it is an integer */
        size_t more = below(8) ? below(20) : below(40) ? below(300) : 70000;
        memset(name + n, below(2) ? 'k' : '0', more);
        n += more;
    }
    rdb_put_byte(s, (unsigned char)type);
    rdb_put_string(s, bytes_of(name, n));
}

/* Some that compress, some that are integers, few that are longer than a block. */
static void put_string(struct rdb_sink *s)
{
    static char text[200000];
    static const size_t most[] = {12, 40, 40, 600, 600, 9000, sizeof text};
    size_t n = below(most[below(below(20) ? 5 : 7)]);
    bool even = below(2);
    int64_t v = (int64_t)(rng_u64(&rng) >> below(64));
    for (size_t i = 0; i < n; i++) text[i] = even ? (char)('a' + i / 30 % 20) : (char)rng_u64(&rng);
    if (below(4)) rdb_put_string(s, bytes_of(text, n));
    else rdb_put_int_string(s, v);
}

static void put_strings(struct rdb_sink *s, size_t times)
{
    rdb_put_length(s, times);
    for (size_t i = 0; i < times; i++) {
        char name[40]; /* members are there once */
        rdb_put_string(s, bytes_of(name, (size_t)snprintf(name, sizeof name, "%zu:%zu", i, times)));
    }
}

static void put_fields(struct rdb_sink *s, size_t times)
{
    rdb_put_length(s, times);
    for (size_t i = 0; i < times; i++) {
        char name[40];
        rdb_put_string(s, bytes_of(name, (size_t)snprintf(name, sizeof name, "field %zu", i)));
        put_string(s);
    }
}

static void put_scored(struct rdb_sink *s, bool as_text)
{
    size_t n = 1 + below(200);
    rdb_put_length(s, n);
    for (size_t i = 0; i < n; i++) {
        char name[40], score[40];
        rdb_put_string(s, bytes_of(name, (size_t)snprintf(name, sizeof name, "m%zu", i)));
        size_t size = (size_t)snprintf(score, sizeof score, "%zu.5", i);
        if (!as_text) {
            rdb_put_u64(s, below(1000) << 50);
        } else if (i % 7 == 0) {
            rdb_put_byte(s, RDB_DOUBLE_INF);
        } else {
            rdb_put_byte(s, (unsigned char)size);
            rdb_put_raw(s, score, size);
        }
    }
}

static void put_listpack(struct rdb_sink *s, size_t pairs)
{
    unsigned char *lp = lp_new(0);
    for (size_t i = 0; i < pairs; i++) {
        char name[20];
        lp = lp_append(lp, bytes_of(name, (size_t)snprintf(name, sizeof name, "field %zu", i)));
        lp = lp_append_i64(lp, (int64_t)i);
    }
    rdb_put_string(s, bytes_of(lp, lp_bytes(lp)));
    lp_free(lp);
}

static void put_nodes(struct rdb_sink *s)
{
    size_t n = 1 + below(5);
    rdb_put_length(s, n);
    for (size_t i = 0; i < n; i++) {
        rdb_put_length(s, i % 2 ? RDB_NODE_PLAIN : RDB_NODE_PACKED);
        if (i % 2) rdb_put_string(s, BYTES("a node by itself"));
        else put_listpack(s, 1 + below(300));
    }
}

static void put_pending(struct rdb_sink *s, bool group)
{
    rdb_put_length(s, 3);
    for (uint64_t i = 0; i < 3; i++) {
        char id[STREAM_ID_SIZE] = {0};
        store_be64(id, 70 + i);
        rdb_put_raw(s, id, sizeof id);
        if (!group) continue;
        rdb_put_u64(s, 1234567);
        rdb_put_length(s, 70);
    }
}

/* No entries, groups of two consumers each. */
static void put_stream(struct rdb_sink *s, unsigned type)
{
    rdb_put_length(s, 0);
    for (int i = 0; i < (type == RDB_STREAM_LISTPACKS ? 3 : 8); i++) rdb_put_length(s, 0);
    rdb_put_length(s, 2);
    for (int g = 0; g < 2; g++) {
        rdb_put_string(s, g ? BYTES("one group") : BYTES("another"));
        for (int i = 0; i < (type == RDB_STREAM_LISTPACKS ? 2 : 3); i++) rdb_put_length(s, 700000);
        put_pending(s, true);
        rdb_put_length(s, 2);
        for (int c = 0; c < 2; c++) {
            rdb_put_string(s, c ? BYTES("alice") : BYTES("bob"));
            rdb_put_u64(s, 11111111);
            if (type == RDB_STREAM_LISTPACKS_3) rdb_put_u64(s, 0x2222222222222222);
            if (c) put_pending(s, false);
            else rdb_put_length(s, 0);
        }
    }
}

static void put_before_key(struct rdb_sink *s)
{
    static const unsigned char seconds[4] = {0, 0, 0, 0x70};
    switch (below(12)) {
    case 0: rdb_put_byte(s, RDB_OP_EXPIRE_MS), rdb_put_u64(s, FIXTURE_NOW + 1000); break;
    case 1: rdb_put_byte(s, RDB_OP_EXPIRE_MS), rdb_put_u64(s, FIXTURE_NOW - 1000); break;
    case 2: rdb_put_byte(s, RDB_OP_EXPIRE_MS), rdb_put_u64(s, UINT64_MAX - below(2)); break;
    case 3: rdb_put_byte(s, RDB_OP_EXPIRE), rdb_put_raw(s, seconds, 4); break;
    case 4: rdb_put_byte(s, RDB_OP_IDLE), rdb_put_length(s, 100); break;
    case 5: rdb_put_byte(s, RDB_OP_FREQ), rdb_put_byte(s, 77); break;
    default: break;
    }
    if (below(30) == 0) rdb_put_byte(s, RDB_OP_SELECTDB), rdb_put_length(s, below(FIXTURE_DBS));
    if (below(60) == 0) rdb_put_byte(s, RDB_OP_AUX), put_string(s), put_string(s);
    if (below(60) == 0) rdb_put_byte(s, RDB_OP_RESIZEDB), rdb_put_length(s, 1u << 20), rdb_put_length(s, 3);
}

static void put_item(struct rdb_sink *s)
{
    static const unsigned char streams[] = {RDB_STREAM_LISTPACKS, RDB_STREAM_LISTPACKS_2, RDB_STREAM_LISTPACKS_3};
    unsigned stream = streams[below(3)];
    put_before_key(s);
    switch (below(40)) {
    case 0: put_key(s, RDB_LIST), put_strings(s, 1 + below(300)); break;
    case 1: put_key(s, RDB_SET), put_strings(s, 1 + below(300)); break;
    case 2: put_key(s, RDB_HASH), put_fields(s, 1 + below(150)); break;
    case 3: put_key(s, RDB_ZSET), put_scored(s, true); break;
    case 4: put_key(s, RDB_ZSET_2), put_scored(s, false); break;
    case 5: put_key(s, RDB_HASH_LISTPACK), put_listpack(s, 1 + below(100)); break;
    case 6: put_key(s, RDB_LIST_QUICKLIST_2), put_nodes(s); break;
    case 7: put_key(s, stream), put_stream(s, stream); break;
    default: put_key(s, RDB_STRING), put_string(s); break;
    }
}

static void make_file(struct rdb_sink *s, size_t items)
{
    rdb_sink_init(s, NULL, NULL);
    s->compress = true;
    rdb_put_raw(s, "REDIS0011", 9);
    while (items--) put_item(s);
    rdb_put_byte(s, RDB_OP_EOF);
    rdb_put_u64(s, crc64(0, s->buf, s->used));
    rdb_put_raw(s, "*1\r\n$4\r\nPING\r\n", 14); /* as in an append-only file */
}

/* --- loading it --------------------------------------------------------------------------------------------------- */

struct pieces {
    struct bytes left;
    size_t most;
    bool ahead;
    struct rdb_lookahead lookahead;
};

static size_t next_size(const struct pieces *p)
{
    size_t n = p->most > 1 ? 1 + below(p->most) : 1;
    return n < p->left.n ? n : p->left.n;
}

static long next_block(void *arg, struct bytes *block, const struct rdb_notes **n)
{
    struct pieces *p = arg;
    size_t size = next_size(p);
    *block = bytes_of(p->left.p, size);
    p->left = bytes_of(p->left.p + size, p->left.n - size);
    if (p->ahead && size) {
        if (size > 1000) memset(notes, 0xa5, sizeof *notes);
        rdb_lookahead_block(&p->lookahead, *block, notes);
    }
    *n = p->ahead ? notes : NULL;
    return (long)size;
}

struct loaded {
    int err;
    char why[200];
    uint64_t offset, keys, expired, empty;
    struct bytes fault_key, all, rest;
};

static struct bytes copy_of(struct bytes b) { return b.p ? bytes_of(memcpy(mem_alloc(b.n + 1), b.p, b.n), b.n) : b; }

struct each_key {
    struct rdb_writer w;
    struct call c;
    int db;
};

static void write_key(void *arg, const struct entry *e)
{
    struct each_key *a = arg;
    rdb_write_pair(&a->w, &a->c, a->db, e);
}

/* Tables are laid out by what was put in, and when; so this is more than a digest. */
static struct bytes all_keys(void)
{
    struct rdb_sink s;
    struct each_key a = {.w = {.s = &s, .db = -1, .lru = true}, .c = f.w.call};
    a.c.now_ms = FIXTURE_NOW;
    rdb_sink_init(&s, NULL, NULL);
    for (a.db = 0; a.db < FIXTURE_DBS; a.db++) db_each(&f.dbs[a.db], write_key, &a);
    struct bytes out = copy_of(rdb_sink_bytes(&s));
    rdb_sink_fini(&s);
    return out;
}

static struct loaded load(struct bytes file, size_t most, bool ahead, unsigned flags)
{
    struct pieces p = {.left = file, .most = most, .ahead = ahead};
    struct rdb_source s;
    struct rdb_loader loader = {.flags = flags};
    struct loaded out = {0};
    struct call c = f.w.call;
    c.db = &f.dbs[0];
    c.now_ms = FIXTURE_NOW;
    rdb_lookahead_init(&p.lookahead, f.dbs[0].hash_seed, true);
    rdb_source_of_blocks(&s, next_block, &p);
    out.err = rdb_read_snapshot(&s, &c, &loader);
    snprintf(out.why, sizeof out.why, "%s", s.why ? s.why : "");
    out.offset = rdb_source_offset(&s);
    out.keys = loader.keys, out.expired = loader.expired, out.empty = loader.empty;
    out.fault_key = copy_of(loader.fault_key);
    out.all = all_keys();
    out.rest = bytes_of(rdb_source_ahead(&s).p, rdb_source_ahead(&s).n + p.left.n); /* they lie in one piece */
    rdb_source_fini(&s);
    for (int i = 0; i < FIXTURE_DBS; i++) db_flush(&c, &f.dbs[i], false);
    return out;
}

static void assert_same_bytes(struct bytes a, struct bytes b)
{
    assert_int_equal(a.n, b.n);
    if (a.n) assert_memory_equal(a.p, b.p, a.n);
}

static void assert_loads_the_same(struct bytes file, size_t most, unsigned flags)
{
    struct loaded plain = load(file, RDB_BLOCK_MAX, false, flags), ahead = load(file, most, true, flags);
    assert_int_equal(ahead.err, plain.err);
    assert_string_equal(ahead.why, plain.why);
    assert_true(ahead.offset == plain.offset);
    assert_true(ahead.keys == plain.keys && ahead.expired == plain.expired && ahead.empty == plain.empty);
    assert_same_bytes(ahead.fault_key, plain.fault_key);
    assert_same_bytes(ahead.all, plain.all);
    if (!plain.err) assert_same_bytes(ahead.rest, plain.rest);
    mem_free((char *)plain.fault_key.p), mem_free((char *)ahead.fault_key.p);
    mem_free((char *)plain.all.p), mem_free((char *)ahead.all.p);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void test_files_load_the_same_in_blocks_of_any_size(void **state)
{
    for (int round = 0; round < 60; round++) {
        struct rdb_sink file;
        make_file(&file, 1 + below(300));
        struct bytes b = rdb_sink_bytes(&file);
        struct loaded plain = load(b, RDB_BLOCK_MAX, false, 0);
        assert_int_equal(plain.err, 0);
        assert_int_equal(plain.rest.n, 14);
        mem_free((char *)plain.all.p);
        assert_loads_the_same(b, RDB_BLOCK_MAX, 0);
        assert_loads_the_same(b, 1 + below(3000), RDB_LOAD_KEEP_EXPIRED);
        assert_loads_the_same(b, 1 + below(30), RDB_LOAD_MERGE);
        assert_loads_the_same(b, 1, 0);
        rdb_sink_fini(&file);
    }
}

static void test_what_is_wrong_is_refused_at_the_same_place_with_the_same_words(void **state)
{
    for (int round = 0; round < 400; round++) {
        struct rdb_sink file;
        make_file(&file, 1 + below(60));
        size_t flips = below(4), n = file.used;
        for (size_t i = 0; i < flips; i++)
            file.buf[below(n)] = (char)(below(2) ? rng_u64(&rng) : RDB_OP_RESIZEDB + below(5));
        if (!flips) n = below(n);
        assert_loads_the_same(bytes_of(file.buf, n), below(2) ? RDB_BLOCK_MAX : 1 + below(500), 0);
        rdb_sink_fini(&file);
    }
}

static void test_a_key_that_is_there_twice_is_refused_at_the_second(void **state)
{
    struct rdb_sink s;
    char text[16] = "v";
    for (size_t between = 0; between < 40; between += 13) {
        rdb_sink_init(&s, NULL, NULL);
        rdb_put_raw(&s, "REDIS0011", 9);
        for (size_t i = 0; i <= between + 1; i++) {
            rdb_put_byte(&s, RDB_STRING);
            if (i % (between + 1)) snprintf(text, sizeof text, "key %zu", i);
            rdb_put_string(&s, i % (between + 1) ? bytes_of_str(text) : BYTES("twice"));
            rdb_put_string(&s, BYTES("value"));
        }
        rdb_put_byte(&s, RDB_OP_EOF);
        rdb_put_u64(&s, 0);
        struct loaded l = load(rdb_sink_bytes(&s), RDB_BLOCK_MAX, true, 0);
        assert_int_equal(l.err, -EEXIST);
        assert_true(l.keys == between + 1 || l.keys == between + 2);
        assert_same_bytes(l.fault_key, BYTES("twice"));
        mem_free((char *)l.fault_key.p), mem_free((char *)l.all.p);
        assert_loads_the_same(rdb_sink_bytes(&s), RDB_BLOCK_MAX, 0);
        assert_loads_the_same(rdb_sink_bytes(&s), RDB_BLOCK_MAX, RDB_LOAD_MERGE);
        rdb_sink_fini(&s);
    }
}

static void test_every_type_of_value_is_gone_through_to_the_next_key(void **state)
{
    for (int round = 0; round < 200; round++) {
        struct rdb_sink s;
        struct rdb_lookahead l;
        rdb_sink_init(&s, NULL, NULL);
        s.compress = true;
        rdb_put_raw(&s, "REDIS0011", 9);
        for (int i = 0; i < 20; i++) put_item(&s);
        size_t at = s.used;
        rdb_put_byte(&s, RDB_STRING);
        rdb_put_string(&s, BYTES("the last key"));
        rdb_put_string(&s, BYTES("its value"));
        if (at % RDB_BLOCK_MAX + 23 < RDB_BLOCK_MAX) {
            rdb_lookahead_init(&l, 7, true);
            for (size_t from = 0; from < s.used; from += RDB_BLOCK_MAX) {
                size_t n = s.used - from < RDB_BLOCK_MAX ? s.used - from : RDB_BLOCK_MAX;
                rdb_lookahead_block(&l, bytes_of(s.buf + from, n), notes);
                assert_true(notes->crc == crc64(0, s.buf, from));
            }
            assert_true(notes->key_count > 0);
            const struct rdb_noted_key *k = &notes->keys[notes->key_count - 1];
            assert_int_equal(k->at, at % RDB_BLOCK_MAX);
            assert_true(k->hash == hash_bytes("the last key", 12, 7));
            assert_same_bytes(bytes_of(rdb_noted_bytes(notes, k->key, k->key_unpacked), k->key_size),
                              BYTES("the last key"));
        }
        rdb_sink_fini(&s);
    }
}

static void test_notes_that_are_full_leave_the_rest_to_the_reader(void **state)
{
    struct rdb_sink s;
    static char even[2000];
    memset(even, 'e', sizeof even);
    for (int packed = 0; packed < 2; packed++) {
        rdb_sink_init(&s, NULL, NULL);
        s.compress = true;
        rdb_put_raw(&s, "REDIS0011", 9);
        for (int i = 0; i < 7000; i++) {
            rdb_put_byte(&s, RDB_STRING);
            rdb_put_int_string(&s, i);
            rdb_put_string(&s, packed ? bytes_of(even, sizeof even) : BYTES("1"));
        }
        rdb_put_byte(&s, RDB_OP_EOF);
        rdb_put_u64(&s, crc64(0, s.buf, s.used));
        struct loaded l = load(rdb_sink_bytes(&s), RDB_BLOCK_MAX, true, 0);
        assert_int_equal(l.err, 0);
        assert_true(l.keys == 7000);
        assert_true(notes->key_count <= RDB_KEYS_NOTED && notes->room_used <= RDB_NOTES_ROOM);
        mem_free((char *)l.all.p);
        assert_loads_the_same(rdb_sink_bytes(&s), RDB_BLOCK_MAX, 0);
        rdb_sink_fini(&s);
    }
}

/* Of a file of 20,000 keys, which says that there are `said`. At a quarter of it and at its end: how many buckets. */
struct growth {
    size_t keys, at_quarter, at_end;
};

static bool look_at_table(void *arg, size_t items)
{
    struct growth *g = arg;
    g->keys += items;
    if (g->keys <= 5000) g->at_quarter = f.dbs[0].slices[0].table.bucket_count;
    return true;
}

static struct growth grow(uint64_t said)
{
    struct rdb_sink s;
    struct rdb_source source;
    struct growth g = {0};
    struct call c = f.w.call;
    c.db = &f.dbs[0];
    rdb_sink_init(&s, NULL, NULL);
    rdb_put_raw(&s, "REDIS0011", 9);
    rdb_put_byte(&s, RDB_OP_RESIZEDB), rdb_put_length(&s, said), rdb_put_length(&s, 0);
    for (int i = 0; i < 20000; i++) {
        char name[20];
        rdb_put_byte(&s, RDB_STRING);
        rdb_put_string(&s, bytes_of(name, (size_t)snprintf(name, sizeof name, "key %05d", i)));
        rdb_put_string(&s, BYTES("a value"));
    }
    rdb_put_byte(&s, RDB_OP_EOF), rdb_put_u64(&s, 0);
    struct rdb_loader loader = {.go_on = look_at_table, .arg = &g, .bytes = s.used};
    struct pieces p = {.left = rdb_sink_bytes(&s), .most = 1000, .ahead = true};
    rdb_lookahead_init(&p.lookahead, f.dbs[0].hash_seed, true);
    rdb_source_of_blocks(&source, next_block, &p);
    assert_int_equal(rdb_read_snapshot(&source, &c, &loader), 0);
    g.at_end = f.dbs[0].slices[0].table.bucket_count;
    rdb_source_fini(&source);
    rdb_sink_fini(&s);
    db_flush(&c, &f.dbs[0], false);
    return g;
}

static void test_room_is_made_ahead_for_keys_that_come_and_no_others(void **state)
{
    struct growth none = grow(0), right = grow(20000), few = grow(10000), many = grow((uint64_t)1 << 40);
    assert_true(none.at_quarter < none.at_end / 3);
    assert_true(right.at_quarter > none.at_end * 9 / 10 && right.at_end < none.at_end * 11 / 10);
    assert_true(few.at_quarter > none.at_end / 3 && few.at_quarter < none.at_end * 2 / 3);
    assert_true(many.at_quarter > none.at_end * 9 / 10 && many.at_end < none.at_end * 11 / 10);
}

static int setup(void **state)
{
    fixture_init(&f, 1);
    f.srv.list_options = (struct quicklist_options){.fill = -2, .packed_threshold = 1 << 30};
    rng_seed(&rng, 20261127);
    notes = mem_alloc(sizeof *notes);
    return 0;
}

static int teardown(void **state)
{
    mem_free(notes);
    fixture_fini(&f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_load_the_same_in_blocks_of_any_size),
        cmocka_unit_test(test_what_is_wrong_is_refused_at_the_same_place_with_the_same_words),
        cmocka_unit_test(test_a_key_that_is_there_twice_is_refused_at_the_second),
        cmocka_unit_test(test_every_type_of_value_is_gone_through_to_the_next_key),
        cmocka_unit_test(test_room_is_made_ahead_for_keys_that_come_and_no_others),
        cmocka_unit_test(test_notes_that_are_full_leave_the_rest_to_the_reader),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
