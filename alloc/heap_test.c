/* SPDX-License-Identifier: MIT
 *
 * The heap against its contract and against a model.
 */
#include "alloc/heap.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc/base/rng.h"

#define MIB ((size_t)1 << 20)

static bool is_aligned(const void *p, size_t to) { return ((uintptr_t)p & (to - 1)) == 0; }

/* --- what is refused --- */

static void test_sizes_that_overflow_are_refused(void **state)
{
    assert_null(heap_alloc(SIZE_MAX));
    assert_null(heap_alloc(SIZE_MAX - 4096));
    assert_null(heap_alloc((size_t)1 << 47));
    assert_null(heap_calloc(SIZE_MAX / 2, 3));
    void *p = heap_alloc(10);
    assert_null(heap_realloc(p, SIZE_MAX));
    heap_free(p);
}

static void test_null_is_freed_and_has_no_size(void **state)
{
    heap_free(NULL);
    heap_free_sized(NULL, 0);
    assert_int_equal(heap_size(NULL), 0);
}

static void test_pins_outside_the_heap_are_refused(void **state)
{
    int local = 0;
    assert_int_equal(heap_pin(&local), -EINVAL);
    assert_int_equal(heap_pin(NULL), -EINVAL);
    assert_int_equal(heap_pin((void *)UINTPTR_MAX), -EINVAL);
    void *p = heap_alloc(40);
    assert_int_equal(heap_pin((void *)((uintptr_t)p & ~(REGION_CHUNK - 1))), -EINVAL); /* a chunk's header */
    assert_false(heap_is_pinned(&local));
    heap_free(p);
}

static void test_limit_makes_allocation_fail_and_nothing_leaks(void **state)
{
    size_t before = heap_used();
    struct heap_stats s, c;
    heap_stats(&s);
    heap_counts(&c);
    assert_true(c.used == s.used && c.active == s.active && c.peak == s.peak && c.held == s.held && c.resident == 0);
    heap_set_limit(heap_regions()->mapped_bytes + 4 * MIB);
    static void *got[100];
    size_t n = 0;
    while (n < 100 && (got[n] = heap_alloc(MIB))) n++;
    assert_true(n < 100);
    assert_null(heap_alloc(3 * MIB + 1));
    assert_null(heap_calloc(1, 64 * MIB));
    char *kept = got[0];
    kept[0] = 7;
    assert_null(heap_realloc(kept, 64 * MIB));
    assert_int_equal(kept[0], 7);
    for (size_t i = 0; i < n; i++) heap_free(got[i]);
    assert_int_equal(heap_used(), before);
    heap_set_limit(0);
    void *p = heap_alloc(64 * MIB);
    assert_non_null(p);
    heap_free(p);
    while (heap_collect()) {
    }
}

/* --- classes --- */

static void test_small_objects_cost_what_they_hold(void **state)
{
    for (size_t n = 1; n <= 1024; n++) assert_int_equal(heap_good_size(n), (n + 7) / 8 * 8);
    assert_int_equal(heap_good_size(0), 8);
    size_t before = heap_used();
    void *p = heap_alloc(40);
    assert_int_equal(heap_used() - before, 40);
    assert_int_equal(heap_size(p), 40);
    heap_free(p);
    assert_int_equal(heap_used(), before);
}

static void test_good_size_is_size_and_wastes_an_eighth_at_most(void **state)
{
    for (size_t n = 1; n < 5 * MIB; n = n + 1 + n / 17) {
        void *p = heap_alloc(n);
        assert_non_null(p);
        assert_true(heap_size(p) >= n);
        assert_int_equal(heap_size(p), heap_good_size(n));
        if (n > 1024 && n <= 65536) assert_true(heap_size(p) - n <= n / 8);
        memset(p, 0x5a, heap_size(p));
        heap_free(p);
    }
}

static void test_alignment_is_the_largest_power_of_two_in_the_size(void **state)
{
    static void *p[2000];
    size_t n = 0;
    for (size_t size = 8; size <= 8192; size += 8) {
        size_t align = size & -size;
        if (align > 128) align = 128;
        p[n++] = heap_alloc(size);
        assert_true(is_aligned(p[n - 1], align));
        if (size > 1024) assert_true(is_aligned(p[n - 1], 128));
    }
    while (n) heap_free(p[--n]);
}

