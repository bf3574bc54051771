/* SPDX-License-Identifier: MIT
 *
 * TCP options: the first byte says whether they are of a SYN, the next 40 at most are options. Whatever they are, they
 * are refused or read within bounds; and what was read, written anew, reads the same.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/assert.h"
#include "tcp/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPTS_SIZE 40

static void check_same(const struct tcp_opts *a, const struct tcp_opts *b)
{
    ASSERT(a->has == b->has && a->sack_count == b->sack_count);
    if (a->has & OPT_MSS) ASSERT(a->mss == b->mss);
    if (a->has & OPT_WSCALE) ASSERT(a->wscale == b->wscale && a->wscale <= 14);
    if (a->has & OPT_TS) ASSERT(a->ts_val == b->ts_val && a->ts_ecr == b->ts_ecr);
    ASSERT(memcmp(a->sack, b->sack, a->sack_count * sizeof *a->sack) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    bool syn = data[0] & 1;
    size_t n = size - 1 < OPTS_SIZE ? size - 1 : OPTS_SIZE;
    uint8_t *in = malloc(n ? n : 1); /* of exactly its size: a read behind it is seen */
    memcpy(in, data + 1, n);
    struct tcp_opts o, again;
    int rc = options_parse(in, n, syn, &o);
    free(in);
    ASSERT(rc == 0 || rc == -EINVAL);
    ASSERT(o.sack_count <= SACK_BLOCKS_MAX && (o.sack_count > 0) == ((o.has & OPT_SACK) != 0));
    if (rc) {
        ASSERT(o.has == 0);
        return 0;
    }
    ASSERT(syn ? !(o.has & OPT_SACK) : !(o.has & (OPT_MSS | OPT_WSCALE | OPT_SACK_OK)));

    uint8_t *out = malloc(OPTS_SIZE);
    n = options_write(out, &o);
    ASSERT(n <= OPTS_SIZE && n % 4 == 0);
    ASSERT(options_parse(out, n, syn, &again) == 0);
    if ((o.has & OPT_TS) && o.sack_count == SACK_BLOCKS_MAX) ASSERT(0); /* 10 + 34 bytes: cannot have been in 40 */
    check_same(&o, &again);
    free(out);
    return 0;
}
