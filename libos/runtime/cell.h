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

#include <errno.h>

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

static inline void cells_free(struct cells *cs)
{
    for (struct cell *c; (c = cs->free);) {
        cs->free = c->next;
        heap_free(c);
    }
}

#endif
