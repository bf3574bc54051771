/* SPDX-License-Identifier: MIT
 *
 * When slices come, how much each does, and what is told of it; the server of it has no loop: a turn is a call.
 */
#include "server/expire_cycle.h"

#include "server/command/command.h"
#include "server/conf/conf.h"
#include "server/exec/run.h"
#include "server/observe/latency.h"
#include "server/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW INT64_C(1790000000000)
#define DBS 3

struct world {
    struct server srv;
    struct worker w;
    struct config cfg;
    struct db dbs[DBS];
};

static struct world world;

static int set_up(void **state)
{
    struct world *o = &world;
    memset(o, 0, sizeof *o);
    command_table_init();
    conf_init(&o->cfg);
    o->srv = (struct server){
        .config = &o->cfg, .dbs = o->dbs, .db_count = DBS, .workers = &o->w, .worker_count = 1, .active_expire = true};
    list_init(&o->srv.sinks);
    latency_init(&o->srv);
    o->w.srv = &o->srv;
    o->w.conf.cfg = &o->cfg;
    o->w.now_ms = NOW;
    o->w.expire.due_ns = UINT64_MAX;
    for (int i = 0; i < DBS; i++) db_init(&o->dbs[i], i, 1, 42);
    return 0;
}

static int tear_down(void **state)
{
    for (int i = 0; i < DBS; i++) db_fini(&world.dbs[i]);
    latency_fini(&world.srv);
    conf_fini(&world.cfg);
    return 0;
}

/* In each database keys from..to-1, which end at that time. */
static void put(unsigned from, unsigned to, int64_t expire_ms)
{
    for (unsigned i = from; i < to; i++) {
        for (int d = 0; d < DBS; d++) {
            char name[32];
            struct call c = run_internal(&world.w, &world.dbs[d]);
            struct key_ref key = key_ref_of(c.db, bytes_of(name, (size_t)snprintf(name, sizeof name, "key:%u", i)));
            db_put_string(&c, &key, BYTES("v"), expire_ms, 0);
        }
    }
}

static size_t keys_left(void)
{
    size_t n = 0;
    for (int i = 0; i < DBS; i++) n += db_size(&world.dbs[i]);
    return n;
}

/* A turn of the loop; returns whether a slice came. */
static bool turn(void)
{
    struct worker *w = &world.w;
    w->turn_ns = demi_clock_ns();
    if (w->turn_ns < w->expire.due_ns) return false;
    expire_cycle_slice(w);
    return true;
}

static void test_a_cycle_that_finds_nothing_dead_ends_after_a_look(void **state)
{
    turn();
    expire_cycle_begin(&world.w);
    assert_true(turn());
    put(0, 1000, NOW + 1000);
    expire_cycle_begin(&world.w);
    assert_true(turn());
    assert_in_range(world.w.expire.seen, DBS * 20, DBS * 40);
    assert_int_equal(world.w.expire.due_ns, UINT64_MAX);
    assert_int_equal(expire_cycle_wakes_ns(&world.w.expire), UINT64_MAX);
    assert_int_equal(world.w.stats.expired_time_cap_reached, 0);
    assert_int_equal(keys_left(), DBS * 1000);
}

static void test_a_backlog_goes_in_slices_and_clients_have_as_long_between(void **state)
{
    struct worker *w = &world.w;
    put(0, 150000, NOW - 1); /* some 20 ms of work even on a fast machine */
    expire_cycle_begin(w);
    unsigned slices = 0;
    size_t most = 0;
    while (w->expire.left_ns) {
        size_t before = keys_left();
        uint64_t start = demi_clock_ns();
        if (!turn()) continue;
        uint64_t now = demi_clock_ns();
        slices++;
        if (before - keys_left() > most) most = before - keys_left();
        assert_true(w->expire.due_ns > start);
        if (w->expire.left_ns) assert_true(expire_cycle_wakes_ns(&w->expire) == w->expire.due_ns);
        if (w->expire.due_ns != UINT64_MAX) assert_true(w->expire.rest_ns - start >= (now - start) / 2);
    }
    assert_true(slices >= 3);
    assert_true(most < 150000);
    assert_true(keys_left() < DBS * 150000);
    assert_true(w->stats.expired_stale_perc > 0.04); /* everything seen was dead: a twentieth of 1 so far */
    assert_true(w->stats.expire_cycle_ns > 0);
}

static void test_a_budget_that_runs_out_is_counted_and_fast_cycles_follow(void **state)
{
    struct worker *w = &world.w;
    put(0, 30000, NOW - 1);
    world.cfg.hz = 500; /* half a millisecond */
    expire_cycle_begin(w);
    assert_true(w->expire.left_ns <= 500000);
    while (w->expire.left_ns) turn();
    assert_int_equal(w->stats.expired_time_cap_reached, 1);
    assert_true(w->expire.due_ns != UINT64_MAX);                     /* a fast one */
    assert_int_equal(expire_cycle_wakes_ns(&w->expire), UINT64_MAX); /* that nobody is woken for */
    for (int i = 0; keys_left() > 0 && i < 1000000000; i++) turn();  /* no cron any more */
    assert_int_equal(keys_left(), 0);
    for (int i = 0; w->expire.due_ns != UINT64_MAX && i < 1000000000; i++) turn(); /* until it knows that all is well */
    assert_true(w->stats.expired_stale_perc * 100 <= 10);
}

static void test_effort_gives_more_time_and_accepts_fewer_dead(void **state)
{
    struct worker *w = &world.w;
    put(0, 3400, NOW + 100000);
    put(3400, 4000, NOW - 1); /* 15 % */
    world.cfg.active_expire_effort = 10;
    expire_cycle_begin(w);
    assert_int_equal(w->expire.left_ns, 43000000);
    while (w->expire.left_ns) turn();
    size_t thorough = w->stats.expired;
    assert_true(thorough > DBS * 100);
    tear_down(state);
    set_up(state);
    put(0, 3400, NOW + 100000);
    put(3400, 4000, NOW - 1);
    expire_cycle_begin(w);
    assert_int_equal(w->expire.left_ns, 25000000);
    while (w->expire.left_ns) turn();
    assert_true(w->stats.expired < thorough / 4);
}

static void test_nothing_is_looked_for_while_it_must_not(void **state)
{
    put(0, 100, NOW - 1);
    world.srv.active_expire = false;
    expire_cycle_begin(&world.w);
    assert_false(turn());
    world.srv.active_expire = true;
    expire_cycle_begin(&world.w);
    world.srv.active_expire = false; /* in between */
    turn();
    assert_int_equal(keys_left(), DBS * 100);
    assert_false(turn());
    assert_false(expire_cycle_now(&world.w));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_cycle_that_finds_nothing_dead_ends_after_a_look, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_backlog_goes_in_slices_and_clients_have_as_long_between, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_budget_that_runs_out_is_counted_and_fast_cycles_follow, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_effort_gives_more_time_and_accepts_fewer_dead, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_looked_for_while_it_must_not, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
