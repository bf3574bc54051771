/* SPDX-License-Identifier: MIT
 *
 * All invariants of a heap in one walk; for tests and debugging.
 *
 * - The states of a region's chunks add up to its counters, and the regions' to the set's.
 * - A chunk's used blocks are exactly those of its slabs, and it stands in the bin of its longest
 * free run.
 * - A slab's free list is as long as its prepared slots less its used ones, and stays inside it;
 * what is full is in no list, and what is not
 *   full and not current is in the partial list of its class.
 * - Slots in use less slots in caches, and huge objects, are `used`, to the byte.
 */
#include "alloc/heap_impl.h"

static size_t list_length(const struct list *head)
{
    size_t n = 0;
    list_for_each(it, head) n++;
    return n;
}

static bool list_holds(const struct list *head, const struct list *link)
{
    list_for_each(it, head)
    {
        if (it == link) return true;
    }
    return false;
}

static size_t free_list_length(const struct slab *s)
{
    size_t n = 0;
    for (char *p = s->free; p; n++) {
        ASSERT(n <= SLAB_SLOTS_MAX);
        ASSERT(slab_slot(s, p) == p);
        unpoison(p, sizeof(void *));
        char *next = *(char **)p;
        poison(p, sizeof(void *));
        p = next;
    }
    return n;
}

/* Bytes its live and cached objects take; *blocks grows by its blocks. */
static size_t check_slab(struct heap *h, const struct slab *s, uint32_t *blocks)
{
    if (s->slow & SLAB_RUN) {
        ASSERT(s->used == 1);
        *blocks += s->size >> BLOCK_SHIFT;
        return s->size;
    }
    bool current = h->current[s->size_class] == s;
    ASSERT(s->size == slab_class_size(s->size_class));
    ASSERT(s->fresh <= s->end && s->end % s->size == 0 && s->fresh % s->size == 0);
    ASSERT(free_list_length(s) == s->fresh / s->size - s->used);
    ASSERT(s->retire_at == (current ? UINT32_MAX : 0));
    ASSERT(current || s->used);
    ASSERT(list_is_empty(&s->link) == (current || s->full));
    ASSERT(!s->emptying || list_holds(&h->emptying, &s->link));
    ASSERT(!s->full || s->used == s->end / s->size);
    ASSERT(((s->slow & SLAB_PINNED) != 0) == (s->pinned != 0));
    *blocks += slab_blocks(s->size);
    return (size_t)s->used * s->size;
}

static size_t check_chunk(struct heap *h, const struct chunk *c, size_t *cut)
{
    uint32_t blocks = 0;
    size_t used = 0;
    ASSERT(c->heap == h);
    *cut += c->is_cut;
    for (size_t i = CHUNK_HEADER_BLOCKS; i < CHUNK_BLOCKS; i++) {
        bool is_free = c->free_map >> i & 1;
        if (c->slabs[i].owner) {
            ASSERT(!is_free && c->slabs[i].owner == h && c->slabs[i].back == 0);
            used += check_slab(h, &c->slabs[i], &blocks);
        } else if (is_free) {
            ASSERT(c->slabs[i].back == 0);
        }
        ASSERT(is_free || !(c->clean_map >> i & 1));
    }
    size_t free_blocks = (size_t)__builtin_popcountll((uint64_t)c->free_map) +
                         (size_t)__builtin_popcountll((uint64_t)(c->free_map >> 64));
    ASSERT(blocks == c->block_count && blocks + free_blocks == RUN_BLOCKS_MAX);
    int bin = chunk_bin(c);
    ASSERT(bin < 0 ? list_is_empty(&c->link) : list_holds(&h->bins[bin], &c->link));
    return used;
}

static size_t check_region(struct heap *h, const struct region *r, size_t *cut)
{
    size_t used = 0, free_count = 0, dirty_count = 0;
    ASSERT(r->set == &h->regions && region_find(r->base + r->len - 1) == r);
    for (size_t i = 0; i < r->chunk_count; i++) {
        const struct chunk_info *info = &r->chunks[i];
        const struct huge *g = info->huge;
        free_count += info->state == CHUNK_CLEAN || info->state == CHUNK_DIRTY;
        dirty_count += info->state == CHUNK_DIRTY;
        ASSERT((g != NULL) == (info->state == CHUNK_HUGE));
        if (info->state == CHUNK_SLABS) used += check_chunk(h, (struct chunk *)(r->base + i * REGION_CHUNK), cut);
        if (g && g->base == r->base + i * REGION_CHUNK) used += g->size;
    }
    ASSERT(free_count == r->free_count && dirty_count == r->dirty_count);
    return used;
}

static size_t check_caches(const struct heap *h)
{
    size_t bytes = 0;
    for (uint32_t i = 1; i < SLAB_CLASSES; i++) {
        const struct heap_cache *c = &h->front.caches[i];
        size_t n = 0;
        for (void *p = c->top; p; p = *(void **)p) n++;
        ASSERT(n == c->count);
        bytes += n * slab_class_size(i);
    }
    return bytes;
}

void heap_check(void)
{
    if (!heap_exists()) return;
    struct heap *h = heap_of_thread();
    size_t used = 0, mapped = 0, dirty = 0, cut = 0;
    list_for_each(it, &h->regions.regions)
    {
        struct region *r = list_entry(it, struct region, link);
        used += check_region(h, r, &cut);
        mapped += r->len;
        dirty += r->dirty_count;
    }
    ASSERT(mapped == h->regions.mapped_bytes && dirty == h->regions.dirty_chunks && cut == h->regions.cut_chunks);
    ASSERT(used - check_caches(h) == h->front.used);
    for (uint32_t i = 1; i < SLAB_CLASSES; i++) ASSERT(!h->current[i] || h->current[i]->size_class == i);
    ASSERT(list_length(&h->regions.regions) > 0 || h->front.used == 0);
}
