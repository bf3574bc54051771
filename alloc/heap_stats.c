/* SPDX-License-Identifier: MIT
 *
 * What a heap takes. `resident` is asked of the system (proc_pid_pagemap(5)) rather than computed: a chunk in use may
 * be touched in part only, a table from calloc not at all. That costs 1 to 2 us a chunk; a heap of more than
 * SAMPLE_CHUNKS is judged by a sample of them, evenly spread. mincore() would tell too, but is not in the list of calls
 * that systemd lets a service make, and such a filter kills.
 */
#include <fcntl.h>
#include <unistd.h>

#include "alloc/heap_impl.h"

#define SAMPLE_CHUNKS 256
#define PRESENT       (1ull << 63) /* of an entry of the page map */

/* An entry a page, which is PAGE_BYTES or a multiple of it. What cannot be asked counts whole. */
static size_t chunk_resident(const struct region *r, size_t i, int pagemap, size_t page)
{
    uint64_t entries[REGION_CHUNK / PAGE_BYTES];
    size_t count = REGION_CHUNK / page, there = 0;
    off_t at = (off_t)(((uintptr_t)r->base + i * REGION_CHUNK) / page * sizeof entries[0]);
    size_t wanted = count * sizeof entries[0];
    if (pagemap < 0 || pread(pagemap, entries, wanted, at) != (ssize_t)wanted) return REGION_CHUNK;
    for (size_t k = 0; k < count; k++) there += (entries[k] & PRESENT) != 0;
    return there * page;
}

static size_t heap_resident(const struct heap *h)
{
    const struct region_set *set = &h->regions;
    size_t total = set->mapped_bytes / REGION_CHUNK; /* an upper bound: clean ones are not there */
    size_t step = total / SAMPLE_CHUNKS + 1, seen = 0, looked = 0;
    double bytes = 0;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    list_for_each(it, &set->regions)
    {
        const struct region *r = list_entry(it, struct region, link);
        for (size_t i = 0; i < r->chunk_count; i++) {
            if (r->chunks[i].state == CHUNK_CLEAN || seen++ % step) continue;
            bytes += (double)chunk_resident(r, i, pagemap, page);
            looked++;
        }
    }
    if (pagemap >= 0) close(pagemap);
    return looked ? (size_t)(bytes * (double)seen / (double)looked) : 0;
}

static size_t held_bytes(const struct pins *t)
{
    size_t bytes = 0;
    for (size_t i = 0; t->count && i <= t->mask; i++)
        if (t->places[i].object && t->places[i].freed) bytes += heap_size(t->places[i].object);
    return bytes;
}

size_t heap_active(void) { return heap_exists() ? heap_of_thread()->active_bytes : 0; }

void heap_counts(struct heap_stats *out)
{
    *out = (struct heap_stats){0};
    if (!heap_exists()) return;
    struct heap *h = heap_of_thread();
    heap_see_peak(h);
    *out = (struct heap_stats){.used = h->front.used,
                               .active = h->active_bytes,
                               .peak = h->peak,
                               .pinned = h->pins.count,
                               .held = held_bytes(&h->pins)};
}

void heap_stats(struct heap_stats *out)
{
    heap_counts(out);
    if (heap_exists()) out->resident = heap_resident(heap_of_thread());
}

static void add_chunk(const struct chunk *c, struct heap_class_stats out[SLAB_CLASSES])
{
    for (size_t i = CHUNK_HEADER_BLOCKS; i < CHUNK_BLOCKS; i++) {
        const struct slab *s = &c->slabs[i];
        if (!s->owner) continue;
        bool is_run = s->slow & SLAB_RUN;
        struct heap_class_stats *k = &out[is_run ? 0 : s->size_class];
        k->slabs++;
        k->objects += s->used;
        k->places += is_run ? 1 : s->end / s->size;
        k->bytes += is_run ? s->size : slab_blocks(s->size) * BLOCK_SIZE;
    }
}

void heap_class_stats(struct heap_class_stats out[SLAB_CLASSES])
{
    for (uint32_t i = 0; i < SLAB_CLASSES; i++) out[i] = (struct heap_class_stats){.size = i ? slab_class_size(i) : 0};
    if (!heap_exists()) return;
    list_for_each(it, &heap_of_thread()->regions.regions)
    {
        const struct region *r = list_entry(it, struct region, link);
        for (size_t i = 0; i < r->chunk_count; i++)
            if (r->chunks[i].state == CHUNK_SLABS) add_chunk((const struct chunk *)(r->base + i * REGION_CHUNK), out);
    }
}
