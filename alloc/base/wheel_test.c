/* SPDX-License-Identifier: MIT
 *
 * The wheel against a list: the same timers, the same clock, the same set of them fired.
 */
#include "alloc/base/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define TICK (1u << WHEEL_TICK_BITS)

static struct wheel w;
static unsigned fired;
static uint64_t now;

static void count(struct timer *t)
{
    assert_false(timer_runs(t));
    fired++;
}

static int set_up(void **state)
{
    now = 123456789;
    fired = 0;
    wheel_init(&w, now);
    return 0;
}

static void advance(uint64_t to)
{
    now = to;
    wheel_advance(&w, now);
}

static void test_empty_wheel_has_no_deadline(void **state)
{
    assert_int_equal(wheel_next(&w), UINT64_MAX);
    assert_int_equal(wheel_advance(&w, now + 1000000000), 0);
}

static void test_timer_fires_at_its_time_and_not_before(void **state)
{
    static const uint64_t distances[] = {
        1, TICK, 63 * TICK, 64 * TICK, 65 * TICK, 1000000, 1000000000, 3600000000000, 86400000000000 * 365, 1ull << 60};
    for (unsigned i = 0; i < sizeof distances / sizeof distances[0]; i++) {
        struct timer t = {0};
        uint64_t at = now + distances[i];
        wheel_start(&w, &t, at, count);
        fired = 0;
        uint64_t next = wheel_next(&w);
        assert_true(next >= at);
        assert_true(next < at + 2 * TICK);
        advance(at - 1);
        assert_int_equal(fired, 0);
        assert_int_equal(wheel_next(&w), next);
        advance(next);
        assert_int_equal(fired, 1);
        assert_int_equal(w.count, 0);
    }
}

static void test_deadline_in_the_past_fires_at_the_next_tick(void **state)
{
    struct timer t = {0};
    wheel_start(&w, &t, 5, count);
    advance(now + TICK);
    assert_int_equal(fired, 1);
}

static void test_stopped_timer_never_fires(void **state)
{
    struct timer a = {0}, b = {0};
    wheel_start(&w, &a, now + 5000000, count);
    wheel_start(&w, &b, now + 5000000, count);
    wheel_stop(&w, &a);
    wheel_stop(&w, &a);
    advance(now + 10000000);
    assert_int_equal(fired, 1);
    assert_int_equal(w.levels, 0);
}

static void test_started_again_means_moved(void **state)
{
    struct timer t = {0};
    wheel_start(&w, &t, now + 1000000, count);
    wheel_start(&w, &t, now + 9000000, count);
    advance(now + 2000000);
    assert_int_equal(fired, 0);
    assert_int_equal(w.count, 1);
    advance(now + 8000000);
    assert_int_equal(fired, 1);
}

static void again(struct timer *t)
{
    fired++;
    if (fired < 10) wheel_start(&w, t, now + 1000000, again);
}

static void test_timer_may_start_itself_again(void **state)
{
    struct timer t = {0};
    uint64_t start = now;
    wheel_start(&w, &t, now + 1000000, again);
    for (uint64_t ms = 1; ms <= 20; ms++) advance(start + ms * 1010000);
    assert_int_equal(fired, 10);
}

static uint64_t seed = 42;
static uint64_t dice(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void test_wheel_agrees_with_a_list(void **state)
{
    enum { TIMERS = 500 };
    static struct timer timers[TIMERS];
    static uint64_t due[TIMERS];
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)(dice() % TIMERS);
        if (dice() % 4) {
            due[i] = now + (dice() & ((1ull << (dice() % 42)) - 1));
            wheel_start(&w, &timers[i], due[i], count);
        } else {
            wheel_stop(&w, &timers[i]);
        }
        uint64_t next = wheel_next(&w);
        for (unsigned k = 0; k < TIMERS; k++)
            if (timer_runs(&timers[k])) assert_true(next <= (due[k] > now ? due[k] : now) + 2 * TICK);
        advance(now + (dice() & ((1ull << (dice() % 36)) - 1)));
        for (unsigned k = 0; k < TIMERS; k++) {
            if (timer_runs(&timers[k])) assert_true(due[k] + 2 * TICK > now);
        }
    }
}

static void test_no_deadline_is_too_far(void **state)
{
    static const uint64_t far[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - TICK, UINT64_MAX / 2, 1ull << 63};
    struct timer timers[sizeof far / sizeof *far] = {0};
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        wheel_start(&w, &timers[i], far[i], count);
        assert_in_range(timers[i].level, 0, WHEEL_LEVELS - 1);
        assert_in_range(timers[i].slot, 0, 63);
    }
    assert_true(wheel_next(&w) > now);
    advance(now + (1ull << 40));
    assert_int_equal(w.count, sizeof far / sizeof *far);
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) wheel_stop(&w, &timers[i]);
    assert_int_equal(w.levels, 0);
}

#define T(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_empty_wheel_has_no_deadline),
        T(test_timer_fires_at_its_time_and_not_before),
        T(test_deadline_in_the_past_fires_at_the_next_tick),
        T(test_stopped_timer_never_fires),
        T(test_started_again_means_moved),
        T(test_timer_may_start_itself_again),
        T(test_no_deadline_is_too_far),
        T(test_wheel_agrees_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
