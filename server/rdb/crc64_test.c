/* SPDX-License-Identifier: MIT */
#include "server/rdb/crc64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* The definition: a bit at a time. */
static uint64_t by_bits(uint64_t crc, const unsigned char *p, size_t n)
{
    while (n--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0x95ac9329ac4bc9b5 : 0);
    }
    return crc;
}

static void test_the_check_value_of_jones(void **state)
{
    assert_true(crc64(0, "123456789", 9) == 0xe9c6d914c4b8d9ca);
    assert_true(crc64(0, "", 0) == 0);
}

static void test_every_table_entry_agrees_with_the_definition(void **state)
{
    unsigned char block[24] = {0};
    for (int at = 0; at < 8; at++) {
        for (int b = 0; b < 256; b++) {
            memset(block, 0, sizeof block);
            block[at] = (unsigned char)b;
            for (size_t n = 8; n < sizeof block; n++) assert_true(crc64(0, block, n) == by_bits(0, block, n));
        }
    }
}

static void test_pieces_give_what_the_whole_gives(void **state)
{
    unsigned char text[200];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (unsigned char)(i * 7 + 3);
    uint64_t whole = by_bits(0, text, sizeof text);
    for (size_t cut = 0; cut <= sizeof text; cut++)
        assert_true(crc64(crc64(0, text, cut), text + cut, sizeof text - cut) == whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_check_value_of_jones),
        cmocka_unit_test(test_every_table_entry_agrees_with_the_definition),
        cmocka_unit_test(test_pieces_give_what_the_whole_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
