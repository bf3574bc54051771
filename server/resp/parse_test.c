/* SPDX-License-Identifier: MIT */
#include "server/resp/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct resp_limits open_limits = {.bulk_bytes_max = 512 << 20};
static const struct resp_limits unauth_limits = {.bulk_bytes_max = 512 << 20, .unauthenticated = true};

/* Everything in `in`, shown as "[a|b] [c] " and at the end "!error" or "..." when bytes are left over. The stream is
 * given `step` bytes at a time, each time in a fresh allocation of exactly the bytes there are. */
static void show(char *got, size_t size, const struct resp_limits *limits, struct bytes in, size_t step)
{
    struct resp_parser ps;
    struct argv_vec argv;
    resp_parser_init(&ps);
    argv_vec_init(&argv);
    size_t start = 0, have = 0;
    got[0] = 0;
    for (;;) {
        char *copy = malloc(have - start ? have - start : 1);
        memcpy(copy, in.p + start, have - start);
        struct resp_request q;
        argv.used = 0;
        enum resp_result r = resp_parse(&ps, limits, copy, have - start, &argv, &q);
        assert_true(q.consumed <= have - start || r == RESP_ERROR);
        char *p = got + strlen(got), *end = got + size;
        if (r == RESP_COMMAND) {
            assert_int_equal(argv.used, q.argc);
            for (int i = 0; i < q.argc; i++)
                p += snprintf(p, (size_t)(end - p), "%c%.*s", i ? '|' : '[', (int)argv.v[q.first + (size_t)i].n,
                              argv.v[q.first + (size_t)i].p);
            snprintf(p, (size_t)(end - p), "] ");
            start += q.consumed;
        } else if (r == RESP_NEED_MORE) {
            start += q.consumed;
            assert_true(q.want > have - start);
            if (have == in.n) {
                if (start < have) snprintf(p, (size_t)(end - p), "...");
                free(copy);
                break;
            }
            have = have + step < in.n ? have + step : in.n;
        } else {
            snprintf(p, (size_t)(end - p), "!%s", q.error);
            free(copy);
            break;
        }
        free(copy);
    }
    argv_vec_fini(&argv);
}

static void expect_with(const struct resp_limits *limits, struct bytes in, const char *expected)
{
    static const size_t steps[] = {1, 2, 3, 7, 1000, 1 << 30};
    static char got[8192];
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        show(got, sizeof got, limits, in, steps[i]);
        assert_string_equal(got, expected);
    }
}

static void expect(const char *in, const char *expected) { expect_with(&open_limits, bytes_of_str(in), expected); }

static void test_broken_lengths_are_refused(void **state)
{
    expect("*x\r\n", "!Protocol error: invalid multibulk length");
    expect("*01\r\n$1\r\na\r\n", "!Protocol error: invalid multibulk length");
    expect("*+1\r\n", "!Protocol error: invalid multibulk length");
    expect("*\r\n", "!Protocol error: invalid multibulk length");
    expect("*3000000000\r\n", "!Protocol error: invalid multibulk length");
    expect("*2147483647\r\n", "...");
    expect("*1\r\n$-1\r\n", "!Protocol error: invalid bulk length");
    expect("*1\r\n$\r\n", "!Protocol error: invalid bulk length");
    expect("*1\r\n$536870913\r\n", "!Protocol error: invalid bulk length");
    expect("*1\r\n$536870912\r\n", "...");
    expect("*1\r\n$007\r\nabcdefg\r\n", "!Protocol error: invalid bulk length");
    expect("*1\r\nfooz\r\n", "!Protocol error: expected '$', got 'f'");
    expect("*1\r\n\r\n", "!Protocol error: expected '$', got '\r'");
    expect("*2\r\n$3\r\nGET\r\n:1\r\n", "!Protocol error: expected '$', got ':'");
}

