/* SPDX-License-Identifier: MIT
 *
 * What replacing objects of many sizes at random does to the heap. Measured Nov 2026 after four
 * replacements of each object: medium sizes (1-64 KiB) 1.06 of blocks, large ones (1 KiB-1 MiB) 1.02.
 */
#include "alloc/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc/base/rng.h"
#include "alloc/region.h"

#define ROUNDS 4

/* In debug builds the marks of live objects take blocks from each chunk. */
#ifdef DEMI_DEBUG
#define CHUNKS_MAX 1.4
#else
#define CHUNKS_MAX 1.3
#endif

static size_t pick_medium(struct rng *r) { return 1024 + rng_below(r, 63 * 1024); }

/* As many of each doubling. */
static size_t pick_large(struct rng *r)
{
    size_t floor = (size_t)1024 << rng_below(r, 10);
    return floor + rng_below(r, (uint32_t)floor);
}

static size_t chunk_bytes(void)
{
    const struct region_set *set = heap_regions();
    size_t n = 0;
    list_for_each(it, &set->regions)
    {
        const struct region *r = list_entry(it, struct region, link);
        for (size_t i = 0; i < r->chunk_count; i++) n += r->chunks[i].state == CHUNK_SLABS;
    }
    return n * REGION_CHUNK;
}

static void replace_at_random(size_t count, size_t (*pick)(struct rng *r))
{
    struct rng r;
    rng_seed(&r, 1);
    heap_set_huge_pages(false); /* nearly all of it stays untouched */
    heap_set_prefault(false);
    void **objects = malloc(count * sizeof *objects);
    for (size_t i = 0; i < count; i++) objects[i] = heap_alloc(pick(&r));
    for (size_t i = 0; i < ROUNDS * count; i++) {
        void **at = &objects[rng_below(&r, (uint32_t)count)];
        heap_free(*at);
        *at = heap_alloc(pick(&r));
        assert_non_null(*at);
    }
    struct heap_stats s;
    heap_stats(&s);
    print_message("active / used %.3f, chunks / used %.3f\n", (double)s.active / (double)s.used,
                  (double)chunk_bytes() / (double)s.used);
    assert_true((double)s.active < 1.15 * (double)s.used);
    assert_true((double)chunk_bytes() < CHUNKS_MAX * (double)s.used);
    heap_check();
    for (size_t i = 0; i < count; i++) heap_free(objects[i]);
    free(objects);
    while (heap_collect()) {
    }
    assert_true(heap_close());
}

static void test_medium_objects_replaced_at_random_waste_little(void **state) { replace_at_random(10000, pick_medium); }

static void test_large_objects_replaced_at_random_waste_little(void **state) { replace_at_random(2000, pick_large); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_medium_objects_replaced_at_random_waste_little),
        cmocka_unit_test(test_large_objects_replaced_at_random_waste_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
