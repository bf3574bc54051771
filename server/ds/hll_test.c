/* SPDX-License-Identifier: MIT */
#include "server/ds/hll.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc/base/rng.h"
#include "server/ds/hll_selftest.h"

/* Of its own size in the heap, so that a byte outside of it is found by ASan. */
static char *copy_of(const void *p, size_t n)
{
    char *q = malloc(n ? n : 1);
    assert_non_null(q);
    memcpy(q, p, n);
    return q;
}

static struct bytes empty(char buf[HLL_ROOM_BYTES])
{
    hll_make_empty(buf);
    return bytes_of(buf, HLL_EMPTY_BYTES);
}

/* Mostly small, as in life, and now and then anything. */
static unsigned any_rank(struct rng *rng, unsigned most)
{
    unsigned rank = (unsigned)__builtin_ctzll(rng_u64(rng) | (uint64_t)1 << 40) + 1;
    return rng_u64(rng) % 50 == 0 || rank > most ? (unsigned)(rng_u64(rng) % most) + 1 : rank;
}

/* --- bad input ---------------------------------------------------------------------------------------------------- */

static void test_what_is_no_hyperloglog_is_refused(void **state)
{
    (void)state;
    char buf[HLL_ROOM_BYTES];
    struct bytes s = empty(buf);
    assert_true(hll_is_valid(s));
    for (size_t n = 0; n < HLL_HEADER_BYTES; n++) assert_false(hll_is_valid(bytes_of(buf, n)));
    assert_true(hll_is_valid(bytes_of(buf, HLL_HEADER_BYTES))); /* corrupt, but that is seen by who reads its runs */
    for (int form = 0; form < 256; form++) {
        buf[4] = (char)form;
        assert_int_equal(hll_is_valid(s), form == 1);
        assert_int_equal(hll_is_valid(bytes_of(buf, HLL_DENSE_BYTES)), form <= 1);
        assert_int_equal(hll_is_valid(bytes_of(buf, HLL_DENSE_BYTES + 1)), form == 1);
        assert_int_equal(hll_is_valid(bytes_of(buf, HLL_DENSE_BYTES - 1)), form == 1);
    }
    buf[4] = 1;
    for (int i = 0; i < 4; i++) {
        buf[i] ^= 0x20;
        assert_false(hll_is_valid(s));
        buf[i] ^= 0x20;
    }
}

/* Every function over a string of its own. */
static void use_all(const char *p, size_t n, struct hll_point at)
{
    static uint8_t max[HLL_REGISTERS];
    static char dense[HLL_DENSE_BYTES];
    char *q = copy_of(p, n);
    struct bytes s = bytes_of(q, n);
    uint64_t count = 0;
    if (hll_is_valid(s)) {
        bool right = hll_count(s, &count), merged = hll_merge(max, s);
        assert_true(merged || !right);
        assert_int_equal(hll_to_dense(s, dense), merged);
        struct hll_run run;
        size_t i = HLL_HEADER_BYTES, registers = 0;
        while (!hll_is_dense(s) && hll_next_run(s, &i, &run)) registers += run.length;
        if (right && !hll_is_dense(s)) assert_int_equal(registers, HLL_REGISTERS);
        struct hll_edit edit;
        if (!hll_is_dense(s) && hll_sparse_find(s, at, false, &edit) > 0) {
            size_t more = edit.delta > 0 ? (size_t)edit.delta : 0;
            q = realloc(q, n + more);
            assert_true(hll_sparse_apply(q, n, &edit) <= n + more);
        }
    }
    free(q);
}

static void test_corrupt_strings_are_seen_and_not_left(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    char buf[HLL_HEADER_BYTES + 600];
    for (int round = 0; round < 20000; round++) {
        hll_make_empty(buf);
        size_t n = HLL_HEADER_BYTES + rng_u64(&rng) % (round % 2 ? 12 : 600);
        for (size_t i = HLL_HEADER_BYTES; i < n; i++) buf[i] = (char)(rng_u64(&rng) >> 13);
        if (round % 8 == 0 && n > HLL_HEADER_BYTES) buf[n - 1] = 0x7f; /* a wide run without its second byte */
        unsigned index = rng_u64(&rng) % HLL_REGISTERS;
        use_all(buf, n, (struct hll_point){.index = index, .rank = any_rank(&rng, HLL_SPARSE_MAX)});
    }
}

