/* SPDX-License-Identifier: MIT
 *
 * Errors counted by their codes.
 */
#include "server/observe/errorstats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/server.h"

static struct server srv;

static void add(void *arg, const char *code, uint64_t count)
{
    char *text = arg;
    sprintf(text + strlen(text), "%s=%d ", code, (int)count);
}

static const char *all(void)
{
    static char text[16384];
    text[0] = 0;
    errorstats_each(&srv, add, text);
    return text;
}

static void count(const char *text) { errorstats_count(&srv, bytes_of_str(text)); }

static int forget(void **state)
{
    errorstats_fini(&srv);
    return 0;
}

static void test_codes_are_sorted_and_those_that_begin_others_stand_before_them(void **state)
{
    assert_string_equal(all(), "");
    count("WRONGTYPE Operation");
    count("WRONG x");
    count("ERR x");
    count("W");
    count("WRONGTYPE again");
    count("err x");
    assert_string_equal(all(), "ERR=1 W=1 WRONG=1 WRONGTYPE=2 err=1 ");
    errorstats_reset(&srv);
    assert_string_equal(all(), "");
}

static void test_a_long_code_is_cut_and_more_codes_than_a_bound_are_not_kept(void **state)
{
    char text[200];
    memset(text, 'X', sizeof text);
    errorstats_count(&srv, bytes_of(text, sizeof text));
    errorstats_count(&srv, bytes_of(text, sizeof text - 1));
    assert_int_equal(strlen(all()), 64 + strlen("=2 "));
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "C%d x", i);
        count(text);
    }
    size_t codes = 0;
    for (const char *p = all(); *p; p++) codes += *p == '=';
    assert_int_equal(codes, 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_codes_are_sorted_and_those_that_begin_others_stand_before_them, forget),
        cmocka_unit_test_teardown(test_a_long_code_is_cut_and_more_codes_than_a_bound_are_not_kept, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
