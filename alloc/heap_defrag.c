/* SPDX-License-Identifier: MIT
 *
 * Getting rid of slabs of which little is used. A heap cannot move what it gave away, but it knows which objects are in
 * the way: heap_defrag_begin() chooses, class by class, the slabs to be emptied, those of which least is used, as many
 * as the free places of the others can take in. It looks at a part of a class a call, and chooses among that; what was
 * looked at goes to the back of the list with the number of the round. From then on nothing is allocated from them:
 *
 *     partial     | 95 % | 90 % | 88 % | 75 % |      what allocations take places from
 *     emptying    | 30 % | 12 % |                    its owner moves what it finds there (heap_defrag_move())
 *
 * A slab whose last object goes is given to its chunk, as ever. Objects that nobody moves, or that a device holds, keep
 * theirs; heap_defrag_end() makes what is left ordinary slabs again.
 *
 * What comes free are blocks of 16 KiB, in chunks of which other blocks are used. Their pages go back to the system
 * here, too (heap_purge()); the chunk remembers that they read as zeros.
 */
#include <string.h>

#include "alloc/heap_impl.h"

#define SLABS_A_CALL 1024 /* looked at, or made ordinary again: 0.1 to 0.2 ms, if each is a miss */
#define STEPS        16   /* of how much of a slab is used */
#define KEEP_FROM    14   /* slabs so full stay */
#define TRIES        64

/* --- choosing ---------------------------------------------------------------------------------------------------- */

static unsigned step_of(const struct slab *s) { return s->used * STEPS / (s->end / s->size + 1); }

/* How many slabs of each step are emptied, of the first `all` of the list: those of which least is used, so that the
 * others have room for a sixteenth more than all that there is. Returns how many were not looked at yet. */
static size_t choose(const struct heap *h, const struct list *partial, size_t *all, size_t count[STEPS])
{
    size_t used = 0, slots = 1, seen = 0;
    memset(count, 0, STEPS * sizeof *count);
    *all = 0;
    list_for_each(it, partial)
    {
        const struct slab *s = list_entry(it, struct slab, link);
        if (*all == SLABS_A_CALL) break;
        ++*all;
        if (s->looked_at == h->defrag_round) continue;
        seen++;
        count[step_of(s)]++;
        used += s->used;
        slots = s->end / s->size;
    }
    size_t kept = (used + used / 16 + slots - 1) / slots + 1, left = seen > kept ? seen - kept : 0;
    for (unsigned i = 0; i < STEPS; i++) {
        if (i >= KEEP_FROM) left = 0;
        if (count[i] > left) count[i] = left;
        left -= count[i];
    }
    return seen;
}

/* What lies in the cache counts as used, and would be given out from a slab that is emptied. */
static void drop_cache(struct heap *h, uint32_t size_class)
{
    struct heap_cache *c = &h->front.caches[size_class];
    void *p = c->top;
    c->top = NULL;
    c->count = 0;
    while (p) {
        void *next = *(void **)p;
        slot_return(h, slab_of(p), p);
        p = next;
    }
}

static void empty_or_pass(struct heap *h, struct slab *s, size_t count[STEPS])
{
    size_t *left = &count[step_of(s)];
    bool chosen = s->looked_at != h->defrag_round && *left && !s->pinned;
    list_remove(&s->link);
    s->looked_at = h->defrag_round;
    if (chosen) --*left;
    s->emptying = chosen;
    list_push_back(chosen ? &h->emptying : &h->partial[s->size_class], &s->link);
}

bool heap_defrag_begin(uint32_t size_class)
{
    if (!heap_exists() || size_class == 0 || size_class >= SLAB_CLASSES) return false;
    struct heap *h = heap_of_thread();
    struct list *partial = &h->partial[size_class];
    size_t count[STEPS], all;
    remote_drain(h, DRAIN_BATCH);
    drop_cache(h, size_class);
    slab_put_back(h, size_class);
    if (!h->defrag_round) h->defrag_round = 1; /* 0 is that of slabs nobody has looked at */
    h->defrag_has_looked = true;
    size_t seen = choose(h, partial, &all, count);
    if (!seen) return false;
    for (size_t i = 0; i < all; i++) empty_or_pass(h, list_entry(partial->next, struct slab, link), count);
    return all == SLABS_A_CALL;
}

