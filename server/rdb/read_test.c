/* SPDX-License-Identifier: MIT */
#include "server/rdb/read.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/conf/conf.h"
#include "server/db/entry_build.h"
#include "server/mem.h"
#include "server/rdb/crc64.h"
#include "server/rdb/write.h"
#include "server/types/hash.h"
#include "server/types/list.h"
#include "server/types/set.h"
#include "server/types/zset.h"

static struct config cfg;
static struct quicklist_options lists;
static struct rdb_rules rules = {.cfg = &cfg, .lists = &lists, .seed = 7, .deep = true};

static struct rdb_refusal why;

static int setup(void **state)
{
    conf_init(&cfg);
    return 0;
}

static int teardown(void **state)
{
    conf_fini(&cfg);
    return 0;
}

static int read_type(unsigned type, struct bytes b, struct value *v)
{
    struct rdb_source s;
    rdb_source_of_bytes(&s, b);
    int err = rdb_read_value(&s, type, &rules, v);
    if (err) assert_non_null(s.why);
    rdb_source_fini(&s);
    return err;
}

static int refused(unsigned type, struct bytes b)
{
    struct value v;
    int err = read_type(type, b, &v);
    if (err == 0) value_free(v);
    return err;
}

/* The DUMP of v, which is used up; the caller frees the sink. */
static void dump(struct value v, struct rdb_sink *s)
{
    struct entry *e = entry_new_value(BYTES("k"), v, -1);
    rdb_sink_init(s, NULL, NULL);
    s->compress = true;
    rdb_write_dump(s, e);
    entry_free(e);
}

/* --- values of every encoding ------------------------------------------------------------------------------------- */

static struct value some_string(int i)
{
    char text[600];
    size_t n = 0;
    while (n < (size_t)i) n += (size_t)snprintf(text + n, sizeof text - n, "%d", i);
    struct blob *b = blob_new(n, n);
    memcpy(b->data, text, n);
    return (struct value){.type = OBJ_STRING, .enc = ENC_RAW, .p = b};
}

static struct value some_list(int i)
{
    struct quicklist *q = list_new(&lists, &cfg);
    char text[64];
    for (int k = 0; k <= i; k++)
        list_push(q, LIST_TAIL, bytes_of(text, (size_t)snprintf(text, sizeof text, "element %d", k)));
    return list_built(&lists, &cfg, q);
}

static struct value some_set(int i)
{
    struct set_rules r = set_rules(&cfg, 7);
    struct set s = set_new_intset();
    char text[64];
    for (int k = 0; k <= i; k++)
        set_add(&s, bytes_of(text, (size_t)snprintf(text, sizeof text, i % 2 ? "m%d" : "%d", k * 1000)), &r);
    return set_value(&s);
}

static struct value some_hash(int i)
{
    struct hash_rules r = hash_rules(&cfg, 7);
    struct hash h = hash_new();
    char text[64];
    for (int k = 0; k <= i; k++)
        hash_set(&h, bytes_of(text, (size_t)snprintf(text, sizeof text, "f%d", k)), BYTES("value"), &r);
    return hash_value(&h);
}

static struct value some_zset(int i)
{
    struct zset_rules r = zset_rules(&cfg, 7);
    struct zset z = zset_new(1, 0, &r);
    char text[64];
    double had;
    for (int k = 0; k <= i; k++)
        zset_add(&z, bytes_of(text, (size_t)snprintf(text, sizeof text, "m%d", k)), k * 0.5, &had, &r);
    return zset_value(&z);
}

static struct value (*const makers[])(int i) = {some_string, some_list, some_set, some_hash, some_zset};
#define MAKERS (sizeof makers / sizeof *makers)

