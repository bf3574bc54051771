/* SPDX-License-Identifier: MIT
 *
 * Buffers that the kernel has from us before anything comes, and picks from when it does: a ring of them for each size
 * (IORING_REGISTER_PBUF_RING). Each is a buffer of the heap, so what a program pops is what the kernel wrote to, and
 * nothing has to come back: a fresh buffer takes the place of one that was used. Where there is no memory for that the
 * ring gets shorter, and provided_refill() tries again.
 *
 *     slot (buffer id)   with the kernel --used--> provided_take(): the program's; a fresh one into the slot
 *                             ^                `--> provided_return(): nothing came, the same one again
 *                             `-- provided_refill() -- empty: no memory
 */
#ifndef URING_PROVIDED_H
#define URING_PROVIDED_H

#include "alloc/buf.h"

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

struct provided {
    struct io_uring_buf_ring *ring; /* NULL: not there yet */
    struct buf **slots;
    uint16_t *empty; /* slots without a buffer */
    uint32_t empty_count, entries, size;
    uint16_t group;
};

/* Registers the ring with u and fills it. entries: a power of two. -ENOMEM; -errno of io_uring_register(2). */
int provided_open(struct provided *p, struct io_uring *u, uint16_t group, uint32_t entries, uint32_t size);
/* The kernel's ring is closed by now. */
void provided_close(struct provided *p);

/* The kernel has used the buffer of this slot: it is the caller's. */
struct buf *provided_take(struct provided *p, unsigned slot);
/* It has used it for nothing. */
void provided_return(struct provided *p, unsigned slot);
/* False: some are still missing. */
bool provided_refill(struct provided *p);

#endif