static void test_a_wide_run_cut_in_two_is_corrupt_everywhere(void **state)
{
    (void)state;
    static uint8_t max[HLL_REGISTERS];
    static char dense[HLL_DENSE_BYTES];
    char buf[HLL_ROOM_BYTES];
    struct bytes s = empty(buf);
    struct hll_edit edit;
    struct hll_point at = {.index = 3, .rank = 1};
    uint64_t count;
    /* 16,383 registers, and one more if the byte behind the end were 0. */
    memcpy(buf + HLL_HEADER_BYTES, "\x7f\xfe\x40", 3);
    s = bytes_of(copy_of(buf, HLL_EMPTY_BYTES + 1), HLL_EMPTY_BYTES + 1);
    assert_false(hll_count(s, &count));
    assert_false(hll_merge(max, s));
    assert_false(hll_to_dense(s, dense));
    assert_int_equal(hll_sparse_find(s, at, false, &edit), 1);
    at.index = HLL_REGISTERS - 1;
    assert_int_equal(hll_sparse_find(s, at, false, &edit), -EINVAL);
    free((char *)s.p);
}

static void test_runs_behind_the_last_register_are_judged_as_in_redis(void **state)
{
    (void)state;
    static uint8_t max[HLL_REGISTERS];
    char buf[HLL_ROOM_BYTES];
    empty(buf);
    uint64_t count;
    buf[HLL_EMPTY_BYTES] = (char)0x84; /* values: merging stops in front of them */
    assert_false(hll_count(bytes_of(buf, HLL_EMPTY_BYTES + 1), &count));
    assert_true(hll_merge(max, bytes_of(buf, HLL_EMPTY_BYTES + 1)));
    buf[HLL_EMPTY_BYTES] = 0; /* a zero: it does not */
    assert_false(hll_count(bytes_of(buf, HLL_EMPTY_BYTES + 1), &count));
    assert_false(hll_merge(max, bytes_of(buf, HLL_EMPTY_BYTES + 1)));
}

/* --- registers, all at once --------------------------------------------------------------------------------------- */

static void fill_registers(struct rng *rng, int round, uint8_t registers[HLL_REGISTERS])
{
    for (unsigned i = 0; i < HLL_REGISTERS; i++) {
        if (round < 2) registers[i] = round ? HLL_REGISTER_MAX : 0;
        else if (round % 2) registers[i] = rng_u64(rng) % (HLL_REGISTER_MAX + 1);
        else registers[i] = (uint8_t)any_rank(rng, HLL_REGISTER_MAX);
    }
}

static void test_the_wide_way_and_the_portable_one_agree(void **state)
{
    (void)state;
    static uint8_t registers[HLL_REGISTERS], one[HLL_REGISTERS], two[HLL_REGISTERS];
    uint32_t tally[HLL_REGISTER_MAX + 1], portable[HLL_REGISTER_MAX + 1];
    struct rng rng;
    rng_seed(&rng, 2);
    char *a = malloc(HLL_DENSE_BYTES), *b = malloc(HLL_DENSE_BYTES); /* nothing is read or written outside of them */
    for (int round = 0; round < 60; round++) {
        fill_registers(&rng, round, registers);
        memset(a, round, HLL_DENSE_BYTES);
        memset(b, round, HLL_DENSE_BYTES);
        hll_registers_pack(a + HLL_HEADER_BYTES, registers);
        hll_registers_pack_portable(b + HLL_HEADER_BYTES, registers);
        assert_memory_equal(a, b, HLL_DENSE_BYTES);
        hll_registers_unpack(one, a + HLL_HEADER_BYTES);
        hll_registers_unpack_portable(two, a + HLL_HEADER_BYTES);
        assert_memory_equal(one, registers, HLL_REGISTERS);
        assert_memory_equal(two, registers, HLL_REGISTERS);

        fill_registers(&rng, round + 2, registers);
        memcpy(one, registers, HLL_REGISTERS);
        memcpy(two, registers, HLL_REGISTERS);
        hll_registers_merge(one, a + HLL_HEADER_BYTES);
        hll_registers_merge_portable(two, a + HLL_HEADER_BYTES);
        assert_memory_equal(one, two, HLL_REGISTERS);

        hll_registers_tally(tally, one);
        hll_registers_tally_portable(portable, one);
        assert_memory_equal(tally, portable, sizeof tally);
        uint32_t sum = 0;
        for (int v = 0; v <= HLL_REGISTER_MAX; v++) sum += tally[v];
        assert_int_equal(sum, HLL_REGISTERS);
    }
    free(a);
    free(b);
}

