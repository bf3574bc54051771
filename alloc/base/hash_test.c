/* SPDX-License-Identifier: MIT
 *
 * SipHash against its paper's vector, hash_bytes() against what a table needs of it.
 */
#include "alloc/base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Appendix A of the paper: key 00..0f, message 00..0e. */
static void test_siphash24_gives_the_papers_vector(void **state)
{
    uint8_t key[16], text[15];
    for (int i = 0; i < 16; i++) key[i] = (uint8_t)i;
    for (int i = 0; i < 15; i++) text[i] = (uint8_t)i;
    assert_true(siphash24(text, 15, key) == 0xa129ca6149be45e5u);
    assert_true(siphash24(NULL, 0, key) == 0x726fdb47dd0e0e31u);
}

static void test_siphash12_differs_with_every_key_bit(void **state)
{
    uint8_t key[16] = {0};
    uint64_t base = siphash12("some text", 9, key);
    assert_true(base != siphash24("some text", 9, key));
    for (int bit = 0; bit < 128; bit++) {
        key[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(siphash12("some text", 9, key) != base);
        key[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void test_nothing_hashes_without_being_read(void **state)
{
    assert_true(hash_bytes(NULL, 0, 1) == hash_bytes("x", 0, 1));
    assert_true(hash_bytes(NULL, 0, 1) != hash_bytes(NULL, 0, 2));
}

/* The bytes end where the memory does, so that the sanitizer sees a read beyond. */
static void test_every_length_reads_just_its_bytes_and_every_byte_matters(void **state)
{
    for (size_t n = 1; n <= 300; n++) {
        char *text = malloc(n);
        for (size_t i = 0; i < n; i++) text[i] = (char)(i * 37);
        uint64_t h = hash_bytes(text, n, 5);
        assert_true(h == hash_bytes(text, n, 5));
        assert_true(h != hash_bytes(text, n, 6));
        assert_true(h != hash_bytes(text, n - 1, 5));
        for (size_t i = 0; i < n; i++) {
            text[i] ^= 1;
            assert_true(h != hash_bytes(text, n, 5));
            text[i] ^= 1;
        }
        free(text);
    }
}

/* Keys as clients name them: in 2^16 buckets by the low and by the high bits, 65,536 of them leave
 * about 1/e empty. */
static void check_spread(const char *format)
{
    enum { BUCKETS = 1 << 16 };
    static uint8_t low[BUCKETS], high[BUCKETS];
    memset(low, 0, sizeof low);
    memset(high, 0, sizeof high);
    for (int i = 0; i < BUCKETS; i++) {
        char key[80];
        int n = snprintf(key, sizeof key, format, i);
        uint64_t h = hash_bytes(key, (size_t)n, 12345);
        low[h % BUCKETS] = 1;
        high[h >> 48] = 1;
    }
    int empty_low = 0, empty_high = 0;
    for (int i = 0; i < BUCKETS; i++) {
        empty_low += !low[i];
        empty_high += !high[i];
    }
    assert_in_range(empty_low, 23500, 24700); /* 24,109 expected, deviation 80 */
    assert_in_range(empty_high, 23500, 24700);
}

static void test_keys_that_differ_little_spread_like_random_ones(void **state)
{
    check_spread("%d");
    check_spread("k%06d");
    check_spread("key:%012d");
    check_spread("user:%d:session:cart");
    check_spread("a rather long prefix that all the keys share, and then: %d");
}

static void test_a_flipped_input_bit_flips_half_of_the_output(void **state)
{
    static const size_t lengths[] = {3, 8, 16, 24, 32, 64, 100};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        char text[100] = {0};
        for (int trial = 0; trial < 8; trial++) {
            memset(text, trial * 31, sizeof text);
            uint64_t h = hash_bytes(text, lengths[l], 9);
            int flips = 0;
            for (size_t bit = 0; bit < lengths[l] * 8; bit++) {
                text[bit / 8] ^= (char)(1 << bit % 8);
                flips += __builtin_popcountll(h ^ hash_bytes(text, lengths[l], 9));
                text[bit / 8] ^= (char)(1 << bit % 8);
            }
            double mean = (double)flips / (double)(lengths[l] * 8);
            assert_true(mean > 29 && mean < 35);
        }
    }
    assert_true(hash_u64(1, 2) != hash_u64(2, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash24_gives_the_papers_vector),
        cmocka_unit_test(test_siphash12_differs_with_every_key_bit),
        cmocka_unit_test(test_nothing_hashes_without_being_read),
        cmocka_unit_test(test_every_length_reads_just_its_bytes_and_every_byte_matters),
        cmocka_unit_test(test_keys_that_differ_little_spread_like_random_ones),
        cmocka_unit_test(test_a_flipped_input_bit_flips_half_of_the_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
