/* SPDX-License-Identifier: MIT
 *
 * Log lines reach the sink, or not, by their level.
 */
#include "alloc/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    int lines;
    int level;
    char text[LOG_LINE_MAX + 1];
};

static void see(void *arg, int level, const char *text)
{
    struct seen *s = arg;
    s->lines++;
    s->level = level;
    strncpy(s->text, text, LOG_LINE_MAX);
}

static void test_lines_below_the_level_are_dropped(void **state)
{
    struct seen s = {0};
    struct log log = {.level = LOG_NOTICE_LEVEL, .sink = see, .arg = &s};
    log_debug(&log, "a");
    log_verbose(&log, "b");
    assert_int_equal(s.lines, 0);
    log_notice(&log, "c %d", 1);
    assert_string_equal(s.text, "c 1");
    log_warning(&log, "%s", "d");
    assert_int_equal(s.lines, 2);
    assert_int_equal(s.level, LOG_WARNING_LEVEL);
    log_debug(NULL, "not on stderr");
}

static void test_a_long_line_is_cut_and_says_so(void **state)
{
    struct seen s = {0};
    struct log log = {.level = LOG_DEBUG_LEVEL, .sink = see, .arg = &s};
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    log_debug(&log, "%s", text);
    assert_int_equal(strlen(s.text), LOG_LINE_MAX - 1);
    assert_string_equal(s.text + LOG_LINE_MAX - 5, "x...");
}

static void test_nobodys_log_is_the_default(void **state)
{
    struct seen s = {0};
    struct log log = {.level = LOG_NOTICE_LEVEL, .sink = see, .arg = &s};
    log_set_default(&log);
    log_verbose(NULL, "a");
    assert_int_equal(s.lines, 0);
    log_warning(NULL, "b");
    assert_string_equal(s.text, "b");
    log_set_default(NULL);
    log_notice(NULL, "to stderr");
    assert_int_equal(s.lines, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobodys_log_is_the_default),
        cmocka_unit_test(test_lines_below_the_level_are_dropped),
        cmocka_unit_test(test_a_long_line_is_cut_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
