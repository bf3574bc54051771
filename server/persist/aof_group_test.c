/* SPDX-License-Identifier: MIT
 *
 * Who waits for whom, and for how long.
 */
#include "server/persist/aof_group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define SYNC_NS 1000000u
#define FIFTH   200000u
#define OUT     5000u /* when the turn begins at whose beginning the replies are out */

/* A sync has ended, and its replies are out. */
static struct aof_group after_a_sync(uint64_t held, uint64_t freed)
{
    struct aof_group g;
    aof_group_synced(&g, held, freed, SYNC_NS);
    aof_group_turn(&g, held, OUT - 1000);
    aof_group_turn(&g, held, OUT);
    return g;
}

static void test_nobody_waits_before_the_first_sync(void **state)
{
    (void)state;
    struct aof_group g = {0};
    assert_false(g.waits);
    aof_group_turn(&g, 1, 5);
    assert_false(g.waits);
    assert_int_equal(aof_group_sleep_ns(&g, 5), UINT64_MAX);
}

static void test_who_is_alone_does_not_wait(void **state)
{
    (void)state;
    struct aof_group g;
    for (uint64_t held = 1; held < 5; held++) {
        aof_group_synced(&g, held, 1, SYNC_NS);
        assert_false(g.waits);
    }
    aof_group_synced(&g, 10, 0, SYNC_NS); /* one for nobody: a rewrite's */
    assert_false(g.waits);
}

static void test_it_waits_for_as_many_as_were_set_free(void **state)
{
    (void)state;
    struct aof_group g = after_a_sync(100, 50);
    assert_true(g.waits);
    aof_group_turn(&g, 149, OUT + 10);
    assert_true(g.waits);
    aof_group_turn(&g, 150, OUT + 20);
    assert_false(g.waits);
    g = after_a_sync(100, 50);
    aof_group_turn(&g, 151, OUT + 20);
    assert_false(g.waits);
}

/* Two halves: 25 are held while the sync of the other 25 lasts. */
static void test_who_was_held_meanwhile_has_not_come_back(void **state)
{
    (void)state;
    struct aof_group g = after_a_sync(25 + 25, 25);
    assert_true(g.waits);
    aof_group_turn(&g, 74, OUT + 10);
    assert_true(g.waits);
    aof_group_turn(&g, 75, OUT + 20);
    assert_false(g.waits);
    g = after_a_sync(75, 50); /* and they are one */
    aof_group_turn(&g, 124, OUT + 10);
    assert_true(g.waits);
}

static void test_it_waits_a_fifth_of_a_sync_at_most(void **state)
{
    (void)state;
    struct aof_group g = after_a_sync(50, 50);
    assert_int_equal(aof_group_sleep_ns(&g, OUT), FIFTH);
    aof_group_turn(&g, 60, OUT + FIFTH - 1);
    assert_true(g.waits);
    assert_int_equal(aof_group_sleep_ns(&g, OUT + FIFTH - 1), 1);
    assert_int_equal(aof_group_sleep_ns(&g, OUT + FIFTH + 1), 0); /* a turn that took long */
    aof_group_turn(&g, 70, OUT + FIFTH);
    assert_false(g.waits);
}

static void test_the_time_begins_when_the_replies_are_out(void **state)
{
    (void)state;
    struct aof_group g;
    aof_group_synced(&g, 50, 50, SYNC_NS);
    assert_int_equal(aof_group_sleep_ns(&g, 5), FIFTH);
    aof_group_turn(&g, 50, 5); /* they are pushed */
    assert_true(g.waits);
    assert_int_equal(aof_group_sleep_ns(&g, 5), FIFTH);
    aof_group_turn(&g, 60, 5 + 100 * SYNC_NS); /* it took long to send them */
    assert_true(g.waits);
    assert_int_equal(aof_group_sleep_ns(&g, 5 + 100 * SYNC_NS), FIFTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_waits_before_the_first_sync),
        cmocka_unit_test(test_who_is_alone_does_not_wait),
        cmocka_unit_test(test_it_waits_for_as_many_as_were_set_free),
        cmocka_unit_test(test_who_was_held_meanwhile_has_not_come_back),
        cmocka_unit_test(test_it_waits_a_fifth_of_a_sync_at_most),
        cmocka_unit_test(test_the_time_begins_when_the_replies_are_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
