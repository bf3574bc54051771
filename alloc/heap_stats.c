/* SPDX-License-Identifier: MIT
 *
 * What a heap takes. `resident` is asked of the system (mincore) rather than computed: a chunk in
 * use may be touched in part only, a table from calloc not at all. That costs 1 to 2 us a chunk; a
 * heap of more than SAMPLE_CHUNKS is judged by a sample of them, evenly spread.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "alloc/heap_impl.h"

#define SAMPLE_CHUNKS 256

/* An entry a page, which is PAGE_BYTES or a multiple of it. */
static size_t chunk_resident(const struct region *r, size_t i)
{
    unsigned char there[REGION_CHUNK / PAGE_BYTES];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = 0;
    if (mincore(r->base + i * REGION_CHUNK, REGION_CHUNK, there)) return REGION_CHUNK;
    for (size_t k = 0; k < REGION_CHUNK / page; k++) pages += there[k] & 1;
    return pages * page;
}

static size_t heap_resident(const struct heap *h)
{
    const struct region_set *set = &h->regions;
    size_t total = set->mapped_bytes / REGION_CHUNK; /* an upper bound: clean ones are not there */
    size_t step = total / SAMPLE_CHUNKS + 1, seen = 0, looked = 0;
    double bytes = 0;
    list_for_each(it, &set->regions)
    {
        const struct region *r = list_entry(it, struct region, link);
        for (size_t i = 0; i < r->chunk_count; i++) {
            if (r->chunks[i].state == CHUNK_CLEAN || seen++ % step) continue;
            bytes += (double)chunk_resident(r, i);
            looked++;
        }
    }
    return looked ? (size_t)(bytes * (double)seen / (double)looked) : 0;
}

void mem_stats(struct mem_stats *out)
{
    *out = (struct mem_stats){0};
    if (!heap_exists()) return;
    struct heap *h = heap_of_thread();
    heap_see_peak(h);
    *out = (struct mem_stats){.used = h->front.used,
                              .active = h->active_bytes,
                              .resident = heap_resident(h),
                              .peak = h->peak,
                              .pinned = h->pins.count};
}
