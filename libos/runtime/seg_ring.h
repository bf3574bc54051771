/* SPDX-License-Identifier: MIT
 *
 * Segments that wait to be sent, the oldest first: a ring that grows by doubling. What they hold is their queue's to
 * release.
 */
#ifndef RUNTIME_SEG_RING_H
#define RUNTIME_SEG_RING_H

#include "alloc/base/assert.h"
#include "libos/runtime/seg.h"

#include <stdbool.h>

struct seg_ring {
    struct seg *slots;
    uint32_t room, head, count; /* room: a power of two; head runs freely */
};

static inline struct seg *seg_ring_at(const struct seg_ring *r, uint32_t i)
{
    return &r->slots[(r->head + i) & (r->room - 1)];
}

bool seg_ring_grow(struct seg_ring *r, uint32_t count);
/* Room for so many more, to be put behind the others with seg_ring_at(r, r->count++). False: out of memory. errno stays
 * as it was. */
static inline bool seg_ring_reserve(struct seg_ring *r, uint32_t count)
{
    return likely(r->room - r->count >= count) || seg_ring_grow(r, count);
}

/* The first has gone. */
static inline void seg_ring_shift(struct seg_ring *r)
{
    DASSERT(r->count);
    r->head++;
    r->count--;
}

/* Its memory; it is empty then. */
void seg_ring_free(struct seg_ring *r);

#endif
