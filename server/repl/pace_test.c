/* SPDX-License-Identifier: MIT */
#include "server/repl/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "server/exec/session_fixture.h"

#define LIMIT (UINT64_C(256) << 20)
#define TURN  UINT64_C(1000000)

static struct fixture f;
static struct config cfg;
static struct pace pace;

static void appended(struct journal *j) { (void)j; }

static int set_up(void **state)
{
    (void)state;
    fixture_init(&f, 1);
    cfg = *f.w.conf.cfg;
    cfg.repl_sync_write_hold = 10000;
    f.w.conf.cfg = &cfg;
    history_init(&f.srv.history, &f.srv, appended);
    pace = (struct pace){0};
    f.w.turn_ns = TURN;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    history_fini(&f.srv.history);
    fixture_fini(&f);
    return 0;
}

/* A turn a millisecond later, in which so much was written unless writers wait. */
static bool turn(uint64_t grown, uint64_t *lag)
{
    bool waits = f.srv.unusual & SERVER_HISTORY_FULL;
    f.w.turn_ns += TURN;
    if (!waits) {
        f.srv.history.journal.text.end += grown;
        *lag += grown;
    }
    pace_turn(&f.w, &pace, *lag, LIMIT);
    return waits;
}

static void test_nobody_waits_below_half_of_the_limit(void **state)
{
    (void)state;
    uint64_t lag = 1;
    while (lag < LIMIT / 2 - (1 << 20)) assert_false(turn(1 << 16, &lag));
    assert_int_equal(f.srv.unusual & SERVER_HISTORY_FULL, 0);
    assert_true(pace_wakes_ns(&pace) == UINT64_MAX);
}

/* A replica that takes nothing, and writers that could fill the limit in two seconds. */
static void test_the_limit_is_not_reached_while_the_hold_lasts(void **state)
{
    (void)state;
    uint64_t lag = 1, began = 0;
    while (pace.held_ns < UINT64_C(9000000000)) {
        turn(1 << 17, &lag);
        if (!began && pace.held_ns) began = f.w.turn_ns;
        assert_true(lag < LIMIT);
        assert_true(!pace.until_ns || pace.until_ns - f.w.turn_ns <= UINT64_C(100000001));
    }
    assert_true(f.w.turn_ns - began > UINT64_C(8000000000));
}

static void test_the_hold_has_an_end(void **state)
{
    (void)state;
    uint64_t lag = 1;
    for (int i = 0; i < 100000 && lag < LIMIT + (1 << 20); i++) turn(1 << 17, &lag);
    assert_true(lag >= LIMIT); /* the replica's own affair again */
    assert_true(pace.held_ns >= UINT64_C(10000000000));
    pace_turn(&f.w, &pace, 0, LIMIT);
    f.w.turn_ns += UINT64_C(1000000000);
    pace_turn(&f.w, &pace, 0, LIMIT); /* it has caught up, or is gone */
    assert_int_equal(pace.held_ns, 0);
    assert_int_equal(f.srv.unusual & SERVER_HISTORY_FULL, 0);
}

static void test_without_a_limit_or_a_hold_nobody_waits(void **state)
{
    (void)state;
    f.srv.history.journal.text.end = LIMIT;
    pace_turn(&f.w, &pace, LIMIT, 0);
    assert_int_equal(f.srv.unusual & SERVER_HISTORY_FULL, 0);
    cfg.repl_sync_write_hold = 0;
    f.srv.history.journal.text.end += 1 << 20;
    pace_turn(&f.w, &pace, LIMIT, LIMIT);
    assert_int_equal(f.srv.unusual & SERVER_HISTORY_FULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nobody_waits_below_half_of_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_limit_is_not_reached_while_the_hold_lasts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_hold_has_an_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_limit_or_a_hold_nobody_waits, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
