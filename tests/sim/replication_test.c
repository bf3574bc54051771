/* SPDX-License-Identifier: MIT
 *
 * Three to five servers that replicate, over links that are cut and hosts that die: what a replica has is a beginning
 * of its primary's history, what WAIT has told is there after the primary's death, and when the faults end all are in
 * step. fleet.h says how it is known.
 */
#include "tests/sim/fleet.h"

static struct fleet *fleet_new(struct world *w, const char *conf)
{
    struct fleet *f = w->state = calloc(1, sizeof *f);
    struct rng *r = sim_rng(w->sim);
    *f = (struct fleet){.count = 3 + (int)rng_below(r, 3), .rounds = 3, .conf = conf};
    rng_seed(&f->rng, hash_u64(12, w->seed));
    return f;
}

static unsigned promotions_in_all, crashes_in_all;

static void fleet_verify(struct world *w)
{
    struct fleet *f = w->state;
    if (getenv("SIM_TELL"))
        fprintf(stderr,
                "# seed %llu: %d servers, %u quiet, %u faults, %u promotions, %u crashes, %llu writes, %llu looks\n",
                (unsigned long long)w->seed, f->count, f->quiets, f->faults, f->promotions, f->crashes,
                (unsigned long long)f->writes, (unsigned long long)f->looks);
    promotions_in_all += f->promotions;
    crashes_in_all += f->crashes;
    CHECK(w, f->quiets == (unsigned)f->rounds + 1 && f->writes > 0 && f->looks > 0);
}

#define USUAL "repl-timeout " REPL_TIMEOUT "\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 2\n"

static void set_up_mixed(struct world *w)
{
    static const char *const confs[] = {USUAL, USUAL "repl-diskless-load swapdb\n",
                                        USUAL "repl-diskless-sync no\nrepl-backlog-size 16384\n",
                                        USUAL "repl-diskless-load on-empty-db\nrepl-backlog-size 16384\n",
                                        USUAL "appendonly yes\nappendfsync everysec\nrepl-backlog-size 20000\n"};
    fleet_add(w, fleet_new(w, confs[w->seed % 5]));
}

static void test_faults_end_and_all_are_in_step(void **state)
{
    rolls_dice = true; /* a snapshot says how much memory the process has */
    run_seeds(&(struct scenario){"fleet", set_up_mixed, fleet_verify, SEC(36000)}, 12);
    if (!getenv("SIM_SEED") && !getenv("SIM_SEEDS")) assert_true(promotions_in_all > 0 && crashes_in_all > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_end_and_all_are_in_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
