/* SPDX-License-Identifier: MIT */
#include "server/resp/reply.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc/base/assert_test.h"

#include "demi/ext.h"

#define TEXT(s) bytes_of_str(s)

/* Ends the reply: its chunks must be these bytes. */
static void expect_n(struct reply *r, const char *expected, size_t size)
{
    size_t n = reply_bytes(r);
    char *all = malloc(n + 1), *taken = malloc(n + 1);
    reply_copy_out(r, all);
    all[n] = 0;
    size_t at = 0;
    struct reply_chunk *c = reply_take_chunks(r);
    while (c) {
        struct reply_chunk *next = c->next;
        assert_true(c->used > 0 && at + c->used <= n);
        memcpy(taken + at, c->data, c->used);
        at += c->used;
        reply_chunk_free(c);
        c = next;
    }
    assert_int_equal(at, n);
    assert_memory_equal(all, taken, n);
    assert_int_equal(n, size);
    assert_memory_equal(all, expected, n);
    assert_int_equal(reply_bytes(r), 0);
    free(all), free(taken);
}

static void expect(struct reply *r, const char *expected) { expect_n(r, expected, strlen(expected)); }

static void write_all(struct reply *r)
{
    reply_ok(r);
    reply_status(r, "PONG");
    reply_int(r, 0), reply_int(r, 1234567890123), reply_int(r, -7), reply_int(r, INT64_MIN);
    reply_bulk(r, TEXT("")), reply_bulk_str(r, "k"), reply_bulk_int(r, -42);
    reply_null(r), reply_null_array(r);
    reply_bool(r, true), reply_bool(r, false);
    reply_double(r, 1.5), reply_double(r, INFINITY), reply_double(r, 3);
    reply_big_number(r, TEXT("123456789012345678901234567890"));
    reply_verbatim(r, TEXT("hi"), "txt");
    reply_array(r, 3), reply_map(r, 12), reply_set(r, 1), reply_push(r, 0);
}

static void test_resp2_has_fallbacks(void **state)
{
    struct reply r;
    reply_init(&r, 2);
    write_all(&r);
    expect(&r, "+OK\r\n+PONG\r\n:0\r\n:1234567890123\r\n:-7\r\n:-9223372036854775808\r\n$0\r\n\r\n$1\r\nk\r\n"
               "$3\r\n-42\r\n"
               "$-1\r\n*-1\r\n:1\r\n:0\r\n$3\r\n1.5\r\n$3\r\ninf\r\n$1\r\n3\r\n$"
               "30\r\n123456789012345678901234567890\r\n"
               "$2\r\nhi\r\n*3\r\n*24\r\n*1\r\n*0\r\n");
    reply_fini(&r);
}

static void test_resp3_has_types(void **state)
{
    struct reply r;
    reply_init(&r, 3);
    write_all(&r);
    reply_attribute(&r, 1);
    expect(&r, "+OK\r\n+PONG\r\n:0\r\n:1234567890123\r\n:-7\r\n:-9223372036854775808\r\n$0\r\n\r\n$1\r\nk\r\n"
               "$3\r\n-42\r\n"
               "_\r\n_\r\n#t\r\n#f\r\n,1.5\r\n,inf\r\n,3\r\n(123456789012345678901234567890\r\n"
               "=6\r\ntxt:hi\r\n*3\r\n%12\r\n~1\r\n>0\r\n|1\r\n");
    reply_fini(&r);
}

static void remember(void *ctx, struct bytes text) { snprintf(ctx, 64, "%.*s", (int)text.n, text.p); }

static void test_an_error_cannot_break_the_protocol(void **state)
{
    struct reply r;
    char last[64] = "";
    reply_init(&r, 2);
    r.on_error = remember;
    r.on_error_ctx = last;
    reply_error(&r, "syntax error");
    assert_string_equal(last, "ERR syntax error");
    reply_error(&r, "-WRONGTYPE Operation\r\n");
    assert_string_equal(last, "WRONGTYPE Operation");
    reply_errorf(&r, "unknown '%s'", "a\r\n+OK\r\nb");
    reply_error(&r, "");
    reply_status(&r, "a\r\nb");
    assert_int_equal(r.error_count, 4);
    expect(&r, "-ERR syntax error\r\n-WRONGTYPE Operation\r\n-ERR unknown 'a  +OK  b'\r\n-ERR \r\n+a  b\r\n");
    char *text = malloc(2001);
    memset(text, 'x', 2000), text[2000] = 0;
    reply_errorf(&r, "%s", text);
    assert_int_equal(reply_bytes(&r), 2007);
    free(text);
    reply_fini(&r);
}

