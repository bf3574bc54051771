/* SPDX-License-Identifier: MIT */
#include "server/db/entry_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "alloc/base/assert_test.h"
#include "server/ds/listpack.h"
#include "server/mem.h"

static void check(const struct entry *e, struct bytes key, struct bytes val, int64_t expire_ms)
{
    char buf[ENTRY_STR_BUF];
    assert_true(bytes_equal(entry_key(e), key));
    assert_true(bytes_equal(entry_string(e, buf), val));
    assert_int_equal(entry_string_length(e), val.n);
    assert_int_equal(entry_expire(e), expire_ms);
}

static void test_sixteen_and_sixteen_bytes_take_forty(void **state)
{
    (void)state;
    struct entry *e = entry_new_string(BYTES("0123456789abcdef"), BYTES("fedcba9876543210"), -1);
    assert_int_equal(entry_alloc_size(e), 40);
    entry_free(e);
}

static void test_every_shape_keeps_key_value_and_expiry(void **state)
{
    (void)state;
    static const size_t key_lens[] = {0, 1, 16, 255, 256, 70000}, val_lens[] = {0, 1, 44, 45, 512, 513, 100000};
    char *k = malloc(70000), *v = malloc(100000);
    memset(k, 'k', 70000);
    memset(v, 'v', 100000);
    for (size_t i = 0; i < sizeof key_lens / sizeof *key_lens; i++) {
        for (size_t j = 0; j < sizeof val_lens / sizeof *val_lens; j++) {
            struct bytes key = bytes_of(k, key_lens[i]), val = bytes_of(v, val_lens[j]);
            struct entry *e = entry_new_string(key, val, -1);
            check(e, key, val, -1);
            e = entry_reshape_expire(e, 12345);
            check(e, key, val, 12345);
            e = entry_rekey(e, BYTES("other"));
            check(e, BYTES("other"), val, 12345);
            e = entry_rekey(e, key);
            e = entry_reshape_expire(e, -1);
            check(e, key, val, -1);
            entry_free(e);
        }
    }
    free(k);
    free(v);
}

static void test_only_canonical_numbers_become_int(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        bool is;
    } t[] = {{"0", true},
             {"-1", true},
             {"9223372036854775807", true},
             {"-9223372036854775808", true},
             {"9223372036854775808", false},
             {"", false},
             {"-", false},
             {"-0", false},
             {"01", false},
             {" 1", false},
             {"1 ", false},
             {"+1", false},
             {"1.0", false},
             {"123456789012345678901", false},
             {"abc", false}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct entry *e = entry_new_string(BYTES("k"), bytes_of_str(t[i].s), -1);
        assert_int_equal(e->enc == ENC_INT, t[i].is);
        check(e, BYTES("k"), bytes_of_str(t[i].s), -1);
        entry_free(e);
    }
}

static void test_names_of_encodings_are_rediss(void **state)
{
    (void)state;
    char s[600];
    memset(s, 'x', sizeof s);
    static const struct {
        size_t n;
        const char *name;
    } t[] = {{0, "embstr"}, {44, "embstr"}, {45, "raw"}, {512, "raw"}, {600, "raw"}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct entry *e = entry_new_string(BYTES("k"), bytes_of(s, t[i].n), -1);
        assert_string_equal(entry_encoding_name(e), t[i].name);
        entry_free(e);
    }
    struct entry *e = entry_new_int(BYTES("k"), 7, -1);
    assert_string_equal(entry_encoding_name(e), "int");
    e = entry_int_to_embedded(e, 3);
    e->flags |= ENTRY_EDITED;
    assert_string_equal(entry_encoding_name(e), "raw");
    check(e, BYTES("k"), bytes_of("7\0", 3), -1);
    struct value v = entry_detach(e);
    e = entry_new_value(BYTES("n"), v, -1);
    assert_string_equal(entry_encoding_name(e), "raw"); /* remembered on the way */
    entry_free(e);
}

