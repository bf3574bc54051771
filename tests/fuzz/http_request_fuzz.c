/* SPDX-License-Identifier: MIT
 *
 * Requests to /metrics: each beginning of the input is read as if no more had come yet. As long as it is not judged it
 * is within the bounds; once it is, more bytes change nothing that matters. A request that is fine ends with its empty
 * line, and one that is not closes, unless what it asks for is only not there. Then what stands behind it is read,
 * pipelined.
 */
#include "alloc/base/assert.h"
#include "server/metrics/http_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t parse(struct bytes in, struct http_request *out) { return http_request_parse(in, "/metrics", out); }

static bool same(const struct http_request *a, const struct http_request *b)
{
    return a->status == b->status && a->is_head == b->is_head && a->is_old == b->is_old && a->closes == b->closes;
}

static void look_at(struct bytes in, size_t used, const struct http_request *r)
{
    ASSERT(used <= in.n && used <= HTTP_HEAD_MAX);
    ASSERT(http_reason(r->status) != NULL);
    if (r->closes && r->status != HTTP_OK) return;
    ASSERT(r->status == HTTP_OK || r->status == HTTP_NOT_FOUND);
    ASSERT(used >= 4 && memcmp(in.p + used - 4, "\r\n\r\n", 4) == 0);
}

static bool is_refused(const struct http_request *r) { return r->status != HTTP_OK && r->status != HTTP_NOT_FOUND; }

/* The shortest beginning that is judged: with all of the input, too, it is fine, or is not (a line that is too long may
 * turn out to be wrong otherwise). */
static void read_in_pieces(struct bytes in, size_t used, const struct http_request *whole)
{
    struct http_request r;
    size_t step = in.n > 512 ? in.n / 64 : 1;
    for (size_t n = 0; n <= in.n; n += step) {
        size_t part = parse(bytes_of(in.p, n), &r);
        if (!part) {
            ASSERT(n < HTTP_HEAD_MAX);
            continue;
        }
        ASSERT(used && is_refused(&r) == is_refused(whole));
        ASSERT(is_refused(&r) || (part == used && same(&r, whole)));
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    if (size > 16384) return 0;
    for (unsigned requests = 0; in.n && requests < 100; requests++) {
        struct http_request r;
        size_t used = parse(in, &r);
        read_in_pieces(in, used, &r);
        if (!used) {
            ASSERT(in.n < HTTP_HEAD_MAX);
            break;
        }
        look_at(in, used, &r);
        if (r.closes) break;
        in = bytes_of(in.p + used, in.n - used);
    }
    return 0;
}
