/* SPDX-License-Identifier: MIT */
#include "tcp/shared_opts.h"

#include "alloc/heap.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_equal_options_are_one_copy_until_the_last_lets_go(void **state)
{
    struct opts_share t = {0};
    size_t before = heap_front->used;
    struct conn_opts o = {.keepalive = true, .keep_idle_s = 300, .keep_interval_s = 100, .keep_count = 3};
    const struct conn_opts *first = opts_ref(&t, &o);
    size_t one = heap_front->used - before;
    for (int i = 0; i < 1000; i++) assert_ptr_equal(opts_ref(&t, &o), first);
    assert_int_equal(heap_front->used - before, one);
    for (int i = 0; i < 1000; i++) opts_unref(&t, first);
    assert_true(opts_equal(first, &o));
    opts_unref(&t, first);
    assert_int_equal(heap_front->used, before);
    first = opts_ref(&t, &o); /* not found where it was */
    assert_int_equal(heap_front->used - before, one);
    opts_unref(&t, first);
    opts_unref(&t, NULL);
}

static void test_more_sets_than_places_are_kept_apart(void **state)
{
    enum { COUNT = 1000 };
    static const struct conn_opts *kept[COUNT];
    struct opts_share t = {0};
    size_t before = heap_front->used;
    for (uint32_t i = 0; i < COUNT; i++) {
        kept[i] = opts_ref(&t, &(struct conn_opts){.keep_idle_s = i + 1, .mss = (uint16_t)(i * 7)});
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(kept[i]->keep_idle_s, i + 1);
        assert_int_equal(kept[i]->mss, i * 7);
        opts_unref(&t, kept[i]);
    }
    assert_int_equal(heap_front->used, before);
    for (uint32_t i = 0; i < OPTS_SHARED_MAX; i++) assert_null(t.recent[i]);
}

static void test_every_option_tells_sets_apart(void **state)
{
    struct opts_share t = {0};
    const struct conn_opts sets[] = {{.delay = true},
                                     {.cork = true},
                                     {.keepalive = true},
                                     {.quick_ack = true},
                                     {.urgent_inline = true},
                                     {.keep_idle_s = 1},
                                     {.keep_interval_s = 1},
                                     {.keep_count = 1},
                                     {.user_timeout_ms = 1},
                                     {.mss = 1},
                                     {.hops = 1},
                                     {.tos = 4},
                                     {.rcv_buffer = 1},
                                     {.snd_buffer = 1},
                                     {.cc = "cubic"}};
    enum { COUNT = sizeof sets / sizeof *sets };
    const struct conn_opts *kept[COUNT];
    for (unsigned i = 0; i < COUNT; i++) kept[i] = opts_ref(&t, &sets[i]);
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned k = 0; k < COUNT; k++) assert_int_equal(opts_equal(kept[i], &sets[k]), i == k);
    }
    for (unsigned i = 0; i < COUNT; i++) opts_unref(&t, kept[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_options_are_one_copy_until_the_last_lets_go),
        cmocka_unit_test(test_more_sets_than_places_are_kept_apart),
        cmocka_unit_test(test_every_option_tells_sets_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
