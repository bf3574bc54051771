/* SPDX-License-Identifier: MIT */
#include "server/ds/glob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static bool match(const char *pattern, const char *s)
{
    return glob_match(bytes_of_str(pattern), bytes_of_str(s), false);
}
static bool match_nocase(const char *pattern, const char *s)
{
    return glob_match(bytes_of_str(pattern), bytes_of_str(s), true);
}

static void test_broken_patterns_have_a_meaning(void **state)
{
    assert_true(match("[abc", "a"));
    assert_false(match("[abc", "d"));
    assert_true(match("[^", "x"));
    assert_false(match("[", "["));
    assert_true(match("\\", "\\"));
    assert_false(match("[]", "]"));
    assert_true(match("[^]", "]"));
    assert_true(match("[a-]", "b") == false);
    assert_true(match("[a-]", "_")); /* the range ']' ... 'a' */
    assert_true(match("[\\]]", "]"));
    assert_true(match("[z-a]", "m"));
}

static void test_only_the_empty_pattern_matches_nothing(void **state)
{
    assert_true(match("", ""));
    assert_false(match("*", ""));
    assert_false(match("", "a"));
}

static void test_stars_take_any_run(void **state)
{
    assert_true(match("*", "anything"));
    assert_true(match("a*", "a"));
    assert_true(match("a**b", "ab"));
    assert_true(match("*foo*bar", "xfooyfoobarzbar"));
    assert_false(match("*foo*bar", "foobarx"));
    assert_true(match("h?llo", "hallo"));
    assert_false(match("h?llo", "hllo"));
    assert_true(match("h[^e]llo", "hallo"));
    assert_false(match("h[^e]llo", "hello"));
    assert_true(match("h[a-b]llo", "hbllo"));
    assert_true(match("a\\*b", "a*b"));
    assert_false(match("a\\*b", "axb"));
    assert_true(glob_match(bytes_of("a*\0b", 4), bytes_of("axx\0b", 5), false));
}

static void test_case_is_folded_when_asked(void **state)
{
    assert_true(match_nocase("HELLO*[A-C]", "helloxyzB"));
    assert_false(match("HELLO", "hello"));
    assert_true(match_nocase("\\H", "h"));
}

/* A recursive matcher would take 2^30 steps and more here. */
static void test_many_stars_cost_no_more_than_a_product(void **state)
{
    char pattern[201], s[4001];
    for (int i = 0; i < 200; i += 2) memcpy(pattern + i, "*a", 2);
    pattern[199] = 'b';
    memset(s, 'a', 4000);
    s[4000] = pattern[200] = 0;
    assert_false(match(pattern, s));
}

static void test_literals_are_told(void **state)
{
    assert_true(glob_is_literal(BYTES("news.tech")));
    assert_false(glob_is_literal(BYTES("news.*")));
    assert_false(glob_is_literal(BYTES("a\\b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_patterns_have_a_meaning),
        cmocka_unit_test(test_only_the_empty_pattern_matches_nothing),
        cmocka_unit_test(test_stars_take_any_run),
        cmocka_unit_test(test_case_is_folded_when_asked),
        cmocka_unit_test(test_many_stars_cost_no_more_than_a_product),
        cmocka_unit_test(test_literals_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
