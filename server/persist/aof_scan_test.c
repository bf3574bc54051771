/* SPDX-License-Identifier: MIT */
#include "server/persist/aof_scan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "alloc/base/bytes.h"

#define PING  "*1\r\n$4\r\nPING\r\n"
#define MULTI "*1\r\n$5\r\nMULTI\r\n"
#define EXEC  "*1\r\n$4\r\nexec\r\n"

/* Bytes in steps; behind them the end, or an error. */
struct tape {
    const char *p;
    size_t n, step;
    long end;
};

static long play(void *arg, char *buf, size_t size)
{
    struct tape *t = arg;
    size_t n = t->n < size ? t->n : size;
    if (n > t->step) n = t->step;
    if (n == 0) return t->end;
    memcpy(buf, t->p, n);
    t->p += n;
    t->n -= n;
    return (long)n;
}

/* The caller's to free. */
static struct aof_scan *scan(const char *text, size_t n, size_t step, int64_t until_s, enum aof_scan_end *end)
{
    struct tape t = {.p = text, .n = n, .step = step};
    struct aof_scan *s = malloc(sizeof *s);
    assert_non_null(s);
    aof_scan_init(s, play, &t, 0);
    s->until_s = until_s;
    *end = aof_scan_run(s);
    return s;
}

static void expect(const char *text, enum aof_scan_end end, size_t whole, const char *why)
{
    for (size_t step = 1; step < 200; step = step * 3 + 1) {
        enum aof_scan_end came;
        struct aof_scan *s = scan(text, strlen(text), step, 0, &came);
        assert_int_equal(came, end);
        assert_int_equal(s->whole, whole);
        if (why) assert_string_equal(s->why, why);
        free(s);
    }
}

static void test_whole_commands_are_whole(void **state)
{
    expect("", AOF_SCAN_WHOLE, 0, "");
    expect(PING, AOF_SCAN_WHOLE, 14, "");
    expect(PING "#TS:17\r\n" PING "# of a restore\n" PING, AOF_SCAN_WHOLE, 65, "");
    expect(MULTI PING EXEC PING, AOF_SCAN_WHOLE, 57, "");
    expect("*2\r\n$5\r\nmulti\r\n$0\r\n\r\n" EXEC, AOF_SCAN_WHOLE, 35, "");
}

static void test_a_cut_at_any_byte_is_found(void **state)
{
    static const char text[] = PING MULTI PING EXEC PING "#TS:17\r\n" PING;
    static const size_t ends[] = {0, 14, 57, 71, 79, 93};
    for (size_t n = 0; n < sizeof text - 1; n++) {
        size_t whole = 0;
        enum aof_scan_end came;
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
            if (ends[i] <= n) whole = ends[i];
        struct aof_scan *s = scan(text, n, 7, 0, &came);
        assert_int_equal(s->whole, whole);
        assert_int_equal(came, whole == n ? AOF_SCAN_WHOLE : AOF_SCAN_BROKEN);
        free(s);
    }
}

static void test_what_is_wrong_is_said(void **state)
{
    expect("PING\r\n", AOF_SCAN_BROKEN, 0, "");
    expect(PING "*1\r\n:4\r\n", AOF_SCAN_BROKEN, 14, "Expected prefix '$', got: ':'");
    expect(PING "*1\r\n\033", AOF_SCAN_BROKEN, 14, "Expected prefix '$', got: '\\x1b'");
    expect("*1\r\n$4\r\nPINGPONG", AOF_SCAN_BROKEN, 0, "Expected \\r\\n, got: 504f");
    expect("*1x\r\n", AOF_SCAN_BROKEN, 0, "Expected \\r\\n, got: 780d");
    expect("*1\rx", AOF_SCAN_BROKEN, 0, "Expected \\r\\n, got: 0d78");
    expect("*\r\n", AOF_SCAN_BROKEN, 0, "Expected a number after '*'");
    expect("*-\r\n", AOF_SCAN_BROKEN, 0, "Expected a number after '*'");
    expect("*0\r\n", AOF_SCAN_BROKEN, 0, "Expected a command of at least one word, got a count of 0");
    expect("*2147483648\r\n", AOF_SCAN_BROKEN, 0, "Expected a command of at least one word, got a count of 2147483648");
    expect("*1\r\n$-1\r\n", AOF_SCAN_BROKEN, 0,
           "Expected to read string of -1 bytes, which is not in the suitable range");
    expect("*1\r\n$99999999999999999999\r\n", AOF_SCAN_BROKEN, 0,
           "Expected to read string of 9223372036854775807 bytes, which is not in the suitable range");
    expect("*1\r\n$4611686018427387904\r\nabc", AOF_SCAN_BROKEN, 0,
           "Expected to read 4611686018427387906 bytes, got 3 bytes");
    expect(MULTI PING MULTI, AOF_SCAN_BROKEN, 0, "Unexpected MULTI in AOF");
    expect(PING EXEC, AOF_SCAN_BROKEN, 14, "Unexpected EXEC in AOF");
    expect(PING MULTI PING, AOF_SCAN_BROKEN, 14, "Reached EOF before reading EXEC for MULTI");
    expect(PING "#TS:1", AOF_SCAN_BROKEN, 14, "Reached EOF before the end of an annotation");
}

