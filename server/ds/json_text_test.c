/* SPDX-License-Identifier: MIT */
#include "server/ds/json_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *written(const char *text, size_t n, size_t size)
{
    static char out[512];
    out[json_text_write(out, size, bytes_of(text, n))] = 0;
    return out;
}

#define WRITTEN(literal) written(literal, sizeof(literal) - 1, 500)

static void test_text_stays_and_what_json_forbids_is_escaped(void **state)
{
    assert_string_equal(WRITTEN("plain text"), "plain text");
    assert_string_equal(WRITTEN("\"\\\n\r\t\b\f"), "\\\"\\\\\\n\\r\\t\\b\\f");
    assert_string_equal(WRITTEN("\0\x01\x1f\x7f"), "\\u0000\\u0001\\u001f\\u007f");
    assert_string_equal(WRITTEN("gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x98\x80"),
                        "gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x98\x80");
}

static void test_bytes_that_are_no_utf8_are_named(void **state)
{
    assert_string_equal(WRITTEN("\xff"
                                "a\x80"),
                        "\\u00ffa\\u0080");
    assert_string_equal(WRITTEN("\xc0\xaf"), "\\u00c0\\u00af");                       /* longer than need be */
    assert_string_equal(WRITTEN("\xe0\x80\xaf"), "\\u00e0\\u0080\\u00af");            /* the same */
    assert_string_equal(WRITTEN("\xed\xa0\x80"), "\\u00ed\\u00a0\\u0080");            /* a surrogate */
    assert_string_equal(WRITTEN("\xf4\x90\x80\x80"), "\\u00f4\\u0090\\u0080\\u0080"); /* above U+10FFFF */
    assert_string_equal(WRITTEN("\xf0\x8f\xbf\xbf"), "\\u00f0\\u008f\\u00bf\\u00bf");
    assert_string_equal(WRITTEN("\xe2\x82"), "\\u00e2\\u0082"); /* cut in the middle */
    assert_string_equal(WRITTEN("\xe2"
                                "a\x82"),
                        "\\u00e2a\\u0082");
}

static void test_no_character_is_cut_by_the_end_of_the_buffer(void **state)
{
    for (size_t size = 0; size <= 12; size++) {
        const char *out = written("\xe2\x82\xac\x01", 4, size);
        assert_string_equal(out, size < 3 ? "" : size < 9 ? "\xe2\x82\xac" : "\xe2\x82\xac\\u0001");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_stays_and_what_json_forbids_is_escaped),
        cmocka_unit_test(test_bytes_that_are_no_utf8_are_named),
        cmocka_unit_test(test_no_character_is_cut_by_the_end_of_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
