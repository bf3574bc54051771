/* SPDX-License-Identifier: MIT
 *
 * See seg_ring.h.
 */
#include "libos/runtime/seg_ring.h"

#include "alloc/heap.h"

#include <errno.h>

#define ROOM_MIN 4

bool seg_ring_grow(struct seg_ring *r, uint32_t count)
{
    uint32_t room = r->room ? r->room : ROOM_MIN;
    while (room - r->count < count) room *= 2;
    int before = errno;
    struct seg *slots = heap_alloc(room * sizeof *slots);
    errno = before;
    if (!slots) return false;
    for (uint32_t i = 0; i < r->count; i++) slots[i] = *seg_ring_at(r, i);
    heap_free(r->slots);
    *r = (struct seg_ring){.slots = slots, .room = room, .count = r->count};
    return true;
}

void seg_ring_free(struct seg_ring *r)
{
    heap_free(r->slots);
    *r = (struct seg_ring){0};
}