static void test_overwriting_wants_shape_and_class(void **state)
{
    (void)state;
    struct entry *e = entry_new_string(BYTES("key"), BYTES("hello"), 99);
    assert_true(entry_overwrite_string(e, BYTES("world")));
    check(e, BYTES("key"), BYTES("world"), 99);
    assert_false(entry_overwrite_string(e, BYTES("12345"))); /* becomes an INT */
    char big[400];
    memset(big, 'b', sizeof big);
    assert_false(entry_overwrite_string(e, bytes_of(big, sizeof big)));
    check(e, BYTES("key"), BYTES("world"), 99);
    entry_free(e);

    e = entry_new_int(BYTES("key"), 5, -1);
    assert_true(entry_overwrite_string(e, BYTES("-17")));
    check(e, BYTES("key"), BYTES("-17"), -1);
    assert_false(entry_overwrite_string(e, BYTES("x")));
    entry_free(e);
}

static void test_a_lent_blob_is_not_written_to(void **state)
{
    (void)state;
    char s[1000];
    memset(s, 'a', sizeof s);
    struct entry *e = entry_new_string(BYTES("key"), bytes_of(s, sizeof s), -1);
    struct value v = value_dup(e);
    memset(s, 'b', sizeof s);
    assert_false(entry_overwrite_string(e, bytes_of(s, sizeof s)));
    value_free(v);
    assert_true(entry_overwrite_string(e, bytes_of(s, sizeof s)));
    assert_true(entry_overwrite_string(e, bytes_of(s, 751)));
    assert_false(entry_overwrite_string(e, bytes_of(s, 700))); /* would waste more than a quarter */
    check(e, BYTES("key"), bytes_of(s, 751), -1);
    entry_free(e);
}

static void test_resizing_keeps_and_zeroes(void **state)
{
    (void)state;
    struct entry *e = entry_new_string(BYTES("key"), BYTES("abc"), 7);
    e = entry_resize_embedded(e, 100);
    struct bytes s = entry_string(e, NULL);
    assert_int_equal(s.n, 100);
    assert_memory_equal(s.p, "abc\0\0\0", 6);
    e = entry_unembed(e, 1000, 2000);
    s = entry_string(e, NULL);
    assert_int_equal(s.n, 1000);
    assert_memory_equal(s.p, "abc\0\0\0", 6);
    assert_int_equal(entry_expire(e), 7);
    assert_true(bytes_equal(entry_key(e), BYTES("key")));
    entry_free(e);
}

/* --- listpacks inside --------------------------------------------------------------------------------------------- */

static struct value listpack_of(enum obj_type type, size_t bytes)
{
    char *text = malloc(bytes);
    memset(text, 'v', bytes);
    unsigned char *lp = lp_append(lp_append(lp_new(0), BYTES("field")), bytes_of(text, bytes));
    free(text);
    return (struct value){.type = type, .enc = ENC_LISTPACK, .p = lp};
}

static void holds(const struct entry *e, struct bytes key, const unsigned char *lp, int64_t expire_ms)
{
    assert_true(bytes_equal(entry_key(e), key));
    assert_int_equal(entry_expire(e), expire_ms);
    assert_int_equal(e->enc, ENC_LISTPACK);
    assert_int_equal(lp_bytes(entry_ptr(e)), lp_bytes(lp));
    assert_memory_equal(entry_ptr(e), lp, lp_bytes(lp));
    assert_int_equal(lp_is_guest(entry_ptr(e)), entry_is_host(e));
    assert_true((const char *)entry_ptr(e) + lp_bytes(lp) <= (const char *)e + entry_size(e) || !entry_is_host(e));
}

