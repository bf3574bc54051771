/* SPDX-License-Identifier: MIT */
#include "server/ds/listpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/mem.h"

#define TEXT(s) bytes_of_str(s)

static void expect_bytes(const unsigned char *lp, const char *bytes, size_t n)
{
    assert_int_equal(lp_bytes(lp), n);
    assert_memory_equal(lp, bytes, n);
    assert_true(lp_validate(lp, n, true, NULL, NULL));
}

static void expect_texts(const unsigned char *lp, const char *expected)
{
    char got[1024] = "", text[NUMBER_I64_SIZE];
    for (const unsigned char *e = lp_first(lp); e; e = lp_next(lp, e)) {
        struct bytes s = lp_get_bytes(e, text);
        snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s ", (int)s.n, s.p);
    }
    assert_string_equal(got, expected);
    assert_true(lp_validate(lp, lp_bytes(lp), true, NULL, NULL));
}

static unsigned char *abc(void)
{
    unsigned char *lp = lp_new(0);
    lp = lp_append(lp, TEXT("a"));
    lp = lp_append(lp, TEXT("2"));
    return lp_append(lp, TEXT("ccc"));
}

static void test_malformed_bytes_are_refused(void **state)
{
    static const struct {
        const char *p;
        size_t n;
    } bad[] = {
        {"\x07\0\0\0\0\0", 6},                          /* no terminator */
        {"\x08\0\0\0\0\0\xff", 7},                      /* wrong total */
        {"\x07\0\0\0\1\0\xff", 7},                      /* wrong count */
        {"\x09\0\0\0\1\0\x01\x02\xff", 9},              /* wrong backlen */
        {"\x09\0\0\0\1\0\x85\x01\xff", 9},              /* string over the end */
        {"\x09\0\0\0\1\0\xf5\x01\xff", 9},              /* no such encoding */
        {"\x08\0\0\0\1\0\xc1\xff", 8},                  /* half a 13-bit integer */
        {"\x0a\0\0\0\1\0\xf0\xff\xff\xff", 10},         /* half a length, no terminator */
        {"\x0c\0\0\0\1\0\xf0\xff\xff\xff\xff\xff", 12}, /* 4 GiB of string */
        {"\x0a\0\0\0\1\0\x01\x01\xff\xff", 10},         /* terminator in the middle */
        {"\x0a\0\0\0\1\0\x81"
         "a\x82\xff",
         10}, /* backlen with a continuation bit */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        unsigned char *copy = malloc(bad[i].n); /* of exactly that size for the sanitizer */
        memcpy(copy, bad[i].p, bad[i].n);
        assert_false(lp_validate(copy, bad[i].n, true, NULL, NULL));
        free(copy);
    }
    assert_true(lp_validate((const unsigned char *)"\x07\0\0\0\0\0\xff", 7, true, NULL, NULL));
    assert_true(lp_validate((const unsigned char *)"\x09\0\0\0\xff\xff\x01\x01\xff", 9, true, NULL, NULL));
}

static void test_encodings_are_those_of_redis(void **state)
{
    unsigned char *lp = lp_new(0);
    expect_bytes(lp, "\x07\0\0\0\0\0\xff", 7);
    static const char *values[] = {"127",    "-1",    "4095",     "128",     "-4096",      "4096",
                                   "-32768", "32768", "-8388608", "8388608", "2147483648", "-9223372036854775808",
                                   "hello",  ""};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) lp = lp_append(lp, TEXT(values[i]));
    expect_bytes(lp,
                 "\x4a\0\0\0\x0e\0"
                 "\x7f\x01"
                 "\xdf\xff\x02"
                 "\xcf\xff\x02"
                 "\xc0\x80\x02"
                 "\xd0\x00\x02"
                 "\xf1\x00\x10\x03"
                 "\xf1\x00\x80\x03"
                 "\xf2\x00\x80\x00\x04"
                 "\xf2\x00\x00\x80\x04"
                 "\xf3\x00\x00\x80\x00\x05"
                 "\xf4\x00\x00\x00\x80\x00\x00\x00\x00\x09"
                 "\xf4\x00\x00\x00\x00\x00\x00\x00\x80\x09"
                 "\x85"
                 "hello\x06"
                 "\x80\x01"
                 "\xff",
                 0x4a);
    char text[NUMBER_I64_SIZE];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        unsigned char *e = lp_seek(lp, (long)i);
        assert_true(bytes_equal(lp_get_bytes(e, text), TEXT(values[i])));
        assert_true(lp_equal(e, TEXT(values[i])));
        assert_ptr_equal(lp_find(lp, lp_first(lp), TEXT(values[i]), 0), e);
    }
    lp_free(lp);
}

