/* SPDX-License-Identifier: MIT
 *
 * The request parser: a stream gives the same commands and the same error however it is cut, and takes memory only for
 * arguments that have arrived. The first byte chooses how the second reading is cut and whether the client is
 * authenticated.
 */
#include <stdint.h>
#include <stdlib.h>

#include "alloc/base/assert.h"
#include "server/resp/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A running hash of everything that came out. */
struct digest {
    uint64_t h;
    size_t commands, left;
};

static void mix(struct digest *d, const char *p, size_t n)
{
    d->h = (d->h ^ n) * 1099511628211ull;
    for (size_t i = 0; i < n; i++) d->h = (d->h ^ (unsigned char)p[i]) * 1099511628211ull;
}

/* Every call sees a copy of exactly the bytes there are, so that the sanitizer sees a step outside. */
static struct digest read_stream(struct bytes in, size_t step, bool unauthenticated)
{
    const struct resp_limits limits = {.bulk_bytes_max = 1 << 20, .unauthenticated = unauthenticated};
    struct digest d = {.h = 14695981039346656037ull};
    struct resp_parser ps;
    struct argv_vec argv;
    size_t start = 0, have = step < in.n ? step : in.n;
    resp_parser_init(&ps);
    argv_vec_init(&argv);
    for (;;) {
        size_t n = have - start;
        char *copy = malloc(n ? n : 1);
        if (n) memcpy(copy, in.p + start, n);
        struct resp_request q;
        argv.used = 0;
        enum resp_result r = resp_parse(&ps, &limits, copy, n, &argv, &q);
        ASSERT(argv.cap <= 128 + 2 * in.n);
        if (r == RESP_ERROR) mix(&d, q.error, strlen(q.error));
        for (int32_t i = 0; r == RESP_COMMAND && i < q.argc; i++) mix(&d, argv.v[i].p, argv.v[i].n);
        free(copy);
        if (r == RESP_ERROR) break;
        ASSERT(q.consumed <= n);
        start += q.consumed;
        if (r == RESP_COMMAND) {
            ASSERT(q.argc > 0 && q.consumed > 0);
            d.commands++;
            continue;
        }
        ASSERT(q.want > have - start);
        d.left = have - start;
        if (have == in.n) break;
        have = have + step < in.n ? have + step : in.n;
    }
    if (d.h && resp_parser_is_inside(&ps)) ASSERT(ps.at <= in.n);
    argv_vec_fini(&argv);
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 200000) return 0;
    struct bytes in = bytes_of(data + 1, size - 1);
    bool unauthenticated = data[0] & 128;
    size_t step = 1 + (data[0] & 127) % 61;
    if (in.n > 4096) step += in.n / 16; /* the copies would make it slow */
    struct digest whole = read_stream(in, in.n ? in.n : 1, unauthenticated),
                  cut = read_stream(in, step, unauthenticated);
    ASSERT(whole.h == cut.h);
    ASSERT(whole.commands == cut.commands);
    return 0;
}
