/* SPDX-License-Identifier: MIT
 *
 * A ring of pointers between two threads: one pushes, one pops, nobody waits.
 *
 *     popped | head ... tail | free        head, tail: counted without end, masked when used
 *
 * The producer publishes a slot by a release store of `tail`, which the consumer's acquire load
 * pairs with; `head` does the same the other way round for the slot's reuse. Each side keeps a copy
 * of the other's index and looks at the shared one only when its copy says full or empty, so that a
 * steady flow does not bounce the cache line.
 */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring { /* private */
    void **slots;
    size_t mask;
    _Alignas(64) size_t tail; /* written by the producer */
    size_t head_seen;
    _Alignas(64) size_t head; /* written by the consumer */
    size_t tail_seen;
};

/* `slots` is the caller's memory for `count` pointers, a power of two. -1: it is not one. */
static inline int ring_init(struct ring *r, void **slots, size_t count)
{
    if (!slots || count == 0 || (count & (count - 1))) return -1;
    *r = (struct ring){.slots = slots, .mask = count - 1};
    return 0;
}

/* false: full. */
static inline bool ring_push(struct ring *r, void *p)
{
    size_t tail = r->tail;
    if (tail - r->head_seen > r->mask) {
        r->head_seen = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
        if (tail - r->head_seen > r->mask) return false;
    }
    r->slots[tail & r->mask] = p;
    __atomic_store_n(&r->tail, tail + 1, __ATOMIC_RELEASE);
    return true;
}

/* false: empty. */
static inline bool ring_pop(struct ring *r, void **out)
{
    size_t head = r->head;
    if (head == r->tail_seen) {
        r->tail_seen = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
        if (head == r->tail_seen) return false;
    }
    *out = r->slots[head & r->mask];
    __atomic_store_n(&r->head, head + 1, __ATOMIC_RELEASE);
    return true;
}

/* How many are in it; from a third thread, or about the other side, a guess that was true a moment
 * ago. */
static inline size_t ring_count(const struct ring *r)
{
    size_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
    return __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) - head;
}

#endif
