/* SPDX-License-Identifier: MIT
 *
 * Append-only files as demikv-check-aof reads them. The first byte says how: bit 0, byte by byte; bit 1, to a time.
 * What is called whole is whole when it stands alone, is the same however the bytes come, and is nothing but commands
 * to the parser that the server loads with.
 */
#include <stdint.h>

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"
#include "server/mem.h"
#include "server/persist/aof_scan.h"
#include "server/resp/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define UNTIL_S 20

struct drip {
    const char *at, *end;
    size_t step;
};

static long give(void *arg, char *buf, size_t room)
{
    struct drip *d = arg;
    size_t n = (size_t)(d->end - d->at);
    if (n > room) n = room;
    if (n > d->step) n = d->step;
    memcpy(buf, d->at, n);
    d->at += n;
    return (long)n;
}

static enum aof_scan_end scan(struct bytes file, size_t step, int64_t until_s, uint64_t *whole)
{
    struct drip drip = {file.p, file.p + file.n, step};
    struct aof_scan *s = mem_alloc(sizeof *s);
    aof_scan_init(s, give, &drip, 0);
    s->until_s = until_s;
    enum aof_scan_end end = aof_scan_run(s);
    *whole = s->whole;
    ASSERT(memchr(s->why, 0, sizeof s->why) != NULL);
    ASSERT(end != AOF_SCAN_FAILED);
    ASSERT(s->whole <= file.n);
    mem_free(s);
    return end;
}

/* Every byte belongs to a mark or to a command. */
static void parse_all(char *p, size_t n)
{
    static const struct resp_limits limits = {.bulk_bytes_max = INT64_MAX};
    struct argv_vec argv;
    struct resp_parser parser;
    argv_vec_init(&argv);
    resp_parser_init(&parser);
    for (size_t at = 0; at < n;) {
        if (p[at] == '#') {
            char *end = memchr(p + at, '\n', n - at);
            ASSERT(end != NULL);
            at = (size_t)(end + 1 - p);
            continue;
        }
        struct resp_request q;
        argv_vec_reset(&argv);
        enum resp_result result = resp_parse(&parser, &limits, p + at, n - at, &argv, &q);
        ASSERT(result == RESP_COMMAND);
        ASSERT(!q.is_inline);
        at += q.consumed;
        ASSERT(at <= n);
    }
    argv_vec_fini(&argv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    size_t n = size - 1;
    int64_t until_s = data[0] & 2 ? UNTIL_S : 0;
    uint64_t whole, again;
    char *copy = mem_alloc(n + 1);
    memcpy(copy, data + 1, n);
    enum aof_scan_end end = scan(bytes_of(copy, n), SIZE_MAX, until_s, &whole);
    ASSERT((end == AOF_SCAN_WHOLE) == (whole == n) || end == AOF_SCAN_BAD_MARK);
    if (data[0] & 1) {
        enum aof_scan_end dripping = scan(bytes_of(copy, n), 1, until_s, &again);
        ASSERT(dripping == end);
        ASSERT(again == whole);
    }
    end = scan(bytes_of(copy, (size_t)whole), SIZE_MAX, 0, &again);
    ASSERT(end == AOF_SCAN_WHOLE);
    ASSERT(again == whole);
    parse_all(copy, (size_t)whole);
    mem_free(copy);
    return 0;
}
