/* SPDX-License-Identifier: MIT */
#include "libos/rdma/valkey_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "alloc/base/bytes.h"

#define SIZE VALKEY_BUFFER_MIN

static void message(uint8_t at[VALKEY_MESSAGE_SIZE], uint16_t opcode)
{
    memset(at, 0, VALKEY_MESSAGE_SIZE);
    store_be16(at, opcode);
}

static void lend(uint8_t at[VALKEY_MESSAGE_SIZE], uint64_t addr, uint32_t n, uint32_t key)
{
    message(at, VALKEY_LENDS);
    store_be64(at + 16, addr);
    store_be32(at + 24, n);
    store_be32(at + 28, key);
}

/* A connection that has said where its buffer is. */
static struct valkey_wire begun(void)
{
    uint8_t at[VALKEY_MESSAGE_SIZE];
    struct valkey_wire w;
    valkey_wire_init(&w, SIZE);
    assert_true(valkey_wire_has_to_say(&w));
    valkey_wire_say(&w, 0x1122334455667788, 0xdeadbeef, at);
    assert_int_equal(load_be16(at), VALKEY_LENDS);
    assert_true(load_be64(at + 16) == 0x1122334455667788);
    assert_int_equal(load_be32(at + 24), SIZE);
    assert_int_equal(load_be32(at + 28), 0xdeadbeef);
    for (unsigned i = 2; i < 16; i++) assert_int_equal(at[i], 0);
    assert_false(valkey_wire_has_to_say(&w));
    return w;
}

static void test_a_number_beyond_the_buffer_is_refused(void **state)
{
    struct valkey_wire w = begun();
    assert_non_null(valkey_wire_written(&w, SIZE + 1));
    assert_non_null(valkey_wire_written(&w, UINT32_MAX));
    assert_null(valkey_wire_written(&w, SIZE - 1));
    assert_non_null(valkey_wire_written(&w, 2));
    assert_null(valkey_wire_written(&w, 1));
    assert_non_null(valkey_wire_written(&w, 1));
    assert_null(valkey_wire_written(&w, 0));
    valkey_wire_check(&w);
}

static void test_nothing_is_written_before_the_buffer_is_lent(void **state)
{
    struct valkey_wire w;
    valkey_wire_init(&w, SIZE);
    assert_non_null(valkey_wire_written(&w, 1));
    assert_null(valkey_wire_written(&w, 0));
}

static void test_the_buffer_is_lent_anew_when_all_of_it_was_read(void **state)
{
    uint8_t at[VALKEY_MESSAGE_SIZE];
    struct valkey_wire w = begun();
    assert_null(valkey_wire_written(&w, SIZE));
    assert_false(valkey_wire_took(&w, SIZE - 1));
    assert_true(valkey_wire_took(&w, 1));
    assert_true(valkey_wire_has_to_say(&w));
    assert_non_null(valkey_wire_written(&w, 1)); /* it cannot know yet */
    valkey_wire_say(&w, 0, 0, at);
    assert_int_equal(load_be16(at), VALKEY_LENDS);
    assert_null(valkey_wire_written(&w, 1));
    assert_int_equal(valkey_wire_readable(&w), 1);
}

static void test_a_peers_buffer_changes_only_when_it_is_full(void **state)
{
    uint8_t at[VALKEY_MESSAGE_SIZE];
    struct valkey_wire w = begun();
    assert_int_equal(valkey_wire_room(&w), 0);
    lend(at, 4096, UINT32_MAX, 1);
    assert_null(valkey_wire_heard(&w, at, sizeof at));
    assert_int_equal(valkey_wire_room(&w), UINT32_MAX);
    assert_non_null(valkey_wire_heard(&w, at, sizeof at));
    w.out_at = w.out_size;
    lend(at, 8192, 100, 2); /* another length: the format allows it */
    assert_null(valkey_wire_heard(&w, at, sizeof at));
    assert_int_equal(valkey_wire_room(&w), 100);
    assert_true(w.out_addr == 8192);
    w.out_at = w.out_size;
    lend(at, 8192, 0, 2);
    assert_non_null(valkey_wire_heard(&w, at, sizeof at));
    valkey_wire_check(&w);
}

static void test_questions_are_answered_in_order_and_bounded(void **state)
{
    uint8_t at[VALKEY_MESSAGE_SIZE], zeros[VALKEY_MESSAGE_SIZE] = {0};
    struct valkey_wire w = begun();
    for (uint16_t i = 1; i <= VALKEY_ASKED_MAX; i++) {
        message(at, VALKEY_GET_FEATURES);
        store_be16(at + 2, i);
        assert_null(valkey_wire_heard(&w, at, sizeof at));
    }
    assert_non_null(valkey_wire_heard(&w, at, sizeof at));
    for (uint16_t i = 1; i <= VALKEY_ASKED_MAX; i++) {
        valkey_wire_say(&w, 0, 0, at);
        assert_int_equal(load_be16(at), VALKEY_GET_FEATURES);
        assert_int_equal(load_be16(at + 2), i);
        assert_memory_equal(at + 4, zeros, sizeof at - 4);
    }
    assert_false(valkey_wire_has_to_say(&w));
}

static void test_what_valkey_does_not_have_is_refused(void **state)
{
    uint8_t at[VALKEY_MESSAGE_SIZE + 1] = {0};
    struct valkey_wire w = begun();
    message(at, VALKEY_KEEPALIVE);
    assert_null(valkey_wire_heard(&w, at, VALKEY_MESSAGE_SIZE));
    assert_non_null(valkey_wire_heard(&w, at, VALKEY_MESSAGE_SIZE - 1));
    assert_non_null(valkey_wire_heard(&w, at, VALKEY_MESSAGE_SIZE + 1));
    message(at, 4);
    assert_non_null(valkey_wire_heard(&w, at, VALKEY_MESSAGE_SIZE));
    message(at, VALKEY_SET_FEATURES);
    assert_null(valkey_wire_heard(&w, at, VALKEY_MESSAGE_SIZE));
    at[31] = 1;
    assert_non_null(valkey_wire_heard(&w, at, VALKEY_MESSAGE_SIZE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_number_beyond_the_buffer_is_refused),
        cmocka_unit_test(test_nothing_is_written_before_the_buffer_is_lent),
        cmocka_unit_test(test_the_buffer_is_lent_anew_when_all_of_it_was_read),
        cmocka_unit_test(test_a_peers_buffer_changes_only_when_it_is_full),
        cmocka_unit_test(test_questions_are_answered_in_order_and_bounded),
        cmocka_unit_test(test_what_valkey_does_not_have_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
