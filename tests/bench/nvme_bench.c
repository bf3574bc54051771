/* SPDX-License-Identifier: MIT
 *
 * What a write of 4 KiB costs the driver of NVMe, from its posting to its completion in the library's hands, over a
 * controller in memory (tests/nvme/double.h) in the same thread. For callgrind only: times would be the double's.
 *
 *     valgrind --tool=callgrind --toggle-collect=nvme_post --toggle-collect=nvme_turn --toggle-collect=nvme_poll \
 *         build/bench/nvme_bench DEPTH
 *
 * DEPTH requests are out at a time (1 to 64), then all are posted again. Instructions of these functions, by the
 * writes that are printed, are the figure. tools/bench/nvme.py does that.
 */
#include "libos/nvme/nvme.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc/base/log.h"
#include "alloc/buf.h"
#include "tests/nvme/double.h"

#define WRITES 20000u
#define SIZE   ((uint64_t)16 << 20)

/* The libOS's turn, and what the library does when it is told. */
static unsigned reap(struct nvme *v, uint64_t now, struct blockdev_completion *out, unsigned max)
{
    unsigned n = 0;
    nvme_turn(v, now);
    for (unsigned k; n < max && (k = v->base.ops->poll(&v->base, out + n, BLOCKDEV_BURST)); n += k)
        ;
    return n;
}

static void nothing(void *arg, int level, const char *text) {}

int main(int argc, char **argv)
{
    unsigned depth = argc > 1 ? (unsigned)atoi(argv[1]) : 1, most = 0;
    struct nvme_double *d = double_new(&(struct double_shape){.size = SIZE, .shift = 12, .volatile_cache = true});
    struct nvme_counters counters = {0};
    struct nvme *v;
    char why[NVME_WHY_SIZE];
    uint64_t now = 0;
    if (depth < 1 || depth > NVME_DEPTH) return 2;
    log_set_default(&(struct log){.sink = nothing});
    if (nvme_new(&v, double_port(d), 1, "double", &counters, now, why)) return 1;
    while (v->state < NVME_LIVE) {
        double_run(d);
        nvme_turn(v, now += NVME_STEP_NS);
    }
    struct buf *b[NVME_DEPTH];
    struct blockdev_request r[NVME_DEPTH];
    struct blockdev_completion done[NVME_DEPTH];
    for (unsigned i = 0; i < depth; i++) {
        b[i] = buf_take(8192);
        if (!b[i]) return 1;
        buf_put_back(b[i], 8192);
        buf_trim_front(b[i], -(uintptr_t)b[i]->data & 4095);
        r[i] = (struct blockdev_request){.word = i, .at = i * 4096, .buf = b[i], .n = 4096, .verb = BLOCKDEV_WRITE};
    }
    for (unsigned posted = 0, ended = 0; ended < WRITES;) {
        if (posted == ended) posted += v->base.ops->post(&v->base, r, depth);
        if (posted - ended > most) most = posted - ended;
        double_run(d);
        ended += reap(v, now += 1000, done, NVME_DEPTH);
    }
    printf("%llu writes, %u out at most\n", (unsigned long long)counters.writes, most);
    nvme_free(v);
    for (unsigned i = 0; i < depth; i++) buf_unref(b[i]);
    double_free(d);
    return 0;
}
