/* SPDX-License-Identifier: MIT
 *
 * Memory that does not hold what was written is found, wherever it is. The memory is good; the test plays the fault.
 */
#include "server/observe/memtest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT (4 * MEMTEST_STEP)

static uint64_t words[COUNT];

static void test_a_word_without_its_address_is_found(void **state)
{
    memtest_fill_addresses(words, COUNT);
    assert_int_equal(memtest_check_addresses(words, COUNT), MEMTEST_FINE);
    for (size_t i = 0; i < COUNT; i += 97) {
        words[i] ^= 1ull << i % 64;
        assert_int_equal(memtest_check_addresses(words, COUNT), i);
        words[i] ^= 1ull << i % 64;
    }
}

static void test_a_bit_that_differs_between_the_halves_is_found(void **state)
{
    memtest_fill_random(words, COUNT, 1);
    assert_int_equal(memtest_compare_halves(words, COUNT), MEMTEST_FINE);
    for (size_t i = 0; i < COUNT; i += 61) {
        words[i] ^= 1ull << i % 64;
        assert_int_equal(memtest_compare_halves(words, COUNT), i % (COUNT / 2));
        words[i] ^= 1ull << i % 64;
    }
}

static void test_every_word_is_filled(void **state)
{
    memset(words, 0x11, sizeof words);
    memtest_fill_random(words, COUNT, 2);
    for (size_t i = 0; i < COUNT; i++) assert_int_not_equal(words[i], 0x1111111111111111);
    memtest_fill_pattern(words, COUNT, 0xaaaaaaaaaaaaaaaa, 0x5555555555555555);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(words[i] == (i & 1 ? (uint64_t)0x5555555555555555 : (uint64_t)0xaaaaaaaaaaaaaaaa));
}

static void test_good_memory_passes_and_says_each_step(void **state)
{
    char *said;
    size_t n;
    FILE *out = open_memstream(&said, &n);
    assert_int_equal(memtest_run(out, 1, 2), 0);
    fclose(out);
    assert_non_null(strstr(said, "Addressing test [1]\nRandom fill [1]\nCompare [1]\n"));
    assert_non_null(strstr(said, "Checkerboard fill [2]\n"));
    assert_non_null(strstr(said, "Your memory passed this test."));
    free(said);
}

static void test_more_than_there_is_is_said(void **state)
{
    char *said;
    size_t n;
    FILE *out = open_memstream(&said, &n);
    int rc = memtest_run(out, MEMTEST_MEGABYTES_MAX, 0); /* no pass: an address space that large would do */
    fclose(out);
    assert_int_equal(rc, strstr(said, "Unable to allocate 16777216 megabytes: ") ? 1 : 0);
    free(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_word_without_its_address_is_found),
        cmocka_unit_test(test_a_bit_that_differs_between_the_halves_is_found),
        cmocka_unit_test(test_every_word_is_filled),
        cmocka_unit_test(test_good_memory_passes_and_says_each_step),
        cmocka_unit_test(test_more_than_there_is_is_said),
    };
    return cmocka_run_group_tests_name("memtest", tests, NULL, NULL);
}