static void test_one_register_is_where_all_of_them_are(void **state)
{
    (void)state;
    static uint8_t registers[HLL_REGISTERS];
    static char zeros[HLL_DENSE_BYTES];
    char *dense = copy_of(zeros, sizeof zeros);
    for (unsigned i = 0; i < HLL_REGISTERS; i++)
        hll_dense_set(dense, (struct hll_point){.index = i, .rank = i % (HLL_REGISTER_MAX + 1)});
    hll_registers_unpack(registers, dense + HLL_HEADER_BYTES);
    for (unsigned i = 0; i < HLL_REGISTERS; i++) {
        unsigned rank = i % (HLL_REGISTER_MAX + 1);
        assert_int_equal(registers[i], rank);
        assert_false(hll_dense_is_below(bytes_of(dense, HLL_DENSE_BYTES), (struct hll_point){i, rank}));
        assert_true(hll_dense_is_below(bytes_of(dense, HLL_DENSE_BYTES), (struct hll_point){i, rank + 1}));
    }
    free(dense);
}

/* --- adding ------------------------------------------------------------------------------------------------------ */

/* redis-server 7.2.4 after PFADD h a b c. */
static void test_bytes_are_those_of_redis(void **state)
{
    (void)state;
    static const char redis[] = "HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80`\xf3\x80P\xb1\x84K\xfb\x80"
                                "BZ";
    char buf[HLL_ROOM_BYTES];
    size_t n = empty(buf).n;
    for (int i = 0; i < 3; i++) assert_int_equal(hll_raise(buf, &n, 3000, hll_point_of(bytes_of(&"abc"[i], 1))), 1);
    assert_int_equal(n, sizeof redis - 1);
    assert_memory_equal(buf, redis, n);
}

/* Whatever the form, and however it came to it, the registers are those of an array. */
static void test_a_value_has_the_registers_of_an_array(void **state)
{
    (void)state;
    static uint8_t model[HLL_REGISTERS], got[HLL_REGISTERS];
    static char buf[HLL_ROOM_BYTES];
    static const size_t sparse_max[] = {0, 18, 100, 3000, SIZE_MAX};
    struct rng rng;
    rng_seed(&rng, 3);
    for (size_t k = 0; k < sizeof sparse_max / sizeof *sparse_max; k++) {
        size_t n = empty(buf).n;
        memset(model, 0, sizeof model);
        for (int i = 0; i < 6000; i++) {
            unsigned near = rng_u64(&rng) % 300, most = i < 5000 ? HLL_SPARSE_MAX : 51;
            unsigned index = i % 3 ? near : rng_u64(&rng) % HLL_REGISTERS;
            struct hll_point at = {.index = index, .rank = any_rank(&rng, most)};
            assert_int_equal(hll_raise(buf, &n, sparse_max[k], at), model[index] < at.rank);
            if (model[index] < at.rank) model[index] = (uint8_t)at.rank;
            assert_true(n <= HLL_ROOM_BYTES);
            if (!hll_is_dense(bytes_of(buf, n))) assert_true(n <= sparse_max[k] || n == HLL_EMPTY_BYTES);
            if (i % 500) continue;
            memset(got, 0, sizeof got);
            assert_true(hll_merge(got, bytes_of(buf, n)));
            assert_memory_equal(got, model, sizeof model);
            uint64_t count;
            assert_true(hll_count(bytes_of(buf, n), &count));
            assert_int_equal(count, hll_count_of(model));
        }
        assert_true(hll_is_dense(bytes_of(buf, n)));
    }
}

static void test_going_on_finds_what_starting_again_finds(void **state)
{
    (void)state;
    static char one[HLL_ROOM_BYTES], two[HLL_ROOM_BYTES];
    struct rng rng;
    rng_seed(&rng, 4);
    for (int round = 0; round < 50; round++) {
        size_t n = empty(one).n, m = empty(two).n;
        for (int pass = 0; pass < 3; pass++) {
            struct hll_edit edit, again;
            bool next = false;
            for (unsigned i = 0; i < HLL_REGISTERS; i += 1 + rng_u64(&rng) % (pass == 1 ? 2 : 200)) {
                struct hll_point at = {.index = i, .rank = 1 + rng_u64(&rng) % (round % 2 ? 2 : HLL_SPARSE_MAX)};
                int a = hll_sparse_find(bytes_of(one, n), at, next, &edit);
                int b = hll_sparse_find(bytes_of(two, m), at, false, &again);
                assert_int_equal(a, b);
                next = true;
                if (!a) continue;
                n = hll_sparse_apply(one, n, &edit);
                m = hll_sparse_apply(two, m, &again);
                assert_int_equal(n, m);
            }
            assert_memory_equal(one, two, n);
        }
    }
}

