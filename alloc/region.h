/* SPDX-License-Identifier: MIT
 *
 * Regions: memory in pieces of 2 MiB that devices know.
 *
 * A region_set belongs to one thread (its heap owns it). Every device of the process is told of every region
 * (registry.h) before any object of it is handed out, whichever thread allocates and whichever drives the device.
 *
 *     region   | chunk 0 | chunk 1 | ...     base and length are multiples of REGION_CHUNK
 *
 * Which region an address lies in is asked of a table of the whole process in O(1), from any
 * thread.
 */
#ifndef ALLOC_REGION_H
#define ALLOC_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/list.h"
#include "alloc/registry.h"

#define REGION_CHUNK ((size_t)1 << 21)

enum chunk_state {
    CHUNK_CLEAN, /* free, reads as zeros */
    CHUNK_DIRTY, /* free, holds old bytes */
    CHUNK_SLABS, /* of the heap: small objects */
    CHUNK_HUGE,  /* of the heap: part of one huge object */
    CHUNK_STOCK, /* of the heap: its pages are brought ahead of need */
};

struct chunk_info {
    void *huge; /* heap.c: the huge object it is part of */
    uint8_t state;
};

struct region {
    struct list link; /* in region_set.regions */
    struct region_set *set;
    char *base;
    size_t len;
    uint32_t chunk_count;
    uint32_t free_count; /* chunks CLEAN or DIRTY */
    uint32_t dirty_count;
    uint32_t hint;   /* no free chunk lies below it */
    bool huge_pages; /* MAP_HUGETLB */
    struct registered memory;
    struct chunk_info chunks[];
};

struct region_set {
    struct list regions;
    void *owner; /* the heap */
    size_t mapped_bytes;
    size_t limit_bytes; /* 0: none */
    bool small_pages;   /* later regions get no huge pages */
    size_t dirty_chunks;
    size_t cut_chunks; /* region_cut() */
};

void region_set_init(struct region_set *set, void *owner);
/* Unregisters and unmaps everything. */
void region_set_fini(struct region_set *set);

/* What the device left as its cookie for the memory p lies in, a region or memory of the program's own (extmem.h);
 * NULL: in neither, or the device has refused it. device: its number. p is an object's that lives, or held. */
void *region_cookie(int device, const void *p);

/* A region of at least `bytes`. NULL: no memory, or over the limit. */
struct region *region_new(struct region_set *set, size_t bytes);

/* The region p lies in, of whatever thread, or NULL. */
struct region *region_find(const void *p);

/* Takes `count` neighbouring free chunks and gives them `state`; clean_only: none that is dirty.
 * NULL: there are none in the regions there are. *dirty_out says whether one of them was dirty. */
char *region_take_chunks(struct region_set *set, size_t count, uint8_t state, bool clean_only,
                         struct region **region_out, bool *dirty_out);
/* Asks for huge pages behind chunks that are taken, where the set has them at all. */
void region_advise_huge(struct region *r, char *base, size_t count);
/* Pages of a chunk were given back one by one, and its huge page is cut: that it stays so, since the system fills such
 * holes otherwise (khugepaged of Linux). Best effort, and for REGION_CUT_MAX chunks of a set at most: each may cost two
 * mappings, of which a process has 65530. True: it was told; region_uncut() tells the contrary. */
#define REGION_CUT_MAX 8192u
bool region_cut(struct region *r, char *chunk);
void region_uncut(struct region *r, char *chunk);
bool region_wants_huge(const struct region *r);
/* One free chunk that is dirty, or NULL: its pages are there already. */
char *region_take_dirty(struct region_set *set, uint8_t state, struct region **region_out);
/* Gives chunks back, dirty. */
void region_give_chunks(struct region *r, char *base, size_t count);
/* Extends a run that ends at `end` by `count` chunks in place. false: not free, or not all clean.
 * */
bool region_extend(struct region *r, char *end, size_t count, uint8_t state, void *huge);

/* Gives the pages of at most max_chunks dirty chunks back to the system; returns how many. */
size_t region_purge(struct region_set *set, size_t max_chunks);
/* Unmaps regions without a used chunk, at most max of them, but leaves one. Those with dirty chunks
 * only when purging cannot clean them. */
size_t region_release(struct region_set *set, size_t max);

static inline size_t region_chunk_index(const struct region *r, const void *p)
{
    return (size_t)((const char *)p - r->base) / REGION_CHUNK;
}

#endif
