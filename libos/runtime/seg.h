/* SPDX-License-Identifier: MIT
 *
 * A piece of a push: bytes, and what keeps them in place until the device has let go of them - a reference on a buffer
 * (demi_sgaalloc) or a pin on an object of the heap (demi_malloc).
 */
#ifndef RUNTIME_SEG_H
#define RUNTIME_SEG_H

#include <stddef.h>
#include <stdint.h>

struct buf;

struct seg {
    const char *p;
    size_t n;
    uintptr_t hold; /* struct buf *, or a pinned object with SEG_PINNED set, or 0 */
};
#define SEG_PINNED 1u

/* A reference on b for n bytes at p. */
struct seg seg_of_buf(struct buf *b, const void *p, size_t n);

/* Pins p's object, which is one of demi_malloc()'s or inside of a buffer. -ENOMEM: could not be pinned and not be copied. */
int seg_of_memory(struct seg *s, const void *p, size_t n);

/* The device has let go. */
void seg_release(struct seg *s);

#endif
