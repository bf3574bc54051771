/* SPDX-License-Identifier: MIT
 *
 * One pass over the lines that are there. Each bound is looked at before what it bounds, so a peer that sends without
 * an end of line is refused as soon as the bound is passed, not when the line ends.
 *
 *     request-line CRLF *( field-line CRLF ) CRLF                  RFC 9112 2.1
 *
 * What is refused although RFC 9112 lets a server take it: a bare LF (2.2), white space around what has none (3, 5.1),
 * a folded line (5.2), a body. What a body could hide is a second request (request smuggling), and no scrape has one:
 * Transfer-Encoding and a Content-Length that is not 0 end the connection. One empty line before the request line is
 * skipped (2.2).
 */
#include "server/metrics/http_request.h"

#include "alloc/base/assert.h"

const char *http_reason(enum http_status status)
{
    switch (status) {
    case HTTP_OK: return "OK";
    case HTTP_BAD_REQUEST: return "Bad Request";
    case HTTP_FORBIDDEN: return "Forbidden";
    case HTTP_NOT_FOUND: return "Not Found";
    case HTTP_METHOD_NOT_ALLOWED: return "Method Not Allowed";
    case HTTP_CONTENT_TOO_LARGE: return "Content Too Large";
    case HTTP_URI_TOO_LONG: return "URI Too Long";
    case HTTP_EXPECTATION_FAILED: return "Expectation Failed";
    case HTTP_HEAD_TOO_LARGE: return "Request Header Fields Too Large";
    case HTTP_NOT_IMPLEMENTED: return "Not Implemented";
    case HTTP_UNAVAILABLE: return "Service Unavailable";
    case HTTP_VERSION_NOT_SUPPORTED: return "HTTP Version Not Supported";
    }
    return "Error";
}

struct head {
    struct http_request *out;
    bool is_http11, has_host, has_length;
};

static bool refuse_as(struct head *h, enum http_status status)
{
    h->out->status = status;
    h->out->closes = true;
    return false;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

enum line_kind { LINE_WHOLE, LINE_PART, LINE_BAD };

/* The line that begins at *at, without its end; *at is moved behind it. */
static enum line_kind next_line(struct bytes in, size_t *at, struct bytes *line)
{
    const char *from = in.p + *at;
    size_t left = in.n - *at;
    const char *lf = left ? memchr(from, '\n', left) : NULL;
    size_t n = lf ? (size_t)(lf - from) : left;
    const char *cr = n ? memchr(from, '\r', n) : NULL;
    if (cr && cr != from + n - 1) return LINE_BAD; /* a CR inside of the line */
    if (!lf) return LINE_PART;
    if (!cr) return LINE_BAD; /* a bare LF */
    *line = bytes_of(from, n - 1);
    *at += n + 1;
    return LINE_WHOLE;
}

/* RFC 9110 5.6.2 */
static bool is_token(struct bytes s)
{
    static const char other[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && !(c && strchr(other, c))) return false;
    }
    return s.n > 0;
}

static struct bytes cut_spaces(struct bytes s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) s = bytes_of(s.p + 1, s.n - 1);
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
    return s;
}

/* What stands before the first c, and in *rest what stands behind it. False: there is none. */
static bool cut_at(struct bytes s, char c, struct bytes *before, struct bytes *rest)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    if (!at) return false;
    *before = bytes_of(s.p, (size_t)(at - s.p));
    *rest = bytes_of(at + 1, s.n - before->n - 1);
    return true;
}

/* --- the request line --------------------------------------------------------------------------------------------- */

static bool read_method(struct head *h, struct bytes method)
{
    if (bytes_equal(method, BYTES("GET"))) return true;
    if (bytes_equal(method, BYTES("HEAD"))) {
        h->out->is_head = true;
        return true;
    }
    h->out->status = HTTP_METHOD_NOT_ALLOWED;
    h->out->closes = true; /* it may have a body */
    return true;
}

/* "/metrics", "/metrics?any", "http://any/metrics" (RFC 9112 3.2.2: a server must take it). */
static bool read_target(struct head *h, struct bytes target, const char *path)
{
    struct bytes before, rest;
    for (size_t i = 0; i < target.n; i++)
        if ((unsigned char)target.p[i] <= ' ' || (unsigned char)target.p[i] >= 0x7f)
            return refuse_as(h, HTTP_BAD_REQUEST);
    if (!target.n) return refuse_as(h, HTTP_BAD_REQUEST);
    if (target.n > 7 && bytes_is_word(bytes_of(target.p, 7), "http://")) {
        target = bytes_of(target.p + 7, target.n - 7);
        if (!cut_at(target, '/', &before, &rest)) before = target, rest = BYTES("");
        if (!before.n) return refuse_as(h, HTTP_BAD_REQUEST);
        target = bytes_of(target.p + before.n, target.n - before.n);
    } else if (target.p[0] != '/' && h->out->status == HTTP_OK) { /* "*" is another method's */
        return refuse_as(h, HTTP_BAD_REQUEST);
    }
    if (cut_at(target, '?', &before, &rest)) target = before;
    if (h->out->status == HTTP_OK && !bytes_equal(target, bytes_of_str(path))) h->out->status = HTTP_NOT_FOUND;
    return true;
}

