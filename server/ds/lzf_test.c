/* SPDX-License-Identifier: MIT */
#include "server/ds/lzf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_malformed_input_is_refused(void **state)
{
    char out[64];
    assert_int_equal(lzf_decompress("\x05"
                                    "abc",
                                    4, out, sizeof out),
                     0);                                                 /* literals cut short */
    assert_int_equal(lzf_decompress("\x20", 1, out, sizeof out), 0);     /* no offset */
    assert_int_equal(lzf_decompress("\x20\x00", 2, out, sizeof out), 0); /* from before the start */
    assert_int_equal(lzf_decompress("\x00"
                                    "a\x20\x01",
                                    4, out, sizeof out),
                     0);
    assert_int_equal(lzf_decompress("\x00"
                                    "a\xe0\xff",
                                    4, out, sizeof out),
                     0); /* long match without offset */
    assert_int_equal(lzf_decompress("\x00"
                                    "a\xe0\xff\x00",
                                    5, out, sizeof out),
                     0); /* more than fits */
    assert_int_equal(lzf_decompress("", 0, out, sizeof out), 0);
}

static void test_a_match_may_overlap_itself(void **state)
{
    char out[16];
    assert_int_equal(lzf_decompress("\x00"
                                    "a\x60\x00",
                                    4, out, sizeof out),
                     6);
    assert_memory_equal(out, "aaaaaa", 6);
}

static void round_trip(const char *in, size_t n)
{
    char *packed = malloc(n + n / 16 + 64), *out = malloc(n);
    size_t size = lzf_compress(in, n, packed, n + n / 16 + 64);
    assert_true(size > 0);
    assert_int_equal(lzf_decompress(packed, size, out, n), n);
    assert_memory_equal(out, in, n);
    assert_int_equal(lzf_decompress(packed, size, out, n - 1), 0);
    assert_int_equal(lzf_compress(in, n, packed, size - 1) == size, 0); /* does not fit */
    free(packed), free(out);
}

static void test_what_was_compressed_comes_back(void **state)
{
    uint32_t x = 1;
    static char in[70000];
    for (int shape = 0; shape < 300; shape++) {
        size_t n = shape < 60 ? 4 + (size_t)shape : 4 + (x >> 5) % (sizeof in - 4);
        unsigned alphabet = 1 + (unsigned)shape % 7 * 13;
        for (size_t i = 0; i < n; i++) {
            x = x * 1664525 + 1013904223;
            in[i] = (char)(x >> 24) % (char)alphabet;
        }
        round_trip(in, n);
    }
}

static void test_incompressible_bytes_do_not_fit(void **state)
{
    char in[100], out[100];
    for (int i = 0; i < 100; i++) in[i] = (char)(i * 7);
    assert_int_equal(lzf_compress(in, sizeof in, out, 96), 0);
    assert_int_equal(lzf_compress(in, 3, out, sizeof out), 0);
}

/* The payloads of DUMP from redis-server 7.0.15, for SET k <n x 'a'> and for "abcabcd" repeated. */
static void test_choices_are_those_of_redis(void **state)
{
    char in[512], out[512];
    memset(in, 'a', sizeof in);
    assert_int_equal(lzf_compress(in, 100, out, 96), 9);
    assert_memory_equal(out,
                        "\x01"
                        "aa\xe0\x57\x00\x01"
                        "aa",
                        9);
    for (size_t i = 0; i < sizeof in; i++) in[i] = "abcabcd"[i % 7];
    assert_int_equal(lzf_compress(in, 40, out, 36), 18);
    assert_memory_equal(out,
                        "\x06"
                        "abcabcd\x20\x03\x20\x02\xe0\x10\x06\x01"
                        "ab",
                        18);
}

static void test_working_memory_is_left_as_it_was(void **state)
{
    static char in[20000], one[20000], other[20000];
    char *work = calloc(1, LZF_WORK_SIZE), *zero = calloc(1, LZF_WORK_SIZE);
    for (size_t i = 0; i < sizeof in; i++) in[i] = (char)(i * i % 41);
    for (size_t n = 0; n <= sizeof in; n = n * 2 + 3) {
        size_t size = lzf_compress(in, n, one, sizeof one);
        assert_int_equal(lzf_compress_in(work, in, n, other, sizeof other), size);
        assert_memory_equal(one, other, size);
        assert_memory_equal(work, zero, LZF_WORK_SIZE);
        lzf_compress_in(work, in, n, other, n / 8 + 1); /* gives up in the middle */
        assert_memory_equal(work, zero, LZF_WORK_SIZE);
    }
    free(work);
    free(zero);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_input_is_refused),     cmocka_unit_test(test_a_match_may_overlap_itself),
        cmocka_unit_test(test_what_was_compressed_comes_back), cmocka_unit_test(test_incompressible_bytes_do_not_fit),
        cmocka_unit_test(test_choices_are_those_of_redis),     cmocka_unit_test(test_working_memory_is_left_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