static void test_a_small_hash_lies_in_its_entry(void **state)
{
    static const size_t key_lens[] = {0, 1, 7, 8, 9, 15, 16, 99, 100, 101, 255, 256, 70000};
    static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 6, 7, 40, 480, 491, 492, 493, 494, 600, 5000};
    char *k = malloc(70000);
    memset(k, 'k', 70000);
    for (size_t i = 0; i < sizeof key_lens / sizeof *key_lens; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            struct bytes key = bytes_of(k, key_lens[i]);
            struct value v = listpack_of(j % 2 ? OBJ_HASH : OBJ_ZSET, sizes[j]);
            unsigned char *lp = lp_dup(v.p);
            struct entry *e = entry_new_value(key, v, -1);
            assert_int_equal(entry_is_host(e), lp_bytes(lp) <= ENTRY_EMBED_MAX && key.n <= ENTRY_HOST_KEY_MAX);
            holds(e, key, lp, -1);
            e = entry_reshape_expire(e, 12345);
            holds(e, key, lp, 12345);
            e = entry_rekey(e, BYTES("12345678"));
            holds(e, BYTES("12345678"), lp, 12345);
            e = entry_rekey(e, key);
            e = entry_reshape_expire(e, -1);
            holds(e, key, lp, -1);
            v = value_dup(e);
            assert_memory_equal(v.p, lp, lp_bytes(lp));
            value_free(v);
            v = entry_detach(e);
            assert_false(lp_is_guest(v.p));
            assert_memory_equal(v.p, lp, lp_bytes(lp));
            value_free(v);
            lp_free(lp);
        }
    }
    free(k);
}

static void test_a_hash_of_ten_short_members_takes_232_bytes(void **state)
{
    unsigned char *lp = lp_new(0);
    for (int i = 0; i < 10; i++) lp = lp_append_pair(lp, BYTES("member00"), BYTES("member00"));
    struct value v = {.type = OBJ_HASH, .enc = ENC_LISTPACK, .p = lp};
    struct entry *e = entry_new_value(BYTES("0123456789abcdef"), v, -1);
    assert_int_equal(mem_size(e), 232);
    entry_free(e);
}

static void test_lists_and_sets_stay_outside(void **state)
{
    static const enum obj_type types[] = {OBJ_LIST, OBJ_SET};
    for (size_t i = 0; i < 2; i++) {
        struct value v = listpack_of(types[i], 10);
        struct entry *e = entry_new_value(BYTES("key"), v, -1);
        assert_false(entry_is_host(e));
        assert_ptr_equal(entry_ptr(e), v.p);
        entry_free(e);
    }
}

static void test_what_a_host_cannot_hold_gets_another(void **state)
{
    struct entry *e = entry_new_value(BYTES("key"), listpack_of(OBJ_HASH, 100), 77);
    e->lru = 4711;
    struct value v = listpack_of(OBJ_HASH, 50);
    e = entry_adopt(e, v.enc, v.p); /* one that had been long in between */
    assert_true(entry_is_host(e));
    assert_int_equal(lp_count(entry_ptr(e)), 2);
    unsigned char *longer = lp_append(entry_ptr(e), BYTES("0123456789012345678901234567890123456789"));
    assert_true(lp_is_moving(longer)); /* it left, and what it was is still there */
    longer = lp_append(longer, BYTES("01234567890123456789"));
    assert_int_equal(lp_count(entry_ptr(e)), 2);
    e = entry_adopt(e, ENC_LISTPACK, longer);
    assert_int_equal(lp_count(entry_ptr(e)), 4);
    assert_false(lp_is_moving(entry_ptr(e)));
    assert_true(entry_is_host(e));
    assert_int_equal(e->lru, 4711);
    assert_int_equal(entry_expire(e), 77);

    v = listpack_of(OBJ_HASH, 1000);
    e = entry_adopt(e, v.enc, v.p);
    assert_false(entry_is_host(e));
    assert_ptr_equal(entry_ptr(e), v.p);
    assert_int_equal(e->lru, 4711);
    assert_int_equal(entry_expire(e), 77);
    assert_true(bytes_equal(entry_key(e), BYTES("key")));
    entry_free(e);
}