static void test_endless_lines_are_refused(void **state)
{
    static char line[70000];
    for (int kind = 0; kind < 3; kind++) {
        memset(line, '1', sizeof line);
        if (kind == 1) line[0] = '*';
        if (kind == 2) memcpy(line, "*1\r\n$", 5);
        char got[200];
        const char *expected = kind == 0   ? "!Protocol error: too big inline request"
                               : kind == 1 ? "!Protocol error: too big mbulk count string"
                                           : "!Protocol error: too big bulk count string";
        show(got, sizeof got, &open_limits, bytes_of(line, 65536), 16384);
        assert_string_equal(got, "...");
        show(got, sizeof got, &open_limits, bytes_of(line, sizeof line), 16384);
        assert_string_equal(got, expected);
        memcpy(line + sizeof line - 2, "\r\n", 2);
        show(got, sizeof got, &open_limits, bytes_of(line, sizeof line), sizeof line);
        assert_string_equal(got, expected);
        /* A NUL hides the line's end. */
        memset(line + 10, 0, 1);
        memcpy(line + 20, "\r\n", 2);
        show(got, sizeof got, &open_limits, bytes_of(line, sizeof line), 16384);
        assert_string_equal(got, expected);
    }
}

static void test_the_unauthenticated_get_little(void **state)
{
    expect_with(&unauth_limits, BYTES("*11\r\n"), "!Protocol error: unauthenticated multibulk length");
    expect_with(&unauth_limits, BYTES("*1\r\n$16385\r\n"), "!Protocol error: unauthenticated bulk length");
    expect_with(&unauth_limits, BYTES("*1\r\n$16384\r\n"), "...");
    expect_with(&unauth_limits,
                BYTES("*10\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n$1\r\n7\r\n$1\r\n8\r\n$"
                      "1\r\n9\r\n$1\r\n0\r\n"),
                "[1|2|3|4|5|6|7|8|9|0] ");
}

static void test_unbalanced_quotes_are_refused(void **state)
{
    expect("set \"\"\"test\"\"\" test\r\n", "!Protocol error: unbalanced quotes in request");
    expect("a 'b\r\n", "!Protocol error: unbalanced quotes in request");
    expect("a \"b\\\r\n", "!Protocol error: unbalanced quotes in request");
    expect("a \"b\"c\r\n", "!Protocol error: unbalanced quotes in request");
}

static void test_multibulk_commands_follow_each_other(void **state)
{
    expect("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n*1\r\n$4\r\nPING\r\n", "[GET|key:000000000001] [PING] ");
    expect("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$3\r\n\r\nx\r\n*1\r\n$4\r\nPI", "[SET||\r\nx] ...");
    expect("*1\r\n$2\r\nab\r\nPING\r\n", "[ab] [PING] ");
    expect("*1\r\n$2\r\nabXY*1\r\n$1\r\nc\r\n", "[ab] [c] "); /* the line end behind a bulk is not looked at */
}

static void test_empty_commands_are_passed_over(void **state)
{
    expect("*0\r\n*-1\r\n\r\n  \r\n\n*-100\r\n*1\r\n$1\r\na\r\n\r\n", "[a] ");
    expect("", "");
}

static void test_inline_words_are_unquoted(void **state)
{
    expect("  SET  key\tvalue \r\nGET key\n", "[SET|key|value] [GET|key] ");
    expect("ECHO \"a\\x41\\n\\t\\\"\\q\\x4\" 'b\\'\\n' c\\n\r\n", "[ECHO|aA\n\t\"qx4|b'\\n|c\\n] ");
    expect("ECHO \"\" ''\r\n", "[ECHO||] ");
    expect("a\"b c\" d\r\n", "[ab c|d] ");
}