static void test_slabs_waste_little_at_their_ends(void **state)
{
    for (uint32_t c = 1; c < SLAB_CLASSES; c++) {
        uint32_t size = slab_class_size(c);
        uint32_t bytes = slab_blocks(size) << BLOCK_SHIFT;
        assert_true(slab_blocks(size) <= RUN_BLOCKS_MAX);
        assert_true(bytes / size >= 4 && bytes / size <= SLAB_SLOTS_MAX);
        assert_true(bytes % size * 32 <= bytes);
        assert_int_equal(slab_class_of(size), c);
        if (c > 1) assert_int_equal(slab_class_of(size - 1), size - 1 > slab_class_size(c - 1) ? c : c - 1);
    }
}

static void test_a_million_small_objects_have_under_two_percent_of_overhead(void **state)
{
    enum { COUNT = 1000000 };
    void **p = malloc(COUNT * sizeof *p);
    struct heap_stats before, after;
    heap_stats(&before);
    for (size_t i = 0; i < COUNT; i++) p[i] = heap_alloc(40);
    heap_stats(&after);
    assert_int_equal(after.used - before.used, COUNT * 40);
    assert_true(after.active - before.active <= COUNT * 40 / 100 * 101);
    assert_true(after.resident - before.resident <= (size_t)COUNT * 40 / 100 * 102 + REGION_CHUNK * 2);
    for (size_t i = 0; i < COUNT; i++) heap_free(p[i]);
    free(p);
    while (heap_collect()) {
    }
    heap_stats(&after);
    assert_true(after.resident <= before.resident + 6 * REGION_CHUNK);
    assert_true(after.peak >= COUNT * 40);
}

/* --- zeros --- */

static void test_calloc_gives_zeros_where_memory_was_used_before(void **state)
{
    static const size_t sizes[] = {1, 8, 100, 1024, 1025, 5000, 65536, 70000, MIB, 3 * MIB, 9 * MIB};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char *p = heap_alloc(sizes[i]);
            memset(p, 0xee, sizes[i]);
            heap_free(p);
            p = heap_calloc(1, sizes[i]);
            for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(p[k], 0);
            memset(p, 0xdd, sizes[i]);
            heap_free(p);
        }
        heap_collect();
    }
}

static void test_huge_callocs_without_collection_do_not_grow_for_ever(void **state)
{
    for (int i = 0; i < 400; i++) {
        char *p = heap_calloc(1, 8 * MIB);
        assert_non_null(p);
        p[8 * MIB - 1] = 1;
        heap_free(p);
    }
    assert_true(heap_regions()->mapped_bytes < 1024 * MIB);
    while (heap_collect()) {
    }
}

/* --- realloc --- */

static void test_realloc_keeps_bytes_through_all_kinds(void **state)
{
    static const size_t steps[] = {5,       100,     1000,    2000,    40000,   65536, 100000, MIB,
                                   2 * MIB, 5 * MIB, 9 * MIB, 4 * MIB, 3 * MIB, 50000, 700,    3};
    unsigned char *p = NULL;
    size_t have = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        p = heap_realloc(p, steps[i]);
        assert_non_null(p);
        for (size_t k = 0; k < have && k < steps[i]; k += 997) assert_int_equal(p[k], (unsigned char)(k * 7));
        for (size_t k = 0; k < steps[i]; k++) p[k] = (unsigned char)(k * 7);
        have = steps[i];
    }
    heap_free(p);
}

/* --- the model --- */

struct object {
    unsigned char *p;
    size_t n;
    unsigned char fill;
};

static size_t random_size(struct rng *r)
{
    static const size_t bounds[] = {16, 128, 1100, 5000, 70000, 300000, 3000000};
    uint64_t dice = rng_below(r, 1000);
    int kind = dice < 300 ? 0 : dice < 600 ? 1 : dice < 850 ? 2 : dice < 950 ? 3 : dice < 985 ? 4 : dice < 998 ? 5 : 6;
    return rng_below(r, bounds[kind]);
}

static void check_object(const struct object *o)
{
    for (size_t i = 0; i < o->n; i += 1 + i / 4) assert_int_equal(o->p[i], o->fill);
    if (o->n) assert_int_equal(o->p[o->n - 1], o->fill);
}

