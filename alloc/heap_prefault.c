/* SPDX-License-Identifier: MIT
 *
 * Where slabs get their chunks.
 *
 *     1. dirty ones, whose pages are there     3. chunks the helper has not come to
 *     2. ready ones of those touched ahead               4. clean ones of the regions, then a new region
 *
 * The first touch of a huge page clears 2 MiB: 0.15 ms, but 5 ms in a virtual machine whose host
 * had not backed that memory yet (Nov 2026). 2. leaves this to a helper thread. What it has not come
 * to (3. and 4.) gets a huge page at its first touch where the helper found that quick, else small
 * ones, which come one by one, at 10 us each: their objects are found a little slower then.
 *
 * The reserve of touched chunks starts small and doubles each time it is found empty, up to a quarter of the heap and
 * PREFAULT_MAX: what is in it is memory that nobody uses. Its pages go back after IDLE_NS without
 * growth. There is none while the heap is small (its pages are small ones then), none where
 * a device has every page of a region there from the start, and none under a limit, which should
 * be used to the last chunk.
 */
#include "alloc/heap_impl.h"

#include "alloc/base/clock.h"

#define PREFAULT_FROM (4 * REGION_CHUNK) /* mapped; as for huge pages, region.c */
#define PREFAULT_MIN  2
#define IDLE_NS       (2 * NSEC_PER_SEC)

static char *take_region_chunk(struct heap *h, uint8_t state, bool may_map, struct region **r, bool *dirty)
{
    char *at = region_take_chunks(&h->regions, 1, state, true, r, dirty);
    if (at || !may_map || !region_new(&h->regions, REGION_CHUNK)) return at;
    return region_take_chunks(&h->regions, 1, state, true, r, dirty);
}

static char *from_stock(struct heap *h, enum prefault_state state, struct region **region_out)
{
    char *at = prefault_take(h->prefault, state);
    if (!at) return NULL;
    struct region *r = region_find(at);
    r->chunks[region_chunk_index(r, at)].state = CHUNK_SLABS;
    *region_out = r;
    return at;
}

static bool wants_prefault(const struct heap *h)
{
    const struct region_set *set = &h->regions;
    return !h->prefault_off && set->mapped_bytes > PREFAULT_FROM && !set->limit_bytes && !registry_pins_pages();
}

static void raise_target(struct heap *h)
{
    size_t max = h->regions.mapped_bytes / REGION_CHUNK / 4;
    if (max > PREFAULT_MAX) max = PREFAULT_MAX;
    h->prefault_target *= 2;
    if (h->prefault_target > max) h->prefault_target = (unsigned)max;
    if (h->prefault_target < PREFAULT_MIN) h->prefault_target = PREFAULT_MIN;
}

/* No mmap() while the helper is at work: the two would wait for each other's lock. */
static void restock(struct heap *h)
{
    if (!wants_prefault(h)) return;
    if (!h->prefault) {
        h->prefault = prefault_new(IDLE_NS);
        h->prefault_target = PREFAULT_MIN;
        h->prefault_off = !h->prefault;
        if (!h->prefault) return;
    }
    for (unsigned n = prefault_count(h->prefault); n < h->prefault_target; n++) {
        struct region *r;
        bool dirty;
        bool at_work = prefault_in_state(h->prefault, PREFAULT_WANTED) || prefault_in_state(h->prefault, PREFAULT_BUSY);
        char *at = take_region_chunk(h, CHUNK_STOCK, !at_work, &r, &dirty);
        if (!at) break;
        prefault_put(h->prefault, at, region_wants_huge(r));
    }
    prefault_wake(h->prefault);
}

static bool is_slow(const struct heap *h) { return h->prefault ? prefault_is_slow(h->prefault) : wants_prefault(h); }

char *heap_take_chunk(struct heap *h, struct region **region_out, bool *dirty_out)
{
    char *at = region_take_dirty(&h->regions, CHUNK_SLABS, region_out);
    *dirty_out = at != NULL;
    if (at) return at;
    if (h->prefault) {
        at = from_stock(h, PREFAULT_READY, region_out);
        if (at) {
            restock(h);
            return at;
        }
        raise_target(h);
        at = from_stock(h, PREFAULT_WANTED, region_out);
        if (!at) at = from_stock(h, PREFAULT_COLD, region_out);
    }
    if (!at) at = take_region_chunk(h, CHUNK_SLABS, true, region_out, dirty_out);
    if (!at) return NULL;
    if (!is_slow(h)) region_advise_huge(*region_out, at, 1);
    restock(h);
    return at;
}

/* Ready or not, they go back as dirty ones: which of them have pages is soon of no interest. */
static void empty_stock(struct heap *h, enum prefault_state state)
{
    struct region *r;
    for (char *at; (at = from_stock(h, state, &r));) region_give_chunks(r, at, 1);
}

void heap_stop_stock(struct heap *h)
{
    if (!h->prefault) return;
    prefault_stop(h->prefault);
    empty_stock(h, PREFAULT_READY);
    empty_stock(h, PREFAULT_WANTED);
    empty_stock(h, PREFAULT_COLD);
    prefault_free(h->prefault);
    h->prefault = NULL;
}

void heap_set_prefault(bool on)
{
    struct heap *h = heap_get();
    if (!h) return;
    h->prefault_off = !on;
    if (!on) heap_stop_stock(h);
}
