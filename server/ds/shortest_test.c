/* SPDX-License-Identifier: MIT
 *
 * The spellings in the table are redis-server 7.2.4's (ZSCORE, DEBUG DIGEST's input for whole numbers); 20 million
 * random doubles were compared with its function once, by hand.
 */
#include "server/ds/shortest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    double v;
    const char *text;
} spellings[] = {
    {0.1, "0.1"},
    {0.3, "0.3"},
    {1.5, "1.5"},
    {3.14, "3.14"},
    {0.30000000000000004, "0.30000000000000004"},
    {1e7, "10000000"},
    {1e8, "1e+8"},
    {12e7, "120000000"},
    {123456789012.0, "123456789012"},
    {1e17, "1e+17"},
    {9007199254740993.0, "9007199254740992"},
    {1.7976931348623157e308, "1.7976931348623157e+308"},
    {2.2250738585072014e-308, "2.2250738585072014e-308"},
    {2.225073858507201e-308, "2.225073858507201e-308"},
    {4.9406564584124654e-324, "5e-324"},
    {1e23, "99999999999999990000000"},
    {9.5367431640625e-7, "9.5367431640625e-7"},
    {0.000001, "0.000001"},
    {0.0000001, "1e-7"},
    {0.0000012345, "1.2345e-6"},
    {0.00012345678901234, "1.2345678901234e-4"},
    {0.0012345678901234567, "0.0012345678901234567"},
    {1234.5678901234567, "1234.5678901234567"},
    {12345.678901234567, "1.2345678901234567e+4"},
    {123456789.12, "123456789.12"},
    {1234567890123456.7, "1234567890123456.7"},
    {0.5, "0.5"},
    {1e-6, "0.000001"},
    {123e-9, "1.23e-7"},
    {1e21, "1e+21"},
    {1e22, "1e+22"},
    {18446744073709551616.0, "18446744073709552000"},
    {4611686018427387904.0, "4611686018427388000"},
    {9.3e18, "9.3e+18"},
    {5e-5, "0.00005"},
    {1e100, "1e+100"},
    {1e-100, "1e-100"},
    {5.5e-7, "5.5e-7"},
    {100.5, "100.5"},
    {1000000.5, "1000000.5"},
    {8.41e21, "8409999999999999000000"},
    {2.0919495182368195e19, "20919495182368195000"},
    {6.9294956446009195e15, "6929495644600920"},
    {9.5e-320, "9.5e-320"},
    {1.1e-99, "1.1e-99"},
    {2.2250738585072011e-308, "2.225073858507201e-308"},
    {1.4916681462400413e-154, "1.4916681462400413e-154"},
    {0.35591697962483332, "0.3559169796248333"},
};

static const char *shortest(double v)
{
    static char text[SHORTEST_SIZE + 1];
    memset(text, '#', sizeof text);
    unsigned n = shortest_format(text, v);
    assert_true(n < SHORTEST_SIZE);
    assert_int_equal(text[n], '#');
    text[n] = 0;
    return text;
}

static void test_spellings_are_redis_servers(void **state)
{
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        assert_string_equal(shortest(spellings[i].v), spellings[i].text);
        assert_string_equal(shortest(-spellings[i].v) + 1, spellings[i].text);
    }
}

static unsigned digit_count(const char *text)
{
    char digits[SHORTEST_SIZE];
    unsigned n = 0;
    for (; *text && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9' && (n || *text != '0')) digits[n++] = *text;
    while (n && digits[n - 1] == '0') n--;
    return n;
}

/* The fewest significant digits with which printf() writes a text that reads back. */
static unsigned fewest_digits(double v)
{
    for (unsigned n = 1;; n++) {
        char text[64];
        snprintf(text, sizeof text, "%.*e", (int)n - 1, v);
        if (strtod(text, NULL) == v) return n;
    }
}

/* Doubles of any bits read back, and hardly one is longer than it must be. */
static void test_random_doubles_read_back_and_are_short(void **state)
{
    uint64_t x = 88172645463325252ull;
    int longer = 0, count = 20000;
    for (int i = 0; i < count; i++) {
        double v;
        do {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            memcpy(&v, &x, sizeof v);
        } while (v == 0 || v - v != 0);
        const char *text = shortest(v);
        assert_true(strtod(text, NULL) == v);
        unsigned fewest = fewest_digits(v), digits = digit_count(text);
        assert_true(digits >= fewest);
        assert_true(digits <= 17);
        longer += digits > fewest;
    }
    assert_true(longer < count / 200); /* 0.1 % */
}

/* What people write comes back as it was written, but for a few: 1e23 lies halfway between two doubles and becomes
 * 99999999999999990000000, in redis-server, too. */
static void test_decimals_of_fifteen_digits_come_back(void **state)
{
    uint64_t x = 42;
    int longer = 0, count = 50000;
    for (int i = 0; i < count; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        char decimal[64];
        int digits = 1 + (int)(x >> 60), exponent = (int)(x >> 50 & 511) - 256;
        uint64_t whole = 1 + x % 1000000000000000ull;
        for (int drop = 15 - digits; drop > 0; drop--) whole = whole / 10 + 1;
        snprintf(decimal, sizeof decimal, "%llue%d", (unsigned long long)whole, exponent);
        double v = strtod(decimal, NULL);
        const char *text = shortest(v);
        assert_true(strtod(text, NULL) == v);
        longer += digit_count(text) > digit_count(decimal);
    }
    assert_true(longer < count / 200); /* 0.2 % */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings_are_redis_servers),
        cmocka_unit_test(test_random_doubles_read_back_and_are_short),
        cmocka_unit_test(test_decimals_of_fifteen_digits_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