static void random_ops(uint64_t seed, int ops)
{
    enum { OBJECTS = 500 };
    static struct object objects[OBJECTS];
    struct rng r;
    rng_seed(&r, seed);
    size_t before = heap_used(), expected = before;
    for (int i = 0; i < ops; i++) {
        struct object *o = &objects[rng_below(&r, OBJECTS)];
        if (o->p) {
            check_object(o);
            expected -= heap_size(o->p);
        }
        if (o->p && rng_below(&r, 4)) {
            heap_free_sized(o->p, o->n);
            o->p = NULL;
        } else {
            size_t keep = o->p ? o->n : 0;
            o->n = random_size(&r);
            o->p = heap_realloc(o->p, o->n);
            assert_non_null(o->p);
            expected += heap_size(o->p);
            if (keep && o->n) assert_int_equal(o->p[0], o->fill);
            o->fill = (unsigned char)rng_u64(&r);
            memset(o->p, o->fill, o->n);
            if (o->n) assert_ptr_equal(heap_find(o->p + rng_below(&r, o->n)), o->p);
        }
        assert_int_equal(heap_used(), expected);
        if (i % 64 == 0) heap_collect();
        if (i % 256 == 0) heap_check();
    }
    for (int i = 0; i < OBJECTS; i++) {
        if (objects[i].p) check_object(&objects[i]);
        heap_free(objects[i].p);
        objects[i].p = NULL;
    }
    assert_int_equal(heap_used(), before);
}

static void test_random_operations_agree_with_a_model(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) random_ops(seed, 4000);
    while (heap_collect()) {
    }
}

/* --- pins --- */

static void test_a_pinned_object_outlives_its_free(void **state)
{
    static const size_t sizes[] = {8, 40, 1024, 3000, 65536, 200000, 5 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t before = heap_used();
        char *p = heap_alloc(sizes[i]);
        memset(p, 'x', sizes[i]);
        assert_int_equal(heap_pin(p + sizes[i] - 1), 0); /* into the middle */
        assert_int_equal(heap_pin(p + sizes[i] / 2), 0);
        assert_true(heap_is_pinned(p));
        struct heap_stats s;
        heap_stats(&s);
        assert_int_equal(s.held, 0); /* its owner has it, too */
        heap_free(p);
        assert_int_equal(heap_used(), before + heap_good_size(sizes[i]));
        heap_stats(&s);
        assert_int_equal(s.held, heap_good_size(sizes[i]));
        void *other = heap_alloc(sizes[i]);
        assert_ptr_not_equal(other, p);
        memset(other, 'y', sizes[i]);
        heap_unpin(p + sizes[i] / 2);
        for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(p[k], 'x');
        heap_unpin(p);
        assert_false(heap_is_pinned(p));
        heap_stats(&s);
        assert_int_equal(s.held, 0);
        heap_free(other);
        assert_int_equal(heap_used(), before);
    }
}

static void test_unpinned_before_its_free_an_object_is_ordinary(void **state)
{
    size_t before = heap_used();
    char *p = heap_alloc(64), *q = heap_alloc(64);
    assert_int_equal(heap_pin(p), 0);
    heap_free(q); /* its neighbour is pinned, it is not */
    assert_int_equal(heap_used(), before + 64);
    heap_unpin(p);
    heap_free(p);
    assert_int_equal(heap_used(), before);
}

static void test_realloc_of_a_pinned_object_leaves_its_bytes(void **state)
{
    static const size_t sizes[] = {64, 4 * MIB};
    for (size_t i = 0; i < 2; i++) {
        char *p = heap_alloc(sizes[i]);
        memset(p, 'x', sizes[i]);
        assert_int_equal(heap_pin(p), 0);
        char *q = heap_realloc(p, i ? 3 * MIB : 4000);
        assert_ptr_not_equal(p, q);
        memset(q, 'y', 64);
        for (size_t k = 0; k < sizes[i]; k += 63) assert_int_equal(p[k], 'x');
        heap_unpin(p);
        heap_free(q);
    }
}

