/* SPDX-License-Identifier: MIT
 *
 * Addresses: text both ways, prefixes of both families.
 */
#include "tcp/addr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;
    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static void test_what_is_no_address_is_refused_and_nothing_written(void **state)
{
    static const char *const bad[] = {
        "",        " ",   "1.2.3",        "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", "1.2.3.4/24", ":::", "2001:db8::1::2",
        "12345::", "g::", "fe80::1%eth0", "[::1]",     "localhost", "1.2.3.-4", "0x1.2.3.4"};
    struct ip_addr a = addr_v4(7), was = a;
    unsigned bits = 99;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(addr_parse(bad[i], &a), -EINVAL);
    static const char *const bad_prefixes[] = {"",
                                               "/",
                                               "/8",
                                               "10.0.0.0/",
                                               "10.0.0.0/33",
                                               "10.0.0.0/-1",
                                               "10.0.0.0/+8",
                                               "10.0.0.0/8 ",
                                               "10.0.0.0/0008",
                                               "10.0.0.0/4294967304",
                                               "10.0.0.0/8/8",
                                               "::/129",
                                               "::ffff:1.2.3.4/33",
                                               "2001:db8:1111:2222:3333:4444:255.255.255.2555555555555555555555555/1"};
    for (size_t i = 0; i < sizeof bad_prefixes / sizeof *bad_prefixes; i++) {
        assert_int_equal(addr_parse_prefix(bad_prefixes[i], &a, &bits), -EINVAL);
    }
    assert_true(addr_equal(&a, &was));
    assert_int_equal(bits, 99);
}

static void test_text_goes_there_and_back_as_rfc_5952_wants(void **state)
{
    static const char *const pairs[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"::ffff:10.1.2.3", "10.1.2.3"},
        {"::", "::"},
        {"::1", "::1"},
        {"2001:DB8:0:0:0:0:2:1", "2001:db8::2:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"fe80::0ab", "fe80::ab"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    char text[ADDR_TEXT_MAX];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct ip_addr a = addr(pairs[i][0]);
        assert_string_equal(addr_text(&a, text), pairs[i][1]);
        struct ip_addr b = addr(text);
        assert_true(addr_equal(&a, &b));
    }
}

static void test_a_prefix_length_defaults_to_the_whole_address(void **state)
{
    struct ip_addr a;
    unsigned bits;
    assert_int_equal(addr_parse_prefix("192.0.2.1", &a, &bits), 0);
    assert_int_equal(bits, 32);
    assert_int_equal(addr_parse_prefix("2001:db8::1", &a, &bits), 0);
    assert_int_equal(bits, 128);
    assert_int_equal(addr_parse_prefix("10.0.0.0/8", &a, &bits), 0);
    assert_int_equal(bits, 8);
    assert_int_equal(addr_parse_prefix("::/0", &a, &bits), 0);
    assert_int_equal(bits, 0);
}

static bool in(const char *a, const char *prefix)
{
    struct ip_addr x = addr(a), p;
    unsigned bits;
    assert_int_equal(addr_parse_prefix(prefix, &p, &bits), 0);
    return addr_in_prefix(&x, &p, bits);
}

static void test_prefixes_compare_bits_and_never_cross_families(void **state)
{
    assert_true(in("10.1.2.3", "10.0.0.0/8"));
    assert_false(in("11.1.2.3", "10.0.0.0/8"));
    assert_true(in("192.168.7.129", "192.168.7.128/25"));
    assert_false(in("192.168.7.127", "192.168.7.128/25"));
    assert_true(in("192.0.2.1", "192.0.2.1"));
    assert_false(in("192.0.2.2", "192.0.2.1/32"));
    assert_true(in("192.0.2.2", "192.0.2.3/31"));
    assert_true(in("1.2.3.4", "9.9.9.9/0"));
    assert_true(in("2001:db8:ffff::1", "2001:db8::/32"));
    assert_true(in("2001:db9::", "2001:db8::/31"));
    assert_false(in("2001:dba::", "2001:db8::/31"));
    assert_true(in("fe80::1", "::/0"));
    assert_false(in("1.2.3.4", "::/0"));
    assert_false(in("::1", "0.0.0.0/0"));
    struct ip_addr a = addr("::1");
    assert_true(addr_in_prefix(&a, &a, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_address_is_refused_and_nothing_written),
        cmocka_unit_test(test_text_goes_there_and_back_as_rfc_5952_wants),
        cmocka_unit_test(test_a_prefix_length_defaults_to_the_whole_address),
        cmocka_unit_test(test_prefixes_compare_bits_and_never_cross_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
