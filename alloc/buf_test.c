/* SPDX-License-Identifier: MIT
 *
 * Bufs: bounds, sharing, chains, and that nothing leaks whatever the order of letting go.
 */
#include "alloc/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"
#include "alloc/heap.h"
#include "alloc/region.h"

static struct buf *buf_of(const char *text)
{
    struct buf *b = buf_take(strlen(text));
    assert_non_null(b);
    memcpy(buf_put_back(b, strlen(text)), text, strlen(text));
    return b;
}

static void test_what_is_out_of_bounds_is_refused_and_changes_nothing(void **state)
{
    struct buf *b = buf_of("hello");
    uint8_t *data = b->data;
    assert_null(buf_push_front(b, BUF_HEADROOM + 1));
    assert_null(buf_push_front(b, SIZE_MAX));
    assert_null(buf_put_back(b, BUF_SMALL_SIZE));
    assert_null(buf_put_back(b, SIZE_MAX));
    assert_null(buf_trim_front(b, 6));
    assert_null(buf_trim_back(b, SIZE_MAX));
    assert_null(buf_slice(b, 6, 0));
    assert_null(buf_slice(b, 2, 4));
    assert_null(buf_slice(b, 1, SIZE_MAX));
    assert_null(buf_take(BUF_SIZE_MAX + 1));
    assert_null(buf_wrap(b->data, SIZE_MAX, NULL, NULL));
    assert_ptr_equal(b->data, data);
    assert_int_equal(b->len, 5);
    assert_true(buf_contains(b, data, 5));
    assert_false(buf_contains(b, data, 6));
    assert_false(buf_contains(b, data - 1, 1));
    assert_false(buf_contains(b, data, SIZE_MAX));
    buf_unref(b);
    buf_unref(NULL);
}

static void test_a_buf_has_headroom_and_room_in_registered_memory(void **state)
{
    static const size_t sizes[] = {0, 1, 2048, 2049, 16384, 16385, 1000000, 5000000};
    size_t before = heap_used();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct buf *b = buf_take(sizes[i]);
        assert_non_null(b);
        assert_int_equal(b->len, 0);
        assert_int_equal(buf_headroom(b), BUF_HEADROOM);
        assert_true(buf_tailroom(b) >= sizes[i]);
        assert_int_equal((uintptr_t)b->data % 64, 0);
        memset(buf_put_back(b, sizes[i]), 1, sizes[i]);
        memset(buf_push_front(b, BUF_HEADROOM), 2, BUF_HEADROOM);
        struct region *r = region_find(b->data);
        assert_non_null(r);
        assert_ptr_equal(r->set, heap_regions());
        assert_true((char *)b->data + b->len <= r->base + r->len);
        buf_unref(b);
    }
    assert_int_equal(heap_used(), before);
}

static void test_exhaustion_gives_null(void **state)
{
    struct buf *b = buf_take(0);
    heap_set_limit(1);
    assert_null(buf_take(64 << 20));
    heap_set_limit(0);
    buf_unref(b);
}

static void test_a_slice_outlives_its_buf(void **state)
{
    size_t before = heap_used();
    struct buf *b = buf_of("hello world");
    struct buf *s = buf_slice(b, 6, 5);
    struct buf *t = buf_slice(s, 1, 3);
    assert_false(buf_is_sole(b));
    assert_false(buf_is_sole(s));
    assert_int_equal(buf_headroom(t), 0); /* a slice does not reach over others' bytes */
    assert_int_equal(buf_tailroom(t), 0);
    buf_unref(b);
    buf_unref(s);
    assert_memory_equal(t->data, "orl", 3);
    assert_true(buf_is_sole(t));
    buf_unref(t);
    assert_int_equal(heap_used(), before);
}

static void test_a_view_goes_with_its_last_holder(void **state)
{
    size_t before = heap_used();
    struct buf *b = buf_ref(buf_of("x"));
    assert_false(buf_is_sole(b));
    buf_unref(b);
    assert_true(buf_is_sole(b));
    assert_int_equal(b->data[0], 'x');
    buf_unref(b);
    assert_int_equal(heap_used(), before);
}

static void unpin(void *p) { heap_unpin(p); }