static void test_large_lengths_and_many_arguments_are_parsed(void **state)
{
    enum { ARGS = 150000 };
    char *in = malloc(ARGS * 12 + 200000);
    size_t n = (size_t)sprintf(in, "*%d\r\n", ARGS + 1);
    for (int i = 0; i < ARGS; i++) n += (size_t)sprintf(in + n, "$%d\r\n%06d\r\n", 6, i % 1000000);
    n += (size_t)sprintf(in + n, "$100000\r\n");
    memset(in + n, 'x', 100000);
    memcpy(in + n + 100000, "\r\n", 2);
    n += 100002;
    for (size_t step = 4096; step <= 1 << 24; step <<= 6) {
        struct resp_parser ps;
        struct argv_vec argv;
        struct resp_request q;
        resp_parser_init(&ps);
        argv_vec_init(&argv);
        size_t have = 0;
        enum resp_result r;
        while ((r = resp_parse(&ps, &open_limits, in, have, &argv, &q)) == RESP_NEED_MORE) {
            assert_true(q.want <= n);
            have = have + step < n ? have + step : n;
        }
        assert_int_equal(r, RESP_COMMAND);
        assert_int_equal(q.argc, ARGS + 1);
        assert_int_equal(q.consumed, n);
        assert_memory_equal(argv.v[777].p, "000777", 6);
        assert_int_equal(argv.v[ARGS].n, 100000);
        argv_vec_fini(&argv);
    }
    free(in);
}

static void test_a_reader_is_told_how_much_a_bulk_needs(void **state)
{
    struct resp_parser ps;
    struct argv_vec argv;
    struct resp_request q;
    char in[] = "\r\n*2\r\n$3\r\nSET\r\n$1000000\r\nxx";
    resp_parser_init(&ps);
    argv_vec_init(&argv);
    assert_int_equal(resp_parse(&ps, &open_limits, in, sizeof in - 1, &argv, &q), RESP_NEED_MORE);
    assert_int_equal(q.consumed, 2);
    assert_int_equal(q.want, strlen("*2\r\n$3\r\nSET\r\n$1000000\r\n") + 1000000 + 2);
    assert_true(resp_parser_is_inside(&ps));
    assert_int_equal(argv.used, 0);
    argv_vec_fini(&argv);
}

static void test_no_memory_is_taken_for_what_is_only_announced(void **state)
{
    struct resp_parser ps;
    struct argv_vec argv;
    struct resp_request q;
    char in[] = "*2147483647\r\n$1\r\na\r\n";
    resp_parser_init(&ps);
    argv_vec_init(&argv);
    assert_int_equal(resp_parse(&ps, &open_limits, in, sizeof in - 1, &argv, &q), RESP_NEED_MORE);
    assert_true(argv.cap <= 1024);
    argv_vec_fini(&argv);
}

static void test_a_batch_shares_one_vector(void **state)
{
    struct resp_parser ps;
    struct argv_vec argv;
    struct resp_request q;
    char in[] = "*1\r\n$4\r\nPING\r\nGET k\r\n";
    resp_parser_init(&ps);
    argv_vec_init(&argv);
    assert_int_equal(resp_parse(&ps, &open_limits, in, sizeof in - 1, &argv, &q), RESP_COMMAND);
    assert_int_equal(q.first, 0);
    assert_false(q.is_inline);
    size_t at = q.consumed;
    assert_int_equal(resp_parse(&ps, &open_limits, in + at, sizeof in - 1 - at, &argv, &q), RESP_COMMAND);
    assert_int_equal(q.first, 1);
    assert_true(q.is_inline);
    assert_int_equal(argv.used, 3);
    argv_vec_fini(&argv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_lengths_are_refused),
        cmocka_unit_test(test_endless_lines_are_refused),
        cmocka_unit_test(test_the_unauthenticated_get_little),
        cmocka_unit_test(test_unbalanced_quotes_are_refused),
        cmocka_unit_test(test_multibulk_commands_follow_each_other),
        cmocka_unit_test(test_empty_commands_are_passed_over),
        cmocka_unit_test(test_inline_words_are_unquoted),
        cmocka_unit_test(test_large_lengths_and_many_arguments_are_parsed),
        cmocka_unit_test(test_a_reader_is_told_how_much_a_bulk_needs),
        cmocka_unit_test(test_no_memory_is_taken_for_what_is_only_announced),
        cmocka_unit_test(test_a_batch_shares_one_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
