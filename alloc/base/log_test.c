/* SPDX-License-Identifier: MIT
 *
 * Log lines reach the sink, or not, by their level.
 */
#include "alloc/base/log.h"

#include <pthread.h>
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

/* Each sink knows its own word, and counts any other. */
static int words[2];
static _Atomic int strange, told, naming;

static void see_first(void *arg, int level, const char *text)
{
    told++;
    if (arg != &words[0]) strange++;
}

static void see_second(void *arg, int level, const char *text)
{
    told++;
    if (arg != &words[1]) strange++;
}

static void *name_both(void *arg)
{
    const struct log first = {.level = LOG_NOTICE_LEVEL, .sink = see_first, .arg = &words[0]};
    const struct log second = {.level = LOG_NOTICE_LEVEL, .sink = see_second, .arg = &words[1]};
    for (int i = 0; i < 300000; i++) log_set_default(i % 2 ? &first : &second);
    naming--;
    return NULL;
}

static void test_a_sink_has_its_own_word_whoever_names_another(void **state)
{
    pthread_t threads[2];
    int lines = 0;
    strange = told = 0;
    naming = 3;
    name_both(NULL);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, name_both, NULL), 0);
    for (; naming; lines++) log_notice(NULL, "who is told?");
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    log_set_default(NULL);
    assert_int_equal(told, lines);
    assert_int_equal(strange, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobodys_log_is_the_default),
        cmocka_unit_test(test_a_sink_has_its_own_word_whoever_names_another),
        cmocka_unit_test(test_lines_below_the_level_are_dropped),
        cmocka_unit_test(test_a_long_line_is_cut_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
