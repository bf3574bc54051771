/* SPDX-License-Identifier: MIT
 *
 * Initial sequence numbers: a clock for one four-tuple, noise between two.
 */
#include "tcp/isn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key[16] = "sixteen letters!", other_key[16] = "and sixteen more";

static struct ip_port ep(uint32_t addr, uint16_t port) { return (struct ip_port){addr_v4(addr), port}; }

static void test_of_one_tuple_the_number_grows_with_the_clock(void **state)
{
    struct ip_port l = ep(1, 80), r = ep(2, 5000);
    nsec now = 123456789;
    tcp_seq last = isn_make(&l, &r, key, now);
    for (unsigned i = 0; i < 1000; i++) {
        nsec step = 1 + i * 1000003u;
        tcp_seq next = isn_make(&l, &r, key, now + step);
        assert_int_equal(next - last, (now + step) / 4000 - now / 4000);
        now += step;
        last = next;
    }
    /* 4 us each: RFC 9293 3.4.1 */
    assert_int_equal(isn_make(&l, &r, key, 0) + 250000, isn_make(&l, &r, key, NSEC_PER_SEC));
}

/* Neighbours in any part of the tuple: differences never repeat and each bit flips about half of the time. */
static void test_between_tuples_nothing_can_be_concluded(void **state)
{
    enum { COUNT = 4096 };
    static uint32_t diffs[COUNT];
    unsigned ones[32] = {0};
    for (unsigned i = 0; i < COUNT; i++) {
        struct ip_port l = ep(1, 80), r = ep(2, (uint16_t)(1000 + i)), next = ep(2, (uint16_t)(1001 + i));
        diffs[i] = isn_make(&l, &next, key, 0) - isn_make(&l, &r, key, 0);
        uint32_t flips = isn_make(&l, &next, key, 0) ^ isn_make(&l, &r, key, 0);
        for (unsigned b = 0; b < 32; b++) ones[b] += flips >> b & 1;
    }
    for (unsigned b = 0; b < 32; b++) assert_in_range(ones[b], COUNT / 2 - 200, COUNT / 2 + 200); /* 6 sigma */
    unsigned equal = 0;
    for (unsigned i = 0; i + 1 < COUNT; i++) equal += diffs[i] == diffs[i + 1];
    assert_int_equal(equal, 0);
}

static void test_each_part_of_the_tuple_and_the_key_count(void **state)
{
    struct ip_port l = ep(1, 80), r = ep(2, 5000), l2 = ep(3, 80), l3 = ep(1, 81), r2 = ep(4, 5000), r3 = ep(2, 5001);
    uint32_t v[] = {isn_make(&l, &r, key, 0),        isn_make(&l2, &r, key, 0),  isn_make(&l3, &r, key, 0),
                    isn_make(&l, &r2, key, 0),       isn_make(&l, &r3, key, 0),  isn_make(&r, &l, key, 0),
                    isn_make(&l, &r, other_key, 0),  isn_ts_offset(&l, &r, key), isn_ts_offset(&l, &r3, key),
                    isn_ts_offset(&l, &r, other_key)};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        for (size_t k = 0; k < i; k++) assert_int_not_equal(v[i], v[k]);
    }
    assert_int_equal(isn_ts_offset(&l, &r, key), v[7]); /* the same each time */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_one_tuple_the_number_grows_with_the_clock),
        cmocka_unit_test(test_between_tuples_nothing_can_be_concluded),
        cmocka_unit_test(test_each_part_of_the_tuple_and_the_key_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
