/* SPDX-License-Identifier: MIT */
#include "libos/rdma/smalls.h"

#include "alloc/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_one_that_comes_back_is_as_it_was(void **state)
{
    struct smalls_cell *list;
    struct smalls *s = smalls_new(&list);
    struct buf *b = smalls_take(&list, 5);
    uint8_t *data = b->data;
    assert_int_equal(b->len, 5);
    assert_true(buf_is_sole(b));
    assert_true(buf_headroom(b) >= BUF_HEADROOM);
    assert_int_equal(buf_tailroom(b), SMALLS_ROOM - 5);
    buf_trim_front(b, 3);
    struct buf *slice = buf_slice(b, 1, 1), *tail = smalls_take(&list, 7);
    buf_chain_append(b, tail);
    buf_unref(b); /* and the tail with it; the slice holds the bytes */
    struct buf *other = smalls_take(&list, 1);
    assert_ptr_not_equal(other, b);
    buf_unref(slice);
    struct buf *again = smalls_take(&list, 9);
    assert_ptr_equal(again, b);
    assert_ptr_equal(again->data, data);
    assert_null(again->next);
    assert_int_equal(again->len, 9);
    assert_true(buf_is_sole(again));
    smalls_close(s);
    buf_unref(again);
    buf_unref(other);
}

static void test_there_are_so_many_and_they_outlive_their_pool(void **state)
{
    static struct buf *held[SMALLS_COUNT];
    struct smalls_cell *list;
    size_t before = heap_used();
    struct smalls *s = smalls_new(&list);
    for (unsigned i = 0; i < SMALLS_COUNT; i++) {
        held[i] = smalls_take(&list, SMALLS_ROOM);
        assert_non_null(held[i]);
        memset(held[i]->data, (int)i, SMALLS_ROOM);
    }
    assert_null(smalls_take(&list, 1));
    buf_unref(held[0]);
    smalls_close(s);
    assert_null(list);
    for (unsigned i = 1; i < SMALLS_COUNT; i++) {
        assert_int_equal(held[i]->data[SMALLS_ROOM - 1], (uint8_t)i);
        assert_true(heap_used() > before);
        buf_unref(held[i]);
    }
    assert_int_equal(heap_used(), before);
}

static void test_a_pool_that_nobody_uses_goes_at_once(void **state)
{
    struct smalls_cell *list;
    size_t before = heap_used();
    smalls_close(smalls_new(&list));
    assert_int_equal(heap_used(), before);
    smalls_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_comes_back_is_as_it_was),
        cmocka_unit_test(test_there_are_so_many_and_they_outlive_their_pool),
        cmocka_unit_test(test_a_pool_that_nobody_uses_goes_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