static void test_lengths_at_the_borders_survive(void **state)
{
    static const size_t sizes[] = {63,    64,    125,   126,   127,     4095,    4096,
                                   16376, 16377, 16378, 16379, 2097144, 2097146, 2097150};
    unsigned char *lp = lp_new(0);
    char *s = calloc(1, 2097151);
    memset(s, 'x', 2097151);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) lp = lp_append(lp, bytes_of(s, sizes[i]));
    assert_true(lp_validate(lp, lp_bytes(lp), true, NULL, NULL));
    const unsigned char *e = lp_last(lp);
    for (size_t i = sizeof sizes / sizeof *sizes; i-- > 0; e = lp_prev(lp, e))
        assert_int_equal(lp_get(e).s.n, sizes[i]);
    assert_null(e);
    free(s);
    lp_free(lp);
}

static void test_elements_go_where_they_are_put(void **state)
{
    unsigned char *lp = abc(), *e = lp_seek(lp, 1);
    lp = lp_insert_before(lp, e, TEXT("before"), &e);
    assert_true(lp_equal(e, TEXT("before")));
    lp = lp_insert_after(lp, e, TEXT("-70000"), &e);
    assert_true(lp_equal(e, TEXT("-70000")));
    lp = lp_prepend(lp, TEXT("5"));
    lp = lp_prepend(lp, TEXT("first"));
    lp = lp_append_i64(lp, INT64_MIN);
    expect_texts(lp, "first 5 a before -70000 2 ccc -9223372036854775808 ");
    e = lp_seek(lp, -2);
    lp = lp_replace(lp, &e, TEXT("a much longer string than the one before"));
    lp = lp_replace(lp, &e, TEXT("c"));
    lp = lp_replace(lp, &e, TEXT("300"));
    assert_true(lp_equal(e, TEXT("300")));
    expect_texts(lp, "first 5 a before -70000 2 300 -9223372036854775808 ");
    assert_int_equal(lp_count(lp), 8);
    lp_free(lp);
}

static void test_deleting_gives_the_next_element(void **state)
{
    unsigned char *lp = abc(), *e = lp_seek(lp, 1);
    lp = lp_delete(lp, &e);
    assert_true(lp_equal(e, TEXT("ccc")));
    lp = lp_delete(lp, &e);
    assert_null(e);
    expect_texts(lp, "a ");
    lp_free(lp);
    lp = abc();
    lp = lp_delete_range(lp, -2, 100);
    expect_texts(lp, "a ");
    lp = lp_delete_range(lp, 5, 1);
    lp = lp_delete_range(lp, 0, 0);
    lp = lp_delete_range(lp, 0, 1);
    expect_bytes(lp, "\x07\0\0\0\0\0\xff", 7);
    assert_null(lp_first(lp));
    assert_null(lp_last(lp));
    lp_free(lp);
}

static void test_indexes_outside_give_nothing(void **state)
{
    unsigned char *lp = abc();
    assert_null(lp_seek(lp, 3));
    assert_null(lp_seek(lp, -4));
    assert_ptr_equal(lp_seek(lp, -3), lp_first(lp));
    assert_ptr_equal(lp_seek(lp, 2), lp_last(lp));
    lp_free(lp);
}

static void test_finding_passes_over_values(void **state)
{
    unsigned char *lp = lp_new(0);
    lp = lp_append(lp, TEXT("f1"));
    lp = lp_append(lp, TEXT("f2"));
    lp = lp_append(lp, TEXT("f2"));
    lp = lp_append(lp, TEXT("17"));
    assert_ptr_equal(lp_find(lp, lp_first(lp), TEXT("f2"), 1), lp_seek(lp, 2));
    assert_null(lp_find(lp, lp_first(lp), TEXT("17"), 1));
    assert_null(lp_find(lp, lp_first(lp), TEXT("017"), 0));
    assert_null(lp_find(lp, NULL, TEXT("f2"), 0));
    lp_free(lp);
}

static void test_merged_is_one_behind_the_other(void **state)
{
    unsigned char *lp = lp_merge(abc(), abc());
    expect_texts(lp, "a 2 ccc a 2 ccc ");
    lp = lp_merge(lp, lp_new(0));
    lp = lp_merge(lp_new(0), lp);
    unsigned char *copy = lp_dup(lp);
    expect_texts(copy, "a 2 ccc a 2 ccc ");
    lp_free(copy);
    lp_free(lp_shrink(lp));
}

