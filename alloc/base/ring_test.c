/* SPDX-License-Identifier: MIT
 *
 * The ring of pointers, alone and between two threads.
 */
#include "alloc/base/ring.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_only_powers_of_two_are_sizes(void **state)
{
    struct ring r;
    void *slots[8];
    assert_int_equal(ring_init(&r, slots, 0), -1);
    assert_int_equal(ring_init(&r, slots, 6), -1);
    assert_int_equal(ring_init(&r, NULL, 8), -1);
    assert_int_equal(ring_init(&r, slots, 8), 0);
}

static void test_a_full_ring_refuses_and_order_is_kept(void **state)
{
    struct ring r;
    void *slots[4], *out;
    ring_init(&r, slots, 4);
    assert_false(ring_pop(&r, &out));
    for (uintptr_t round = 0; round < 5; round++) {
        for (uintptr_t i = 0; i < 4; i++) assert_true(ring_push(&r, (void *)(round + i)));
        assert_false(ring_push(&r, NULL));
        assert_int_equal(ring_count(&r), 4);
        for (uintptr_t i = 0; i < 4; i++) {
            assert_true(ring_pop(&r, &out));
            assert_ptr_equal(out, (void *)(round + i));
        }
        assert_false(ring_pop(&r, &out));
    }
}

enum { COUNT = 200000 };

static void *produce(void *arg)
{
    static uintptr_t payload[COUNT];
    for (uintptr_t i = 0; i < COUNT; i++) {
        payload[i] = i; /* seen by the consumer, or the release is missing */
        while (!ring_push(arg, &payload[i])) sched_yield();
    }
    return NULL;
}

static void test_what_was_written_before_a_push_is_seen_after_its_pop(void **state)
{
    struct ring r;
    void *slots[64], *out;
    pthread_t t;
    ring_init(&r, slots, 64);
    pthread_create(&t, NULL, produce, &r);
    for (uintptr_t i = 0; i < COUNT; i++) {
        while (!ring_pop(&r, &out)) sched_yield();
        assert_int_equal(*(uintptr_t *)out, i);
    }
    pthread_join(t, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_powers_of_two_are_sizes),
        cmocka_unit_test(test_a_full_ring_refuses_and_order_is_kept),
        cmocka_unit_test(test_what_was_written_before_a_push_is_seen_after_its_pop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
