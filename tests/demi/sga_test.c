/* SPDX-License-Identifier: MIT
 *
 * Scatter-gather arrays: sizes, ownership, and the memory calls of demi/ext.h beside them.
 */
#include "tests/demi/demi_test.h"

static void check_empty(const demi_sgarray_t *sga)
{
    static const demi_sgarray_t zero;
    assert_memory_equal(sga, &zero, sizeof zero);
}

static void test_an_array_is_exactly_as_long_as_asked(void **state)
{
    static const size_t sizes[] = {1, 2, 7, 8, 63, 64, 100, 1000, 1460, 4095, 4096, 4097, 8192, 65534, 65535};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        demi_sgarray_t sga = demi_sgaalloc(sizes[i]);
        assert_non_null(sga.sga_buf);
        assert_int_equal(sga.sga_numsegs, 1);
        assert_non_null(sga.sga_segs[0].sgaseg_buf);
        assert_int_equal(sga.sga_segs[0].sgaseg_len, sizes[i]);
        memset(sga.sga_segs[0].sgaseg_buf, 0xa5, sizes[i]);
        OK(demi_sgafree(&sga));
    }
}

static void test_impossible_sizes_give_an_all_zero_array(void **state)
{
    static const size_t sizes[] = {0, 65536, 1u << 20, SIZE_MAX / 2, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        demi_sgarray_t sga = demi_sgaalloc(sizes[i]);
        check_empty(&sga);
    }
}

static void test_arrays_that_are_none_are_not_freed(void **state)
{
    demi_sgarray_t sga = sga_pattern(10, 0), wrong;
    FAILS(EINVAL, demi_sgafree(NULL));
    memset(&wrong, 0, sizeof wrong);
    FAILS(EINVAL, demi_sgafree(&wrong));
    wrong = sga;
    wrong.sga_numsegs = 0;
    FAILS(EINVAL, demi_sgafree(&wrong));
    wrong.sga_numsegs = 2;
    FAILS(EINVAL, demi_sgafree(&wrong));
    wrong = sga;
    wrong.sga_buf = NULL;
    FAILS(EINVAL, demi_sgafree(&wrong));
    bytes_check(sga.sga_segs[0].sgaseg_buf, 10, 0);
    OK(demi_sgafree(&sga));
}

static void test_a_freed_array_is_zero(void **state)
{
    demi_sgarray_t sga = sga_pattern(10, 0);
    OK(demi_sgafree(&sga));
    check_empty(&sga);
    FAILS(EINVAL, demi_sgafree(&sga));
}

static void test_a_stale_copy_touches_no_live_array(void **state)
{
    int qd;
    demi_qtoken_t qt;
    OK(demi_queue(&qd));
    for (size_t size = 1; size <= 65535; size = size * 3 + 1) {
        demi_sgarray_t sga = sga_pattern(size, 0), stale = sga;
        OK(demi_sgafree(&sga));
        demi_sgarray_t live = sga_pattern(size, 1); /* most likely where the other lay */
        FAILS(EINVAL, demi_sgafree(&stale));
        FAILS(EINVAL, demi_push(&qt, qd, &stale));
        demi_sgarray_t other = sga_pattern(size, 2);
        bytes_check(live.sga_segs[0].sgaseg_buf, size, 1);
        OK(demi_sgafree(&live));
        OK(demi_sgafree(&other));
    }
}

static void test_arrays_of_nobody_are_refused(void **state)
{
    static char memory[4096] __attribute__((aligned(64)));
    demi_sgarray_t sga = sga_pattern(64, 0), wrong = sga;
    demi_qtoken_t qt;
    int qd;
    OK(demi_queue(&qd));
    void *heap = demi_malloc(4096);
    void *const strangers[] = {(void *)1,
                               (void *)UINTPTR_MAX,
                               memory,
                               memory + 1,
                               heap,
                               sga.sga_segs[0].sgaseg_buf,
                               (char *)sga.sga_buf + 1,
                               (char *)sga.sga_buf - 1,
                               (void *)0xdead000000000000};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        wrong.sga_buf = strangers[i];
        FAILS(EINVAL, demi_sgafree(&wrong));
        FAILS(EINVAL, demi_push(&qt, qd, &wrong));
    }
    demi_free(heap);
    OK(demi_push(&qt, qd, &sga));
    OK(demi_sgafree(&sga));
}

