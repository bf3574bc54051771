/* SPDX-License-Identifier: MIT
 *
 * Cells: where small pushes are copied to until the flush. One holds SEG_COPY_MAX bytes, so that
 * the small pushes of a turn on one socket leave from one place with one send. Handed out last in,
 * first out; CELLS_KEPT stay for later, the others go back to the heap.
 */
#ifndef RUNTIME_CELL_H
#define RUNTIME_CELL_H

#include "alloc/base/assert.h"
#include "alloc/heap.h"
#include "libos/runtime/seg.h"
#include "libos/runtime/seg_ring.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define CELLS_KEPT 256u

struct cell {
    struct cell *next;
    char bytes[SEG_COPY_MAX];
};

struct cells {
    struct cell *free;
    uint32_t kept;
};

/* NULL: no memory. Leaves errno alone. */
static inline struct cell *cell_take(struct cells *cs)
{
    struct cell *c = cs->free;
    if (unlikely(!c)) {
        int before = errno;
        c = heap_alloc(sizeof *c);
        errno = before;
        return c;
    }
    cs->free = c->next;
    cs->kept--;
    return c;
}

static inline void cell_give(struct cells *cs, struct cell *c)
{
    if (unlikely(cs->kept == CELLS_KEPT)) {
        heap_free(c);
        return;
    }
    c->next = cs->free;
    cs->free = c;
    cs->kept++;
}

static inline char *cell_end(struct cell *c) { return c->bytes + SEG_COPY_MAX; }

/* The room behind r's last segment, if that is a copy of ours: small pushes of a turn leave as one. */
static inline bool cell_extend(struct seg_ring *r, const void *p, uint32_t n)
{
    if (!r->count) return false;
    struct seg *last = seg_ring_at(r, r->count - 1);
    if (last->kind != SEG_OWN) return false;
    char *end = (char *)(uintptr_t)last->p + last->n;
    if (n > (size_t)(cell_end(last->hold) - end)) return false;
    memcpy(end, p, n);
    last->n += n;
    return true;
}

/* A copy in a cell of its own, behind the others. 0 or -ENOMEM. */
static inline int cell_append(struct cells *cs, struct seg_ring *r, const void *p, uint32_t n)
{
    if (!seg_ring_reserve(r, 1)) return -ENOMEM;
    struct cell *c = cell_take(cs);
    if (unlikely(!c)) return -ENOMEM;
    memcpy(c->bytes, p, n);
    *seg_ring_at(r, r->count++) = (struct seg){.p = c->bytes, .n = n, .kind = SEG_OWN, .hold = c};
    return 0;
}

static inline void cells_free(struct cells *cs)
{
    for (struct cell *c; (c = cs->free);) {
        cs->free = c->next;
        heap_free(c);
    }
}

#endif
