/* SPDX-License-Identifier: MIT */
#include "alloc/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"

#define COUNT 60000

static unsigned char *objects[COUNT];
static size_t sizes[COUNT];

/* Of four sizes. */
static void fill(struct rng *rng, size_t size_max)
{
    heap_set_prefault(false); /* each test has a heap of its own, and counts the pages of that */
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = size_max / 4 * (1 + rng_below(rng, 4));
        objects[i] = heap_alloc(sizes[i]);
        memset(objects[i], (int)(i & 255), sizes[i]);
    }
}

/* One of ten stays, anywhere. */
static void thin_out(struct rng *rng)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (rng_below(rng, 10) == 0) continue;
        heap_free(objects[i]);
        objects[i] = NULL;
    }
}

static void assert_whole(void)
{
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; objects[i] && k < sizes[i]; k++) assert_int_equal(objects[i][k], i & 255);
    heap_check();
}

static void free_all(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        heap_free(objects[i]);
        objects[i] = NULL;
    }
    assert_true(heap_close());
}

static size_t active(void)
{
    struct heap_stats s;
    heap_stats(&s);
    return s.active;
}

static size_t move_all(void)
{
    size_t moved = 0;
    for (size_t i = 0; i < COUNT; i++) {
        void *p = heap_defrag_move(objects[i]);
        if (p) objects[i] = p;
        moved += p != NULL;
    }
    return moved;
}

static void begin_all(void)
{
    for (uint32_t c = 1; c < SLAB_CLASSES; c += !heap_defrag_begin(c)) {
    }
}

static void end_all(void)
{
    while (heap_defrag_end()) {
    }
}

static void test_what_is_left_of_many_objects_fits_into_few_blocks(void **state)
{
    (void)state;
    static const size_t most[] = {64, 1000, 20000};
    for (int k = 0; k < 3; k++) {
        struct rng rng;
        rng_seed(&rng, (uint64_t)k + 1);
        fill(&rng, most[k]);
        thin_out(&rng);
        size_t before = active();
        struct heap_stats s;
        begin_all();
        heap_check();
        assert_true(move_all() > COUNT / 20);
        end_all();
        assert_whole();
        heap_stats(&s);
        assert_true(s.active < before / 4 && s.active < s.used * 5 / 4 + 20 * BLOCK_SIZE);
        free_all();
    }
}

static void test_nothing_moves_unless_it_is_in_the_way(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 9);
    fill(&rng, 100);
    assert_int_equal(move_all(), 0); /* not begun */
    begin_all();
    assert_true(move_all() < COUNT / 10); /* all is full but for what is left at the ends */
    end_all();
    thin_out(&rng);
    begin_all();
    end_all();
    assert_int_equal(move_all(), 0); /* ended */
    assert_null(heap_defrag_move(NULL));
    assert_whole();
    free_all();
}

/* The owner goes on while slabs are emptied: nothing new comes into them, what is freed there is not given out. */
static void test_allocations_meanwhile_stay_out_of_the_way(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 3);
    fill(&rng, 48);
    thin_out(&rng);
    begin_all();
    for (size_t i = 0; i < COUNT; i++) {
        if (objects[i] && i % 3 == 0) {
            heap_free(objects[i]);
            objects[i] = NULL;
        } else if (!objects[i] && i % 7 == 0) {
            objects[i] = heap_alloc(sizes[i]);
            memset(objects[i], (int)(i & 255), sizes[i]);
        }
        void *p = i % 2 ? heap_defrag_move(objects[i]) : NULL;
        if (p) objects[i] = p;
    }
    heap_check();
    move_all();
    assert_int_equal(move_all(), 0);
    end_all();
    assert_whole();
    free_all();
}

static void test_a_pinned_object_stays(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 5);
    fill(&rng, 32);
    thin_out(&rng);
    size_t i = 0;
    while (!objects[i]) i++;
    unsigned char *held = objects[i];
    begin_all();
    assert_int_equal(heap_pin(held), 0);
    move_all();
    assert_ptr_equal(objects[i], held);
    end_all();
    heap_unpin(held);
    assert_whole();
    free_all();
}

static void test_free_blocks_beside_used_ones_go_back_to_the_system(void **state)
{
    (void)state;
    struct heap_stats before, after;
    struct rng rng;
    rng_seed(&rng, 7);
    fill(&rng, 2000);
    thin_out(&rng);
    begin_all();
    move_all();
    end_all();
    heap_stats(&before);
    assert_true(heap_purge_blocks(1, SIZE_MAX) > 0);
    heap_purge();
    assert_int_equal(heap_purge_blocks(1, SIZE_MAX), 0);
    heap_stats(&after);
    assert_true(after.resident < before.resident / 2);
    assert_true(after.resident < after.active + after.active / 4 + (8 << 20));
    assert_whole();
    for (size_t i = 0; i < 2000; i++) { /* and they read as zeros */
        unsigned char *p = heap_calloc(1, 40000);
        for (size_t k = 0; k < 40000; k += 97) assert_int_equal(p[k], 0);
        heap_free(p);
    }
    free_all();
}

enum { SIZE = 4096, A_SLAB = 8, SLABS = 3000, SLABS_A_CALL = 1024 };

/* One object in each slab. */
static void fill_one_a_slab(void)
{
    heap_set_prefault(false);
    for (size_t i = 0; i < SLABS * A_SLAB; i++) {
        sizes[i] = SIZE;
        objects[i] = heap_alloc(SIZE);
        memset(objects[i], (int)(i & 255), SIZE);
    }
    for (size_t i = 0; i < SLABS * A_SLAB; i++) {
        if (i % A_SLAB == 0) continue;
        heap_free(objects[i]);
        objects[i] = NULL;
    }
}

static void test_a_call_is_bounded_and_the_last_one_has_seen_all(void **state)
{
    (void)state;
    fill_one_a_slab();
    size_t before = active(), calls = 0, moved = 0;
    for (bool more = true; more; calls++) {
        more = heap_defrag_begin(slab_class_of(SIZE));
        size_t now = move_all();
        assert_true(now <= SLABS_A_CALL);
        moved += now;
    }
    assert_in_range(calls, SLABS / SLABS_A_CALL, SLABS / SLABS_A_CALL + 3);
    assert_true(moved > SLABS * 3 / 4);
    end_all();
    assert_true(active() < before / 4);
    assert_whole();
    free_all();
}

static void test_what_could_not_be_emptied_is_ordinary_again_call_by_call(void **state)
{
    (void)state;
    size_t calls = 1;
    fill_one_a_slab();
    begin_all();
    for (; heap_defrag_end(); calls++) heap_check();
    for (int i = 0; i < 255; i++)
        assert_false(heap_defrag_end()); /* which begins no round: numbers of rounds come again */
    assert_in_range(calls, SLABS * 3 / 4 / SLABS_A_CALL, SLABS / SLABS_A_CALL + 2);
    assert_int_equal(move_all(), 0);
    begin_all(); /* the next round looks at them again */
    assert_true(move_all() > SLABS * 3 / 4);
    end_all();
    assert_whole();
    free_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_left_of_many_objects_fits_into_few_blocks),
        cmocka_unit_test(test_nothing_moves_unless_it_is_in_the_way),
        cmocka_unit_test(test_allocations_meanwhile_stay_out_of_the_way),
        cmocka_unit_test(test_a_pinned_object_stays),
        cmocka_unit_test(test_a_call_is_bounded_and_the_last_one_has_seen_all),
        cmocka_unit_test(test_what_could_not_be_emptied_is_ordinary_again_call_by_call),
        cmocka_unit_test(test_free_blocks_beside_used_ones_go_back_to_the_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
