/* SPDX-License-Identifier: MIT
 *
 * The arrays a program holds: what demi_sgaalloc() gave it and what its pops brought. A demi_sgarray_t is the program's
 * to copy, so what it carries is no pointer but a handle, which is looked up each time it comes back: an array that was
 * freed, that another thread holds, or that never was one, is refused in O(1), and never touches a live one.
 *
 * A handle looks like a token: generation(32) | owner(8) | index(24). It is never NULL, and a slot's generation steps
 * when its array is freed.
 *
 *      slots   | buf, generation | next free, generation | buf, generation | ...      free: the slot freed last
 *
 * The table holds one reference on each buffer. It grows by doubling; slots that were never used are not touched.
 */
#ifndef RUNTIME_ARRAYS_H
#define RUNTIME_ARRAYS_H

#include <stdint.h>

struct buf;

#define ARRAYS_INDEX_BITS 24
#define ARRAYS_MAX        (1u << ARRAYS_INDEX_BITS)

struct array_slot {
    struct buf *b; /* NULL: free */
    uint32_t generation;
    uint32_t next; /* while it is free: index + 1 of the next free slot; 0: none */
};

struct arrays {
    struct array_slot *slots;
    uint32_t used, room; /* slots */
    uint32_t free;       /* index + 1; 0: none */
    uint32_t owner;      /* shifted into its place, as a token's */
    uint32_t first;      /* generation of a fresh slot */
    uint64_t held;
};

/* owner: as it stands in the thread's tokens. id differs between the threads of a process. */
void arrays_init(struct arrays *t, uint32_t owner, uint32_t id);
/* Lets go of every array that is still held. */
void arrays_fini(struct arrays *t);

/* Takes over a reference on b. NULL: no memory, or ARRAYS_MAX are held; b is still the caller's. */
void *arrays_give(struct arrays *t, struct buf *b);

/* The buffer behind a handle. NULL: stale, foreign, or no handle at all. */
static inline struct buf *arrays_find(const struct arrays *t, const void *handle)
{
    uint64_t h = (uintptr_t)handle;
    uint32_t low = (uint32_t)h, i = low & (ARRAYS_MAX - 1);
    if ((low & ~(ARRAYS_MAX - 1)) != t->owner || i >= t->used) return 0;
    const struct array_slot *s = &t->slots[i];
    return s->generation == (uint32_t)(h >> 32) ? s->b : 0;
}

/* Takes a handle back: the reference is the caller's again. NULL: as above, nothing happened. */
struct buf *arrays_take(struct arrays *t, const void *handle);

#endif
