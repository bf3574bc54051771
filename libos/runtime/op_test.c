/* SPDX-License-Identifier: MIT */
#include "libos/runtime/op.h"

#include "alloc/base/assert_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

static struct op_table table;

static int set_up(void **state) { return op_table_init(&table, 7); }
static int tear_down(void **state)
{
    op_table_check(&table);
    op_table_free(&table);
    return 0;
}

/* Not inlined: gcc 12 at -O3 then takes a list that w.next points into for an array of size 0, and
 * warns. */
static __attribute__((noinline)) struct op *start(void)
{
    struct op *op = op_new(&table, DEMI_OPC_POP, NULL, 501);
    assert_non_null(op);
    return op;
}

static void test_three_numbers_are_no_tokens_of_any_owner(void **state)
{
    struct op_table t;
    for (uint32_t id = 0; id < 1000; id++) {
        assert_int_equal(op_table_init(&t, id), 0);
        struct op *op = op_new(&t, DEMI_OPC_POP, NULL, 0);
        assert_null(op_find(&t, 0));
        assert_null(op_find(&t, UINT64_MAX));
        op->generation = 0x01010101;
        assert_null(op_find(&t, 0x0101010101010101));
        op_table_free(&t);
    }
}

static void test_token_of_another_owner_is_refused(void **state)
{
    struct op_table other;
    assert_int_equal(op_table_init(&other, 8), 0);
    demi_qtoken_t qt = op_token(&other, op_new(&other, DEMI_OPC_POP, NULL, 0));
    start();
    assert_null(op_find(&table, qt));
    op_table_free(&other);
}

static void test_generation_makes_a_taken_token_stale(void **state)
{
    struct op *op = start();
    demi_qtoken_t qt = op_token(&table, op);
    demi_qresult_t qr;
    op_complete_plain(&table, op, 5);
    op_take(&table, op, &qr);
    assert_int_equal(qr.qr_qt, qt);
    assert_int_equal(qr.qr_ret, 5);
    assert_int_equal(qr.qr_qd, 501);
    assert_null(op_find(&table, qt));
    op_recycle(&table);
    assert_ptr_equal(start(), op);
    assert_null(op_find(&table, qt));
}

static void test_slot_is_not_used_again_before_the_next_wait(void **state)
{
    struct op *op = start();
    demi_qresult_t qr;
    int word;
    op->data = &word;
    op_complete_plain(&table, op, 0);
    op_take(&table, op, &qr);
    assert_ptr_not_equal(start(), op);
    assert_ptr_equal(op_taken_data(&table, qr.qr_qt), &word);
}

static void test_dropped_operation_leaves_nothing(void **state)
{
    struct op *op = start();
    demi_qtoken_t qt = op_token(&table, op);
    op_drop(&table, op);
    assert_null(op_find(&table, qt));
    assert_int_equal(table.outstanding, 0);
    assert_int_equal(table.started, 0);
}

static void test_results_come_in_the_order_of_completion(void **state)
{
    struct op *ops[5];
    static const int order[5] = {3, 0, 4, 1, 2};
    for (int i = 0; i < 5; i++) ops[i] = start();
    for (int i = 0; i < 5; i++) op_fail(&table, ops[order[i]], 40 + i);
    for (int i = 0; i < 5; i++) {
        demi_qresult_t qr;
        assert_ptr_equal(table.ready.head, ops[order[i]]);
        op_take(&table, table.ready.head, &qr);
        assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
        assert_int_equal(qr.qr_ret, 40 + i);
    }
}

static void test_done_operation_leaves_the_middle_of_the_list(void **state)
{
    struct op *ops[3];
    demi_qresult_t qr;
    for (int i = 0; i < 3; i++) ops[i] = start();
    for (int i = 0; i < 3; i++) op_complete_plain(&table, ops[i], i);
    op_take(&table, ops[1], &qr);
    op_table_check(&table);
    assert_int_equal(table.ready_count, 2);
    assert_ptr_equal(ops[0]->next, ops[2]);
}

static void count_wakes(struct op_waiter *w) { w->next = (struct op_waiter *)((uintptr_t)w->next + 1); }

static void test_claimed_operation_goes_to_its_waiter_only(void **state)
{
    struct op_waiter w = {.wake = count_wakes};
    struct op *op = start();
    assert_int_equal(op_claim(&table, op, &w, 9), 0);
    op_complete_plain(&table, op, 0);
    assert_int_equal((uintptr_t)w.next, 1);
    assert_int_equal(table.ready_count, 0);
    assert_ptr_equal(w.done.head, op);
    op_unclaim(&table, op, &w);
    assert_int_equal(table.ready_count, 1);
    assert_null(w.done.head);
}

static void test_two_waiters_cannot_claim_one_operation(void **state)
{
    struct op_waiter a = {0}, b = {0};
    struct op *op = start();
    assert_int_equal(op_claim(&table, op, &a, 0), 0);
    assert_int_equal(op_claim(&table, op, &b, 0), -EBUSY);
    assert_int_equal(op_claim(&table, op, &a, 1), 0);
    assert_int_equal(op->offset, 0);
    op_unclaim(&table, op, &b);
    assert_ptr_equal(op->waiter, &a);
}

static void test_table_grows_and_slots_stay_where_they_are(void **state)
{
    struct op *first = start();
    demi_qtoken_t qt = op_token(&table, first);
    for (uint32_t i = 0; i < 5 * OP_CHUNK; i++) start();
    assert_ptr_equal(op_find(&table, qt), first);
    assert_int_equal(table.outstanding, 5 * OP_CHUNK + 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void check(void *t) { op_table_check(t); }

static void test_a_spoilt_table_is_seen(void **state)
{
    struct op *pending = start(), *done[2] = {start(), start()};
    for (int i = 0; i < 2; i++) op_complete_plain(&table, done[i], 0);
    check(&table);
    SEEN(check, &table, pending->index, pending->index + 1, "op->index == i");
    SEEN(check, &table, pending->state, OP_FREE, "alive == t->outstanding");
    SEEN(check, &table, done[0]->state, OP_PENDING, "op->state == OP_DONE");
    SEEN(check, &table, done[0]->state, OP_TAKEN, "op->state == OP_DONE");
    SEEN(check, &table, done[1]->waiter, (struct op_waiter *)&table, "!op->waiter");
    SEEN(check, &table, done[0]->next, NULL, "ready == t->ready_count");
    SEEN(check, &table, table.outstanding, table.outstanding + 1, "alive == t->outstanding");
    SEEN(check, &table, table.ready_count, table.ready_count - 1, "ready == t->ready_count");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_three_numbers_are_no_tokens_of_any_owner),
        T(test_token_of_another_owner_is_refused),
        T(test_generation_makes_a_taken_token_stale),
        T(test_slot_is_not_used_again_before_the_next_wait),
        T(test_dropped_operation_leaves_nothing),
        T(test_results_come_in_the_order_of_completion),
        T(test_done_operation_leaves_the_middle_of_the_list),
        T(test_claimed_operation_goes_to_its_waiter_only),
        T(test_two_waiters_cannot_claim_one_operation),
        T(test_table_grows_and_slots_stay_where_they_are),
        cmocka_unit_test_setup_teardown(test_a_spoilt_table_is_seen, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
