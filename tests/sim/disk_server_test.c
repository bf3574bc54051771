/* SPDX-License-Identifier: MIT
 *
 * The whole server on a simulated disk: what was acknowledged is there after any crash as far as was promised, what is
 * there is a state that existed, and what cannot be that is refused. lives.h says how it is known.
 */
#include "tests/sim/lives.h"

static struct lives *lives_new(struct world *w)
{
    struct lives *l = w->state = calloc(1, sizeof *l);
    struct rng *r = sim_rng(w->sim);
    *l = (struct lives){.life_count = 2 + (int)rng_below(r, 3),
                        .player_count = 1 + (int)rng_below(r, PLAYERS_MAX),
                        .batch_max = 1 + (int)rng_below(r, BATCH_MAX),
                        .play_ns = rng_below(r, 2) ? SEC(6) : MS(500),
                        .large_max = rng_below(r, 3) ? 200 : 20000,
                        .may_shut_down = true};
    return l;
}

static void verify(struct world *w)
{
    struct lives *l = w->state;
    if (getenv("SIM_TELL"))
        fprintf(stderr,
                "# seed %llu: %u boots, %u loads, %u crashes, %u shutdowns, %u repairs, %u refusals, %u exits, "
                "%llu deeds, %llu lost, %llu refused\n",
                (unsigned long long)w->seed, l->boots, l->loads, l->crashes, l->shutdowns, l->repairs, l->refusals,
                l->exits, (unsigned long long)l->deeds, (unsigned long long)l->lost, (unsigned long long)l->refused);
    CHECK(w, l->loads > 0);
    lives_free(l);
}

/* The disk of a scenario: of chance, and a crash keeps what was done up to a moment, or any of it. */
static void draw_disk(struct world *w, struct lives *l, bool any)
{
    l->good = sim_disk_random(w->sim);
    l->good.jitter_ns++; /* it was drawn */
    l->good.any_sectors = any;
    l->good.any_names = rng_below(sim_rng(w->sim), 2);
    l->may_need_repair = any;
}

static struct lives *log_lives(struct world *w, const char *conf, unsigned operations, bool any)
{
    struct lives *l = lives_new(w);
    l->conf = conf;
    l->operations = operations;
    draw_disk(w, l, any);
    lives_add(w, l);
    return l;
}

#define ALWAYS   "appendonly yes\nappendfsync always\n"
#define EVERYSEC "appendonly yes\nappendfsync everysec\n"

static void set_up_always(struct world *w) { log_lives(w, ALWAYS, OPERATION_REWRITE, false); }

static void test_always_loses_nothing_that_was_acknowledged(void **state)
{
    run_seeds(&(struct scenario){"always", set_up_always, verify, SEC(36000)}, 30);
}

static void set_up_everysec(struct world *w) { log_lives(w, EVERYSEC, OPERATION_REWRITE, false); }

static void test_everysec_loses_two_seconds_at_most(void **state)
{
    run_seeds(&(struct scenario){"everysec", set_up_everysec, verify, SEC(36000)}, 30);
}

static void set_up_no(struct world *w)
{
    log_lives(w, "appendonly yes\nappendfsync no\naof-use-rdb-preamble no\n", OPERATION_REWRITE, false);
}

static void test_without_syncs_it_is_a_prefix_of_history(void **state)
{
    run_seeds(&(struct scenario){"no syncs", set_up_no, verify, SEC(36000)}, 20);
}

/* Any sectors of what was not synced: there may be zeroes in the middle of the tail, which are refused, and cut by who
 * runs the server. */
static void set_up_any(struct world *w)
{
    static const char *const confs[] = {ALWAYS, EVERYSEC, "appendonly yes\nappendfsync no\n"};
    log_lives(w, confs[w->seed % 3], OPERATION_REWRITE | OPERATION_SWITCH, true);
}

static void test_any_sectors_of_the_tail_may_be_there(void **state)
{
    run_seeds(&(struct scenario){"any sectors", set_up_any, verify, SEC(36000)}, 30);
}

static void set_up_switches(struct world *w)
{
    log_lives(w, w->seed % 2 ? ALWAYS : EVERYSEC,
              OPERATION_REWRITE | OPERATION_SWITCH | OPERATION_SAVE | OPERATION_BGSAVE, false);
}

static void test_a_log_that_is_switched_off_and_on_is_a_prefix_of_history(void **state)
{
    run_seeds(&(struct scenario){"switches", set_up_switches, verify, SEC(36000)}, 30);
}

static void set_up_rdb(struct world *w)
{
    static const char *const confs[] = {"save 1 1\n", "save 1 1\nrdbcompression no\n", "save 3600 1\n"};
    log_lives(w, confs[w->seed % 3], OPERATION_SAVE | OPERATION_BGSAVE, w->seed % 2)->may_need_repair = false;
}

static void test_a_saved_state_is_one_that_existed(void **state)
{
    run_seeds(&(struct scenario){"saves", set_up_rdb, verify, SEC(36000)}, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_always_loses_nothing_that_was_acknowledged),
        cmocka_unit_test(test_everysec_loses_two_seconds_at_most),
        cmocka_unit_test(test_without_syncs_it_is_a_prefix_of_history),
        cmocka_unit_test(test_any_sectors_of_the_tail_may_be_there),
        cmocka_unit_test(test_a_log_that_is_switched_off_and_on_is_a_prefix_of_history),
        cmocka_unit_test(test_a_saved_state_is_one_that_existed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
