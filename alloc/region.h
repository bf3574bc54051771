/* SPDX-License-Identifier: MIT
 *
 * Regions: memory in pieces of 2 MiB that devices know.
 *
 * A region_set belongs to one thread (its heap owns it; heap_regions() finds it). Each device that
 * is active on that thread adds itself as a registrar: it is told of every region there is, at
 * once, and of every later one before any object of it is handed out. A region that some device
 * refuses is not used at all, so "it came from the heap" implies "every device of this thread can
 * reach it".
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

#define REGION_CHUNK       ((size_t)1 << 21)
#define REGION_DEVICES_MAX 8 /* of one thread */

/* A device's side. map returns 0 or -errno and leaves in *cookie what it needs to find its
 * registration again (rkey, mr, ...). */
struct region_registrar {
    int (*map)(void *dev, void *base, size_t len, void **cookie);
    void (*unmap)(void *dev, void *base, size_t len, void *cookie);
    bool pins_pages; /* the device keeps physical pages: they must stay behind their addresses until unmap */
};

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
    uint32_t hint;                     /* no free chunk lies below it */
    bool huge_pages;                   /* MAP_HUGETLB */
    void *cookies[REGION_DEVICES_MAX]; /* by registrar index */
    struct chunk_info chunks[];
};

struct region_set {
    struct list regions;
    void *owner; /* the heap */
    size_t mapped_bytes;
    size_t limit_bytes; /* 0: none */
    bool small_pages;   /* later regions get no huge pages */
    size_t dirty_chunks;
    struct {
        const struct region_registrar *ops; /* NULL: free */
        void *dev;
    } devices[REGION_DEVICES_MAX];
};

void region_set_init(struct region_set *set, void *owner);
/* Unregisters and unmaps everything. */
void region_set_fini(struct region_set *set);

/* Tells ops of every region. -errno of map(): nothing is registered with it any more. -ENOSPC: too
 * many devices. -EEXIST: this dev has been added. */
int region_set_add_device(struct region_set *set, const struct region_registrar *ops, void *dev);
/* Unmaps every region from it. -ENOENT: not added. */
int region_set_remove_device(struct region_set *set, void *dev);

/* The device's cookie for the region p lies in; NULL when it lies in none. */
void *region_cookie(const struct region_set *set, void *dev, const void *p);

/* A region of at least `bytes`. NULL: no memory, over the limit, or a device refused it. */
struct region *region_new(struct region_set *set, size_t bytes);

/* The region p lies in, of whatever thread, or NULL. */
struct region *region_find(const void *p);

/* Whether a device forbids taking pages away from behind addresses. */
bool region_set_pins_pages(const struct region_set *set);

/* Takes `count` neighbouring free chunks and gives them `state`; clean_only: none that is dirty.
 * NULL: there are none in the regions there are. *dirty_out says whether one of them was dirty. */
char *region_take_chunks(struct region_set *set, size_t count, uint8_t state, bool clean_only,
                         struct region **region_out, bool *dirty_out);
/* Asks for huge pages behind chunks that are taken, where the set has them at all. */
void region_advise_huge(struct region *r, char *base, size_t count);
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
