/* SPDX-License-Identifier: MIT
 *
 * The clocks agree with the system's.
 */
#include "alloc/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static void test_monotonic_time_never_goes_back(void **state)
{
    nsec last = clock_mono_ns();
    for (int i = 0; i < 100000; i++) {
        nsec now = clock_mono_ns();
        assert_true(now >= last);
        last = now;
    }
}

static void test_wall_time_is_the_systems(void **state)
{
    int64_t before = (int64_t)time(NULL) - 1;
    int64_t us = clock_wall_us();
    assert_true(us / 1000000 >= before);
    assert_true(us / 1000000 <= (int64_t)time(NULL) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_monotonic_time_never_goes_back),
        cmocka_unit_test(test_wall_time_is_the_systems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
