/* SPDX-License-Identifier: MIT */
#include "server/observe/report.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static size_t contents(char *out, size_t size)
{
    FILE *f = fopen(path, "r");
    size_t n = fread(out, 1, size - 1, f);
    fclose(f);
    out[n] = 0;
    return n;
}

static struct report begin(void)
{
    struct report r;
    snprintf(path, sizeof path, "/tmp/report_test.%d", (int)getpid());
    unlink(path);
    report_prepare(&r);
    report_open(&r, path);
    return r;
}

static void test_text_of_any_length_arrives_whole(void **state)
{
    static char got[200000];
    struct report r = begin();
    for (int i = 0; i < 10000; i++) report_text(&r, "line %d\n", i);
    report_close(&r);
    size_t n = contents(got, sizeof got);
    assert_int_equal(n, 10 * 7 + 90 * 8 + 900 * 9 + 9000 * 10);
    assert_string_equal(got + n - 10, "line 9999\n");
    unlink(path);
}

static void test_what_does_not_print_is_escaped(void **state)
{
    char got[200];
    struct report r = begin();
    report_quoted(&r, "a\"\\\n\r\t\0\xff~", 9, 100);
    report_quoted(&r, "bcdef", 5, 2);
    report_close(&r);
    contents(got, sizeof got);
    assert_string_equal(got, "a\\\"\\\\\\n\\r\\t\\x00\\xff~bc");
    unlink(path);
}

/* The date is made by hand: libc must say the same. */
static void test_a_line_has_the_log_s_date(void **state)
{
    char got[200], want[64], date[32];
    struct tm tm;
    time_t before, now;
    do {
        before = time(NULL);
        struct report r = begin();
        report_line(&r, "text %d", 7);
        report_close(&r);
        now = time(NULL);
    } while (now != before);
    localtime_r(&now, &tm);
    strftime(date, sizeof date, "%d %b %Y %H:%M:%S", &tm);
    snprintf(want, sizeof want, "%d:M %s.", (int)getpid(), date);
    contents(got, sizeof got);
    assert_memory_equal(got, want, strlen(want));
    assert_string_equal(got + strlen(want) + 3, " # text 7\n");
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_of_any_length_arrives_whole),
        cmocka_unit_test(test_what_does_not_print_is_escaped),
        cmocka_unit_test(test_a_line_has_the_log_s_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
