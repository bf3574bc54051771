/* SPDX-License-Identifier: MIT
 *
 * What heap_check() sees: the counters and states of a heap, its regions, chunks and slabs are spoilt one after the
 * other.
 */
#include "alloc/base/assert_test.h"
#include "alloc/heap_impl.h"

static void check(void *arg) { heap_check(); }

static void test_a_spoilt_heap_is_seen(void **state)
{
    heap_set_prefault(false);
    void *small[3], *run = heap_alloc(100000), *big = heap_alloc(5 << 20);
    for (int i = 0; i < 3; i++) small[i] = heap_alloc(64);
    heap_free(small[2]);
    heap_check();
    struct heap *h = heap_of_thread();
    struct region *r = region_find(small[0]);
    struct chunk *c = chunk_of(small[0]);
    struct slab *s = slab_of(small[0]), *pages = slab_of(run);
    struct huge *g = huge_find(big);
    /* the heap */
    SEEN(check, NULL, h->front.used, h->front.used + 8, "used - check_caches(h) == h->front.used");
    SEEN(check, NULL, h->front.caches[s->size_class].count, h->front.caches[s->size_class].count + 1, "n == c->count");
    SEEN(check, NULL, h->regions.mapped_bytes, h->regions.mapped_bytes + 1, "mapped == h->regions.mapped_bytes");
    SEEN(check, NULL, h->regions.dirty_chunks, h->regions.dirty_chunks + 1, "dirty == h->regions.dirty_chunks");
    /* regions */
    SEEN(check, NULL, r->set, NULL, "r->set == &h->regions");
    SEEN(check, NULL, r->free_count, r->free_count + 1, "free_count == r->free_count");
    SEEN(check, NULL, r->dirty_count, r->dirty_count + 1, "dirty_count == r->dirty_count");
    SEEN(check, NULL, r->chunks[region_chunk_index(r, c)].state, CHUNK_HUGE,
         "(g != NULL) == (info->state == CHUNK_HUGE)");
    SEEN(check, NULL, g->size, g->size + 4096, "used - check_caches(h) == h->front.used");
    /* chunks */
    SEEN(check, NULL, c->heap, NULL, "c->heap == h");
    SEEN(check, NULL, c->block_count, c->block_count + 1, "blocks == c->block_count");
    /* slabs and runs */
    SEEN(check, NULL, s->owner, (struct heap *)c, "c->slabs[i].owner == h");
    SEEN(check, NULL, s->size, s->size + 8, "s->size == slab_class_size(s->size_class)");
    SEEN(check, NULL, s->fresh, s->end + s->size, "s->fresh <= s->end");
    SEEN(check, NULL, s->used, s->used + 1, "free_list_length(s) == s->fresh / s->size - s->used");
    SEEN(check, NULL, s->retire_at, s->retire_at + 1, "s->retire_at ==");
    SEEN(check, NULL, s->full, true, "s->full");
    SEEN(check, NULL, s->pinned, 1, "s->pinned != 0");
    SEEN(check, NULL, pages->used, 2, "s->used == 1");
    for (int i = 0; i < 2; i++) heap_free(small[i]);
    heap_free(run);
    heap_free(big);
    heap_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_spoilt_heap_is_seen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