static void test_bulks_of_every_length_are_whole(void **state)
{
    struct reply r;
    reply_init(&r, 2);
    size_t cap = 300 * 1200, n = 0;
    char *expected = malloc(cap), s[1200];
    for (size_t i = 0; i < sizeof s; i++) s[i] = (char)('a' + i % 26);
    for (size_t len = 0; len < sizeof s && n < cap - 2000; len += 1 + len / 50) {
        reply_bulk(&r, bytes_of(s, len));
        n += (size_t)sprintf(expected + n, "$%zu\r\n%.*s\r\n", len, (int)len, s);
    }
    assert_true(n > 2 * REPLY_CHUNK_SIZE);
    expect_n(&r, expected, n);
    free(expected);
    reply_fini(&r);
}

static void test_a_payload_may_span_chunks(void **state)
{
    struct reply r;
    reply_init(&r, 3);
    size_t len = 1000000;
    char *s = malloc(len), *expected = malloc(len + 200);
    memset(s, 'p', len);
    reply_array(&r, 2);
    reply_bulk(&r, bytes_of(s, len));
    reply_verbatim(&r, TEXT("v"), "mkd");
    size_t n = (size_t)sprintf(expected, "*2\r\n$%zu\r\n", len);
    memcpy(expected + n, s, len);
    n += len;
    n += (size_t)sprintf(expected + n, "\r\n=5\r\nmkd:v\r\n");
    expect_n(&r, expected, n);
    free(s), free(expected);
    reply_fini(&r);
}

static void test_deferred_lengths_nest_and_cross_chunks(void **state)
{
    struct reply r;
    reply_init(&r, 3);
    struct reply_mark outer = reply_defer(&r);
    reply_int(&r, 1);
    struct reply_mark inner = reply_defer(&r);
    reply_int(&r, 2);
    reply_defer_map(&r, inner, 1000);
    reply_int(&r, 3);
    reply_defer_set(&r, outer, 3);
    expect(&r, "~3\r\n:1\r\n%1000\r\n:2\r\n:3\r\n");

    r.proto = 2;
    outer = reply_defer(&r);
    size_t cap = 400000, n = 0;
    char *expected = malloc(cap);
    n += (size_t)sprintf(expected, "*40000\r\n");
    for (int i = 0; i < 20000; i++) {
        reply_bulk_int(&r, i % 10);
        reply_int(&r, 55555);
        n += (size_t)sprintf(expected + n, "$1\r\n%d\r\n:55555\r\n", i % 10);
    }
    reply_defer_map(&r, outer, 20000);
    expect_n(&r, expected, n);
    free(expected);
    reply_fini(&r);
}

static void count_release(void *ctx) { ++*(int *)ctx; }

static void test_foreign_memory_is_released_once(void **state)
{
    struct reply r;
    int released = 0;
    reply_init(&r, 2);
    size_t len = 100000;
    char *s = malloc(len), *expected = malloc(len + 100);
    memset(s, 'f', len);
    reply_bulk_ref(&r, TEXT("small"), count_release, &released);
    assert_int_equal(released, 1);
    reply_bulk_ref(&r, bytes_of(s, len), count_release, &released);
    reply_bulk_ref(&r, bytes_of(s, 40000), count_release, &released);
    assert_int_equal(released, 1);
    reply_reset(&r);
    assert_int_equal(released, 3);
    reply_bulk_ref(&r, bytes_of(s, len), count_release, &released);
    reply_ok(&r);
    size_t n = (size_t)sprintf(expected, "$%zu\r\n", len);
    memcpy(expected + n, s, len);
    n += len;
    n += (size_t)sprintf(expected + n, "\r\n+OK\r\n");
    expect_n(&r, expected, n);
    assert_int_equal(released, 4);
    free(s), free(expected);
    reply_fini(&r);
}

static bool up_to_50000(struct reply *r, size_t bytes) { return bytes <= 50000; }

/* Every way of writing much, with a bound: what was written is dropped, nothing more is taken, and the next reply is
 * whole again. */
