/* SPDX-License-Identifier: MIT
 *
 * Of debug builds: reads a reply again as its receiver will, and asserts that lengths and counts are those of what
 * follows them. A handler that announces three elements and writes two leaves every later reply of the connection in
 * the wrong place, and nobody here would notice.
 */
#include "server/resp/reply.h"

#ifdef DEMI_DEBUG

#include "server/ds/number.h"
#include "server/mem.h"

/* The line from *at on without its type and "\r\n"; *at is behind it afterwards. */
static struct bytes line_at(struct bytes text, size_t *at)
{
    size_t start = *at + 1;
    const char *end = memchr(text.p + *at, '\r', text.n - *at);
    ASSERT(end != NULL);
    size_t n = (size_t)(end - text.p);
    ASSERT(n + 2 <= text.n);
    ASSERT(end[1] == '\n');
    *at = n + 2;
    return bytes_of(text.p + start, n - start);
}

static int64_t length_of(struct bytes line)
{
    int64_t n = 0;
    bool is_number = number_parse_i64(line, &n);
    ASSERT(is_number);
    ASSERT(n >= -1);
    return n;
}

static void pass_payload(struct bytes text, size_t *at, int64_t length)
{
    if (length < 0) return;
    ASSERT((size_t)length + 2 <= text.n - *at);
    *at += (size_t)length;
    ASSERT(text.p[*at] == '\r' && text.p[*at + 1] == '\n');
    *at += 2;
}

/* One value, aggregates with all that is in them: `due` counts the values still to come. */
static void pass_value(struct bytes text, size_t *at)
{
    for (uint64_t due = 1; due > 0;) {
        ASSERT(*at < text.n); /* an aggregate has less in it than it says */
        char type = text.p[*at];
        struct bytes line = line_at(text, at);
        due--;
        switch (type) {
        case '$':
        case '=': pass_payload(text, at, length_of(line)); break;
        case '*':
        case '~':
        case '>': {
            int64_t n = length_of(line);
            if (n > 0) due += (uint64_t)n;
            break;
        }
        case '%': due += 2 * (uint64_t)length_of(line); break;
        case '|': due += 2 * (uint64_t)length_of(line) + 1; break; /* the value it is about comes behind it */
        default: ASSERT(memchr("+-:_#,(", type, 7) != NULL);
        }
    }
}

size_t reply_check(const struct reply *r, size_t from)
{
    size_t values = 0, n = reply_bytes(r);
    ASSERT(from <= n);
    char *copy = mem_alloc(n + 1);
    reply_copy_out(r, copy);
    for (size_t at = from; at < n; values++) pass_value(bytes_of(copy, n), &at);
    mem_free(copy);
    return values;
}

#endif
