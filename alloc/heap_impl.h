/* SPDX-License-Identifier: MIT
 *
 * What heap.c and its parts (huge.c, remote.c) share. Nobody else includes this.
 */
#ifndef ALLOC_HEAP_IMPL_H
#define ALLOC_HEAP_IMPL_H

#include "alloc/heap.h"
#include "alloc/pins.h"
#include "alloc/region.h"

#define PAGE_BYTES ((size_t)4096)

/* A free of a pinned object by another thread: the object's own bytes are a device's and cannot carry the link. */
struct remote_note {
    struct remote_note *next;
    void *object;
};

struct heap {
    struct heap_front front; /* first: heap_front points here */
    size_t peak;
    size_t active_bytes;
    struct slab *current[SLAB_CLASSES]; /* where a class allocates from, or NULL */
    struct list partial[SLAB_CLASSES]; /* slabs with free slots, apart from the current one */
    struct list bins[CHUNK_BINS];      /* chunks by chunk_bin() */
    struct region_set regions;
    struct pins pins;
    void *returned; /* taken from `remote`, not worked on yet; linked through their first words */
    struct heap *next_orphan;
    _Alignas(64) void *remote; /* freed by other threads: pushed by them, taken whole by the owner */
    struct remote_note *notes; /* the same for objects that may be pinned */
};

static inline struct heap *heap_of_thread(void) { return (struct heap *)(void *)heap_front; }
bool heap_exists(void);      /* for this thread */
struct heap *heap_get(void); /* makes the thread's heap if there is none; NULL: no memory */

/* Frees an object of this heap, pinned or not. */
void heap_free_object(struct heap *h, void *p);

static inline void heap_see_peak(struct heap *h)
{
    if (h->front.used > h->peak) h->peak = h->front.used;
}

/* --- huge.c: objects of more than RUN_MAX bytes, in chunks of their own --- */

struct huge {
    struct region *region;
    char *base; /* first byte of a chunk: nothing else in the heap is so aligned */
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

#endif