static bool read_version(struct head *h, struct bytes v)
{
    bool is_http = v.n == 8 && memcmp(v.p, "HTTP/", 5) == 0 && v.p[6] == '.';
    if (!is_http || v.p[5] < '0' || v.p[5] > '9' || v.p[7] < '0' || v.p[7] > '9') return refuse_as(h, HTTP_BAD_REQUEST);
    if (v.p[5] != '1') return refuse_as(h, HTTP_VERSION_NOT_SUPPORTED);
    h->is_http11 = v.p[7] != '0';
    h->out->is_old = !h->is_http11;
    h->out->closes |= h->out->is_old;
    return true;
}

static bool read_request_line(struct head *h, struct bytes line, const char *path)
{
    struct bytes method, target, version;
    if (!cut_at(line, ' ', &method, &line) || !cut_at(line, ' ', &target, &version))
        return refuse_as(h, HTTP_BAD_REQUEST);
    if (!is_token(method)) return refuse_as(h, HTTP_BAD_REQUEST);
    /* The version first: of a request that is not understood nothing else is judged. */
    return read_version(h, version) && read_method(h, method) && read_target(h, target, path);
}

/* --- fields ------------------------------------------------------------------------------------------------------- */

static bool read_length(struct head *h, struct bytes value)
{
    if (h->has_length || !value.n) return refuse_as(h, HTTP_BAD_REQUEST);
    h->has_length = true;
    bool is_zero = true;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9') return refuse_as(h, HTTP_BAD_REQUEST);
        is_zero &= value.p[i] == '0';
    }
    if (is_zero) return true;
    h->out->closes = true; /* what follows is no request */
    if (h->out->status == HTTP_OK) h->out->status = HTTP_CONTENT_TOO_LARGE;
    return true;
}

static bool read_host(struct head *h, struct bytes value)
{
    if (h->has_host) return refuse_as(h, HTTP_BAD_REQUEST); /* RFC 9112 3.2 */
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == ' ' || value.p[i] == '\t' || value.p[i] == '/' || value.p[i] == '@')
            return refuse_as(h, HTTP_BAD_REQUEST);
    h->has_host = true;
    return true;
}

/* A list of words; "keep-alive" is what HTTP/1.1 does anyway, and HTTP/1.0 does not need. */
static void read_connection(struct head *h, struct bytes value)
{
    struct bytes word;
    while (cut_at(value, ',', &word, &value)) h->out->closes |= bytes_is_word(cut_spaces(word), "close");
    h->out->closes |= bytes_is_word(cut_spaces(value), "close");
}

static bool read_field(struct head *h, struct bytes line)
{
    struct bytes name, value;
    /* A name that begins with white space is a folded line, one that ends with it a way to smuggle: no token both. */
    if (!cut_at(line, ':', &name, &value) || !is_token(name)) return refuse_as(h, HTTP_BAD_REQUEST);
    for (size_t i = 0; i < value.n; i++)
        if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
            return refuse_as(h, HTTP_BAD_REQUEST);
    value = cut_spaces(value);
    if (bytes_is_word(name, "host")) return read_host(h, value);
    if (bytes_is_word(name, "content-length")) return read_length(h, value);
    if (bytes_is_word(name, "transfer-encoding")) return refuse_as(h, HTTP_NOT_IMPLEMENTED);
    if (bytes_is_word(name, "expect")) return refuse_as(h, HTTP_EXPECTATION_FAILED);
    if (bytes_is_word(name, "connection")) read_connection(h, value);
    return true;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

/* Of what is not all there: whether it is too much already. */
static bool part_fits(struct head *h, size_t n, bool in_request_line)
{
    if (in_request_line && n > HTTP_LINE_MAX) return refuse_as(h, HTTP_URI_TOO_LONG);
    return n < HTTP_HEAD_MAX || refuse_as(h, HTTP_HEAD_TOO_LARGE);
}

static bool read_line(struct head *h, struct bytes line, unsigned number, const char *path)
{
    if (number > HTTP_HEADERS_MAX) return refuse_as(h, HTTP_HEAD_TOO_LARGE);
    if (number) return read_field(h, line);
    if (line.n > HTTP_LINE_MAX) return refuse_as(h, HTTP_URI_TOO_LONG);
    return read_request_line(h, line, path);
}

size_t http_request_parse(struct bytes in, const char *path, struct http_request *out)
{
    struct head h = {.out = out};
    size_t at = 0;
    ASSERT(path && path[0] == '/');
    *out = (struct http_request){.status = HTTP_OK};
    if (in.n > HTTP_HEAD_MAX) in.n = HTTP_HEAD_MAX;
    if (in.n >= 2 && in.p[0] == '\r' && in.p[1] == '\n') at = 2;
    for (unsigned number = 0;;) {
        struct bytes line;
        size_t begin = at;
        switch (next_line(in, &at, &line)) {
        case LINE_BAD: refuse_as(&h, HTTP_BAD_REQUEST); return in.n;
        case LINE_PART: return part_fits(&h, number ? in.n : in.n - begin, number == 0) ? 0 : in.n;
        case LINE_WHOLE: break;
        }
        if (number && !line.n) break;
        if (!read_line(&h, line, number++, path)) return at;
    }
    if (h.is_http11 && !h.has_host) refuse_as(&h, HTTP_BAD_REQUEST);
    return at;
}
