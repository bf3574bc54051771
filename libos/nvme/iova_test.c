/* SPDX-License-Identifier: MIT
 *
 * Addresses for devices: inside of what the IOMMU allows, none twice, none beside where interrupts go.
 */
#include "libos/nvme/iova.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc/base/rng.h"

#define MIB ((uint64_t)1 << 20)

static struct iova_space s;

static uint64_t take(uint64_t n, uint64_t align)
{
    uint64_t at = 0;
    assert_int_equal(iova_take(&s, n, align, &at), 0);
    assert_int_equal(at % align, 0);
    return at;
}

static void test_ranges_that_make_no_sense_are_refused(void **state)
{
    iova_init(&s);
    assert_false(iova_limit(&s, NULL, 0));
    assert_false(iova_limit(&s, (struct iova_range[]){{8 * MIB, 4 * MIB}}, 1));
    assert_false(iova_limit(&s, (struct iova_range[]){{4 * MIB, 8 * MIB}, {6 * MIB, 9 * MIB}}, 2));
    assert_false(iova_limit(&s, (struct iova_range[]){{0, 4096}}, 1)); /* all of it lies in the first MiB */
}

static void test_the_hole_for_interrupts_is_left_out(void **state)
{
    uint64_t at;
    iova_init(&s);
    take(0xfed00000, MIB); /* nearly all below it */
    at = take(16 * MIB, 2 * MIB);
    assert_true(at >= 0xfef00000);
    assert_true(at + 16 * MIB <= (uint64_t)1 << 39);
}

static void test_a_space_is_full_and_has_room_again(void **state)
{
    uint64_t at;
    iova_init(&s);
    assert_true(iova_limit(&s, (struct iova_range[]){{0, 4 * MIB - 1}, {8 * MIB, 10 * MIB - 1}}, 2));
    assert_int_equal(take(2 * MIB, 4096), MIB);
    assert_int_equal(take(2 * MIB, 2 * MIB), 8 * MIB);
    assert_int_equal(iova_take(&s, 2 * MIB, 4096, &at), -ENOSPC);
    assert_int_equal(take(MIB, MIB), 3 * MIB);
    assert_int_equal(iova_take(&s, 4096, 4096, &at), -ENOSPC);
    iova_give(&s, MIB);
    assert_int_equal(take(2 * MIB, MIB), MIB);
    assert_int_equal(iova_take(&s, UINT64_MAX, 4096, &at), -ENOSPC);
}

static void test_nothing_is_given_twice(void **state)
{
    enum { N = 200 };
    struct iova_range has[N] = {{0, 0}};
    struct rng r;
    rng_seed(&r, 3);
    iova_init(&s);
    for (unsigned round = 0; round < 5000; round++) {
        unsigned i = (unsigned)(rng_u64(&r) % N);
        if (has[i].last) {
            iova_give(&s, has[i].first);
            has[i].last = 0;
            continue;
        }
        uint64_t n = (rng_u64(&r) % 64 + 1) * 65536;
        uint64_t at = take(n, (uint64_t)4096 << rng_u64(&r) % 10);
        has[i] = (struct iova_range){at, at + n - 1};
        for (unsigned k = 0; k < N; k++)
            if (k != i && has[k].last) assert_true(has[k].last < at || has[k].first > has[i].last);
    }
}

static void test_the_list_of_what_is_taken_is_bounded(void **state)
{
    uint64_t at;
    iova_init(&s);
    for (unsigned i = 0; i < IOVA_TAKEN_MAX; i++) take(4096, 4096);
    assert_int_equal(iova_take(&s, 4096, 4096, &at), -ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_that_make_no_sense_are_refused),
        cmocka_unit_test(test_the_hole_for_interrupts_is_left_out),
        cmocka_unit_test(test_a_space_is_full_and_has_room_again),
        cmocka_unit_test(test_nothing_is_given_twice),
        cmocka_unit_test(test_the_list_of_what_is_taken_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