static void test_a_host_of_little_is_made_smaller(void **state)
{
    struct entry *e = entry_new_value(BYTES("key"), listpack_of(OBJ_ZSET, 400), -1);
    unsigned char *inside = entry_ptr(e), *last = lp_last(inside);
    assert_false(entry_is_loose(e));
    inside = lp_replace(inside, &last, BYTES("9"));
    assert_ptr_equal(inside, entry_ptr(e));
    assert_true(entry_is_loose(e));
    e = entry_adopt(e, ENC_LISTPACK, inside);
    assert_false(entry_is_loose(e));
    assert_int_equal(lp_count(entry_ptr(e)), 2);
    assert_true(mem_size(e) <= 40);
    entry_free(e);
}

#ifdef DEMI_DEBUG
static void check_entry(void *e) { entry_check(e); }

/* A bit-field has no type of its own to put it right with: whole entries are exchanged. */
static void seen_in_entry(const struct entry *wrong, struct entry *e, const char *words)
{
    struct entry right = *e;
    memcpy(e, wrong, sizeof *wrong);
    assert_is_seen(check_entry, e, "a field of the entry", words, __LINE__);
    memcpy(e, &right, sizeof right);
    entry_check(e);
}
#endif

#ifdef DEMI_DEBUG /* there is no check otherwise */
static void test_the_check_sees_each_spoilt_field(void **state)
{
    (void)state;
    struct entry *e = entry_new_string(BYTES("key"), BYTES("value"), -1), wrong;
    entry_check(e);
    seen_in_entry((wrong = *e, wrong.type = OBJ_TYPE_COUNT, &wrong), e, "e->type < OBJ_TYPE_COUNT");
    seen_in_entry((wrong = *e, wrong.type = OBJ_HASH, &wrong), e, "encodings[e->type] >> e->enc & 1");
    seen_in_entry((wrong = *e, wrong.enc = ENC_HT, &wrong), e, "encodings[e->type] >> e->enc & 1");
    seen_in_entry((wrong = *e, wrong.vlen = ENTRY_EMBED_MAX + 1, &wrong), e, "e->vlen <= ENTRY_EMBED_MAX");
    entry_free(e);
    e = entry_new_value(BYTES("key"), listpack_of(OBJ_HASH, 10), -1);
    seen_in_entry((wrong = *e, wrong.type = OBJ_SET, &wrong), e, "!entry_is_host(e)");
    entry_free(e);

    char *big = malloc(1000);
    memset(big, 'b', 1000);
    e = entry_new_string(BYTES("key"), bytes_of(big, 1000), -1);
    struct blob *b = entry_ptr(e);
    seen_in_entry((wrong = *e, wrong.flags |= ENTRY_EDITED, &wrong), e, "!(e->flags & ENTRY_EDITED)");
    SEEN(check_entry, e, b->refs, 0, "->refs > 0");
    entry_set_ptr(e, NULL);
    assert_is_seen(check_entry, e, "no value", "entry_ptr(e)", __LINE__);
    entry_set_ptr(e, b);
    entry_free(e);
    free(big);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sixteen_and_sixteen_bytes_take_forty),
        cmocka_unit_test(test_every_shape_keeps_key_value_and_expiry),
        cmocka_unit_test(test_only_canonical_numbers_become_int),
        cmocka_unit_test(test_names_of_encodings_are_rediss),
        cmocka_unit_test(test_overwriting_wants_shape_and_class),
        cmocka_unit_test(test_a_lent_blob_is_not_written_to),
        cmocka_unit_test(test_resizing_keeps_and_zeroes),
        cmocka_unit_test(test_a_small_hash_lies_in_its_entry),
        cmocka_unit_test(test_a_hash_of_ten_short_members_takes_232_bytes),
        cmocka_unit_test(test_lists_and_sets_stay_outside),
        cmocka_unit_test(test_what_a_host_cannot_hold_gets_another),
        cmocka_unit_test(test_a_host_of_little_is_made_smaller),
#ifdef DEMI_DEBUG
        cmocka_unit_test(test_the_check_sees_each_spoilt_field),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
