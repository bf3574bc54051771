/* SPDX-License-Identifier: MIT */
#include "libos/runtime/arrays.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc/buf.h"
#include "alloc/heap.h"

#define OWNER (7u << ARRAYS_INDEX_BITS)

static struct arrays table;

static int set_up(void **state)
{
    arrays_init(&table, OWNER, 1);
    return 0;
}

static int tear_down(void **state)
{
    arrays_fini(&table);
    assert_int_equal(table.held, 0);
    return 0;
}

static void *give(void)
{
    void *handle = arrays_give(&table, buf_take(100));
    assert_non_null(handle);
    return handle;
}

static void test_what_was_taken_back_is_stale(void **state)
{
    void *old = give();
    buf_unref(arrays_take(&table, old));
    assert_null(arrays_take(&table, old));
    void *young = give(); /* in the same slot */
    assert_null(arrays_find(&table, old));
    assert_null(arrays_take(&table, old));
    assert_non_null(arrays_find(&table, young));
}

static void test_what_is_no_handle_is_refused(void **state)
{
    void *handle = give();
    char here;
    assert_null(arrays_find(&table, NULL));
    assert_null(arrays_find(&table, (void *)UINTPTR_MAX));
    assert_null(arrays_find(&table, (void *)0x0101010101010101));
    assert_null(arrays_find(&table, &here));
    assert_null(arrays_find(&table, arrays_find(&table, handle))); /* the buffer itself */
    for (unsigned bit = 0; bit < 64; bit++) assert_null(arrays_find(&table, (void *)((uintptr_t)handle ^ 1ull << bit)));
}

static void test_threads_whose_owners_are_equal_do_not_meet(void **state)
{
    struct arrays other;
    arrays_init(&other, OWNER, 1 + 253);
    void *handle = arrays_give(&other, buf_take(100));
    give();
    assert_null(arrays_find(&table, handle));
    arrays_fini(&other);
}

static void test_the_end_lets_go_of_all(void **state)
{
    size_t before = heap_used();
    for (int i = 0; i < 1000; i++) give();
    assert_true(heap_used() > before);
    arrays_fini(&table);
    assert_int_equal(heap_used(), before);
}

static void test_slots_are_used_again(void **state)
{
    void *all[100];
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 100; i++) all[i] = give();
        for (int i = 0; i < 100; i++) buf_unref(arrays_take(&table, all[(i * 37) % 100]));
    }
    assert_int_equal(table.used, 100);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_what_was_taken_back_is_stale),
        T(test_what_is_no_handle_is_refused),
        T(test_threads_whose_owners_are_equal_do_not_meet),
        T(test_the_end_lets_go_of_all),
        T(test_slots_are_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
