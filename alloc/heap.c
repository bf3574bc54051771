/* SPDX-License-Identifier: MIT
 *
 * The heap of a thread.
 *
 *     n <= 1 KiB     slab of an 8-byte class; the short way is inline in heap.h
 *     n <= 64 KiB    slab of a class, eight to a doubling
 *     n <= RUN_MAX   run of 16 KiB blocks in a chunk
 *     else           chunks of its own (huge.c)
 *
 * Why not jemalloc's arenas with extent hooks: a pin may point into the middle of an object, and
 * jemalloc tells nobody where an object starts; its classes step by 16 and more; its memory is
 * returned when its clock says so. What is here is smaller than the tables around it would have
 * been, and measured faster (tests/bench/alloc_bench.c).
 */
#include <string.h>

#include "alloc/heap_impl.h"

#define PURGE_CHUNKS      2 /* given back to the system a call: 4 MiB */
#define DIRTY_CHUNKS_KEEP 4 /* free memory kept for the next use: 8 MiB, or a 64th of the heap */

/* --- allocation --- */

static void *alloc_any(size_t size, bool zeros)
{
    struct heap *h = heap_get();
    if (unlikely(!h)) return NULL;
    if (size > RUN_MAX) {
        remote_drain(h, DRAIN_BATCH);
        return huge_alloc(h, size, zeros);
    }
    if (size > SLAB_OBJECT_MAX) return run_alloc(h, size, zeros);
    uint32_t size_class = slab_class_of(size);
    void *p = heap_take(h, size_class);
    if (p && zeros) memset(p, 0, size);
    return p;
}

void *heap_alloc_slow(size_t size)
{
    if (likely(size <= SLAB_OBJECT_MAX && heap_exists())) return heap_take(heap_of_thread(), slab_class_of(size));
    return alloc_any(size, false);
}

void *heap_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    if (bytes > SMALL_MAX) return alloc_any(bytes, true);
    void *p = heap_alloc(bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

size_t heap_good_size(size_t size)
{
    if (size <= SLAB_OBJECT_MAX) return slab_class_size(slab_class_of(size));
    if (size <= RUN_MAX) return (size + BLOCK_SIZE - 1) & ~(BLOCK_SIZE - 1);
    return size > SIZE_MAX - PAGE_BYTES ? size : huge_round(size);
}

size_t heap_size(const void *p)
{
    if (!p) return 0;
    return is_huge(p) ? huge_find(p)->size : slab_of(p)->size;
}

/* A little smaller stays where it is: up to an eighth is wasted then, as a class of its own would.
 * */
static bool stays(size_t have, size_t want)
{
    return want <= have && (want >= have - have / 8 || heap_good_size(want) == have);
}

void *heap_realloc(void *old, size_t size)
{
    if (!old) return heap_alloc(size);
    size_t have = heap_size(old);
    if (stays(have, size)) return old;
    struct heap *h = heap_get();
    if (unlikely(!h)) return NULL;
    struct huge *g = is_huge(old) ? huge_find(old) : NULL;
    if (g && g->region->set->owner == h && huge_resize(h, g, size)) return old;
    void *p = heap_alloc(size);
    if (!p) return NULL;
    memcpy(p, old, have < size ? have : size);
    heap_free(old);
    return p;
}

/* --- freeing --- */

void heap_free_object(struct heap *h, void *p)
{
    if (is_huge(p)) {
        struct huge *g = huge_find(p);
        if (!g->pinned || !heap_left_to_holder(h, p)) huge_free(h, g);
        return;
    }
    struct slab *s = slab_of(p);
    if (unlikely(s->slow & SLAB_PINNED) && heap_left_to_holder(h, p)) return;
    if (s->slow & SLAB_RUN) run_free(h, s);
    else slot_free(h, s, p);
}

static void free_huge(void *p)
{
    struct huge *g = huge_find(p);
    ASSERT(g && g->base == p); /* not from this heap */
    mark_huge_freed(g);
    struct heap *owner = g->region->set->owner;
    if (&owner->front == heap_front) heap_free_object(owner, p);
    else remote_free(owner, p, g->size, __atomic_load_n(&g->pinned, __ATOMIC_RELAXED) != 0);
}

void heap_free_slow(void *p)
{
    if (!p) return;
    if (is_huge(p)) {
        free_huge(p);
        return;
    }
    struct slab *s = slab_of(p);
    mark_freed(s, p);
    struct heap *owner = s->owner;
    if (&owner->front == heap_front) heap_free_object(owner, p);
    else remote_free(owner, p, s->size, __atomic_load_n(&s->pinned, __ATOMIC_RELAXED) != 0);
}

void heap_free_sized_checked(void *p, size_t size)
{
    DASSERT(!p || size <= heap_size(p));
    heap_free(p);
}

/* --- between turns --- */

bool heap_take_back(void) { return heap_exists() && remote_drain(heap_of_thread(), DRAIN_BATCH); }

bool heap_collect(void)
{
    if (!heap_exists()) return false;
    struct heap *h = heap_of_thread();
    bool more = remote_drain(h, DRAIN_BATCH);
    struct region_set *set = &h->regions;
    size_t keep = set->mapped_bytes / REGION_CHUNK / 64;
    if (keep < DIRTY_CHUNKS_KEEP) keep = DIRTY_CHUNKS_KEEP;
    if (set->dirty_chunks <= keep) return more;
    size_t done = region_purge(set, PURGE_CHUNKS);
    done += region_release(set, 1);
    return more || (done && set->dirty_chunks > keep);
}