static void test_what_is_written_reads_back_in_the_same_encoding(void **state)
{
    static const int sizes[] = {0, 1, 5, 64, 127, 128, 129, 500};
    for (size_t m = 0; m < MAKERS; m++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct value v = makers[m](sizes[i]), back;
            enum obj_encoding enc = v.enc;
            struct rdb_sink first, second;
            dump(v, &first);
            assert_int_equal(rdb_read_dump(rdb_sink_bytes(&first), &rules, false, &back, &why), 0);
            if (m) assert_int_equal(back.enc, enc);
            dump(back, &second);
            assert_int_equal(rdb_sink_bytes(&first).n, rdb_sink_bytes(&second).n);
            if (enc != ENC_HT) assert_true(bytes_equal(rdb_sink_bytes(&first), rdb_sink_bytes(&second)));
            rdb_sink_fini(&first);
            rdb_sink_fini(&second);
        }
    }
}

static void test_a_payload_cut_anywhere_is_refused(void **state)
{
    for (size_t m = 0; m < MAKERS; m++) {
        for (int size = 3; size < 300; size += 140) {
            struct rdb_sink s;
            struct value v;
            dump(makers[m](size), &s);
            struct bytes b = rdb_sink_bytes(&s);
            for (size_t n = 0; n < b.n; n++) {
                assert_int_equal(rdb_read_dump(bytes_of(b.p, n), &rules, false, &v, &why), -EPROTO);
                if (n && n < b.n - 10)
                    assert_int_equal(refused((unsigned char)b.p[0], bytes_of(b.p + 1, n - 1)), -EBADMSG);
            }
            rdb_sink_fini(&s);
        }
    }
}

static void test_a_flipped_bit_fails_the_checksum_and_never_more(void **state)
{
    for (size_t m = 0; m < MAKERS; m++) {
        struct rdb_sink s;
        struct value v;
        dump(makers[m](20), &s);
        struct bytes b = rdb_sink_bytes(&s);
        for (size_t i = 0; i < b.n * 8; i++) {
            s.buf[i / 8] ^= (char)(1 << i % 8);
            assert_int_equal(rdb_read_dump(b, &rules, false, &v, &why), -EPROTO);
            if (rdb_read_dump(b, &rules, true, &v, &why) == 0) {
                struct rdb_sink other; /* sound enough to be written */
                dump(v, &other);
                rdb_sink_fini(&other);
            }
            s.buf[i / 8] ^= (char)(1 << i % 8);
        }
        rdb_sink_fini(&s);
    }
}

/* --- what is announced and not there ------------------------------------------------------------------------------ */

static void test_announced_sizes_take_no_memory(void **state)
{
    /* 2^62 bytes, elements, fields, members, nodes */
    struct bytes huge = BYTES("\x81\x40\x00\x00\x00\x00\x00\x00\x00\x01x");
    static const unsigned types[] = {
        RDB_STRING, RDB_LIST, RDB_SET, RDB_ZSET, RDB_HASH, RDB_ZSET_2, RDB_LIST_QUICKLIST, RDB_LIST_QUICKLIST_2};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) assert_int_equal(refused(types[i], huge), -EBADMSG);
}

static void test_a_compressed_string_is_measured_first(void **state)
{
    /* says 4 GiB - 1, holds 22 bytes */
    assert_int_equal(refused(RDB_STRING, BYTES("\xc3\x05\x80\xff\xff\xff\xff\x00"
                                               "a\xe0\x0c\x00")),
                     -EBADMSG);
    assert_int_equal(refused(RDB_STRING, BYTES("\xc3\x05\x17\x00"
                                               "a\xe0\x0c\x00")),
                     -EBADMSG);
    assert_int_equal(refused(RDB_STRING, BYTES("\xc3\x05\x16\x00"
                                               "a\xe0\x0c\x00")),
                     0);
    /* from before the start */
    assert_int_equal(refused(RDB_STRING, BYTES("\xc3\x05\x16\x00"
                                               "a\xe0\x0c\x01")),
                     -EBADMSG);
    assert_int_equal(refused(RDB_STRING, BYTES("\xc3\x00\x00")), -EBADMSG);
}