static void test_an_exit_takes_what_was_not_freed(void **state)
{
    int qd;
    demi_qtoken_t qt;
    OK(demi_queue(&qd));
    push_pattern(qd, 100, 0);
    OK(demi_pop(&qt, qd));
    demi_sgarray_t popped = wait_ok(qt, DEMI_OPC_POP).qr_value.sga;
    demi_sgarray_t sga = sga_pattern(60000, 0);
    OK(demi_exit());
    assert_int_equal(demi_mem_used(), 0);
    OK(demi_init(NULL));
    FAILS(EINVAL, demi_sgafree(&sga));
    FAILS(EINVAL, demi_sgafree(&popped));
}

static void test_live_arrays_do_not_overlap(void **state)
{
    enum { COUNT = 500 };
    static demi_sgarray_t all[COUNT];
    for (unsigned i = 0; i < COUNT; i++) all[i] = sga_pattern(1 + i * 7 % 3000, i);
    for (unsigned i = 0; i < COUNT; i += 2) OK(demi_sgafree(&all[i]));
    for (unsigned i = 0; i < COUNT; i += 2) all[i] = sga_pattern(1 + i * 7 % 3000, i + 1000);
    for (unsigned i = 0; i < COUNT; i++) {
        bytes_check(all[i].sga_segs[0].sgaseg_buf, all[i].sga_segs[0].sgaseg_len, i % 2 ? i : i + 1000);
        OK(demi_sgafree(&all[i]));
    }
}

static void test_freed_arrays_leave_no_memory_in_use(void **state)
{
    demi_sgarray_t warm = sga_pattern(4096, 0);
    OK(demi_sgafree(&warm));
    size_t before = demi_mem_used();
    for (unsigned i = 0; i < 10000; i++) {
        demi_sgarray_t sga = demi_sgaalloc(1 + i % 65535);
        assert_int_equal(sga.sga_numsegs, 1);
        OK(demi_sgafree(&sga));
    }
    assert_int_equal(demi_mem_used(), before);
}

static void test_a_large_array_is_one_segment(void **state)
{
    static const size_t sizes[] = {1, 65536, 1000000, 16u << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        demi_sgarray_t sga = demi_sgaalloc_large(sizes[i]);
        assert_int_equal(sga.sga_numsegs, 1);
        assert_int_equal(sga.sga_segs[0].sgaseg_len, sizes[i]);
        memset(sga.sga_segs[0].sgaseg_buf, 1, sizes[i]);
        OK(demi_sgafree(&sga));
    }
    demi_sgarray_t none = demi_sgaalloc_large(0), huge = demi_sgaalloc_large((1u << 30) + 1);
    check_empty(&none);
    check_empty(&huge);
}

static void test_the_heap_counts_what_lives(void **state)
{
    struct demi_mem_stats stats;
    size_t before = demi_mem_used();
    char *p = demi_malloc(1000), *zeroed = demi_calloc(10, 100), *nothing = demi_malloc(0);
    assert_non_null(p);
    assert_non_null(zeroed);
    assert_non_null(nothing);
    assert_true(demi_malloc_size(p) >= 1000);
    assert_true(demi_good_size(1000) >= 1000);
    for (int i = 0; i < 1000; i++) assert_int_equal(zeroed[i], 0);
    assert_true(demi_mem_used() >= before + 2000);
    demi_mem_stats(&stats);
    assert_int_equal(stats.used, demi_mem_used());
    assert_true(stats.peak >= stats.used);

    memset(p, 7, 1000);
    p = demi_realloc(p, 100000);
    assert_non_null(p);
    assert_int_equal(p[0], 7);
    assert_int_equal(p[999], 7);
    demi_free(p);
    demi_free_sized(zeroed, 1000);
    demi_free(nothing);
    demi_free(NULL);
    assert_null(demi_calloc(SIZE_MAX / 2, 4)); /* the product does not fit */
    assert_int_equal(demi_mem_used(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_an_array_is_exactly_as_long_as_asked),
        demi_unit_test(test_impossible_sizes_give_an_all_zero_array),
        demi_unit_test(test_arrays_that_are_none_are_not_freed),
        demi_unit_test(test_a_freed_array_is_zero),
        demi_unit_test(test_a_stale_copy_touches_no_live_array),
        demi_unit_test(test_arrays_of_nobody_are_refused),
        demi_unit_test(test_an_exit_takes_what_was_not_freed),
        demi_unit_test(test_live_arrays_do_not_overlap),
        demi_unit_test(test_freed_arrays_leave_no_memory_in_use),
        demi_unit_test(test_a_large_array_is_one_segment),
        demi_unit_test(test_the_heap_counts_what_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
