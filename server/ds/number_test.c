/* SPDX-License-Identifier: MIT */
#include "server/ds/number.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define TEXT(s) bytes_of_str(s)

static void test_integers_in_other_spellings_are_refused(void **state)
{
    static const char *bad[] = {
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "01",
        "-0",
        "-01",
        "00",
        "0x1",
        "1.0",
        "1e3",
        "a",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999",
        "111111111111111111111",
        "1\n",
    };
    int64_t v = 77;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(number_parse_i64(TEXT(bad[i]), &v));
    assert_false(number_parse_i64(bytes_of("1\0002", 3), &v));
    assert_int_equal(v, 77);
}

static void test_integers_come_back_from_their_text(void **state)
{
    static const int64_t known[] = {0, 1, -1, 9, 10, 99, 100, 12345, INT32_MAX, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    uint64_t x = 88172645463325252ull; /* xorshift */
    for (int i = 0; i < 100000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        int64_t v = i < 12 ? known[i] : (int64_t)x >> (x & 63);
        char text[NUMBER_I64_SIZE], expected[32];
        unsigned n = number_format_i64(text, v);
        assert_int_equal(n, snprintf(expected, sizeof expected, "%lld", (long long)v));
        assert_memory_equal(text, expected, n);
        assert_int_equal(number_i64_width(v), n);
        int64_t back;
        assert_true(number_parse_i64(bytes_of(text, n), &back));
        assert_int_equal(back, v);
    }
}

static void test_bad_doubles_are_refused(void **state)
{
    static const char *bad[] = {"",  " 1",   "1 ",    "nan", "-nan", "NaN", "1e400", "-1e400", "1e-400", ".",  "-",
                                "+", "1..2", "1.2.3", "e5",  "1e",   "0x",  "infx",  "abc",    "--1",    "1,5"};
    double v = 5;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(number_parse_double(TEXT(bad[i]), &v));
    assert_false(number_parse_double(bytes_of("1\0", 2), &v));
    assert_true(v == 5);
}

static void test_doubles_are_read_as_strtod_reads_them(void **state)
{
    static const char *good[] = {"0",
                                 "-0",
                                 "1",
                                 "+1",
                                 "1.",
                                 ".5",
                                 "-.5",
                                 "3.14",
                                 "1e5",
                                 "1E-5",
                                 "0x10",
                                 "0x1p-3",
                                 "inf",
                                 "-inf",
                                 "+inf",
                                 "Infinity",
                                 "INF",
                                 "4.9e-324",
                                 "1e-310",
                                 "123456789012345",
                                 "0.1234567890123",
                                 "99999999999999.9",
                                 "00012",
                                 "1234567890123456789"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double v, expected = strtod(good[i], NULL);
        assert_true(number_parse_double(TEXT(good[i]), &v));
        assert_memory_equal(&v, &expected, sizeof v);
    }
    uint64_t x = 1234567;
    for (int i = 0; i < 50000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        char text[64];
        snprintf(text, sizeof text, "%s%llu.%0*llu", x & 1 ? "-" : "", (unsigned long long)(x >> 40), (int)(x % 9 + 1),
                 (unsigned long long)(x >> 20) % 1000);
        double v, expected = strtod(text, NULL);
        assert_true(number_parse_double(TEXT(text), &v));
        assert_memory_equal(&v, &expected, sizeof v);
    }
    char *zeros = malloc(100001);
    memset(zeros, '0', 100000);
    memcpy(zeros, "0.", 2);
    memcpy(zeros + 99998, "25", 3);
    double v;
    assert_false(number_parse_double(TEXT(zeros), &v)); /* underflows */
    zeros[2] = '5';
    assert_true(number_parse_double(TEXT(zeros), &v));
    assert_true(v == 0.5);
    free(zeros);
}

static void expect_text(unsigned (*format)(char *, double), double v, const char *expected)
{
    char text[NUMBER_LDOUBLE_SIZE];
    unsigned n = format(text, v);
    text[n] = 0;
    assert_string_equal(text, expected);
}

/* As redis-server 7.2.4 answers ZSCORE. */
static void test_scores_look_as_in_replies(void **state)
{
    expect_text(number_format_double, 0, "0");
    expect_text(number_format_double, -0.0, "-0");
    expect_text(number_format_double, 3, "3");
    expect_text(number_format_double, -12345678, "-12345678");
    expect_text(number_format_double, 3.14, "3.14");
    expect_text(number_format_double, 0.1, "0.1");
    expect_text(number_format_double, 1e16, "10000000000000000");
    expect_text(number_format_double, 1e17, "100000000000000000");
    expect_text(number_format_double, 4611686018427387904.0, "4611686018427387904");
    expect_text(number_format_double, 9.3e18, "9.3e+18");
    expect_text(number_format_double, 1e300, "1e+300");
    expect_text(number_format_double, 5e-324, "5e-324");
    expect_text(number_format_double, INFINITY, "inf");
    expect_text(number_format_double, -INFINITY, "-inf");
    expect_text(number_format_double, NAN, "nan");
    expect_text(number_format_double, -NAN, "nan");
}

static void test_stored_scores_keep_whole_numbers_in_full(void **state)
{
    expect_text(number_format_stored_double, 1e17, "100000000000000000");
    expect_text(number_format_stored_double, -4611686018427387904.0, "-4611686018427387904");
    expect_text(number_format_stored_double, 9.3e18, "9.3e+18");
    expect_text(number_format_stored_double, -0.0, "0");
    expect_text(number_format_stored_double, 0.5, "0.5");
    expect_text(number_format_stored_double, -INFINITY, "-inf");
}

static void test_a_digest_reads_large_whole_numbers_in_few_digits(void **state)
{
    expect_text(number_format_bare_double, 10000000, "10000000");
    expect_text(number_format_bare_double, 100000000, "1e+8");
    expect_text(number_format_bare_double, 123456789012, "123456789012");
    expect_text(number_format_bare_double, -0.0, "-0");
    expect_text(number_format_bare_double, 0, "0");
    expect_text(number_format_bare_double, -INFINITY, "-inf");
}

static void test_seventeen_digits_agree_with_printf(void **state)
{
    expect_text(number_format_g17, 0.1, "0.10000000000000001");
    expect_text(number_format_g17, 99999999999999984.0, "99999999999999984");
    expect_text(number_format_g17, 1e17, "1e+17");
    expect_text(number_format_g17, -0.0, "-0");
    expect_text(number_format_g17, INFINITY, "inf");
    uint64_t x = 42;
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        double v = i & 1 ? (double)(int64_t)(x >> (x & 31)) : (double)(x >> 12) / (double)(1 + (x & 0xffff));
        char expected[64];
        snprintf(expected, sizeof expected, "%.17g", v);
        expect_text(number_format_g17, v, expected);
    }
}

