/* SPDX-License-Identifier: MIT */
#include "server/command/command.h"
#include "server/conf/conf.h"
#include "server/db/db.h"
#include "server/defrag.h"
#include "server/exec/run.h"
#include "server/server.h"
#include "server/types/zset.h"
#include "server/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Objects that a slice without any time may look at: half a millisecond, if each is a miss of 100 ns. */
#define MOST_A_SLICE 5000

struct world {
    struct server srv;
    struct worker w;
    struct config cfg;
    struct db db;
};

static struct world world;

static int set_up(void **state)
{
    (void)state;
    struct world *o = &world;
    memset(o, 0, sizeof *o);
    command_table_init();
    conf_init(&o->cfg);
    o->srv = (struct server){.config = &o->cfg, .dbs = &o->db, .db_count = 1, .workers = &o->w, .worker_count = 1};
    o->w.srv = &o->srv;
    o->w.conf.cfg = &o->cfg;
    o->w.defrag.due_ns = UINT64_MAX;
    list_init(&o->srv.sinks);
    db_init(&o->db, 0, 1, 42);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    defrag_stop(&world.w);
    db_fini(&world.db);
    conf_fini(&world.cfg);
    return 0;
}

static void put(unsigned i, unsigned members)
{
    static const struct zset_rules always_a_tree = {0, 0, 42};
    char name[32];
    struct call c = run_internal(&world.w, &world.db);
    struct key_ref key = key_ref_of(c.db, bytes_of(name, (size_t)snprintf(name, sizeof name, "key:%u", i)));
    struct zset z = zset_new(members, 16, &always_a_tree);
    for (unsigned k = 0; k < members; k++) {
        char member[32];
        double had;
        zset_add(&z, bytes_of(member, (size_t)snprintf(member, sizeof member, "member:%u", k)), k, &had,
                 &always_a_tree);
    }
    db_put_value(&c, &key, zset_value(&z), -1, 0);
}

static uint64_t looked_at(void) { return world.w.stats.defrag_hits + world.w.stats.defrag_misses; }

/* Walks all there is, in slices of no time; returns how many objects were looked at. */
static uint64_t walk_all(uint64_t *most)
{
    struct defrag *d = &world.w.defrag;
    uint64_t began = looked_at();
    *most = 0;
    d->phase = DEFRAG_WALK;
    d->percent = 1;
    while (d->phase == DEFRAG_WALK) {
        uint64_t before = looked_at();
        d->left_ns = 1;
        defrag_slice(&world.w);
        if (looked_at() - before > *most) *most = looked_at() - before;
    }
    while (d->phase != DEFRAG_IDLE) {
        d->left_ns = 1;
        defrag_slice(&world.w);
    }
    return looked_at() - began;
}

static void test_a_slice_is_bounded_whatever_lies_in_a_bucket(void **state)
{
    (void)state;
    static const unsigned members[] = {10, 64, 900, 1000, 1001, 5000};
    for (unsigned k = 0; k < sizeof members / sizeof *members; k++) {
        uint64_t most, keys = 300000 / members[k];
        for (unsigned i = 0; i < keys; i++) put(i, members[k]);
        assert_true(walk_all(&most) >= keys * members[k]);
        assert_in_range(most, 1, MOST_A_SLICE);
        tear_down(state);
        set_up(state);
    }
}

static void test_however_much_may_be_scanned_at_once(void **state)
{
    (void)state;
    uint64_t most;
    world.cfg.active_defrag_max_scan_fields = INT64_MAX;
    for (unsigned i = 0; i < 10; i++) put(i, 50000);
    assert_true(walk_all(&most) >= 500000);
    assert_in_range(most, 1, MOST_A_SLICE);
}

static void test_a_cycle_that_is_no_longer_wanted_ends_in_slices(void **state)
{
    (void)state;
    struct defrag *d = &world.w.defrag;
    for (unsigned i = 0; i < 100; i++) put(i, 2000);
    d->phase = DEFRAG_WALK;
    d->percent = 1;
    for (int i = 0; i < 20; i++) {
        d->left_ns = 1;
        defrag_slice(&world.w);
    }
    world.cfg.activedefrag = false;
    uint64_t before = looked_at();
    defrag_cron(&world.w);
    assert_int_equal(d->later_count, 0);
    for (int i = 0; d->phase != DEFRAG_IDLE; i++) {
        assert_true(i < 1000);
        defrag_slice(&world.w);
        defrag_cron(&world.w);
    }
    assert_int_equal(looked_at(), before);
    assert_true(d->due_ns == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_slice_is_bounded_whatever_lies_in_a_bucket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_however_much_may_be_scanned_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_cycle_that_is_no_longer_wanted_ends_in_slices, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