static void test_a_reply_over_its_bound_holds_nothing(void **state)
{
    static char big[200000], small[1000];
    for (int way = 0; way < 8; way++) {
        struct reply r;
        struct demi_mem_stats before, over;
        int released = 0;
        reply_init(&r, way % 2 ? 2 : 3);
        r.may_grow = up_to_50000;
        demi_mem_stats(&before);
        struct reply_mark outer = reply_defer(&r), inner = reply_defer(&r);
        for (int i = 0; i < 3000; i++) {
            switch (way) {
            case 0: reply_bulk(&r, bytes_of(small, 90)); break;
            case 1: reply_bulk(&r, bytes_of(small, sizeof small)); break;
            case 2: reply_bulk(&r, bytes_of(big, sizeof big)); break;
            case 3: reply_raw(&r, bytes_of(big, sizeof big)); break;
            case 4: reply_bulk_ref(&r, bytes_of(big, sizeof big), count_release, &released); break;
            case 5: reply_verbatim(&r, bytes_of(big, sizeof big), "txt"); break;
            case 6: reply_error_bytes(&r, bytes_of(small, sizeof small)); break;
            default: reply_int(&r, i * 1000000000000);
            }
        }
        for (int i = 0; way == 7 && i < 100000; i++) reply_int(&r, i);
        reply_defer_array(&r, inner, 1);
        reply_defer_map(&r, outer, 1);
        assert_true(r.over);
        demi_mem_stats(&over);
        assert_true(over.used - before.used <= 2 * REPLY_CHUNK_SIZE);
        assert_int_equal(released, way == 4 ? 3000 : 0);
        reply_reset(&r);
        reply_ok(&r);
        assert_false(r.over);
        expect(&r, "+OK\r\n");
        reply_fini(&r);
    }
}

static void test_a_reply_appends_another_of_any_size(void **state)
{
    static char big[REPLY_CHUNK_MAX];
    memset(big, 'b', sizeof big);
    for (size_t n = 0; n < sizeof big; n = n * 3 + 1) {
        struct reply to, from;
        reply_init(&to, 3);
        reply_init(&from, 3);
        reply_ok(&to);
        for (int i = 0; i < 3; i++) reply_raw(&from, bytes_of(big, n));
        reply_append(&to, &from);
        assert_int_equal(reply_bytes(&from), 3 * n);
        char *expected = malloc(3 * n + 11);
        memcpy(expected, "+OK\r\n", 5);
        memset(expected + 5, 'b', 3 * n);
        memcpy(expected + 5 + 3 * n, "+OK\r\n", 5);
        reply_ok(&to);
        expect_n(&to, expected, 3 * n + 10);
        free(expected);
        reply_fini(&to);
        reply_fini(&from);
    }
}

#ifdef DEMI_DEBUG
static void check_text(void *text)
{
    struct reply r;
    reply_init(&r, 3);
    reply_raw(&r, bytes_of_str(text));
    reply_check(&r, 0);
    reply_fini(&r);
}

static size_t values_of(const char *text)
{
    struct reply r;
    reply_init(&r, 3);
    reply_raw(&r, bytes_of_str(text));
    size_t n = reply_check(&r, 0);
    reply_fini(&r);
    return n;
}
#endif

#ifdef DEMI_DEBUG /* there is no check otherwise */
static void test_the_check_sees_a_reply_that_is_not_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } wrong[] = {
        {"*2\r\n:1\r\n", "*at < text.n"},
        {"%1\r\n+k\r\n", "*at < text.n"},
        {"|1\r\n+k\r\n+v\r\n", "*at < text.n"},
        {"*1\r\n*2\r\n:1\r\n", "*at < text.n"},
        {"$3\r\nab\r\n", "(size_t)length + 2 <= text.n - *at"},
        {"$1\r\nab\r\n", "text.p[*at]"},
        {"$x\r\nab\r\n", "is_number"},
        {"*-2\r\n", "n >= -1"},
        {"+OK", "end != NULL"},
        {"+OK\rx", "end[1]"},
        {"OK\r\n", "memchr"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_is_seen(check_text, (void *)(uintptr_t)wrong[i].text, wrong[i].text, wrong[i].words, __LINE__);
    assert_int_equal(values_of(""), 0);
    assert_int_equal(values_of("+OK\r\n:1\r\n$-1\r\n*-1\r\n_\r\n#t\r\n,1.5\r\n(12\r\n$0\r\n\r\n"), 9);
    assert_int_equal(values_of("*2\r\n%1\r\n+k\r\n~0\r\n$2\r\n\r\n\r\n"), 1);
    assert_int_equal(values_of("|1\r\n+k\r\n+v\r\n:1\r\n"), 1);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_error_cannot_break_the_protocol),
        cmocka_unit_test(test_resp2_has_fallbacks),
        cmocka_unit_test(test_resp3_has_types),
        cmocka_unit_test(test_bulks_of_every_length_are_whole),
        cmocka_unit_test(test_a_payload_may_span_chunks),
        cmocka_unit_test(test_deferred_lengths_nest_and_cross_chunks),
        cmocka_unit_test(test_foreign_memory_is_released_once),
        cmocka_unit_test(test_a_reply_over_its_bound_holds_nothing),
        cmocka_unit_test(test_a_reply_appends_another_of_any_size),
#ifdef DEMI_DEBUG
        cmocka_unit_test(test_the_check_sees_a_reply_that_is_not_whole),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
