/* SPDX-License-Identifier: MIT
 *
 * The whole server under clients that know what it must reply, over networks that split, delay and break. Each client
 * has keys of its own and a model of them (model.h): replies are compared byte by byte, and after a reset the keys must
 * be as they were after some command that was on its way, none before the last whose reply came.
 */
#include "tests/sim/game.h"

/* --- scenarios ---------------------------------------------------------------------------------------------------- */

static struct cast *set_the_stage(struct world *w, int players, int rounds)
{
    struct game *g = calloc(1, sizeof *g);
    *g = (struct game){.rounds = rounds, .large_max = 100000};
    struct cast *c = cast_add(w, NULL, players, play, g);
    for (int i = 0; i < players; i++) {
        struct sim_link l = sim_link_random(w->sim);
        if (l.segment_max < 100 || l.window < 16384) g->large_max = 2000;
        sim_link_set(w->sim, c->host, c->clients[i], &l);
    }
    return c;
}

static void set_up_calm(struct world *w) { set_the_stage(w, 1 + (int)rng_below(sim_rng(w->sim), 8), 12); }

static void test_replies_are_the_model_s(void **state)
{
    run_seeds(&(struct scenario){"pipelines", set_up_calm, free_game, SEC(36000)}, 100);
}

static void draw_links(struct cast *c, uint32_t ppm_max)
{
    for (int i = 0; i < c->count; i++) {
        struct sim_link l = sim_link_random(c->w->sim);
        if (ppm_max)
            l.reset_ppm = 1 + (uint32_t)rng_below(sim_rng(c->w->sim), l.segment_max < 100 ? ppm_max / 50 : ppm_max);
        sim_link_set(c->w->sim, c->host, c->clients[i], &l);
    }
}

static void begin_to_break(void *arg) { draw_links(arg, 30000); }

/* Or nobody whose segments are bytes would ever come to an end. */
static void break_no_more(void *arg) { draw_links(arg, 0); }

static void set_up_breaking(struct world *w)
{
    struct cast *c = set_the_stage(w, 1 + (int)rng_below(sim_rng(w->sim), 6), 15);
    struct game *g = c->data;
    g->may_break = true;
    g->large_max = 2000;
    sim_at(w->sim, SIM_START_NS + MS(30), begin_to_break, c);
    sim_at(w->sim, SIM_START_NS + SEC(60), break_no_more, c);
}

static void test_a_reset_loses_only_what_was_not_answered(void **state)
{
    run_seeds(&(struct scenario){"resets", set_up_breaking, free_game, SEC(36000)}, 100);
}

static void set_up_cuts(struct world *w)
{
    struct cast *c = set_the_stage(w, 1 + (int)rng_below(sim_rng(w->sim), 6), 15);
    sim_at(w->sim, SIM_START_NS + MS(30), cut_or_heal, c);
}

static void test_a_partition_only_delays(void **state)
{
    run_seeds(&(struct scenario){"partitions", set_up_cuts, free_game, SEC(36000)}, 60);
}

static void set_up_noise(struct world *w)
{
    struct cast *c = set_the_stage(w, 6, 6);
    c->fn = play_or_trouble;
}

static void test_noise_of_some_disturbs_nobody_else(void **state)
{
    run_seeds(&(struct scenario){"noise", set_up_noise, free_game, SEC(36000)}, 100);
}

static void set_up_pose(struct world *w)
{
    struct cast *c = cast_add(w, POSE_CONF, 6, pose_as_local, NULL);
    for (int i = 0; i < c->count; i++) {
        struct sim_link l = sim_link_random(w->sim);
        sim_link_set(w->sim, c->host, c->clients[i], &l);
    }
}

static void test_nobody_of_another_host_is_local(void **state)
{
    run_seeds(&(struct scenario){"poses", set_up_pose, NULL, SEC(36000)}, 50);
}

static void set_up_late(struct world *w)
{
    struct cast *c = cast_add(w, NULL, 1 + (int)rng_below(sim_rng(w->sim), 3), read_late, NULL);
    for (int i = 0; i < c->count; i++) {
        uint64_t delay = rng_below(sim_rng(w->sim), MS(1));
        struct sim_link l = {.delay_ns = 1000 + delay, .jitter_ns = delay, .segment_max = 16384, .window = 65536};
        l.window <<= rng_below(sim_rng(w->sim), 6);
        sim_link_set(w->sim, c->host, c->clients[i], &l);
    }
}

static void test_who_reads_late_gets_everything(void **state)
{
    run_seeds(&(struct scenario){"late", set_up_late, NULL, SEC(36000)}, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_are_the_model_s),
        cmocka_unit_test(test_a_reset_loses_only_what_was_not_answered),
        cmocka_unit_test(test_a_partition_only_delays),
        cmocka_unit_test(test_noise_of_some_disturbs_nobody_else),
        cmocka_unit_test(test_nobody_of_another_host_is_local),
        cmocka_unit_test(test_who_reads_late_gets_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
