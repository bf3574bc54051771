/* SPDX-License-Identifier: MIT
 *
 * The thread's heap: objects that every device of the process can reach (alloc/region.h).
 * demi_malloc() and its kin are these.
 *
 * A thread's heap is made when it first allocates. Only that thread allocates from it, pins in it
 * and collects it; any thread may free: the object travels to its owner, which takes it back when
 * it next runs out of something or in heap_collect().
 *
 * Alignment is that of the size: an object of n bytes, n rounded up to 8, is aligned to the largest
 * power of two (up to 128) that divides n. So 24 bytes lie at multiples of 8, 64 bytes at multiples
 * of 64, and every type is aligned as it wants. Objects of more than 1 KiB lie at multiples of 128.
 */
#ifndef ALLOC_HEAP_H
#define ALLOC_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/assert.h"
#include "alloc/poison.h"
#include "alloc/slab.h"

struct region_set;

#if defined(DEMI_DEBUG) || SANITIZE_ADDRESS
#define MEM_CHECKED 1 /* every call takes the long way, where frees are checked and bytes poisoned */
#endif

/* Objects of one class that are free and not back in their slabs: what was freed last is given
 * next, still warm. */
struct heap_cache {
    void *top; /* linked through first words */
    uint32_t count;
    uint32_t max; /* beyond it, half go back to their slabs */
};

/* What the short ways touch. Private. */
struct heap_front {
    size_t used;
    struct heap_cache caches[SLAB_CLASSES];
};

/* This thread's; before its first allocation it stands at a heap that has nothing and never
 * changes. Initial-exec: one load instead of a call. */
extern __thread struct heap_front *heap_front __attribute__((tls_model("initial-exec")));

void *heap_alloc_slow(size_t size);
void heap_free_slow(void *p);
void heap_flush_cache(struct heap_cache *c);

/* NULL: out of memory, or over heap_set_limit(). Size 0 gives a pointer that may be freed. Contents
 * are arbitrary. */
static inline void *heap_alloc(size_t size)
{
#ifndef MEM_CHECKED
    if (likely(size <= SMALL_MAX)) {
        struct heap_front *h = heap_front;
        size_t size_class = (size + !size + 7) >> 3;
        struct heap_cache *c = &h->caches[size_class];
        void *p = c->top;
        if (likely(p != NULL)) {
            c->top = *(void **)p;
            c->count--;
            h->used += size_class << 3;
            return p;
        }
    }
#endif
    return heap_alloc_slow(size);
}

/* Zeros. Big fresh ones are not touched. NULL also when count * size overflows. */
void *heap_calloc(size_t count, size_t size);
/* Keeps min(old, new) bytes; NULL leaves the old one as it was. old NULL: heap_alloc. size 0: as
 * 1. */
void *heap_realloc(void *old, size_t size);
/* From any thread; NULL is allowed. While pins are on the object its bytes stay. */
static inline void heap_free(void *p)
{
#ifndef MEM_CHECKED
    if (likely((void *)chunk_of(p) != p)) { /* else it is huge, or NULL */
        struct heap_front *h = heap_front;
        struct slab *s = slab_of(p);
        if (likely((void *)s->owner == (void *)h && !s->slow)) {
            struct heap_cache *c = &h->caches[s->size_class];
            *(void **)p = c->top;
            c->top = p;
            h->used -= s->size;
            if (unlikely(++c->count > c->max)) heap_flush_cache(c);
            return;
        }
    }
#endif
    heap_free_slow(p);
}

/* The same, told the size that was asked for (or heap_size()), which debug builds check. */
void heap_free_sized_checked(void *p, size_t size);
static inline void heap_free_sized(void *p, size_t size)
{
#ifdef MEM_CHECKED
    heap_free_sized_checked(p, size);
#else
    heap_free(p);
#endif
}

/* Usable bytes of an object. */
size_t heap_size(const void *p);
/* heap_size() of what heap_alloc(size) would give. */
size_t heap_good_size(size_t size);
/* Bytes in live objects of this thread's heap, rounded up to their classes; exact. What other
 * threads have freed counts until it is taken back. */
static inline size_t heap_used(void) { return heap_front->used; }

/* The same rounded up to slabs in use: what defragmentation can lessen. */
size_t heap_active(void);