static void test_what_a_sparse_value_cannot_say_makes_it_dense(void **state)
{
    (void)state;
    char buf[HLL_ROOM_BYTES];
    size_t n = empty(buf).n;
    assert_int_equal(hll_raise(buf, &n, 3000, (struct hll_point){7, HLL_SPARSE_MAX}), 1);
    assert_false(hll_is_dense(bytes_of(buf, n)));
    assert_int_equal(hll_raise(buf, &n, 3000, (struct hll_point){8, HLL_SPARSE_MAX + 1}), 1);
    assert_true(hll_is_dense(bytes_of(buf, n)));
    assert_int_equal(hll_raise(buf, &n, 3000, (struct hll_point){7, HLL_SPARSE_MAX}), 0);
    assert_int_equal(hll_raise(buf, &n, 3000, (struct hll_point){8, HLL_SPARSE_MAX + 1}), 0);
}

/* --- counting ---------------------------------------------------------------------------------------------------- */

static void test_counts_at_the_ends(void **state)
{
    (void)state;
    static uint8_t registers[HLL_REGISTERS];
    char buf[HLL_ROOM_BYTES];
    uint64_t count = 1;
    assert_true(hll_count(empty(buf), &count));
    assert_int_equal(count, 0);
    registers[5] = 1;
    assert_int_equal(hll_count_of(registers), 1);
    memset(registers, 51, sizeof registers); /* the highest that an element leads to */
    assert_true(hll_count_of(registers) == (uint64_t)1 << 63);
    memset(registers, HLL_REGISTER_MAX, sizeof registers);
    assert_true(hll_count_of(registers) == (uint64_t)1 << 63);
    memset(registers, 50, sizeof registers);
    assert_true(hll_count_of(registers) == (uint64_t)1 << 63); /* above 2^63, too */
    memset(registers, 49, sizeof registers);
    count = hll_count_of(registers);
    assert_true(count > (uint64_t)1 << 62 && count < (uint64_t)1 << 63);
}

static void test_the_count_is_kept_and_forgotten(void **state)
{
    (void)state;
    char buf[HLL_ROOM_BYTES];
    uint64_t count = 1;
    struct bytes s = empty(buf);
    assert_true(hll_kept_count(s, &count));
    assert_int_equal(count, 0);
    hll_keep_count(buf, 0x0102030405060708);
    assert_memory_equal(buf + 8, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    assert_true(hll_kept_count(s, &count));
    assert_int_equal(count, 0x0102030405060708);
    hll_forget_count(buf);
    assert_false(hll_kept_count(s, &count));
    assert_int_equal((uint8_t)buf[15], 0x81);
}

static void test_it_finds_nothing_wrong_with_itself(void **state)
{
    (void)state;
    char why[HLL_SELFTEST_TEXT] = "";
    if (!hll_selftest(5, 3000, why)) fail_msg("%s", why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_hyperloglog_is_refused),
        cmocka_unit_test(test_corrupt_strings_are_seen_and_not_left),
        cmocka_unit_test(test_a_wide_run_cut_in_two_is_corrupt_everywhere),
        cmocka_unit_test(test_runs_behind_the_last_register_are_judged_as_in_redis),
        cmocka_unit_test(test_the_wide_way_and_the_portable_one_agree),
        cmocka_unit_test(test_one_register_is_where_all_of_them_are),
        cmocka_unit_test(test_bytes_are_those_of_redis),
        cmocka_unit_test(test_a_value_has_the_registers_of_an_array),
        cmocka_unit_test(test_going_on_finds_what_starting_again_finds),
        cmocka_unit_test(test_what_a_sparse_value_cannot_say_makes_it_dense),
        cmocka_unit_test(test_counts_at_the_ends),
        cmocka_unit_test(test_the_count_is_kept_and_forgotten),
        cmocka_unit_test(test_it_finds_nothing_wrong_with_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