static void test_more_than_65534_elements_are_counted(void **state)
{
    unsigned char *lp = lp_new(0);
    for (int i = 0; i < 70000; i++) lp = lp_append_i64(lp, i & 63);
    assert_int_equal(lp_count(lp), 70000);
    assert_int_equal(load_u16(lp + 4), 65535);
    assert_true(lp_validate(lp, lp_bytes(lp), true, NULL, NULL));
    assert_int_equal(lp_get(lp_seek(lp, -1)).i, 69999 & 63);
    lp = lp_delete_range(lp, 10, 69980);
    assert_int_equal(lp_count(lp), 20);
    lp_free(lp);
}

static bool refuse_third(const unsigned char *entry, size_t index, void *ctx)
{
    ++*(int *)ctx;
    return index != 2;
}

static void test_a_caller_may_refuse_an_entry(void **state)
{
    unsigned char *lp = abc();
    int seen = 0;
    assert_false(lp_validate(lp, lp_bytes(lp), true, refuse_third, &seen));
    assert_int_equal(seen, 3);
    lp_free(lp);
}

/* The same edits to a plain array of numbers. */
static void test_random_edits_match_an_array(void **state)
{
    enum { MAX = 300 };
    int64_t model[MAX + 1];
    size_t n = 0;
    uint32_t x = 7;
    unsigned char *lp = lp_new(0);
    for (int step = 0; step < 20000; step++) {
        x = x * 1664525 + 1013904223;
        size_t at = n ? (x >> 8) % n : 0;
        int64_t v = (int64_t)((uint64_t)x * x * 2654435761u) >> (x >> 26);
        char text[NUMBER_I64_SIZE];
        struct bytes s = bytes_of(text, number_format_i64(text, v));
        unsigned char *e = n ? lp_seek(lp, (long)at) : NULL;
        switch ((x >> 4) % (n < MAX ? 4 : 2)) {
        case 0:
            if (!n) break;
            lp = lp_delete(lp, &e);
            memmove(model + at, model + at + 1, (--n - at) * sizeof *model);
            break;
        case 1:
            if (!n) break;
            lp = lp_replace(lp, &e, s);
            model[at] = v;
            break;
        default:
            lp = e ? lp_insert_before(lp, e, s, &e) : lp_append(lp, s);
            memmove(model + at + 1, model + at, (n++ - at) * sizeof *model);
            model[at] = v;
        }
        if (step % 500) continue;
        assert_int_equal(lp_count(lp), n);
        assert_true(lp_validate(lp, lp_bytes(lp), true, NULL, NULL));
        for (size_t i = 0; i < n; i++) assert_int_equal(lp_get(lp_seek(lp, (long)i)).i, model[i]);
    }
    lp_free(lp);
}