struct heap_stats {
    size_t used;     /* heap_used() */
    size_t active;   /* bytes of slabs and huge objects in use */
    size_t resident; /* bytes the system has behind addresses of the heap; above 512 MiB from a sample */
    size_t peak;     /* highest `used` seen: looked at when a slab is opened and here */
    size_t pinned;   /* objects under at least one pin */
    size_t held;     /* bytes of those among them that were freed: nobody but their holders has them */
};
/* Without `resident`, which stays 0: nothing is asked of the system. */
void heap_counts(struct heap_stats *out);
void heap_stats(struct heap_stats *out);
/* What the slabs of one size class hold; class 0: what is larger than a slab's objects get. A walk over all slabs. */
struct heap_class_stats {
    size_t size;    /* of an object */
    size_t slabs;   /* of class 0: runs of blocks */
    size_t objects; /* that live, or are at hand in the class's cache */
    size_t places;  /* for objects */
    size_t bytes;   /* of blocks */
};
void heap_class_stats(struct heap_class_stats out[SLAB_CLASSES]);

/* Pins: p may point anywhere into an object of this thread's heap. Until as many heap_unpin() of it
 * as there were heap_pin(), a heap_free() of the object only marks it, and the last unpin frees it.
 * -EINVAL: p is in no object of this thread. -ENOMEM. heap_unpin() of what is not pinned is a bug
 * and asserts. */
int heap_pin(const void *p);
void heap_unpin(const void *p);
bool heap_is_pinned(const void *p);

/* Where the object starts that p points into, or NULL: not in an object of any heap. Owner only. */
void *heap_find(const void *p);

/* Called once a turn of the loop: takes back what other threads freed, and gives a bounded amount
 * of unused memory back to the system (at most 4 MiB a call: well under a millisecond). Returns
 * true while there is more of either. */
bool heap_collect(void);
/* Only the first half of it, for busy loops: about 2 ns when nothing is there. */
bool heap_take_back(void);

/* Moving objects out of slabs that are hardly used (alloc/heap_defrag.c). begin() looks at some slabs of one size
 * class, 1 to SLAB_CLASSES - 1, and chooses those to be emptied; true: the class has more, which the next call
 * looks at. move() gives an object of one of them another place, with its bytes, and returns it (all usable bytes
 * go with it), or NULL: it stays, since it is not in the way, is held by a device or is another thread's. end()
 * leaves some of the rest as it is; true: there is more. Each call is bounded, by 0.2 ms or so. */
bool heap_defrag_begin(uint32_t size_class);
void *heap_defrag_move(void *p);
bool heap_defrag_end(void);

/* Gives back to the system what is free, however long it takes: all of it; or of at most so many chunks that have at
 * least so many free blocks beside used ones, returning the bytes. Not where a device pins pages. */
void heap_purge(void);
size_t heap_purge_blocks(uint32_t least, size_t max_chunks);

/* For tests. The set of regions of this thread; made on first use. NULL: out of memory. */
struct region_set *heap_regions(void);

/* Takes the heap off this thread, which has none afterwards and may end, and gives it to whoever attaches it: one
 * thread at a time. before: what the last detaching gave, or NULL. NULL: there is no memory for one. */
void *heap_detach(void *before);
void heap_attach(void *detached);

/* Asserts every invariant of this thread's heap; walks all of it. */
void heap_check(void);

/* For tests. Gives the whole heap of this thread back, if nothing in it is live; false: something is. The next
 * allocation makes a new one; heap_regions() is another afterwards. */
bool heap_close(void);

/* For tests and measurements. Whether later regions ask for huge pages (they do unless told otherwise): lookups are a
 * third faster with them, the first touch of each 2 MiB slower. */
void heap_set_huge_pages(bool on);

/* Whether a heap that has grown past 8 MiB keeps a few chunks whose pages a helper thread of its own
 * has brought ahead of need (alloc/prefault.h). It does unless told otherwise; for tests, and for
 * programs that must run the same way twice, which say no. Not done under heap_set_limit(). */
void heap_set_prefault(bool on);

/* For tests. At most this many bytes of regions for this thread; 0: no limit. */
void heap_set_limit(size_t bytes);

#endif
