/* SPDX-License-Identifier: MIT
 *
 * A piece of a push: bytes, and what keeps them in place until the device has let go of them - a reference on a buffer
 * (demi_sgaalloc), a pin on an object of the heap (demi_malloc), or a hold on memory that the program has registered
 * (demi_mem_register).
 */
#ifndef RUNTIME_SEG_H
#define RUNTIME_SEG_H

#include <stddef.h>
#include <stdint.h>

struct buf;

enum seg_kind {
    SEG_NONE,
    SEG_BUF,
    SEG_PIN,
    SEG_EXTMEM,
    SEG_OWN /* memory of the queue that holds the segment, which alone makes and releases them */
};

struct seg {
    const char *p;
    uint32_t n;
    uint32_t kind;
    void *hold; /* the buffer, an address inside of the pinned object, or the struct extmem */
};

/* n bytes at p, which lie in b; takes a reference on b. */
struct seg seg_of_buf(struct buf *b, const void *p, uint32_t n);

/* Pins the object p points into, one of demi_malloc()'s or the storage of a buffer, or holds registered memory. Up to
 * SEG_COPY_MAX bytes are copied instead, and so is memory that is neither. -ENOMEM. */
#define SEG_COPY_MAX 2048
int seg_of_memory(struct seg *s, const void *p, uint32_t n);

/* A view of a segment that is no buffer's (SEG_PIN, SEG_EXTMEM), which from here on holds what the segment held. NULL:
 * no memory, and the segment is as before. */
struct buf *seg_take_view(struct seg *s);

/* The device has let go. */
void seg_release(struct seg *s);

#endif