static void test_keys_without_elements_are_told_apart(void **state)
{
    assert_int_equal(refused(RDB_LIST, BYTES("\0")), -ENOENT);
    assert_int_equal(refused(RDB_SET, BYTES("\0")), -ENOENT);
    assert_int_equal(refused(RDB_HASH_LISTPACK, BYTES("\7\7\0\0\0\0\0\xff")), -ENOENT);
    assert_int_equal(refused(RDB_SET_LISTPACK, BYTES("\7\7\0\0\0\0\0\xff")), -ENOENT);
    assert_int_equal(refused(RDB_LIST_QUICKLIST_2, BYTES("\1\2\7\7\0\0\0\0\0\xff")), -ENOENT);
}

static void test_modules_are_refused_by_name(void **state)
{
    struct value v;
    char payload[64] = "\7\x81";
    static const char name[] = "ReJSON-RL",
                      letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint64_t id = 0;
    for (int i = 0; i < 9; i++) id = id << 6 | (uint64_t)(strchr(letters, name[i]) - letters);
    store_be64(payload + 2, id << 10 | 3);
    assert_int_equal(rdb_read_dump(bytes_of(payload, 30), &rules, true, &v, &why), -EOPNOTSUPP);
    assert_non_null(strstr(why.why, "'ReJSON-RL'"));
    assert_int_equal(why.offset, 10);
    assert_int_equal(refused(RDB_MODULE_2, BYTES("")), -EBADMSG);
    assert_int_equal(refused(RDB_MODULE, BYTES("\0")), -EOPNOTSUPP);
    assert_int_equal(refused(8, BYTES("\0")), -EBADMSG);
    assert_int_equal(refused(255, BYTES("\0")), -EBADMSG);
}

/* --- blocks ------------------------------------------------------------------------------------------------------- */

static void test_sets_in_listpacks_stay_what_they_are(void **state)
{
    struct value v;
    assert_int_equal(read_type(RDB_SET_LISTPACK,
                               BYTES("\x0c\x0c\0\0\0\2\0\x81"
                                     "a\2\7\1\xff"),
                               &v),
                     0);
    assert_int_equal(v.enc, ENC_LISTPACK);
    struct set s = {v.enc, v.p};
    assert_true(set_has(&s, BYTES("7")) && set_has(&s, BYTES("a")) && set_count(&s) == 2);
    value_free(v);
    assert_int_equal(read_type(RDB_SET_LISTPACK, BYTES("\x0b\x0b\0\0\0\2\0\5\1\4\1\xff"), &v), 0);
    assert_int_equal(v.enc, ENC_LISTPACK); /* as it came, integers or not */
    value_free(v);
    assert_int_equal(refused(RDB_SET_LISTPACK, BYTES("\x0b\x0b\0\0\0\2\0\5\1\5\1\xff")), -EBADMSG);
}

static void test_a_field_twice_passes_only_where_nobody_looks(void **state)
{
    struct bytes twice = BYTES("\x0f\x0f\0\0\0\4\0\5\1\1\1\5\1\2\1\xff");
    assert_int_equal(refused(RDB_HASH_LISTPACK, twice), -EBADMSG);
    rules.deep = false;
    assert_int_equal(refused(RDB_HASH_LISTPACK, twice), 0);
    rules.deep = true;
    assert_int_equal(refused(RDB_HASH, BYTES("\2\1a\1b\1a\1b")), -EBADMSG);
}

static void test_thresholds_of_here_decide_the_encoding(void **state)
{
    struct value v;
    int64_t was = cfg.hash_max_listpack_entries;
    cfg.hash_max_listpack_entries = 1;
    assert_int_equal(read_type(RDB_HASH_LISTPACK, BYTES("\x0f\x0f\0\0\0\4\0\5\1\1\1\6\1\2\1\xff"), &v), 0);
    assert_int_equal(v.enc, ENC_HT);
    value_free(v);
    cfg.hash_max_listpack_entries = was;
    was = cfg.set_max_intset_entries;
    cfg.set_max_intset_entries = 1;
    assert_int_equal(read_type(RDB_SET_INTSET, BYTES("\x0c\2\0\0\0\2\0\0\0\1\0\2\0"), &v), 0);
    assert_int_equal(v.enc, ENC_HT);
    value_free(v);
    cfg.set_max_intset_entries = was;
}

/* --- streams of bytes --------------------------------------------------------------------------------------------- */