bool heap_defrag_end(void)
{
    if (!heap_exists()) return false;
    struct heap *h = heap_of_thread();
    for (unsigned i = 0; i < SLABS_A_CALL; i++) {
        struct list *link = list_pop_front(&h->emptying);
        if (!link) {
            h->defrag_round += h->defrag_has_looked; /* who comes for pages alone ends no round */
            h->defrag_has_looked = false;
            return false;
        }
        struct slab *s = list_entry(link, struct slab, link);
        s->emptying = false;
        list_push_back(&h->partial[s->size_class], &s->link);
    }
    return true;
}

/* --- moving ------------------------------------------------------------------------------------------------------ */

/* An object of the class that lies in no slab that is emptied. NULL: there is none at hand. */
static void *take_elsewhere(struct heap *h, uint32_t size)
{
    for (int i = 0; i < TRIES; i++) {
        void *p = heap_alloc(size);
        if (!p || !slab_of(p)->emptying) return p;
        mark_freed(slab_of(p), p);
        slot_free(h, slab_of(p), p);
    }
    return NULL;
}

void *heap_defrag_move(void *p)
{
    if (!p || is_huge(p)) return NULL;
    struct slab *s = slab_of(p);
    if (!s->emptying || s->pinned) return NULL;
    struct heap *h = s->owner;
    if (&h->front != heap_front) return NULL;
    void *q = take_elsewhere(h, s->size);
    if (!q) return NULL;
    memcpy(q, p, s->size);
    mark_freed(s, p);
    slot_free(h, s, p);
    return q;
}

/* --- pages ------------------------------------------------------------------------------------------------------- */

/* Runs of free blocks that hold old bytes. Returns how many blocks were given back. */
static uint32_t purge_chunk(struct chunk *c)
{
    block_map dirty = c->free_map & ~c->clean_map;
    uint32_t done = 0;
    if (!c->is_cut) c->is_cut = region_cut(c->region, (char *)c);
    for (uint32_t i = CHUNK_HEADER_BLOCKS; i < CHUNK_BLOCKS;) {
        uint32_t n = 0;
        while (i + n < CHUNK_BLOCKS && dirty >> (i + n) & 1) n++;
        if (n && registry_drop_pages((char *)c + i * BLOCK_SIZE, n * BLOCK_SIZE)) {
            c->clean_map |= (((block_map)1 << n) - 1) << i;
            done += n;
        }
        i += n + 1;
    }
    return done;
}

static uint32_t dirty_blocks(const struct chunk *c)
{
    block_map dirty = c->free_map & ~c->clean_map;
    return (uint32_t)__builtin_popcountll((uint64_t)dirty) + (uint32_t)__builtin_popcountll((uint64_t)(dirty >> 64));
}

/* A chunk on huge pages is cut into small ones by this, and stays so while it has holes: not for less than `least`
 * blocks. */
size_t heap_purge_blocks(uint32_t least, size_t max_chunks)
{
    if (!heap_exists() || registry_pins_pages()) return 0;
    struct heap *h = heap_of_thread();
    size_t bytes = 0, chunks = 0;
    for (int bin = CHUNK_BINS - 1; bin >= 0; bin--) {
        list_for_each(it, &h->bins[bin])
        {
            struct chunk *c = list_entry(it, struct chunk, link);
            uint32_t dirty = dirty_blocks(c);
            if (!dirty || dirty < least || c->region->huge_pages) continue;
            bytes += purge_chunk(c) * BLOCK_SIZE;
            if (++chunks == max_chunks) return bytes;
        }
    }
    return bytes;
}

void heap_purge(void)
{
    if (!heap_exists()) return;
    struct heap *h = heap_of_thread();
    while (remote_drain(h, DRAIN_BATCH)) {
    }
    for (uint32_t i = 1; i < SLAB_CLASSES; i++) {
        drop_cache(h, i);
        slab_put_back(h, i);
    }
    heap_purge_blocks(1, SIZE_MAX);
    region_purge(&h->regions, SIZE_MAX);
    region_release(&h->regions, SIZE_MAX);
}
