/* SPDX-License-Identifier: MIT */
#include "server/observe/log_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static char out[LOG_LINE_SIZE + 1];

static const char *line_of(enum log_format format, enum log_timestamp timestamp, const char *text, size_t n)
{
    struct log_line l = {.format = format,
                         .timestamp = timestamp,
                         .level = LOG_NOTICE_LEVEL,
                         .pid = 7,
                         .wall_us = INT64_C(1764410707042999),
                         .utc_offset_s = 3600,
                         .text = bytes_of(text, n)};
    out[log_line_write(out, &l)] = 0;
    return out;
}

#define LINE(format, timestamp, literal) line_of(format, timestamp, literal, sizeof(literal) - 1)

static void test_logfmt_is_valkeys(void **state)
{
    assert_string_equal(LINE(LOG_FORMAT_LOGFMT, LOG_TIMESTAMP_LEGACY, "Server \"initialized\"\r\n"),
                        "pid=7 role=primary timestamp=\"29 Nov 2025 11:05:07.042\" level=notice message=\"Server "
                        "'initialized'  \"\n");
    assert_string_equal(LINE(LOG_FORMAT_LOGFMT, LOG_TIMESTAMP_ISO8601, "x"),
                        "pid=7 role=primary timestamp=\"2025-11-29T11:05:07.042+01:00\" level=notice message=\"x\"\n");
    assert_string_equal(LINE(LOG_FORMAT_LOGFMT, LOG_TIMESTAMP_MILLISECONDS, ""),
                        "pid=7 role=primary timestamp=\"1764410707042\" level=notice message=\"\"\n");
}

static void test_json_is_one_object_a_line(void **state)
{
    static const char iso[] = "{\"timestamp\":\"2025-11-29T11:05:07.042+01:00\",\"level\":\"notice\",\"pid\":7,"
                              "\"role\":\"primary\",\"message\":\"a \\\"b\\\" \\n\\u0000\\u00ff\xc3\xbc\"}\n";
    assert_string_equal(LINE(LOG_FORMAT_JSON, LOG_TIMESTAMP_ISO8601, "a \"b\" \n\0\xff\xc3\xbc"), iso);
    assert_string_equal(LINE(LOG_FORMAT_JSON, LOG_TIMESTAMP_LEGACY, "a \"b\" \n\0\xff\xc3\xbc"), iso);
    assert_string_equal(
        LINE(LOG_FORMAT_JSON, LOG_TIMESTAMP_MILLISECONDS, "x"),
        "{\"timestamp\":1764410707042,\"level\":\"notice\",\"pid\":7,\"role\":\"primary\",\"message\":\"x\"}\n");
}

static void test_the_longest_line_fits(void **state)
{
    static char worst[4 * LOG_LINE_MAX];
    memset(worst, 0x01, sizeof worst);
    for (int format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++) {
        struct log_line l = {.format = (enum log_format)format,
                             .timestamp = LOG_TIMESTAMP_ISO8601,
                             .level = LOG_WARNING_LEVEL,
                             .pid = INT32_MIN,
                             .is_replica = true,
                             .wall_us = INT64_MAX,
                             .utc_offset_s = -14 * 3600,
                             .text = bytes_of(worst, sizeof worst)};
        size_t n = log_line_write(out, &l);
        assert_true(n > LOG_LINE_MAX && n <= LOG_LINE_SIZE);
        assert_int_equal(out[n - 1], '\n');
        assert_ptr_equal(memchr(out, '\n', n), out + n - 1);
    }
}

/* Days of four centuries: libc says the same. */
static void test_dates_are_those_of_the_calendar(void **state)
{
    for (int64_t day = 0; day < 146097; day += 13) {
        char got[LOG_TIMESTAMP_SIZE], want[LOG_TIMESTAMP_SIZE + 16];
        time_t s = (time_t)(day * 86400 + 12345);
        struct tm tm;
        gmtime_r(&s, &tm);
        strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S.007+00:00", &tm);
        log_timestamp_write(got, LOG_TIMESTAMP_ISO8601, (int64_t)s * 1000000 + 7000, 0);
        assert_string_equal(got, want);
        strftime(want, sizeof want, "%d %b %Y %H:%M:%S.007", &tm);
        log_timestamp_write(got, LOG_TIMESTAMP_LEGACY, (int64_t)s * 1000000 + 7000, 0);
        assert_string_equal(got, want);
    }
    char got[LOG_TIMESTAMP_SIZE];
    log_timestamp_write(got, LOG_TIMESTAMP_ISO8601, -1, -12600);
    assert_string_equal(got, "1970-01-01T00:00:00.000-03:30");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logfmt_is_valkeys),
        cmocka_unit_test(test_json_is_one_object_a_line),
        cmocka_unit_test(test_the_longest_line_fits),
        cmocka_unit_test(test_dates_are_those_of_the_calendar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