struct drip {
    struct bytes left;
    size_t step;
};

static long drip(void *arg, char *buf, size_t room)
{
    struct drip *d = arg;
    size_t n = d->left.n < d->step ? d->left.n : d->step;
    if (n > room) n = room;
    if (n) memcpy(buf, d->left.p, n);
    d->left.p += n;
    d->left.n -= n;
    return (long)n;
}

static void test_pieces_of_any_size_read_the_same_with_the_same_checksum(void **state)
{
    for (size_t m = 0; m < MAKERS; m++) {
        struct rdb_sink first;
        dump(makers[m](300), &first);
        struct bytes b = rdb_sink_bytes(&first);
        for (size_t step = 1; step < 40; step += 6) {
            struct drip d = {bytes_of(b.p + 1, b.n - 11), step};
            struct rdb_source s;
            struct value v;
            struct rdb_sink second;
            rdb_source_of_stream(&s, drip, &d);
            s.checksum = true;
            assert_int_equal(rdb_read_value(&s, (unsigned char)b.p[0], &rules, &v), 0);
            assert_true(rdb_source_crc(&s) == crc64(0, b.p + 1, b.n - 11));
            assert_int_equal(rdb_source_offset(&s), b.n - 11);
            rdb_source_fini(&s);
            dump(v, &second);
            assert_int_equal(rdb_sink_bytes(&second).n, b.n);
            rdb_sink_fini(&second);
        }
        rdb_sink_fini(&first);
    }
}

static void test_empty_strings_survive_any_source(void **state)
{
    struct bytes b = BYTES("\1\0\0"); /* a hash of "" and "" */
    struct drip d = {b, 1};
    struct rdb_source s;
    struct value v;
    rdb_source_of_stream(&s, drip, &d);
    assert_int_equal(rdb_read_value(&s, RDB_HASH, &rules, &v), 0);
    value_free(v);
    rdb_source_fini(&s);
    assert_int_equal(refused(RDB_HASH, b), 0);
}

static long fails(void *arg, char *buf, size_t room) { return -EIO; }

static void test_an_error_of_reading_is_handed_on(void **state)
{
    struct rdb_source s;
    struct value v;
    rdb_source_of_stream(&s, fails, NULL);
    assert_int_equal(rdb_read_value(&s, RDB_STRING, &rules, &v), -EIO);
    rdb_source_fini(&s);
}

static int flush_count;
static int full(void *arg, const char *p, size_t n)
{
    flush_count++;
    return -ENOSPC;
}

static void test_an_error_of_writing_sticks_and_stops_the_calls(void **state)
{
    struct rdb_sink s;
    static char block[100000];
    rdb_sink_init(&s, full, NULL);
    flush_count = 0;
    for (int i = 0; i < 5; i++) rdb_put_raw(&s, block, sizeof block);
    assert_int_equal(rdb_sink_finish(&s), -ENOSPC);
    assert_int_equal(flush_count, 1);
    rdb_sink_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_reads_back_in_the_same_encoding),
        cmocka_unit_test(test_a_payload_cut_anywhere_is_refused),
        cmocka_unit_test(test_a_flipped_bit_fails_the_checksum_and_never_more),
        cmocka_unit_test(test_announced_sizes_take_no_memory),
        cmocka_unit_test(test_a_compressed_string_is_measured_first),
        cmocka_unit_test(test_keys_without_elements_are_told_apart),
        cmocka_unit_test(test_modules_are_refused_by_name),
        cmocka_unit_test(test_sets_in_listpacks_stay_what_they_are),
        cmocka_unit_test(test_a_field_twice_passes_only_where_nobody_looks),
        cmocka_unit_test(test_thresholds_of_here_decide_the_encoding),
        cmocka_unit_test(test_pieces_of_any_size_read_the_same_with_the_same_checksum),
        cmocka_unit_test(test_empty_strings_survive_any_source),
        cmocka_unit_test(test_an_error_of_reading_is_handed_on),
        cmocka_unit_test(test_an_error_of_writing_sticks_and_stops_the_calls),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