static void test_random_pins_agree_with_a_model(void **state)
{
    enum { OBJECTS = 300 };
    static struct {
        unsigned char *p;
        size_t n;
        int pins;
        bool freed;
    } o[OBJECTS];
    struct rng r;
    rng_seed(&r, 99);
    size_t before = heap_used();
    for (int i = 0; i < 30000; i++) {
        size_t k = rng_below(&r, OBJECTS);
        if (!o[k].p) {
            o[k].n = 1 + rng_below(&r, 200);
            o[k].p = heap_alloc(o[k].n);
            o[k].pins = 0;
            o[k].freed = false;
            memset(o[k].p, (int)k, o[k].n);
            continue;
        }
        assert_int_equal(o[k].p[o[k].n - 1], (unsigned char)k);
        unsigned char *inside = o[k].p + rng_below(&r, o[k].n);
        switch (rng_below(&r, 3)) {
        case 0:
            if (o[k].freed && !o[k].pins) break;
            assert_int_equal(heap_pin(inside), 0);
            o[k].pins++;
            break;
        case 1:
            if (!o[k].pins) break;
            heap_unpin(inside);
            o[k].pins--;
            break;
        default:
            if (o[k].freed) break;
            heap_free(o[k].p);
            o[k].freed = true;
        }
        if (o[k].freed && !o[k].pins) o[k].p = NULL;
    }
    for (size_t k = 0; k < OBJECTS; k++) {
        if (!o[k].p) continue;
        if (!o[k].freed) heap_free(o[k].p);
        while (o[k].pins--) heap_unpin(o[k].p);
        o[k].p = NULL;
    }
    struct heap_stats s;
    heap_stats(&s);
    heap_check();
    assert_int_equal(s.pinned, 0);
    assert_int_equal(heap_used(), before);
}

/* --- threads --- */

static void *free_all(void *arg)
{
    void **objects = arg;
    for (size_t i = 0; objects[i]; i++) heap_free(objects[i]);
    return NULL;
}

static void test_frees_of_other_threads_come_home(void **state)
{
    enum { COUNT = 3000, THREADS = 3 };
    static void *objects[THREADS][COUNT + 1];
    pthread_t t[THREADS];
    size_t before = heap_used();
    struct rng r;
    rng_seed(&r, 5);
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < COUNT; k++) {
            size_t n = k % 1000 == 0 ? 3 * MIB : k % 100 == 0 ? 100000 : rng_below(&r, 2000);
            objects[i][k] = heap_alloc(n);
        }
    for (int i = 0; i < THREADS; i++) pthread_create(&t[i], NULL, free_all, objects[i]);
    for (int k = 0; k < 20000; k++) { /* the owner goes on meanwhile */
        void *p = heap_alloc(rng_below(&r, 2000));
        if (k % 100 == 0) heap_collect();
        heap_free(p);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    while (heap_collect()) {
    }
    heap_check();
    assert_int_equal(heap_used(), before);
}

static void test_a_pinned_object_freed_by_another_thread_keeps_its_bytes(void **state)
{
    static const size_t sizes[] = {48, 5 * MIB};
    for (size_t i = 0; i < 2; i++) {
        size_t before = heap_used();
        char *p = heap_alloc(sizes[i]);
        memset(p, 'x', sizes[i]);
        assert_int_equal(heap_pin(p), 0);
        void *objects[] = {p, NULL};
        pthread_t t;
        pthread_create(&t, NULL, free_all, objects);
        pthread_join(t, NULL);
        for (int turn = 0; turn < 3; turn++) heap_collect();
        for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(p[k], 'x');
        heap_unpin(p);
        assert_int_equal(heap_used(), before);
    }
}

static void *allocate_and_leave(void *arg)
{
    void **out = arg;
    for (int i = 0; i < 100; i++) out[i] = heap_alloc(100);
    return NULL;
}

static void *allocate_nothing_much(void *arg)
{
    heap_free(heap_alloc(100));
    *(size_t *)arg = heap_used();
    return NULL;
}

static void test_the_heap_of_a_thread_that_ended_is_taken_over(void **state)
{
    void *left[101] = {0};
    pthread_t t;
    pthread_create(&t, NULL, allocate_and_leave, left);
    pthread_join(t, NULL);
    for (int i = 0; i < 100; i++) memset(left[i], i, 100);
    free_all(left); /* we are not its owner either */
    size_t used = 1;
    pthread_create(&t, NULL, allocate_nothing_much, &used);
    pthread_join(t, NULL);
    assert_int_equal(used, 0); /* adopted, with everything taken back */
}

/* --- giving memory back --- */