/* Many at once, and one by one: the same bytes; walking over them without reading finds the same places. */
static void test_many_at_once_are_as_one_by_one(void **state)
{
    static char filler[70000];
    memset(filler, 'x', sizeof filler);
    struct lp_value v[40];
    size_t n = 0;
    for (int64_t i = -5000; i < 5000; i += 833) v[n++] = (struct lp_value){.i = i};
    for (int64_t i = 1; i < INT64_MAX / 129; i *= 129) v[n++] = (struct lp_value){.i = i};
    static const size_t sizes[] = {0, 1, 62, 63, 64, 65, 126, 127, 128, 4094, 4095, 4096, 16380, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        v[n++] = (struct lp_value){.s = bytes_of(filler, sizes[i])};
    v[n++] = (struct lp_value){.s = BYTES("12345")};
    for (size_t most = 1; most <= n; most += 7) {
        unsigned char *many = lp_append(lp_new(0), BYTES("first")), *single = lp_dup(many);
        for (size_t at = 0; at < n; at += most) many = lp_append_values(many, v + at, most < n - at ? most : n - at);
        for (size_t i = 0; i < n; i++)
            single = lp_value_is_i64(v[i]) ? lp_append_i64(single, v[i].i) : lp_append(single, v[i].s);
        expect_bytes(many, (char *)single, lp_bytes(single));
        const unsigned char *walked = many + LP_HEADER_SIZE;
        for (const unsigned char *e = lp_first(many); e; e = lp_next(many, e), walked = lp_after(walked))
            assert_ptr_equal(walked, e);
        assert_int_equal(*walked, LP_END);
        lp_free(many);
        lp_free(single);
    }
}

static void test_a_pair_is_as_one_by_one(void **state)
{
    static const char *const texts[] = {"", "1", "-5000", "abc",
                                        "a text that is longer than sixty-three bytes, which takes two bytes"};
    for (size_t i = 0; i < 25; i++) {
        struct bytes a = bytes_of_str(texts[i / 5]), b = bytes_of_str(texts[i % 5]);
        unsigned char *one = lp_append(lp_append(abc(), a), b), *two = lp_append_pair(abc(), a, b), *e;
        expect_bytes(two, (char *)one, lp_bytes(one));
        e = lp_seek(one, 1);
        one = lp_insert_before(one, e, a, &e);
        one = lp_insert_after(one, e, b, NULL);
        two = lp_insert_pair_before(two, lp_seek(two, 1), a, b);
        expect_bytes(two, (char *)one, lp_bytes(one));
        lp_free(one);
        lp_free(two);
    }
}

static void test_a_guest_stays_as_it_is_when_it_grows(void **state)
{
    unsigned char *lp = abc(), *host = mem_alloc(24), *guest = host + 3, *e;
    size_t bytes = lp_bytes(lp);
    assert_true(lp_is_guest(guest) && !lp_is_guest(lp));
    memcpy(host, "hi\3", 3);
    memcpy(guest, lp, bytes);
    assert_int_equal(bytes, 17);
    unsigned char *longer = lp_append(guest, BYTES("123"));
    assert_ptr_equal(longer, guest); /* two bytes, up to 22 of 24 */
    unsigned char *left = lp_append(guest, BYTES("ddd"));
    assert_true(lp_is_moving(left) && !lp_is_moving(guest));
    assert_memory_equal(left - lp_guest_at(left), "hi\203", 3); /* the rest of its host came along */
    for (int i = 0; i < 100; i++) left = lp_append(left, BYTES("eeee"));
    assert_false(lp_is_guest(left)); /* grown up */
    lp_free(left);
    left = lp_append(guest, BYTES("ddd"));
    expect_texts(left, "a 2 ccc 123 ddd ");
    expect_texts(guest, "a 2 ccc 123 ");
    lp_free(left);
    e = lp_seek(guest, 3);
    assert_ptr_equal(lp_delete(guest, &e), guest);
    expect_bytes(guest, (char *)lp, bytes);
    assert_ptr_equal(lp_shrink(guest), guest);
    lp_free(guest); /* its host's */
    mem_free(host);
    lp_free(lp);
}

static void test_a_number_takes_the_place_of_an_element(void **state)
{
    static const int64_t numbers[] = {0, 127, 128, 5000, -1, INT64_MAX, INT64_MIN, 3};
    unsigned char *lp = abc(), *e = lp_seek(lp, 1);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[64];
        lp = lp_replace_i64(lp, &e, numbers[i]);
        snprintf(text, sizeof text, "a %lld ccc ", (long long)numbers[i]);
        expect_texts(lp, text);
        assert_ptr_equal(e, lp_seek(lp, 1));
    }
    size_t room = lp_bytes(lp) + 1000;
    lp = lp_reserve(lp, room);
    assert_true(mem_size(lp) >= room);
    expect_texts(lp, "a 3 ccc ");
    lp_free(lp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_bytes_are_refused),
        cmocka_unit_test(test_encodings_are_those_of_redis),
        cmocka_unit_test(test_lengths_at_the_borders_survive),
        cmocka_unit_test(test_elements_go_where_they_are_put),
        cmocka_unit_test(test_deleting_gives_the_next_element),
        cmocka_unit_test(test_indexes_outside_give_nothing),
        cmocka_unit_test(test_finding_passes_over_values),
        cmocka_unit_test(test_merged_is_one_behind_the_other),
        cmocka_unit_test(test_more_than_65534_elements_are_counted),
        cmocka_unit_test(test_a_caller_may_refuse_an_entry),
        cmocka_unit_test(test_random_edits_match_an_array),
        cmocka_unit_test(test_many_at_once_are_as_one_by_one),
        cmocka_unit_test(test_a_pair_is_as_one_by_one),
        cmocka_unit_test(test_a_guest_stays_as_it_is_when_it_grows),
        cmocka_unit_test(test_a_number_takes_the_place_of_an_element),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
