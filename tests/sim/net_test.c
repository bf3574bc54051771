/* SPDX-License-Identifier: MIT
 *
 * Our own stack over simulated wires: whatever happens to frames, streams arrive byte for byte or end with an error, every operation
 * ends, and every buffer comes back (run_once() looks). The invariants of stack and connections are looked at all along (net.c of
 * libos/sim calls stack_check()).
 */
#include "tests/sim/exchange.h"
#include "tests/sim/net.h"

static void add_pair(struct world *w, const struct sim_wire *there, const struct sim_wire *back)
{
    struct stack_config one = random_stack(sim_rng(w->sim)), other = random_stack(sim_rng(w->sim));
    struct sim_host *a = sim_net_host_add(w->sim, "10.0.0.1", &one, listening_host, w);
    struct sim_host *b = sim_net_host_add(w->sim, "10.0.0.2", &other, connecting_host, w);
    sim_wire_set_oneway(w->sim, a, b, there);
    sim_wire_set_oneway(w->sim, b, a, back);
}

static void exchange_over(struct world *w, struct sim_wire there, struct sim_wire back)
{
    struct exchange *x = w->state = calloc(1, sizeof *x);
    x->goal_max = 100000;
    add_pair(w, &there, &back);
}

static void set_up_clean(struct world *w)
{
    struct sim_wire good = {.delay_ns = 10000, .jitter_ns = 1000};
    exchange_over(w, good, good);
}

static void test_streams_over_a_good_cable(void **state)
{
    run_seeds(&(struct scenario){"good cable", set_up_clean, verify_exchange, SEC(3600)}, 30);
}

static void set_up_bad(struct world *w) { exchange_over(w, sim_wire_random(w->sim), sim_wire_random(w->sim)); }

static void test_every_byte_arrives_over_bad_wires(void **state)
{
    run_seeds(&(struct scenario){"bad wires", set_up_bad, verify_exchange, SEC(36000)}, 150);
}

/* The wire is cut for good in the middle: what arrived is a prefix, and both ends hear of it. */
static void cut_all(void *arg)
{
    struct world *w = arg;
    struct sim_wire dead = {.loss_ppm = 1000000};
    sim_wire_set(w->sim, w->hosts[0], w->hosts[1], &dead);
}

static void set_up_cut(struct world *w)
{
    struct exchange *x = w->state = calloc(1, sizeof *x);
    x->goal_max = 10000000;
    x->may_break = x->probes = true;
    struct sim_wire wire = {.delay_ns = 100000, .bits_per_s = 10000000};
    w->hosts[0] = sim_net_host_add(w->sim, "10.0.0.1", NULL, listening_host, w);
    w->hosts[1] = sim_net_host_add(w->sim, "10.0.0.2", NULL, connecting_host, w);
    sim_wire_set(w->sim, w->hosts[0], w->hosts[1], &wire);
    sim_at(w->sim, SIM_START_NS + MS(50) + rng_below(sim_rng(w->sim), SEC(2)), cut_all, w);
}

static void test_a_cut_cable_ends_both_ends(void **state)
{
    run_seeds(&(struct scenario){"cut cable", set_up_cut, verify_breaking, SEC(36000)}, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_over_a_good_cable),
        cmocka_unit_test(test_every_byte_arrives_over_bad_wires),
        cmocka_unit_test(test_a_cut_cable_ends_both_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