static void test_a_huge_free_is_given_back_piecewise(void **state)
{
    while (heap_collect()) {
    }
    char *p = heap_alloc(64 * MIB);
    memset(p, 1, 64 * MIB);
    struct heap_stats full, now;
    heap_stats(&full);
    heap_free(p);
    heap_stats(&now);
    assert_int_equal(now.resident, full.resident); /* nothing yet */
    size_t last = now.resident;
    int turns = 0;
    bool more;
    do {
        more = heap_collect();
        heap_stats(&now);
        assert_true(last - now.resident <= 8 * MIB + 8 * MIB); /* 4 MiB, and what a region still kept */
        last = now.resident;
        turns++;
    } while (more);
    assert_true(turns >= 12);
    assert_true(full.resident - now.resident >= 50 * MIB);
}

static void test_a_heap_closes_when_nothing_in_it_is_live(void **state)
{
    void *p = heap_alloc(1);
    assert_false(heap_close());
    heap_free(p);
    while (heap_used() && heap_collect()) {
    }
    assert_true(heap_close());
    assert_true(heap_close());
    assert_int_equal(heap_used(), 0);
    assert_null(heap_find(p));
    p = heap_alloc(1);
    assert_non_null(p);
    heap_free(p);
}

/* --- bugs of callers --- */

#ifdef DEMI_DEBUG
static void expect_abort(void (*fn)(void))
{
    pid_t pid = fork(); /* of the test, not of the product */
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        fn();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
static void free_twice(void)
{
    void *p = heap_alloc(40), *q = heap_alloc(40);
    heap_free(p);
    heap_free(q);
    heap_free(p);
}
static void free_inside(void) { heap_free((char *)heap_alloc(40) + 8); }
static void free_pinned_twice(void)
{
    void *p = heap_alloc(40);
    heap_pin(p);
    heap_free(p);
    heap_free(p);
}
static void test_debug_builds_stop_at_double_frees(void **state)
{
    expect_abort(free_twice);
    expect_abort(free_inside);
    expect_abort(free_pinned_twice);
}
#endif

#if SANITIZE_ADDRESS
static void test_free_slots_are_poisoned(void **state)
{
    char *p = heap_alloc(40);
    assert_false(__asan_address_is_poisoned(p + 39));
    heap_free(p);
    assert_true(__asan_address_is_poisoned(p));
    assert_true(__asan_address_is_poisoned(p + 39));
    p = heap_alloc(3 * MIB);
    assert_true(__asan_address_is_poisoned(p + 3 * MIB));
    heap_free(p);
    assert_true(__asan_address_is_poisoned(p));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_that_overflow_are_refused),
        cmocka_unit_test(test_null_is_freed_and_has_no_size),
        cmocka_unit_test(test_pins_outside_the_heap_are_refused),
        cmocka_unit_test(test_limit_makes_allocation_fail_and_nothing_leaks),
        cmocka_unit_test(test_small_objects_cost_what_they_hold),
        cmocka_unit_test(test_good_size_is_size_and_wastes_an_eighth_at_most),
        cmocka_unit_test(test_alignment_is_the_largest_power_of_two_in_the_size),
        cmocka_unit_test(test_slabs_waste_little_at_their_ends),
        cmocka_unit_test(test_a_million_small_objects_have_under_two_percent_of_overhead),
        cmocka_unit_test(test_calloc_gives_zeros_where_memory_was_used_before),
        cmocka_unit_test(test_huge_callocs_without_collection_do_not_grow_for_ever),
        cmocka_unit_test(test_realloc_keeps_bytes_through_all_kinds),
        cmocka_unit_test(test_random_operations_agree_with_a_model),
        cmocka_unit_test(test_a_pinned_object_outlives_its_free),
        cmocka_unit_test(test_unpinned_before_its_free_an_object_is_ordinary),
        cmocka_unit_test(test_realloc_of_a_pinned_object_leaves_its_bytes),
        cmocka_unit_test(test_random_pins_agree_with_a_model),
        cmocka_unit_test(test_frees_of_other_threads_come_home),
        cmocka_unit_test(test_a_pinned_object_freed_by_another_thread_keeps_its_bytes),
        cmocka_unit_test(test_the_heap_of_a_thread_that_ended_is_taken_over),
        cmocka_unit_test(test_a_huge_free_is_given_back_piecewise),
        cmocka_unit_test(test_a_heap_closes_when_nothing_in_it_is_live),
#ifdef DEMI_DEBUG
        cmocka_unit_test(test_debug_builds_stop_at_double_frees),
#endif
#if SANITIZE_ADDRESS
        cmocka_unit_test(test_free_slots_are_poisoned),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
