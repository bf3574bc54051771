/* SPDX-License-Identifier: MIT */
#include "server/conf/cpu_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_what_is_no_list_is_refused(void **state)
{
    static const char *const bad[] = {
        "",          "a",  "1,",   ",1",    "-1",  "1-",  "3-2", "1:2",  "0-3:",   "0-3:0", "0-3:2:2",
        "1 2",       " 1", "1,,2", "1-2-3", "0x1", "1.5", "all", "1024", "0-1024", "99999", "18446744073709551616",
        "0-3:99999", "+1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cpu_set_t set;
        memset(&set, 0x5a, sizeof set);
        cpu_set_t before = set;
        if (cpu_list_parse(bad[i], &set)) fail_msg("'%s' was taken", bad[i]);
        assert_memory_equal(&set, &before, sizeof set);
    }
}

static void test_lists_name_their_cpus(void **state)
{
    static const struct {
        const char *text, *same;
    } good[] = {{"0", "0"},       {"1,3", "1,3"},    {"0-7:2", "0,2,4,6"}, {"8-11", "8-11"}, {"1,10-11", "1,10-11"},
                {"3,1,2", "1-3"}, {"5-5", "5"},      {"0-3:9999", "0"},    {"1023", "1023"}, {"0-1023", "0-1023"},
                {"007", "7"},     {"0-2,1-4", "0-4"}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char text[64];
        cpu_set_t set;
        if (!cpu_list_parse(good[i].text, &set)) fail_msg("'%s' was refused", good[i].text);
        cpu_list_format(text, sizeof text, &set);
        assert_string_equal(text, good[i].same);
    }
}

static void test_a_long_list_is_cut(void **state)
{
    char text[8];
    cpu_set_t set;
    assert_true(cpu_list_parse("0-1022:2", &set));
    cpu_list_format(text, sizeof text, &set);
    assert_string_equal(text, "0,2,4,6");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_list_is_refused),
        cmocka_unit_test(test_lists_name_their_cpus),
        cmocka_unit_test(test_a_long_list_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
