/* SPDX-License-Identifier: MIT
 *
 * What heap.c and its parts (heap_slab.c, heap_prefault.c, heap_thread.c, heap_pin.c, huge.c, remote.c) share. Nobody
 * else includes this.
 */
#ifndef ALLOC_HEAP_IMPL_H
#define ALLOC_HEAP_IMPL_H

#include "alloc/heap.h"
#include "alloc/pins.h"
#include "alloc/region.h"
#include "alloc/prefault.h"

#define PAGE_BYTES  ((size_t)4096)
#define DRAIN_BATCH 1024 /* frees of other threads taken back at once: 0.2 ms if each is a miss (2026-11-28) */

/* A free of a pinned object by another thread: the object's own bytes are a device's and cannot
 * carry the link. */
struct remote_note {
    struct remote_note *next;
    void *object;
};

struct heap {
    struct heap_front front; /* first: heap_front points here */
    size_t peak;
    size_t active_bytes;
    struct slab *current[SLAB_CLASSES]; /* where a class allocates from, or NULL */
    struct list partial[SLAB_CLASSES];  /* slabs with free slots, apart from the current one */
    struct list emptying;               /* slabs of all classes (heap_defrag.c) */
    uint8_t defrag_round;               /* of choosing them; 0: there was none */
    bool defrag_has_looked;             /* in this round */
    struct list bins[CHUNK_BINS];       /* chunks by chunk_bin() */
    struct region_set regions;
    struct pins pins;
    struct prefault *prefault; /* NULL: the heap has not grown much */
    unsigned prefault_target;  /* chunks it should hold */
    bool prefault_off;
    bool ending;    /* its thread is */
    void *returned; /* taken from `remote`, not worked on yet; linked through their first words */
    struct heap *next_orphan;
    _Alignas(64) void *remote; /* freed by other threads: pushed by them, taken whole by the owner */
    struct remote_note *notes; /* the same for objects that may be pinned */
};

static inline struct heap *heap_of_thread(void) { return (struct heap *)(void *)heap_front; }
extern struct heap_front heap_front_none;
static inline bool heap_exists(void) { return heap_front != &heap_front_none; } /* for this thread */
struct heap *heap_get(void); /* makes the thread's heap if there is none; NULL: no memory */

/* Frees an object of this heap, pinned or not. */
void heap_free_object(struct heap *h, void *p);
/* If p is pinned, notes that its last holder frees it. */
bool heap_left_to_holder(struct heap *h, const void *p);

static inline void heap_see_peak(struct heap *h)
{
    if (h->front.used > h->peak) h->peak = h->front.used;
}

/* --- huge.c: objects of more than RUN_MAX bytes, in chunks of their own --- */

struct huge {
    struct region *region;
    char *base;  /* first byte of a chunk: nothing else in the heap is so aligned */
    size_t size; /* bytes, a multiple of PAGE_BYTES */
    size_t chunk_count;
    uint32_t pinned; /* as in struct slab */
    bool small_tail; /* its last chunk is kept on small pages */
    bool live;       /* debug builds: not freed yet */
};

static inline size_t huge_round(size_t size) { return (size + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1); }
void *huge_alloc(struct heap *h, size_t size, bool zeros);
void huge_free(struct heap *h, struct huge *g);
/* In place. false: not possible. */
bool huge_resize(struct heap *h, struct huge *g, size_t size);
/* The huge object p lies in, of any thread; NULL: in none. */
struct huge *huge_find(const void *p);

/* --- heap_slab.c: slabs and runs --- */

static inline bool is_huge(const void *p) { return (const void *)chunk_of(p) == p; }

/* The class's cache is empty. NULL: no memory. */
void *heap_refill(struct heap *h, uint32_t size_class);
void *run_alloc(struct heap *h, size_t size, bool zeros);
void run_free(struct heap *h, struct slab *s);
/* The slab that a class allocates from is one like others again, or goes if nothing lies in it. */
void slab_put_back(struct heap *h, uint32_t size_class);
/* From the cache to its slab. */
void slot_return(struct heap *h, struct slab *s, void *p);
/* To its slab, past the cache. */
void slot_free(struct heap *h, struct slab *s, void *p);

static inline void *heap_take(struct heap *h, uint32_t size_class)
{
    struct heap_cache *c = &h->front.caches[size_class];
    void *p = c->top;
    if (unlikely(!p)) return heap_refill(h, size_class);
    c->top = *(void **)p;
    c->count--;
    h->front.used += slab_class_size(size_class);
    return p;
}

/* --- heap_prefault.c: where slabs get their chunks --- */

/* NULL: no memory. */
char *heap_take_chunk(struct heap *h, struct region **region_out, bool *dirty_out);
/* Ends the prefaulted chunks' helper; its chunks are the regions' again. */
void heap_stop_stock(struct heap *h);

/* --- remote.c: frees by threads that are not the owner --- */

/* may_be_pinned: do not touch its bytes. */
void remote_free(struct heap *owner, void *p, size_t size, bool may_be_pinned);
/* Takes back at most `max`; true: there are more. */
bool remote_drain(struct heap *h, size_t max);
static inline bool remote_is_empty(struct heap *h)
{
    return !h->returned && !__atomic_load_n(&h->remote, __ATOMIC_RELAXED) &&
           !__atomic_load_n(&h->notes, __ATOMIC_RELAXED);
}

/* --- marks of debug builds: an object is live from its allocation to the first free --- */

#ifdef DEMI_DEBUG
static inline uint64_t *live_word(struct slab *s, const void *p, uint64_t *bit)
{
    uint32_t at = (uint32_t)((const char *)p - slab_start(s));
    ASSERT(at % s->size == 0); /* a free of what is not the start of an object */
    *bit = (uint64_t)1 << (at / s->size % 64);
    return &s->live[at / s->size / 64];
}
static inline void mark_live(struct slab *s, const void *p)
{
    uint64_t bit, *word = live_word(s, p, &bit);
    uint64_t before = __atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
    ASSERT(!(before & bit));
}
static inline void mark_freed(struct slab *s, const void *p)
{
    uint64_t bit, *word = live_word(s, p, &bit);
    uint64_t before = __atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED);
    ASSERT(before & bit); /* freed twice */
}
static inline void mark_huge_freed(struct huge *g)
{
    ASSERT(__atomic_exchange_n(&g->live, false, __ATOMIC_RELAXED)); /* freed twice */
}
#else
static inline void mark_live(struct slab *s, const void *p) {}
static inline void mark_freed(struct slab *s, const void *p) {}
static inline void mark_huge_freed(struct huge *g) {}
#endif

#endif
