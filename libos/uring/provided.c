/* SPDX-License-Identifier: MIT
 *
 * See provided.h.
 */
#include "libos/uring/provided.h"

#include "alloc/base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static size_t provided_bytes(const struct provided *p) { return p->entries * sizeof(struct io_uring_buf); }

static void provide(struct provided *p, unsigned slot)
{
    struct buf *b = p->slots[slot];
    io_uring_buf_ring_add(p->ring, b->data, p->size, (unsigned short)slot, io_uring_buf_ring_mask(p->entries), 0);
    io_uring_buf_ring_advance(p->ring, 1);
}

bool provided_refill(struct provided *p)
{
    while (p->empty_count) {
        struct buf *b = buf_take(p->size);
        if (!b) return false;
        unsigned slot = p->empty[--p->empty_count];
        DASSERT(!p->slots[slot]);
        p->slots[slot] = b;
        provide(p, slot);
    }
    return true;
}

int provided_open(struct provided *p, struct io_uring *u, uint16_t group, uint32_t entries, uint32_t size)
{
    ASSERT(entries && !(entries & (entries - 1)) && entries <= UINT16_MAX);
    struct provided fresh = {.entries = entries, .size = size, .group = group};
    fresh.slots = calloc(entries, sizeof *fresh.slots);
    fresh.empty = calloc(entries, sizeof *fresh.empty);
    int err = -ENOMEM;
    if (!fresh.slots || !fresh.empty) goto free_slots;
    void *at = mmap(NULL, provided_bytes(&fresh), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) goto free_slots;
    madvise(at, provided_bytes(&fresh), MADV_DONTFORK); /* the kernel has these pages, not copies of them */
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)at, .ring_entries = entries, .bgid = group};
    err = io_uring_register_buf_ring(u, &reg, 0);
    if (err) goto unmap_ring;
    fresh.ring = at;
    io_uring_buf_ring_init(fresh.ring);
    for (uint32_t i = entries; i-- > 0;) fresh.empty[fresh.empty_count++] = (uint16_t)i;
    provided_refill(&fresh);
    *p = fresh;
    return 0;
unmap_ring:
    munmap(at, provided_bytes(&fresh));
free_slots:
    free(fresh.slots);
    free(fresh.empty);
    return err;
}

void provided_close(struct provided *p)
{
    if (!p->ring) return;
    for (uint32_t i = 0; i < p->entries; i++) buf_unref(p->slots[i]);
    munmap(p->ring, provided_bytes(p));
    free(p->slots);
    free(p->empty);
    *p = (struct provided){0};
}

struct buf *provided_take(struct provided *p, unsigned slot)
{
    ASSERT(slot < p->entries);
    struct buf *b = p->slots[slot], *fresh = buf_take(p->size);
    ASSERT(b);
    p->slots[slot] = fresh;
    if (likely(fresh != NULL)) provide(p, slot);
    else p->empty[p->empty_count++] = (uint16_t)slot;
    return b;
}

void provided_return(struct provided *p, unsigned slot)
{
    ASSERT(slot < p->entries && p->slots[slot]);
    provide(p, slot);
}
