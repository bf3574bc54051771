/* SPDX-License-Identifier: MIT
 *
 * Chunks and slabs: how 2 MiB of a region become objects. Used by heap.c and by the inline paths of
 * heap.h; everybody else uses heap.h.
 *
 *     chunk   | header: struct chunk | block | block | ...       128 blocks of 16 KiB, the first (few) being the header
 *     slab    one or more neighbouring blocks with objects of one size, slot after slot, without anything between them
 *     run     one or more neighbouring blocks with one object
 *
 * What describes block i is slabs[i] in the header: cache and TLB lines of headers stay together,
 * objects lie densely, and the slab of any address, interior ones too, is found by arithmetic. A
 * slab of several blocks is described by its first; `back` of the others leads there.
 *
 * Size classes: 1 to 128 are ceil(n / 8) * 8 for n up to 1 KiB (n = 0 counts as 1, class 0 is
 * nobody's); then eight to each doubling up to 64 KiB.
 */
#ifndef ALLOC_SLAB_H
#define ALLOC_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/assert.h"
#include "alloc/base/list.h"
#include "alloc/region.h"

#define BLOCK_SHIFT     14
#define BLOCK_SIZE      ((size_t)1 << BLOCK_SHIFT)
#define CHUNK_BLOCKS    (REGION_CHUNK / BLOCK_SIZE)
#define SMALL_MAX       1024
#define SMALL_CLASSES   129
#define SLAB_OBJECT_MAX 65536
#define SLAB_CLASSES    (SMALL_CLASSES + 6 * 8)
#define SLAB_CLASS_RUN  0xffff
#define SLAB_SLOTS_MAX  (BLOCK_SIZE / 8)

struct heap;

enum {                  /* why a free must not take the short way */
       SLAB_PINNED = 1, /* some object is */
       SLAB_RUN = 2,
};

struct slab {           /* private */
    void *free;         /* slots given back or prepared, last in first out */
    struct heap *owner; /* NULL: not a first block, or free */
    uint32_t size;      /* of a slot; a run's bytes */
    uint32_t used;      /* objects that are live or in the cache of their class */
    uint32_t retire_at; /* `used` at which the slab goes back: 0, or UINT32_MAX for the one its class allocates from */
    uint32_t fresh;     /* offset of the first slot that was never prepared */
    uint32_t end;       /* offset behind the last slot */
    uint32_t pinned;    /* objects that are; written by the owner, read by whoever frees */
    uint16_t size_class;
    uint8_t slow;      /* SLAB_*: owner only */
    uint8_t back;      /* blocks from the first of the slab to this one */
    bool full;         /* in no list: nothing was free */
    bool emptying;     /* heap_defrag.c: nothing is allocated from it */
    uint8_t looked_at; /* by a round of defragmentation */
    struct list link;  /* in the partial list of its class, or with those that are emptied */
#ifdef DEMI_DEBUG
    uint64_t live[SLAB_SLOTS_MAX / 64];
#endif
};

typedef unsigned __int128 block_map; /* a bit a block */

struct chunk { /* private */
    struct heap *heap;
    struct region *region;
    struct list link; /* in the heap's list of chunks by longest free run */
    block_map free_map;
    block_map clean_map;  /* reads as zeros */
    uint32_t block_count; /* in use, header apart */
    bool is_cut;          /* region_cut() */
    struct slab slabs[CHUNK_BLOCKS];
};

#define CHUNK_HEADER_BLOCKS ((sizeof(struct chunk) + BLOCK_SIZE - 1) / BLOCK_SIZE)
#define RUN_BLOCKS_MAX      (CHUNK_BLOCKS - CHUNK_HEADER_BLOCKS)
#define RUN_MAX             (RUN_BLOCKS_MAX * BLOCK_SIZE)
#define CHUNK_BINS          7 /* by log2 of the longest free run: 1, 2-3, 4-7, ... 64-127 */

#ifndef DEMI_DEBUG
static_assert(sizeof(struct slab) <= 80, "a page of headers for 2 MiB of objects");
#endif
static_assert(CHUNK_BLOCKS == sizeof(block_map) * 8, "one bit a block");

/* size_t n <= SLAB_OBJECT_MAX */
static inline uint32_t slab_class_of(size_t n)
{
    if (n <= SMALL_MAX) return (uint32_t)((n + !n + 7) >> 3);
    uint32_t log = 63 - (uint32_t)__builtin_clzll(n - 1);
    return SMALL_CLASSES + (log - 10) * 8 + (uint32_t)((n - 1) >> (log - 3) & 7);
}

static inline uint32_t slab_class_size(uint32_t c)
{
    if (c < SMALL_CLASSES) return c * 8;
    uint32_t log = 10 + (c - SMALL_CLASSES) / 8;
    return (1u << log) + ((c - SMALL_CLASSES) % 8 + 1) * (1u << (log - 3));
}

static inline struct chunk *chunk_of(const void *p) { return (struct chunk *)((uintptr_t)p & ~(REGION_CHUNK - 1)); }

/* The slab p lies in; p is not in a chunk's header and not in a huge object. */
static inline struct slab *slab_of(const void *p)
{
    struct slab *s = &chunk_of(p)->slabs[(uintptr_t)p >> BLOCK_SHIFT & (CHUNK_BLOCKS - 1)];
    return s - s->back;
}

static inline char *slab_start(const struct slab *s)
{
    struct chunk *c = chunk_of(s);
    return (char *)c + (size_t)(s - c->slabs) * BLOCK_SIZE;
}

/* Blocks a slab of this class takes: at least 64 slots (8 above 1 KiB, 4 above 8 KiB) and, within
 * 32 blocks, under 1/64 of waste at its end. */
uint32_t slab_blocks(uint32_t size);

/* `at` is the first byte of a chunk; clean: it reads as zeros. */
struct chunk *chunk_init(char *at, struct heap *heap, struct region *r, bool clean);

/* Takes `count` neighbouring blocks and describes them as one slab with nothing in it; *clean_out:
 * they read as zeros. NULL: no such run. */
struct slab *chunk_take(struct chunk *c, uint32_t count, bool *clean_out);
void chunk_give(struct chunk *c, struct slab *s, uint32_t count);
/* It may have a huge page again; harmless if it has not been cut. */
void chunk_uncut(struct chunk *c);

/* CHUNK_BINS index of its longest free run; -1: full. */
int chunk_bin(const struct chunk *c);

/* Makes another batch of slots ready: at least one. false: there are none left. */
bool slab_prepare(struct slab *s);

/* The slot that p lies in, or NULL: behind the last one or never prepared. */
static inline char *slab_slot(const struct slab *s, const void *p)
{
    uint32_t at = (uint32_t)((const char *)p - slab_start(s));
    if (at >= s->fresh) return NULL;
    return slab_start(s) + at / s->size * s->size;
}

#endif
