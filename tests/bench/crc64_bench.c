/* SPDX-License-Identifier: MIT
 *
 * What the checksum of RDB files costs (server/rdb/crc64.h), by tables and as it is chosen for this machine, for bytes
 * in the cache: GB/s, and nanoseconds a call.
 *
 *     crc64_bench [bytes a call …]        default: 16 64 128 256 4096 65536
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/rdb/crc64.h"

#define BYTES  ((size_t)64 << 20) /* summed for one figure */
#define ROUNDS 3                  /* the best counts */

typedef uint64_t crc64_fn(uint64_t crc, const void *p, size_t n);

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Nanoseconds a call. */
static double measure(crc64_fn *fn, const char *p, size_t n, uint64_t *crc)
{
    size_t calls = BYTES / n;
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from = now_ns();
        for (size_t i = 0; i < calls; i++) *crc = fn(*crc, p, n);
        uint64_t took = now_ns() - from;
        if (took < best) best = took;
    }
    return (double)best / (double)calls;
}

static void show(size_t n)
{
    uint64_t crc = 0;
    char *p = malloc(n);
    memset(p, 'x', n);
    double tables = measure(crc64_by_tables, p, n, &crc), chosen = measure(crc64, p, n, &crc);
    printf("crc64  %7zu bytes   tables %6.2f GB/s %9.1f ns   chosen %6.2f GB/s %9.1f ns   (%016" PRIx64 ")\n", n,
           (double)n / tables, tables, (double)n / chosen, chosen, crc);
    free(p);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {16, 64, 128, 256, 4096, 65536};
    for (int i = 1; i < argc; i++) {
        size_t n = strtoul(argv[i], NULL, 10);
        if (n == 0 || n > BYTES) return fprintf(stderr, "crc64_bench: 1 to %zu bytes a call\n", BYTES), 2;
        show(n);
    }
    for (size_t i = 0; argc < 2 && i < sizeof sizes / sizeof *sizes; i++) show(sizes[i]);
    return 0;
}
