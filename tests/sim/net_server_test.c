/* SPDX-License-Identifier: MIT
 *
 * The whole server on our own stack, over wires that carry its frames badly: the players of game.h, as they play over
 * simulated sockets. Here a reset is a segment that somebody on the switch forges.
 */
#include "tests/sim/game.h"
#include "tests/sim/net.h"

#include "tcp/checksum.h"
#include "tcp/hdr.h"

static struct cast *set_the_stage(struct world *w, add_host_fn add, int players, int rounds, uint32_t large_max)
{
    struct game *g = calloc(1, sizeof *g);
    *g = (struct game){.rounds = rounds, .large_max = large_max};
    w->lossy = true;
    return cast_add_on(add, w, NULL, players, play, g);
}

static void lay_wires(struct cast *c, uint64_t delay_max, uint32_t loss_max)
{
    for (int i = 0; i < c->count; i++) {
        struct rng *r = sim_rng(c->w->sim);
        struct sim_wire wire = {.delay_ns = 1000 + rng_below(r, delay_max),
                                .jitter_ns = rng_below(r, delay_max),
                                .unordered = rng_below(r, 2),
                                .loss_ppm = (uint32_t)rng_below(r, loss_max + 1),
                                .reorder_ns = MS(1)};
        if (rng_below(r, 2)) wire.bits_per_s = 20000000 + rng_below(r, 1000000000);
        if (rng_below(r, 2)) wire.reorder_ppm = wire.twice_ppm = loss_max;
        sim_wire_set(c->w->sim, c->host, c->clients[i], &wire);
    }
}

static void set_up_good(struct world *w)
{
    lay_wires(set_the_stage(w, add_usual_net_host, 1 + (int)rng_below(sim_rng(w->sim), 8), 12, 100000), MS(1), 0);
}

static void test_replies_are_the_model_s(void **state)
{
    run_seeds(&(struct scenario){"server over frames", set_up_good, free_game, SEC(36000)}, 30);
}

static void set_up_lossy(struct world *w)
{
    lay_wires(set_the_stage(w, add_random_net_host, 1 + (int)rng_below(sim_rng(w->sim), 6), 6, 20000), MS(20), 50000);
}

static void test_replies_are_the_model_s_whatever_is_lost(void **state)
{
    run_seeds(&(struct scenario){"server over lossy wires", set_up_lossy, free_game, SEC(36000)}, 30);
}

static void set_up_cuts(struct world *w)
{
    struct cast *c = set_the_stage(w, add_usual_net_host, 1 + (int)rng_below(sim_rng(w->sim), 6), 12, 20000);
    lay_wires(c, MS(5), 0);
    sim_at(w->sim, SIM_START_NS + MS(30), cut_or_heal, c);
}

static void test_a_partition_only_delays(void **state)
{
    run_seeds(&(struct scenario){"server cut off", set_up_cuts, free_game, SEC(36000)}, 30);
}

static void set_up_noise(struct world *w)
{
    struct cast *c = set_the_stage(w, add_usual_net_host, 6, 6, 20000);
    lay_wires(c, MS(1), 1000);
    c->fn = play_or_trouble;
}

static void test_noise_of_some_disturbs_nobody_else(void **state)
{
    run_seeds(&(struct scenario){"server under noise", set_up_noise, free_game, SEC(36000)}, 30);
}

/* --- resets ------------------------------------------------------------------------------------------------------- */

/* Answers a segment now and then with the reset that its receiver might have sent: exact, so RFC 5961 3.2 lets it
 * through. */
static void reset_some(void *arg, struct sim_raw *r, const uint8_t *frame, size_t n)
{
    struct cast *c = arg;
    uint8_t out[14 + 20 + 20];
    const struct tcp_hdr *seen = (const struct tcp_hdr *)(frame + 34);
    bool over = sim_now(c->w->sim) > SIM_START_NS + SEC(60);
    if (over || n < sizeof out || load_be16(frame + 12) != ETH_TYPE_IP4 || frame[23] != 6 || !(seen->flags & TCP_ACK))
        return;
    if (rng_below(sim_rng(c->w->sim), 200)) return;
    memcpy(out, frame + 6, 6);
    memcpy(out + 6, frame, 6);
    memcpy(out + 12, frame + 12, 2);
    struct ip4_hdr ip = {.version_ihl = 0x45, .total_len = be16_of(40), .ttl = 64, .proto = 6};
    memcpy(&ip.src, frame + 30, 4);
    memcpy(&ip.dst, frame + 26, 4);
    ip.csum = csum_ip4(&ip);
    struct tcp_hdr tcp = {.src = seen->dst, .dst = seen->src, .seq = seen->ack, .offset = 0x50, .flags = TCP_RST};
    uint64_t sum = csum_add(csum_add(0, &ip.src, 8), (uint8_t[4]){0, 6, 0, 20}, 4);
    tcp.csum = (uint16_t)~csum_fold(csum_add(sum, &tcp, sizeof tcp));
    memcpy(out + 14, &ip, sizeof ip);
    memcpy(out + 34, &tcp, sizeof tcp);
    sim_raw_send(r, out, sizeof out);
}

static unsigned breaks; /* of all seeds: a scenario in which nothing breaks proves nothing */

static void free_and_count(struct world *w)
{
    breaks += ((struct game *)((struct cast *)w->state)->data)->breaks;
    free_game(w);
}

static void set_up_resets(struct world *w)
{
    struct cast *c = set_the_stage(w, add_usual_net_host, 1 + (int)rng_below(sim_rng(w->sim), 6), 15, 2000);
    ((struct game *)c->data)->may_break = true;
    lay_wires(c, MS(2), 1000);
    sim_raw_add(w->sim, NULL, reset_some, c);
}

static void test_a_forged_reset_loses_only_what_was_not_answered(void **state)
{
    breaks = 0;
    run_seeds(&(struct scenario){"server under resets", set_up_resets, free_and_count, SEC(36000)}, 30);
    assert_true(breaks > 10 || SEEDS_SHARE > 1 || getenv("SIM_SEED") || getenv("SIM_ONLY"));
}

static void set_up_pose(struct world *w)
{
    w->lossy = true;
    lay_wires(cast_add_on(add_usual_net_host, w, POSE_CONF, 6, pose_as_local, NULL), MS(1), 0);
}

static void test_nobody_of_another_host_is_local(void **state)
{
    run_seeds(&(struct scenario){"poses over frames", set_up_pose, NULL, SEC(36000)}, 20);
}

static void set_up_late(struct world *w)
{
    w->lossy = true;
    lay_wires(cast_add_on(add_usual_net_host, w, NULL, 1 + (int)rng_below(sim_rng(w->sim), 3), read_late, NULL), MS(1),
              1000);
}

static void test_who_reads_late_gets_everything(void **state)
{
    run_seeds(&(struct scenario){"late over frames", set_up_late, NULL, SEC(36000)}, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_are_the_model_s),
        cmocka_unit_test(test_replies_are_the_model_s_whatever_is_lost),
        cmocka_unit_test(test_a_partition_only_delays),
        cmocka_unit_test(test_noise_of_some_disturbs_nobody_else),
        cmocka_unit_test(test_nobody_of_another_host_is_local),
        cmocka_unit_test(test_who_reads_late_gets_everything),
        cmocka_unit_test(test_a_forged_reset_loses_only_what_was_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
