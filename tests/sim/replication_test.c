/* SPDX-License-Identifier: MIT
 *
 * Three to five servers that replicate, over links that are cut and hosts that die: what a replica has is a beginning
 * of its primary's history, what WAIT has told is there after the primary's death, and when the faults end all are in
 * step. fleet.h says how it is known.
 */
#include "tests/sim/fleet_rounds.h"

#define USUAL                                                                                                          \
    "repl-timeout " REPL_TIMEOUT "\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\nhz 10\ndatabases 4\n"

static void cast_all(struct fleet *f)
{
    actor_add(f, writer_main);
    actor_add(f, filler_main);
    actor_add(f, observer_main);
    sim_host_add(f->w->sim, "10.0.2.1", fleet_director_main, f);
}

static void set_up_mixed(struct world *w)
{
    static const char *const confs[] = {USUAL,
                                        USUAL "repl-diskless-load swapdb\n",
                                        USUAL "repl-diskless-sync no\n",
                                        USUAL "repl-diskless-sync no\nrepl-backlog-size 16384\n",
                                        USUAL "repl-diskless-load on-empty-db\nrepl-backlog-size 16384\n",
                                        USUAL "appendonly yes\nappendfsync everysec\nrepl-backlog-size 20000\n",
                                        USUAL "appendonly yes\nappendfsync always\n"};
    struct fleet *f = fleet_new(w, confs[w->seed % 7], 3 + (int)rng_below(sim_rng(w->sim), 3), 3);
    fleet_add(w, f);
    cast_all(f);
}

static void test_faults_end_and_all_are_in_step(void **state)
{
    rolls_dice = true; /* a snapshot says how much memory the process has */
    run_seeds(&(struct scenario){"fleet", set_up_mixed, fleet_verify, SEC(36000)}, 24);
    if (!getenv("SIM_SEED") && !getenv("SIM_SEEDS"))
        assert_true(fleet_did.promotions > 0 && fleet_did.crashes > 0 && fleet_did.failovers > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_end_and_all_are_in_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
