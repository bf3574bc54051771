/* SPDX-License-Identifier: MIT */
#include "server/metrics/http_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOST "Host: h\r\n"

static size_t parse(struct bytes in, struct http_request *out) { return http_request_parse(in, "/metrics", out); }

/* The status of a whole request, of which every beginning is neither too much nor an answer; 0: it is not whole. */
static int status_of(const char *text)
{
    struct http_request r;
    struct bytes in = bytes_of_str(text);
    size_t n = parse(in, &r);
    if (!n) return 0;
    assert_true(n <= in.n);
    if (r.status != HTTP_OK) return (int)r.status;
    assert_int_equal(n, in.n);
    for (size_t part = 0; part < n; part++) assert_int_equal(parse(bytes_of(in.p, part), &r), 0);
    return HTTP_OK;
}

static void test_a_scrape_is_understood(void **state)
{
    static const char *const texts[] = {
        "GET /metrics HTTP/1.1\r\n" HOST "\r\n",
        "HEAD /metrics HTTP/1.1\r\n" HOST "\r\n",
        "GET /metrics HTTP/1.0\r\n\r\n",
        "\r\nGET /metrics HTTP/1.1\r\n" HOST "\r\n",
        "GET /metrics?name[]=x&y HTTP/1.1\r\n" HOST "\r\n",
        "GET http://host:9121/metrics HTTP/1.1\r\n" HOST "\r\n",
        "GET /metrics HTTP/1.1\r\nhost:  10.0.0.1:9121 \t\r\nAccept: text/plain;q=0.5,*/*\r\nContent-Length: 0\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost:\r\nX-Any: caf\xc3\xa9\ttab\r\nX-Empty:\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_int_equal(status_of(texts[i]), HTTP_OK);
}

static void test_what_is_wrong_has_its_status(void **state)
{
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        {HTTP_NOT_FOUND, "GET / HTTP/1.1\r\n" HOST "\r\n"},
        {HTTP_NOT_FOUND, "GET /metrics/ HTTP/1.1\r\n" HOST "\r\n"},
        {HTTP_NOT_FOUND, "GET /METRICS HTTP/1.1\r\n" HOST "\r\n"},
        {HTTP_NOT_FOUND, "GET /%6detrics HTTP/1.1\r\n" HOST "\r\n"},
        {HTTP_NOT_FOUND, "GET http://host HTTP/1.1\r\n" HOST "\r\n"},
        {HTTP_METHOD_NOT_ALLOWED, "POST /metrics HTTP/1.1\r\n" HOST "Content-Length: 7\r\n\r\n"},
        {HTTP_METHOD_NOT_ALLOWED, "get /metrics HTTP/1.1\r\n" HOST "\r\n"},
        {HTTP_METHOD_NOT_ALLOWED, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"},
        {HTTP_CONTENT_TOO_LARGE, "GET /metrics HTTP/1.1\r\n" HOST "Content-Length: 00001\r\n\r\n"},
        {HTTP_NOT_IMPLEMENTED, "GET /metrics HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"},
        {HTTP_EXPECTATION_FAILED, "GET /metrics HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n"},
        {HTTP_VERSION_NOT_SUPPORTED, "GET /metrics HTTP/2.0\r\n" HOST "\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\n\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\n" HOST HOST "\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\nHost: a b\r\n\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\nHost: u@h\r\n\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\n" HOST "\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\n" HOST "\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\n" HOST " folded\r\n\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\nHost : h\r\n\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\n" HOST "nocolon\r\n\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\n" HOST ": empty\r\n\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\n" HOST "Content-Length: 0\r\nContent-Length: 0\r\n\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\n" HOST "Content-Length: +0\r\n\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\n" HOST "Content-Length: 0, 0\r\n\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1\r\n" HOST "A: \x01\r\n\r\n"},
        {HTTP_BAD_REQUEST, "GET  /metrics HTTP/1.1\r\n" HOST "\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.1 \r\n" HOST "\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics http/1.1\r\n" HOST "\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics HTTP/1.x\r\n" HOST "\r\n"},
        {HTTP_BAD_REQUEST, "GET /met\xffrics HTTP/1.1\r\n" HOST "\r\n"},
        {HTTP_BAD_REQUEST, "GET metrics HTTP/1.1\r\n" HOST "\r\n"},
        {HTTP_BAD_REQUEST, "GET http:///metrics HTTP/1.1\r\n" HOST "\r\n"},
        {HTTP_BAD_REQUEST, "GET /metrics\r\n"},
        {HTTP_BAD_REQUEST, "\r\n\r\nGET /metrics HTTP/1.1\r\n" HOST "\r\n"},
        {HTTP_BAD_REQUEST, "PING\r\n"},
        {HTTP_BAD_REQUEST, "*1\r\n$4\r\nPING\r\n"},
        {HTTP_BAD_REQUEST, "\x16\x03\x01\x02\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = status_of(cases[i].text);
        if (status != cases[i].status) fail_msg("%d, not %d: %s", status, cases[i].status, cases[i].text);
    }
}

/* What is wrong with a request is told although what stands behind it is no request any more. */
static void test_after_what_is_wrong_the_connection_ends(void **state)
{
    struct http_request r;
    assert_true(parse(BYTES("POST /metrics HTTP/1.1\r\n" HOST "Content-Length: 40\r\n\r\n"), &r) > 0);
    assert_true(r.closes);
    assert_true(parse(BYTES("GET /metrics HTTP/1.1\r\n" HOST "Content-Length: 40\r\n\r\n"), &r) > 0);
    assert_true(r.closes);
    assert_true(parse(BYTES("GET /none HTTP/1.1\r\n" HOST "\r\n"), &r) > 0);
    assert_false(r.closes); /* this one is only not there */
}

static void test_the_connection_is_kept_unless_somebody_wants_otherwise(void **state)
{
    struct http_request r;
    parse(BYTES("GET /metrics HTTP/1.1\r\n" HOST "\r\n"), &r);
    assert_false(r.closes || r.is_old || r.is_head);
    parse(BYTES("GET /metrics HTTP/1.1\r\n" HOST "Connection: te, Close\r\n\r\n"), &r);
    assert_true(r.closes);
    parse(BYTES("GET /metrics HTTP/1.1\r\n" HOST "Connection: closer\r\n\r\n"), &r);
    assert_false(r.closes);
    parse(BYTES("HEAD /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), &r);
    assert_true(r.closes && r.is_old && r.is_head);
}

static void test_a_pipelined_request_is_left_alone(void **state)
{
    struct http_request r;
    struct bytes one = BYTES("GET /metrics HTTP/1.1\r\n" HOST "\r\n");
    struct bytes two = BYTES("GET /metrics HTTP/1.1\r\n" HOST "\r\nPOST / HTTP/1.1\r\n\r\n");
    assert_int_equal(parse(two, &r), one.n);
    assert_int_equal(r.status, HTTP_OK);
}

/* A request of the given lengths; the caller frees it. */
static char *long_request(size_t target, size_t headers, size_t value)
{
    char *text = malloc(target + headers * (value + 16) + 100), *at = text;
    at += sprintf(at, "GET /metrics?");
    for (size_t i = 0; i < target; i++) *at++ = 'x';
    at += sprintf(at, " HTTP/1.1\r\nHost: h\r\n");
    for (size_t i = 1; i < headers; i++) at += sprintf(at, "A: %0*d\r\n", (int)value, 1);
    sprintf(at, "\r\n");
    return text;
}

static int long_status(size_t target, size_t headers, size_t value)
{
    struct http_request r;
    char *text = long_request(target, headers, value);
    size_t n = parse(bytes_of_str(text), &r);
    free(text);
    return n ? (int)r.status : 0;
}

static void test_bounds_hold_on_both_sides(void **state)
{
    size_t fixed = strlen("GET /metrics? HTTP/1.1");
    assert_int_equal(long_status(HTTP_LINE_MAX - fixed, 1, 1), HTTP_OK);
    assert_int_equal(long_status(HTTP_LINE_MAX - fixed + 1, 1, 1), HTTP_URI_TOO_LONG);
    assert_int_equal(long_status(0, HTTP_HEADERS_MAX, 1), HTTP_OK);
    assert_int_equal(long_status(0, HTTP_HEADERS_MAX + 1, 1), HTTP_HEAD_TOO_LARGE);
    size_t rest = strlen("GET /metrics? HTTP/1.1\r\nHost: h\r\nA: \r\n\r\n");
    assert_int_equal(long_status(0, 2, HTTP_HEAD_MAX - rest), HTTP_OK);
    assert_int_equal(long_status(0, 2, HTTP_HEAD_MAX - rest + 1), HTTP_HEAD_TOO_LARGE);
    assert_int_equal(long_status(0, 2, 2 * HTTP_HEAD_MAX), HTTP_HEAD_TOO_LARGE);
}

/* Who never sends an end of line is not waited for. */
static void test_a_line_without_end_is_refused_at_its_bound(void **state)
{
    struct http_request r;
    char text[HTTP_HEAD_MAX + 1];
    memset(text, 'G', sizeof text);
    assert_int_equal(parse(bytes_of(text, HTTP_LINE_MAX), &r), 0);
    assert_true(parse(bytes_of(text, HTTP_LINE_MAX + 1), &r) > 0);
    assert_int_equal(r.status, HTTP_URI_TOO_LONG);
    int n = snprintf(text, sizeof text, "GET /metrics HTTP/1.1\r\nA: ");
    text[n] = 'x';
    assert_int_equal(parse(bytes_of(text, HTTP_HEAD_MAX - 1), &r), 0);
    assert_true(parse(bytes_of(text, HTTP_HEAD_MAX), &r) > 0);
    assert_int_equal(r.status, HTTP_HEAD_TOO_LARGE);
}

static void test_every_status_has_its_reason(void **state)
{
    assert_string_equal(http_reason(HTTP_OK), "OK");
    assert_string_equal(http_reason(HTTP_HEAD_TOO_LARGE), "Request Header Fields Too Large");
    assert_string_equal(http_reason((enum http_status)599), "Error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_scrape_is_understood),
        cmocka_unit_test(test_what_is_wrong_has_its_status),
        cmocka_unit_test(test_after_what_is_wrong_the_connection_ends),
        cmocka_unit_test(test_the_connection_is_kept_unless_somebody_wants_otherwise),
        cmocka_unit_test(test_a_pipelined_request_is_left_alone),
        cmocka_unit_test(test_bounds_hold_on_both_sides),
        cmocka_unit_test(test_a_line_without_end_is_refused_at_its_bound),
        cmocka_unit_test(test_every_status_has_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