static void test_a_pinned_object_may_be_freed_while_a_view_holds_it(void **state)
{
    size_t before = heap_used();
    char *value = heap_alloc(5000);
    memset(value, 'v', 5000);
    assert_int_equal(heap_pin(value), 0);
    struct buf *b = buf_wrap(value + 100, 4000, unpin, value);
    struct buf *s = buf_slice(b, 1000, 10);
    heap_free(value);
    buf_unref(b);
    for (int i = 0; i < 10; i++) assert_int_equal(s->data[i], 'v');
    buf_unref(s);
    assert_int_equal(heap_used(), before);
}

static void count_up(void *arg) { ++*(int *)arg; }

static void test_wrapped_memory_is_released_once_after_its_last_view(void **state)
{
    char frame[64] = "frame";
    int released = 0;
    struct buf *b = buf_wrap(frame, sizeof frame, count_up, &released);
    struct buf *s = buf_slice(b, 0, 5);
    buf_unref(b);
    assert_int_equal(released, 0);
    buf_unref(s);
    assert_int_equal(released, 1);
    buf_unref(buf_wrap(frame, sizeof frame, NULL, NULL));
}

static void test_chains_are_read_dropped_and_freed_as_one(void **state)
{
    size_t before = heap_used();
    struct buf *head = buf_of("abc");
    struct buf *mid = buf_of("defg"), *held = buf_slice(mid, 0, 4);
    buf_chain_append(head, mid);
    buf_chain_append(head, buf_of("hi"));
    char text[16] = {0};
    assert_int_equal(buf_chain_len(head), 9);
    assert_int_equal(buf_chain_len(NULL), 0);
    assert_int_equal(buf_chain_copy(head, 2, text, 5), 5);
    assert_string_equal(text, "cdefg");
    assert_int_equal(buf_chain_copy(head, 8, text, 5), 1);
    assert_int_equal(buf_chain_copy(head, 100, text, 5), 0);
    head = buf_chain_drop(head, 4);
    assert_memory_equal(head->data, "efg", 3);
    assert_int_equal(buf_chain_len(head), 5);
    buf_chain_trim(head, 5);
    assert_int_equal(buf_chain_len(head), 5);
    buf_chain_trim(head, 4);
    assert_int_equal(buf_chain_copy(head, 0, text, 16), 4);
    assert_memory_equal(text, "efgh", 4);
    buf_chain_trim(head, 3);
    assert_null(head->next);
    assert_int_equal(heap_used() > before, 1);
    assert_null(buf_chain_drop(head, 3));
    assert_memory_equal(held->data, "defg", 4);
    buf_unref(held);
    head = buf_of("abc");
    buf_chain_append(head, buf_of("def"));
    struct buf *slice = buf_slice(head, 0, 1);
    buf_unref(head); /* the second goes too, though the first one's storage is still held */
    buf_unref(slice);
    assert_int_equal(heap_used(), before);
}

static void test_random_sharing_leaks_nothing(void **state)
{
    enum { VIEWS = 64 };
    struct buf *v[VIEWS] = {0};
    struct rng r;
    rng_seed(&r, 7);
    size_t before = heap_used();
    for (int i = 0; i < 50000; i++) {
        size_t k = rng_below(&r, VIEWS), j = rng_below(&r, VIEWS);
        if (v[k]) {
            buf_unref(v[k]);
            v[k] = NULL;
        } else if (v[j] && rng_below(&r, 3)) {
            size_t at = rng_below(&r, v[j]->len + 1);
            v[k] = rng_below(&r, 2) ? buf_ref(v[j]) : buf_slice(v[j], at, v[j]->len - at);
        } else {
            v[k] = buf_take(rng_below(&r, 20000));
            buf_put_back(v[k], buf_tailroom(v[k]));
        }
    }
    for (int i = 0; i < VIEWS; i++) buf_unref(v[i]);
    assert_int_equal(heap_used(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_out_of_bounds_is_refused_and_changes_nothing),
        cmocka_unit_test(test_a_buf_has_headroom_and_room_in_registered_memory),
        cmocka_unit_test(test_exhaustion_gives_null),
        cmocka_unit_test(test_a_slice_outlives_its_buf),
        cmocka_unit_test(test_a_view_goes_with_its_last_holder),
        cmocka_unit_test(test_a_pinned_object_may_be_freed_while_a_view_holds_it),
        cmocka_unit_test(test_wrapped_memory_is_released_once_after_its_last_view),
        cmocka_unit_test(test_chains_are_read_dropped_and_freed_as_one),
        cmocka_unit_test(test_random_sharing_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
