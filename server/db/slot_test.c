/* SPDX-License-Identifier: MIT */
#include "server/db/slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_crc_is_xmodem(void **state)
{
    (void)state;
    /* the check value of the catalogue and of the specification */
    assert_int_equal(slot_crc16("123456789", 9), 0x31c3);
    assert_int_equal(slot_crc16("", 0), 0);
}

static void test_only_the_first_tag_counts(void **state)
{
    (void)state;
    assert_int_equal(slot_of_key(BYTES("{user1000}.following")), slot_of_key(BYTES("user1000")));
    assert_int_equal(slot_of_key(BYTES("foo{bar}{zap}")), slot_of_key(BYTES("bar")));
    assert_int_equal(slot_of_key(BYTES("foo{{bar}}zap")), slot_of_key(BYTES("{bar")));
}

static void test_an_empty_or_open_tag_is_none(void **state)
{
    (void)state;
    assert_int_equal(slot_tag(BYTES("foo{}{bar}")).n, 10);
    assert_int_equal(slot_tag(BYTES("foo{bar")).n, 7);
    assert_int_equal(slot_tag(BYTES("foo{")).n, 4);
    assert_int_equal(slot_of_key((struct bytes){NULL, 0}), 0);
}

static void test_known_slots(void **state)
{
    (void)state;
    assert_int_equal(slot_of_key(BYTES("foo")), 12182); /* as CLUSTER KEYSLOT of redis-server 7.0.15 says */
    assert_int_equal(slot_of_key(BYTES("somekey")), 11058);
    assert_int_equal(slot_of_key(BYTES("bar")), 5061);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc_is_xmodem),
        cmocka_unit_test(test_only_the_first_tag_counts),
        cmocka_unit_test(test_an_empty_or_open_tag_is_none),
        cmocka_unit_test(test_known_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