static void expect_ldouble(const char *in, const char *expected)
{
    long double v;
    assert_true(number_parse_ldouble(TEXT(in), &v));
    char text[NUMBER_LDOUBLE_SIZE];
    unsigned n = number_format_ldouble(text, v);
    text[n] = 0;
    assert_string_equal(text, expected);
}

static void test_long_doubles_are_for_people(void **state)
{
    expect_ldouble("10.50", "10.5");
    expect_ldouble("3.0e3", "3000");
    expect_ldouble("0.1", "0.1");
    expect_ldouble("-0", "0");
    expect_ldouble("-0.00000000000000000001", "0");
    expect_ldouble("1.23456789012345678", "1.23456789012345678");
    expect_ldouble("100", "100");
    expect_ldouble("inf", "inf");
    expect_ldouble("1e27", "1000000000000000000000000000");
    long double v;
    assert_false(number_parse_ldouble(TEXT("nan"), &v));
    assert_false(number_parse_ldouble(TEXT(" 1"), &v));
    assert_false(number_parse_ldouble(TEXT("1e5000"), &v));
    char digits[NUMBER_LDOUBLE_SIZE + 1];
    memset(digits, '1', sizeof digits);
    assert_false(number_parse_ldouble(bytes_of(digits, NUMBER_LDOUBLE_SIZE), &v));
    assert_true(number_parse_ldouble(bytes_of(digits, 4000), &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_in_other_spellings_are_refused),
        cmocka_unit_test(test_integers_come_back_from_their_text),
        cmocka_unit_test(test_bad_doubles_are_refused),
        cmocka_unit_test(test_doubles_are_read_as_strtod_reads_them),
        cmocka_unit_test(test_scores_look_as_in_replies),
        cmocka_unit_test(test_stored_scores_keep_whole_numbers_in_full),
        cmocka_unit_test(test_a_digest_reads_large_whole_numbers_in_few_digits),
        cmocka_unit_test(test_seventeen_digits_agree_with_printf),
        cmocka_unit_test(test_long_doubles_are_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