static void test_a_digit_too_many_ends_a_number(void **state)
{
    char text[64] = "*1\r\n$";
    memset(text + 5, '1', 40);
    strcpy(text + 45, "\r\n");
    expect(text, AOF_SCAN_BROKEN, 0, "Expected \\r\\n, got: 3131");
}

static void test_a_mark_without_an_end_is_bounded(void **state)
{
    char text[3 * AOF_SCAN_MARK_MAX];
    memset(text, '#', sizeof text - 1);
    text[sizeof text - 1] = 0;
    expect(text, AOF_SCAN_BROKEN, 0, "Too long an annotation");
    text[AOF_SCAN_MARK_MAX - 1] = '\n'; /* the longest there is */
    text[AOF_SCAN_MARK_MAX] = 0;
    expect(text, AOF_SCAN_WHOLE, AOF_SCAN_MARK_MAX, "");
}

static void test_a_time_ends_it_before_the_mark_behind(void **state)
{
    static const char text[] = "#TS:10\r\n" PING "#TS:20\r\n" MULTI "#TS:30\r\n" PING EXEC;
    static const struct {
        int64_t until_s;
        size_t whole;
        enum aof_scan_end end;
    } cases[] = {{9, 0, AOF_SCAN_LATER},   {10, 22, AOF_SCAN_LATER}, {19, 22, AOF_SCAN_LATER},
                 {20, 30, AOF_SCAN_LATER}, {29, 30, AOF_SCAN_LATER}, /* no half of a transaction */
                 {30, 81, AOF_SCAN_WHOLE}, {0, 81, AOF_SCAN_WHOLE},  {-1, 0, AOF_SCAN_LATER}};
    enum aof_scan_end came;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aof_scan *s = scan(text, sizeof text - 1, 11, cases[i].until_s, &came);
        assert_int_equal(came, cases[i].end);
        assert_int_equal(s->whole, cases[i].whole);
        free(s);
    }
    static const char *const bad[] = {"#TS:\r\n", "#TS:x\r\n", "#TS:10\n", "#TS:10 \r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        free(scan(bad[i], strlen(bad[i]), 64, 5, &came));
        assert_int_equal(came, AOF_SCAN_BAD_MARK);
        free(scan(bad[i], strlen(bad[i]), 64, 0, &came));
        assert_int_equal(came, AOF_SCAN_WHOLE);
    }
}

static void test_a_failing_read_is_no_end(void **state)
{
    struct tape t = {.p = PING "*1", .n = 16, .step = 5, .end = -EIO};
    struct aof_scan *s = malloc(sizeof *s);
    assert_non_null(s);
    aof_scan_init(s, play, &t, 100);
    assert_int_equal(aof_scan_run(s), AOF_SCAN_FAILED);
    assert_int_equal(s->whole, 114);
    free(s);
}

static void test_lines_are_counted(void **state)
{
    enum aof_scan_end came;
    struct aof_scan *s = scan(PING "#TS:1\r\n" PING, 35, 4, 0, &came);
    assert_int_equal(s->lines, 7);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_commands_are_whole),
        cmocka_unit_test(test_a_cut_at_any_byte_is_found),
        cmocka_unit_test(test_what_is_wrong_is_said),
        cmocka_unit_test(test_a_digit_too_many_ends_a_number),
        cmocka_unit_test(test_a_mark_without_an_end_is_bounded),
        cmocka_unit_test(test_a_time_ends_it_before_the_mark_behind),
        cmocka_unit_test(test_a_failing_read_is_no_end),
        cmocka_unit_test(test_lines_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
