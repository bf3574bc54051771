/* SPDX-License-Identifier: MIT
 *
 * Lists.
 */
#include "alloc/base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int value;
    struct list link;
};

static int value_of(struct list *l) { return list_entry(l, struct item, link)->value; }

static void test_an_empty_list_has_no_ends(void **state)
{
    struct list head;
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(list_first(&head));
    assert_null(list_last(&head));
    assert_null(list_pop_front(&head));
}

static void test_order_is_kept_and_removal_is_idempotent(void **state)
{
    struct list head;
    struct item it[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    list_init(&head);
    list_push_back(&head, &it[1].link);
    list_push_back(&head, &it[3].link);
    list_push_front(&head, &it[0].link);
    list_insert_before(&it[3].link, &it[2].link);
    int expected = 0;
    list_for_each(l, &head) assert_int_equal(value_of(l), expected++);
    assert_int_equal(expected, 4);
    list_remove(&it[1].link);
    list_remove(&it[1].link);
    assert_true(list_is_empty(&it[1].link));
    assert_int_equal(value_of(list_pop_front(&head)), 0);
    assert_int_equal(value_of(list_last(&head)), 3);
    list_for_each_safe(l, &head) list_remove(l);
    assert_true(list_is_empty(&head));
}

static void test_splicing_moves_all_members_in_order(void **state)
{
    struct list a, b;
    struct item it[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    list_init(&a);
    list_init(&b);
    list_splice_back(&a, &b);
    assert_true(list_is_empty(&a));
    for (int i = 0; i < 4; i++) list_push_back(i < 2 ? &a : &b, &it[i].link);
    list_splice_back(&a, &b);
    assert_true(list_is_empty(&b));
    for (int i = 0; i < 4; i++) assert_int_equal(value_of(list_pop_front(&a)), i);
    assert_true(list_is_empty(&a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_list_has_no_ends),
        cmocka_unit_test(test_order_is_kept_and_removal_is_idempotent),
        cmocka_unit_test(test_splicing_moves_all_members_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
