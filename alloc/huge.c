/* SPDX-License-Identifier: MIT
 *
 * Huge objects begin at the first byte of a chunk and take whole chunks; what describes them lies
 * in the region's chunk table, so any address inside leads to it.
 *
 * They prefer chunks that read as zeros: calloc of a 128 MB table is then a mapping and no more.
 * And freeing one gives nothing back to the system at that moment: its chunks become dirty ones,
 * and heap_collect() returns them a few at a time. Both keep the thread from stalling for
 * milliseconds. Only where a device pins pages, dirty chunks have to be used again and be cleared.
 *
 * The last chunk is rarely full; were it one huge page, up to 2 MiB would be resident for nothing.
 * It is kept on small pages when more than an eighth of it would be wasted.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc/heap_impl.h"

struct huge *huge_find(const void *p)
{
    struct region *r = region_find(p);
    if (!r) return NULL;
    return r->chunks[region_chunk_index(r, p)].huge;
}

/* Dirty chunks that may wait for heap_collect(): 256 MiB, or a quarter of the heap. */
static size_t dirty_max(const struct heap *h)
{
    size_t quarter = h->regions.mapped_bytes / REGION_CHUNK / 4;
    return quarter > 128 ? quarter : 128;
}

static char *take_chunks(struct heap *h, size_t count, struct region **region_out, bool *dirty)
{
    bool pins = registry_pins_pages();
    char *at = region_take_chunks(&h->regions, count, CHUNK_HUGE, !pins, region_out, dirty);
    if (at) return at;
    if (h->regions.dirty_chunks > dirty_max(h)) { /* nobody collects: do it here rather than grow */
        region_purge(&h->regions, SIZE_MAX);
        at = region_take_chunks(&h->regions, count, CHUNK_HUGE, !pins, region_out, dirty);
        if (at) return at;
    }
    if (region_new(&h->regions, count * REGION_CHUNK))
        return region_take_chunks(&h->regions, count, CHUNK_HUGE, !pins, region_out, dirty);
    return region_take_chunks(&h->regions, count, CHUNK_HUGE, false, region_out, dirty);
}

static char *last_chunk(const struct huge *g) { return g->base + (g->chunk_count - 1) * REGION_CHUNK; }

/* Best effort: nothing depends on the advice being taken. */
static void set_small_tail(struct huge *g, bool small)
{
    if (g->small_tail == small || g->region->huge_pages || g->region->set->small_pages) return;
    g->small_tail = small;
    madvise(last_chunk(g), REGION_CHUNK, small ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
}

static bool tail_is_small(const struct huge *g) { return g->chunk_count * REGION_CHUNK - g->size > REGION_CHUNK / 8; }

void *huge_alloc(struct heap *h, size_t size, bool zeros)
{
    if (size > (size_t)1 << 46) return NULL;
    struct huge *g = malloc(sizeof *g);
    if (!g) return NULL;
    size = huge_round(size);
    *g = (struct huge){.size = size, .live = true};
    g->chunk_count = (size + REGION_CHUNK - 1) / REGION_CHUNK;
    bool dirty = false;
    g->base = take_chunks(h, g->chunk_count, &g->region, &dirty);
    if (!g->base) {
        free(g);
        return NULL;
    }
    size_t at = region_chunk_index(g->region, g->base);
    for (size_t i = 0; i < g->chunk_count; i++) g->region->chunks[at + i].huge = g;
    region_advise_huge(g->region, g->base, g->chunk_count);
    unpoison(g->base, g->size);
    if (zeros && dirty) memset(g->base, 0, g->size);
    set_small_tail(g, tail_is_small(g));
    h->front.used += g->size;
    h->active_bytes += g->chunk_count * REGION_CHUNK;
    heap_see_peak(h);
    return g->base;
}

void huge_free(struct heap *h, struct huge *g)
{
    set_small_tail(g, false);
    h->front.used -= g->size;
    h->active_bytes -= g->chunk_count * REGION_CHUNK;
    region_give_chunks(g->region, g->base, g->chunk_count);
    free(g);
}

bool huge_resize(struct heap *h, struct huge *g, size_t size)
{
    if (size <= RUN_MAX || size > (size_t)1 << 46) return false;
    size = huge_round(size);
    size_t count = (size + REGION_CHUNK - 1) / REGION_CHUNK;
    if (size < g->size && g->pinned) return false;
    if (count > g->chunk_count) {
        char *end = g->base + g->chunk_count * REGION_CHUNK;
        if (!region_extend(g->region, end, count - g->chunk_count, CHUNK_HUGE, g)) return false;
        region_advise_huge(g->region, end, count - g->chunk_count);
    }
    set_small_tail(g, false);
    if (count < g->chunk_count) region_give_chunks(g->region, g->base + count * REGION_CHUNK, g->chunk_count - count);
    h->active_bytes += (count - g->chunk_count) * REGION_CHUNK;
    h->front.used += size - g->size;
    if (size > g->size) unpoison(g->base, size);
    else poison(g->base + size, g->size - size);
    g->chunk_count = count;
    g->size = size;
    set_small_tail(g, tail_is_small(g));
    heap_see_peak(h);
    return true;
}
