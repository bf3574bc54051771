/* SPDX-License-Identifier: MIT
 *
 * See arrays.h. The slot freed last is given next: it is still in the cache.
 */
#include "libos/runtime/arrays.h"

#include "alloc/base/assert.h"
#include "alloc/buf.h"

#include <stdlib.h>

static_assert(sizeof(void *) == 8, "a handle is 64 bits");
static_assert(sizeof(struct array_slot) == 16, "four to a cache line");

/* Two threads whose owners are equal by chance (there are 253) begin far apart. */
#define GENERATION_STRIDE 2654435761u

void arrays_init(struct arrays *t, uint32_t owner, uint32_t id)
{
    *t = (struct arrays){.owner = owner, .first = id * GENERATION_STRIDE + 1};
}

void arrays_fini(struct arrays *t)
{
    for (uint32_t i = 0; i < t->used; i++) buf_unref(t->slots[i].b);
    free(t->slots);
    *t = (struct arrays){.owner = t->owner, .first = t->first};
}

static bool arrays_grow(struct arrays *t)
{
    if (t->room == ARRAYS_MAX) return false;
    uint32_t room = t->room ? t->room * 2 : 64;
    struct array_slot *slots = realloc(t->slots, room * sizeof *slots);
    if (!slots) return false;
    t->slots = slots;
    t->room = room;
    return true;
}

void *arrays_give(struct arrays *t, struct buf *b)
{
    DASSERT(b);
    uint32_t i;
    if (likely(t->free)) {
        i = t->free - 1;
        t->free = t->slots[i].next;
    } else {
        if (t->used == t->room && !arrays_grow(t)) return NULL;
        i = t->used++;
        t->slots[i].generation = t->first;
    }
    t->slots[i].b = b;
    t->held++;
    return (void *)(uintptr_t)((uint64_t)t->slots[i].generation << 32 | t->owner | i);
}

struct buf *arrays_take(struct arrays *t, const void *handle)
{
    struct buf *b = arrays_find(t, handle);
    if (unlikely(!b)) return NULL;
    uint32_t i = (uint32_t)(uintptr_t)handle & (ARRAYS_MAX - 1);
    t->slots[i] = (struct array_slot){.generation = t->slots[i].generation + 1, .next = t->free};
    t->free = i + 1;
    t->held--;
    return b;
}
