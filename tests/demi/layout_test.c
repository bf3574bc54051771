/* SPDX-License-Identifier: MIT
 *
 * Layouts are an agreement with programs compiled elsewhere: sizes and offsets of Demikernel 1.5.13's packed structs.
 */
#include "tests/demi/demi_test.h"

static void test_sizes_are_demikernels(void **state)
{
    assert_int_equal(sizeof(demi_qtoken_t), 8);
    assert_int_equal(sizeof(demi_sgaseg_t), 12);
    assert_int_equal(sizeof(demi_sgarray_t), 40);
    assert_int_equal(sizeof(demi_opcode_t), 4);
    assert_int_equal(sizeof(demi_accept_result_t), 20);
    assert_int_equal(sizeof(demi_accept_result6_t), 32); /* ours, inside the room of a scatter-gather array */
    assert_int_equal(sizeof(demi_qresult_t), 64);
    assert_int_equal(sizeof(struct demi_args), 20);
    assert_int_equal(DEMI_SGARRAY_MAXSIZE, 1);
}

static void test_fields_lie_where_demikernel_has_them(void **state)
{
    assert_int_equal(offsetof(demi_sgaseg_t, sgaseg_len), 8);
    assert_int_equal(offsetof(demi_sgarray_t, sga_numsegs), 8);
    assert_int_equal(offsetof(demi_sgarray_t, sga_segs), 12);
    assert_int_equal(offsetof(demi_sgarray_t, sga_addr), 24);
    assert_int_equal(offsetof(demi_accept_result_t, addr), 4);
    assert_int_equal(offsetof(demi_accept_result6_t, addr), 4);
    assert_int_equal(offsetof(demi_qresult_t, qr_qd), 4);
    assert_int_equal(offsetof(demi_qresult_t, qr_qt), 8);
    assert_int_equal(offsetof(demi_qresult_t, qr_ret), 16);
    assert_int_equal(offsetof(demi_qresult_t, qr_value), 24);
    assert_int_equal(offsetof(struct demi_args, argv), 4);
    assert_int_equal(offsetof(struct demi_args, callback), 12);
}

static void test_opcodes_are_demikernels(void **state)
{
    assert_int_equal(DEMI_OPC_INVALID, 0);
    assert_int_equal(DEMI_OPC_PUSH, 1);
    assert_int_equal(DEMI_OPC_POP, 2);
    assert_int_equal(DEMI_OPC_ACCEPT, 3);
    assert_int_equal(DEMI_OPC_CONNECT, 4);
    assert_int_equal(DEMI_OPC_CLOSE, 5);
    assert_int_equal(DEMI_OPC_FAILED, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_are_demikernels),
        cmocka_unit_test(test_fields_lie_where_demikernel_has_them),
        cmocka_unit_test(test_opcodes_are_demikernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
