/* SPDX-License-Identifier: MIT */
#include "server/ds/bits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc/base/rng.h"

#define SIZE 5000 /* more than a chunk, not a multiple of a step */

static bool bit(struct bytes s, uint64_t i) { return i / 8 < s.n && ((uint8_t)s.p[i / 8] >> (7 - (i & 7)) & 1); }

static void fill(struct rng *rng, char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = (char)rng_u64(rng);
}

static uint64_t slow_count(struct bytes s, uint64_t from, uint64_t to)
{
    uint64_t n = 0;
    for (uint64_t i = from; i <= to; i++) n += bit(s, i);
    return n;
}

static void test_count_agrees_with_counting_bit_by_bit(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    static char p[SIZE];
    fill(&rng, p, SIZE);
    struct bytes s = bytes_of(p, SIZE);
    for (int i = 0; i < 2000; i++) {
        uint64_t from = rng_u64(&rng) % (SIZE * 8), to = from + rng_u64(&rng) % (i % 2 ? 100 : SIZE * 8 - from);
        if (to >= SIZE * 8) to = SIZE * 8 - 1;
        assert_int_equal(bits_count(s, from, to), slow_count(s, from, to));
    }
    assert_int_equal(bits_count(s, 0, SIZE * 8 - 1), slow_count(s, 0, SIZE * 8 - 1));
}

static void test_find_sees_the_one_bit_that_differs(void **state)
{
    (void)state;
    static char p[200];
    struct bytes s = bytes_of(p, sizeof p);
    for (int set = 0; set < 2; set++) {
        memset(p, set ? 0 : 0xff, sizeof p);
        for (uint64_t at = 0; at < sizeof p * 8; at++) {
            p[at / 8] = (char)(p[at / 8] ^ (0x80 >> (at & 7)));
            assert_int_equal(bits_find(s, set, 0, sizeof p * 8 - 1), at);
            assert_int_equal(bits_find(s, set, at, at), at);
            if (at > 0) assert_int_equal(bits_find(s, set, 0, at - 1), -1);
            if (at + 1 < sizeof p * 8) assert_int_equal(bits_find(s, set, at + 1, sizeof p * 8 - 1), -1);
            p[at / 8] = (char)(p[at / 8] ^ (0x80 >> (at & 7)));
        }
    }
}

static uint8_t slow_op(enum bits_op op, uint8_t a, uint8_t b)
{
    return op == BITS_AND ? a & b : op == BITS_OR ? a | b : a ^ b;
}

static void test_shorter_strings_are_padded_with_zeros(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 2);
    static char p[3][SIZE], out[SIZE];
    for (int i = 0; i < 3; i++) fill(&rng, p[i], SIZE);
    for (int round = 0; round < 200; round++) {
        enum bits_op op = (enum bits_op)(round % 3);
        struct bytes in[3];
        for (int i = 0; i < 3; i++) in[i] = bytes_of(p[i], rng_u64(&rng) % SIZE);
        if (round % 7 == 0) in[1] = bytes_of(NULL, 0);
        in[round % 2 * 2].n = SIZE;
        bits_combine(op, in, 3, out, SIZE);
        for (size_t i = 0; i < SIZE; i++) {
            uint8_t want = i < in[0].n ? (uint8_t)in[0].p[i] : 0;
            for (int k = 1; k < 3; k++) want = slow_op(op, want, i < in[k].n ? (uint8_t)in[k].p[i] : 0);
            assert_int_equal((uint8_t)out[i], want);
        }
    }
    bits_combine(BITS_NOT, &(struct bytes){p[0], SIZE}, 1, out, SIZE);
    for (size_t i = 0; i < SIZE; i++) assert_int_equal((uint8_t)out[i], (uint8_t)~p[0][i]);
}

static void test_a_field_touches_no_other_bits(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 3);
    char p[20], was[20];
    for (int i = 0; i < 20000; i++) {
        fill(&rng, p, sizeof p);
        memcpy(was, p, sizeof p);
        unsigned width = 1 + (unsigned)(rng_u64(&rng) % 64);
        uint64_t at = rng_u64(&rng) % (sizeof p * 8 - width + 1), v = rng_u64(&rng);
        bits_set(p, at, width, v);
        assert_int_equal(bits_get(bytes_of(p, sizeof p), at, width), v & UINT64_MAX >> (64 - width));
        for (uint64_t k = 0; k < sizeof p * 8; k++)
            if (k < at || k >= at + width)
                assert_int_equal(bit(bytes_of(p, sizeof p), k), bit(bytes_of(was, sizeof p), k));
    }
}

static void test_a_field_reads_zeros_behind_the_end(void **state)
{
    (void)state;
    assert_int_equal(bits_get(bytes_of("\xff", 1), 4, 8), 0xf0);
    assert_int_equal(bits_get(bytes_of("\xff", 1), 8, 64), 0);
    assert_int_equal(bits_get(bytes_of(NULL, 0), 1u << 30, 63), 0);
}

static void test_the_sign_is_the_highest_bit(void **state)
{
    (void)state;
    assert_int_equal(bits_extend(0x7f, 8), 127);
    assert_int_equal(bits_extend(0x80, 8), -128);
    assert_int_equal(bits_extend(1, 1), -1);
    assert_true(bits_extend(UINT64_MAX, 64) == -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_agrees_with_counting_bit_by_bit),
        cmocka_unit_test(test_find_sees_the_one_bit_that_differs),
        cmocka_unit_test(test_shorter_strings_are_padded_with_zeros),
        cmocka_unit_test(test_a_field_touches_no_other_bits),
        cmocka_unit_test(test_a_field_reads_zeros_behind_the_end),
        cmocka_unit_test(test_the_sign_is_the_highest_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
