/* SPDX-License-Identifier: MIT
 *
 * Pins. The free path looks at one flag of the slab (`slow`), which says that some object of it is
 * pinned; only then at the table that says which.
 */
#include <errno.h>

#include "alloc/heap_impl.h"

static void *find_in_region(struct region *r, const void *p)
{
    struct chunk_info *info = &r->chunks[region_chunk_index(r, p)];
    if (info->state == CHUNK_HUGE) {
        struct huge *g = info->huge;
        return (const char *)p < g->base + g->size ? g->base : NULL;
    }
    if (info->state != CHUNK_SLABS) return NULL;
    struct slab *s = slab_of(p);
    return s->owner ? slab_slot(s, p) : NULL;
}

void *heap_find(const void *p)
{
    struct region *r = region_find(p);
    return r ? find_in_region(r, p) : NULL;
}

/* One object more or less of its slab or itself, if huge, is pinned. */
static void count_pinned(void *object, int change)
{
    if (is_huge(object)) {
        struct huge *g = huge_find(object);
        __atomic_store_n(&g->pinned, g->pinned + (uint32_t)change, __ATOMIC_RELAXED);
        return;
    }
    struct slab *s = slab_of(object);
    __atomic_store_n(&s->pinned, s->pinned + (uint32_t)change, __ATOMIC_RELAXED);
    if (s->pinned) s->slow |= SLAB_PINNED;
    else s->slow &= (uint8_t)~SLAB_PINNED;
}

int heap_pin(const void *p)
{
    struct region *r = region_find(p);
    struct heap *h = heap_of_thread();
    if (!r || r->set->owner != h) return -EINVAL;
    void *object = find_in_region(r, p);
    if (!object) return -EINVAL;
    struct pin *pin = pins_add(&h->pins, object);
    if (!pin) return -ENOMEM;
    if (pin->count++ == 0) count_pinned(object, 1);
    return 0;
}

void heap_unpin(const void *p)
{
    struct heap *h = heap_of_thread();
    void *object = heap_find(p);
    struct pin *pin = object ? pins_find(&h->pins, object) : NULL;
    ASSERT(pin && pin->count);
    if (--pin->count) return;
    bool freed = pin->freed;
    pins_remove(&h->pins, pin);
    count_pinned(object, -1);
    if (freed) heap_free_object(h, object);
}

bool heap_is_pinned(const void *p)
{
    if (!heap_exists()) return false;
    void *object = heap_find(p);
    return object && pins_find(&heap_of_thread()->pins, object);
}

bool heap_left_to_holder(struct heap *h, const void *p)
{
    struct pin *pin = pins_find(&h->pins, p);
    if (!pin) return false;
    ASSERT(!pin->freed); /* freed twice */
    pin->freed = true;
    return true;
}
