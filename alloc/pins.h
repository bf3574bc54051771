/* SPDX-License-Identifier: MIT
 *
 * Which objects of a heap are pinned, how often, and which of them have been freed meanwhile. One
 * thread's; as many entries as objects are pinned at the moment, and those are bounded by what is
 * outstanding on devices.
 */
#ifndef ALLOC_PINS_H
#define ALLOC_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pin {
    void *object;   /* its first byte; NULL: an empty place */
    uint32_t count; /* holders */
    bool freed;     /* its owner has let go: the last holder frees it */
};

struct pins { /* private; heap_stats() reads it */
    struct pin *places;
    size_t mask;
    size_t count;
};

void pins_fini(struct pins *t);
/* The entry, until the table changes; NULL: not pinned. */
struct pin *pins_find(const struct pins *t, const void *object);
/* Finds or makes the entry, a new one with count 0. NULL: no memory. */
struct pin *pins_add(struct pins *t, void *object);
void pins_remove(struct pins *t, struct pin *pin);

#endif
