/* SPDX-License-Identifier: MIT */
#include "server/rdb/crc64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "alloc/base/rng.h"

#define LENGTH_MAX 1000

/* The definition: a bit at a time. */
static uint64_t by_bits(uint64_t crc, const unsigned char *p, size_t n)
{
    while (n--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0x95ac9329ac4bc9b5 : 0);
    }
    return crc;
}

static void test_the_check_value_of_jones(void **state)
{
    assert_true(crc64(0, "123456789", 9) == 0xe9c6d914c4b8d9ca);
    assert_true(crc64(0, "", 0) == 0);
    assert_true(crc64_by_tables(0, "123456789", 9) == 0xe9c6d914c4b8d9ca);
}

static void test_every_table_entry_agrees_with_the_definition(void **state)
{
    unsigned char block[24] = {0};
    for (int at = 0; at < 8; at++) {
        for (int b = 0; b < 256; b++) {
            memset(block, 0, sizeof block);
            block[at] = (unsigned char)b;
            for (size_t n = 8; n < sizeof block; n++) assert_true(crc64_by_tables(0, block, n) == by_bits(0, block, n));
        }
    }
}

static void fill(unsigned char *p, size_t n)
{
    struct rng rng;
    rng_seed(&rng, 64);
    for (size_t i = 0; i < n; i++) p[i] = (unsigned char)rng_u64(&rng);
}

/* Both ways: the tables', and where the processor has it the other. */
static void assert_sum(uint64_t before, const unsigned char *p, size_t n)
{
    uint64_t should = by_bits(before, p, n);
    assert_true(crc64(before, p, n) == should);
    assert_true(crc64_by_tables(before, p, n) == should);
}

static void test_every_length_from_every_start_agrees_with_the_definition(void **state)
{
    unsigned char text[LENGTH_MAX + 16];
    fill(text, sizeof text);
    for (size_t n = 0; n <= LENGTH_MAX; n++) {
        assert_sum(0, text + n % 16, n);
        assert_sum(0x8000000000000001 * (n + 1), text + n % 7, n);
    }
    for (size_t from = 0; from < 16; from++)
        for (size_t n = 100; n < 300; n += 13) assert_sum(from, text + from, n);
}

static void test_any_single_bit_counts(void **state)
{
    unsigned char block[3 * 64 + 17];
    for (size_t bit = 0; bit < 8 * sizeof block; bit++) {
        memset(block, 0, sizeof block);
        block[bit / 8] = (unsigned char)(1u << bit % 8);
        assert_sum(0, block, sizeof block);
    }
}

static void test_pieces_give_what_the_whole_gives(void **state)
{
    unsigned char text[5 * LENGTH_MAX];
    struct rng rng;
    rng_seed(&rng, 7);
    fill(text, sizeof text);
    uint64_t whole = by_bits(0, text, sizeof text);
    for (size_t cut = 0; cut <= LENGTH_MAX; cut++)
        assert_true(crc64(crc64(0, text, cut), text + cut, sizeof text - cut) == whole);
    for (int round = 0; round < 1000; round++) {
        uint64_t crc = 0;
        for (size_t at = 0, n; at < sizeof text; at += n) {
            n = rng_below(&rng, LENGTH_MAX);
            if (n > sizeof text - at) n = sizeof text - at;
            crc = crc64(crc, text + at, n);
        }
        assert_true(crc == whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_check_value_of_jones),
        cmocka_unit_test(test_every_table_entry_agrees_with_the_definition),
        cmocka_unit_test(test_every_length_from_every_start_agrees_with_the_definition),
        cmocka_unit_test(test_any_single_bit_counts),
        cmocka_unit_test(test_pieces_give_what_the_whole_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
