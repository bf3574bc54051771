/* SPDX-License-Identifier: MIT
 *
 * Ready-made buffers for short messages, which are nearly all: everything in them is set but the length, so that taking
 * one is taking it off a list. Who lets go of one last puts it back there.
 *
 *     | struct buf, 64 | its pool | headroom | SMALLS_ROOM bytes |        SMALLS_STEP together
 *                      base                  data
 *
 * They lie in one object of the heap, which devices know as they know all of the heap. The object outlives the pool as
 * long as the program holds one of them.
 */
#ifndef RDMA_SMALLS_H
#define RDMA_SMALLS_H

#include "alloc/base/assert.h"
#include "alloc/buf.h"

#include <stdbool.h>

#define SMALLS_COUNT 512  /* of a thread, 256 KiB; who holds more has the others from the heap */
#define SMALLS_ROOM  256u /* bytes of a message */
#define SMALLS_STEP  512u

struct smalls; /* the object */
struct smalls_cell {
    struct buf b; /* data and the others as they were made; len is what is set */
    struct smalls_cell *next;
    struct smalls *pool;
    uint8_t headroom[SMALLS_STEP - SMALLS_ROOM - sizeof(struct buf) - 2 * sizeof(void *)];
    uint8_t room[SMALLS_ROOM];
};

/* *list, which is the holder's, becomes the list of them, until the pool is closed. NULL: no memory. */
struct smalls *smalls_new(struct smalls_cell **list);
/* Nobody takes any more: it goes with the last that is held. NULL is allowed. */
void smalls_close(struct smalls *s);

/* For n bytes, up to SMALLS_ROOM, which are to be written to its data. NULL: all are held. */
static inline struct buf *smalls_take(struct smalls_cell **list, uint32_t n)
{
    struct smalls_cell *cell = *list;
    if (unlikely(!cell)) return NULL;
    *list = cell->next;
    cell->b.len = n;
    return &cell->b;
}

#endif
