/* SPDX-License-Identifier: MIT
 *
 * What a look-up and an insert cost in server/ds/table.h, and how many bytes an entry takes.
 *
 *     table_bench [entries …]        default: 1000 1000000
 *
 * Entries are blocks of 40 bytes (16-byte key, 16-byte value, 8 bytes of header), looked up in random order. "batched"
 * prefetches buckets and then entries of 32 keys before it looks them up, as the server's loop does; "hit" and "miss"
 * look up one after the other.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/ds/table.h"
#include "server/mem.h"

#define BATCH   32
#define LOOKUPS (1u << 21)

struct bench_entry {
    uint64_t header;
    char key[16];
    char value[16];
};

static struct bytes entry_key(const void *e) { return bytes_of(((const struct bench_entry *)e)->key, 16); }
static const struct table_ops ops = {.key = entry_key};

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void key_write(char *out, uint64_t i)
{
    for (int d = 15; d >= 0; d--, i /= 10) out[d] = (char)('0' + i % 10);
}

/* Nanoseconds a look-up of keys 0 … n-1, displaced by `shift`; finds go to *found. */
static double lookups(const struct table *t, uint64_t n, uint64_t shift, unsigned batch, uint64_t *found)
{
    struct rng rng;
    char keys[BATCH][16];
    const struct table_bucket *buckets[BATCH];
    uint64_t hashes[BATCH], spent = 0;
    rng_seed(&rng, 7);
    for (unsigned done = 0; done < LOOKUPS; done += BATCH) {
        for (unsigned i = 0; i < BATCH; i++) key_write(keys[i], shift + rng_below(&rng, n));
        uint64_t from = now_ns();
        for (unsigned i = 0; i < BATCH; i++) {
            hashes[i] = table_hash(t, bytes_of(keys[i], 16));
            if (batch) buckets[i] = table_prefetch_bucket(t, hashes[i]);
        }
        for (unsigned i = 0; batch && i < BATCH; i++) table_prefetch_entry(buckets[i], hashes[i]);
        for (unsigned i = 0; i < BATCH; i++) {
            *found += table_find_slot_by(t, hashes[i], bytes_of(keys[i], 16), entry_key).bucket != NULL;
        }
        spent += now_ns() - from;
    }
    return (double)spent / LOOKUPS;
}

static void entry_free(void *arg, void *e) { mem_free_sized(e, sizeof(struct bench_entry)); }

static void measure(uint64_t n)
{
    struct table t;
    uint64_t found = 0, slowest = 0;
    table_init(&t, &ops, 1);
    struct bench_entry **all = malloc(n * sizeof *all);
    for (uint64_t i = 0; i < n; i++) {
        all[i] = mem_alloc(sizeof(struct bench_entry));
        key_write(all[i]->key, i);
    }
    uint64_t from = now_ns(), before = from;
    for (uint64_t i = 0; i < n; i++) {
        table_insert(&t, table_hash(&t, entry_key(all[i])), all[i]);
        uint64_t after = now_ns();
        if (after - before > slowest) slowest = after - before;
        before = after;
    }
    double insert = (double)(before - from) / (double)n;
    double hit = lookups(&t, n, 0, 0, &found), hit_batched = lookups(&t, n, 0, 1, &found);
    ASSERT(found == 2 * LOOKUPS);
    double miss = lookups(&t, n, n, 0, &found), miss_batched = lookups(&t, n, n, 1, &found);
    ASSERT(found == 2 * LOOKUPS);
    printf("%10" PRIu64
           "  insert %6.1f ns (slowest %6.1f us)  hit %6.1f  batched %6.1f  miss %6.1f  batched %6.1f  %5.2f B/entry\n",
           n, insert, (double)slowest / 1e3, hit, hit_batched, miss, miss_batched, (double)table_bytes(&t) / (double)n);
    table_fini(&t, entry_free, NULL);
    free(all);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) measure(strtoull(argv[i], NULL, 10));
    if (argc == 1) {
        measure(1000);
        measure(1000000);
    }
    return 0;
}
