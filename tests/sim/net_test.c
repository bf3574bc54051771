/* SPDX-License-Identifier: MIT
 *
 * Our own stack over simulated wires: whatever happens to frames, streams arrive byte for byte or end with an error,
 * every operation ends, and every buffer comes back (run_once() looks). The invariants of stack and connections are
 * looked at all along (net.c of libos/sim calls stack_check()).
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

/* --- the other family --------------------------------------------------------------------------------------------- */

static void set_up_six(struct world *w)
{
    struct exchange *x = w->state = calloc(1, sizeof *x);
    x->goal_max = 100000;
    x->six = true;
    struct stack_config sc[2];
    for (int i = 0; i < 2; i++) {
        sc[i] = random_stack(sim_rng(w->sim));
        if (sc[i].mtu < 1280) sc[i].mtu = 1280;
        sc[i].ipv6 = true;
    }
    struct sim_wire there = sim_wire_random(w->sim), back = sim_wire_random(w->sim);
    struct sim_host *a = sim_net_host_add(w->sim, "10.0.0.1", &sc[0], listening_host, w);
    struct sim_host *b = sim_net_host_add(w->sim, "10.0.0.2", &sc[1], connecting_host, w);
    sim_wire_set_oneway(w->sim, a, b, &there);
    sim_wire_set_oneway(w->sim, b, a, &back);
}

static void test_every_byte_arrives_over_ipv6(void **state)
{
    run_seeds(&(struct scenario){"bad wires, IPv6", set_up_six, verify_exchange, SEC(36000)}, 100);
}

/* --- partitions --------------------------------------------------------------------------------------------------- */

/* For a minute the wire is there and is not, for up to ten seconds each. */
static void cut_or_heal(void *arg)
{
    struct world *w = arg;
    struct rng *r = sim_rng(w->sim);
    bool over = sim_now(w->sim) > SIM_START_NS + SEC(60);
    if (over || rng_below(r, 2)) sim_heal(w->sim, w->hosts[0], w->hosts[1]);
    else sim_cut(w->sim, w->hosts[0], w->hosts[1]);
    if (!over) sim_at(w->sim, sim_now(w->sim) + rng_below(r, SEC(10)), cut_or_heal, w);
}

static void set_up_partitions(struct world *w)
{
    struct exchange *x = w->state = calloc(1, sizeof *x);
    struct sim_wire wire = {.delay_ns = MS(1), .jitter_ns = MS(1), .bits_per_s = 2000000};
    x->goal_max = 1000000;
    w->hosts[0] = add_random_net_host(w->sim, "10.0.0.1", listening_host, w);
    w->hosts[1] = add_random_net_host(w->sim, "10.0.0.2", connecting_host, w);
    sim_wire_set(w->sim, w->hosts[0], w->hosts[1], &wire);
    sim_at(w->sim, SIM_START_NS + MS(200), cut_or_heal, w);
}

static void test_a_stream_goes_on_when_the_wire_is_healed(void **state)
{
    run_seeds(&(struct scenario){"partitions", set_up_partitions, verify_exchange, SEC(36000)}, 40);
}

/* --- a path narrower than the wires at its ends ------------------------------------------------------------------- */

static bool tells;

static void set_up_narrow(struct world *w)
{
    struct exchange *x = w->state = calloc(1, sizeof *x);
    struct sim_wire wire = {.delay_ns = MS(1), .jitter_ns = 50000, .tells_mtu = tells};
    x->goal_max = 300000;
    x->six = rng_below(sim_rng(w->sim), 2);
    wire.mtu = (uint16_t)((x->six ? 1280 : 600) + rng_below(sim_rng(w->sim), rng_below(sim_rng(w->sim), 2) ? 200 : 8));
    w->hosts[0] = add_usual_net_host(w->sim, "10.0.0.1", listening_host, w);
    w->hosts[1] = add_usual_net_host(w->sim, "10.0.0.2", connecting_host, w);
    sim_wire_set(w->sim, w->hosts[0], w->hosts[1], &wire);
}

/* Told, it costs a round trip for each of both ends; in a black hole a few timeouts. */
static void verify_narrow(struct world *w)
{
    const struct exchange *x = w->state;
    verify_exchange(w);
    check(w, x->over_ns[0] < SEC(tells ? 5 : 60), "over after %.1f s", (double)x->over_ns[0] / 1e9);
    check(w, x->over_ns[1] < SEC(tells ? 5 : 60), "over after %.1f s", (double)x->over_ns[1] / 1e9);
}

static void test_a_narrow_path_is_learnt(void **state)
{
    tells = true;
    run_seeds(&(struct scenario){"narrow path", set_up_narrow, verify_narrow, SEC(36000)}, 20);
    tells = false;
    run_seeds(&(struct scenario){"black hole", set_up_narrow, verify_narrow, SEC(36000)}, 60);
}

/* --- a peer that has gone ----------------------------------------------------------------------------------------- */

struct departure {
    bool returns;
    int error;
    uint64_t heard_ns;
};

static int is_left(void *arg)
{
    struct world *w = arg;
    struct departure *x = w->state;
    char in[POP_MAX];
    int l = listen_at("10.0.0.1", EXCHANGE_PORT, 4), qd = accept_on(l), n;
    CHECK_EQUAL(w, keep_alive(qd, 10), 0);
    while ((n = pop_bytes(qd, in, sizeof in)) > 0) push_bytes(qd, in, (size_t)n);
    x->error = -n;
    x->heard_ns = sim_now(w->sim) - SIM_START_NS;
    demi_close(qd);
    demi_close(l);
    return 0;
}

static int leaves(void *arg)
{
    struct linger none = {.l_onoff = 1};
    char in[POP_MAX];
    int qd;
    while ((qd = connect_to("10.0.0.1", EXCHANGE_PORT)) < 0) sleep_ns(MS(1));
    push_bytes(qd, "hello", 5);
    pop_bytes(qd, in, sizeof in);
    sleep_ns(SEC(10)); /* the wire is cut meanwhile: nobody hears the reset */
    demi_setsockopt(qd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    demi_close(qd);
    return 0;
}

static int knows_of_nothing(void *arg)
{
    sleep_ns(SEC(1200));
    return 0;
}

static void cut_it(void *arg)
{
    struct world *w = arg;
    sim_cut(w->sim, w->hosts[0], w->hosts[1]);
}

static void return_it(void *arg)
{
    struct world *w = arg;
    add_usual_net_host(w->sim, "10.0.0.2", knows_of_nothing, w);
}

static void set_up_departure(struct world *w)
{
    struct departure *x = w->state = calloc(1, sizeof *x);
    x->returns = w->seed % 2;
    w->hosts[0] = add_usual_net_host(w->sim, "10.0.0.1", is_left, w);
    w->hosts[1] = add_usual_net_host(w->sim, "10.0.0.2", leaves, w);
    sim_at(w->sim, SIM_START_NS + SEC(5), cut_it, w);
    if (x->returns) sim_at(w->sim, SIM_START_NS + SEC(40), return_it, w);
}

static void verify_departure(struct world *w)
{
    const struct departure *x = w->state;
    CHECK_EQUAL(w, x->error, x->returns ? ECONNRESET : ETIMEDOUT);
    CHECK(w, x->heard_ns > SEC(20) && x->heard_ns < SEC(x->returns ? 200 : 1000));
}

static void test_who_is_left_alone_hears_of_it(void **state)
{
    run_seeds(&(struct scenario){"departure", set_up_departure, verify_departure, SEC(36000)}, 10);
}

/* --- many, and short ---------------------------------------------------------------------------------------------- */

#define SHORT_PORT    9
#define SHORT_TURNS   1500
#define SHORT_CLIENTS 3

struct short_ones {
    unsigned served, done, refused;
    size_t used_before, used_peak;
};

/* One after the other, and between them nobody is accepted for a while: the backlog is full. */
static int serves_short_ones(void *arg)
{
    struct world *w = arg;
    struct short_ones *x = w->state;
    char in[POP_MAX];
    int l = listen_at("10.0.0.1", SHORT_PORT, 2), n;
    x->used_before = demi_mem_used();
    while (x->done < SHORT_CLIENTS) {
        struct timespec moment = {1, 0};
        demi_qtoken_t qt;
        demi_qresult_t qr;
        if (demi_accept(&qt, l)) break;
        if (demi_wait(&qr, qt, &moment)) {
            demi_cancel(qt);
            qr = wait_for(qt);
        }
        if (qr.qr_opcode != DEMI_OPC_ACCEPT) continue;
        int qd = qr.qr_value.ares.qd;
        if (rng_below(sim_rng(w->sim), 500) == 0) sleep_ns(SEC(1));
        if ((n = pop_bytes(qd, in, sizeof in)) > 0) push_bytes(qd, in, (size_t)n);
        demi_close(qd);
        x->served++;
        if (demi_mem_used() > x->used_peak) x->used_peak = demi_mem_used();
    }
    demi_close(l);
    return 0;
}

static int asks_shortly(void *arg)
{
    struct world *w = arg;
    struct short_ones *x = w->state;
    char in[POP_MAX];
    for (unsigned i = 0; i < SHORT_TURNS && !w->failure[0]; i++) {
        uint64_t word = hash_u64(i, w->seed);
        int qd = connect_to("10.0.0.1", SHORT_PORT);
        if (qd < 0) {
            x->refused++;
            CHECK(w, qd == -ECONNREFUSED || qd == -ETIMEDOUT);
            sleep_ns(MS(1));
            i--;
            continue;
        }
        push_bytes(qd, &word, sizeof word);
        int n = pop_bytes(qd, in, sizeof in);
        check(w, n == sizeof word && !memcmp(in, &word, sizeof word), "turn %u: %d", i, n);
        demi_close(qd);
    }
    x->done++;
    return 0;
}

static void set_up_short_ones(struct world *w)
{
    w->state = calloc(1, sizeof(struct short_ones));
    w->hosts[0] = add_usual_net_host(w->sim, "10.0.0.1", serves_short_ones, w);
    for (int i = 0; i < SHORT_CLIENTS; i++) {
        char addr[32];
        snprintf(addr, sizeof addr, "10.0.0.%d", i + 2);
        add_usual_net_host(w->sim, addr, asks_shortly, w);
    }
}

/* Those in TIME-WAIT are small: the server closes first. */
static void verify_short_ones(struct world *w)
{
    const struct short_ones *x = w->state;
    CHECK(w, x->served >= SHORT_TURNS * SHORT_CLIENTS);
    check(w, x->used_peak < x->used_before + SHORT_TURNS * SHORT_CLIENTS * 200, "%zu bytes",
          x->used_peak - x->used_before);
}

static void test_thousands_of_short_connections_leave_little(void **state)
{
    run_seeds(&(struct scenario){"short connections", set_up_short_ones, verify_short_ones, SEC(36000)}, 4);
}

/* --- datagrams ---------------------------------------------------------------------------------------------------- */

#define LETTERS 150

struct letters {
    bool six, clean;
    unsigned came_back, wrong;
};

static int answers_letters(void *arg)
{
    struct world *w = arg;
    const struct letters *x = w->state;
    struct place at = place_of(x->six ? "fd00::a00:1" : "10.0.0.1", EXCHANGE_PORT);
    struct timespec minute = {60, 0};
    demi_qtoken_t qt, sent;
    int qd;
    if (!CHECK(w, !demi_socket(&qd, at.sa.sa_family, SOCK_DGRAM, 0) && !demi_bind(qd, &at.sa, at.size))) return -1;
    for (demi_qresult_t qr; !demi_pop(&qt, qd) && !demi_wait(&qr, qt, &minute);) {
        if (qr.qr_opcode != DEMI_OPC_POP) continue;
        /* qr has room for an IPv4 address only */
        struct place from = place_of(x->six ? "fd00::a00:2" : "10.0.0.2", EXCHANGE_PORT);
        if (!demi_pushto(&sent, qd, &qr.qr_value.sga, &from.sa, from.size)) wait_for(sent);
        demi_sgafree(&qr.qr_value.sga);
    }
    demi_close(qd);
    return 0;
}

static int writes_letters(void *arg)
{
    struct world *w = arg;
    struct letters *x = w->state;
    struct place at = place_of(x->six ? "fd00::a00:2" : "10.0.0.2", EXCHANGE_PORT);
    struct place to = place_of(x->six ? "fd00::a00:1" : "10.0.0.1", EXCHANGE_PORT);
    struct timespec moment = {2, 0};
    demi_qtoken_t qt;
    int qd;
    if (!CHECK(w, !demi_socket(&qd, at.sa.sa_family, SOCK_DGRAM, 0) && !demi_bind(qd, &at.sa, at.size))) return -1;
    sleep_ns(SEC(1));
    for (uint32_t i = 0; i < LETTERS; i++) {
        uint32_t n = 8 + (uint32_t)rng_below(sim_rng(w->sim), rng_below(sim_rng(w->sim), 2) ? 1000 : 9000);
        demi_sgarray_t sga = demi_sgaalloc(n);
        uint8_t *p = sga.sga_segs[0].sgaseg_buf;
        fill(i, 0, p, n);
        memcpy(p, &i, 4);
        memcpy(p + 4, &n, 4);
        CHECK_EQUAL(w, demi_pushto(&qt, qd, &sga, &to.sa, to.size), 0);
        demi_sgafree(&sga);
        wait_for(qt);
        demi_qresult_t qr;
        if (demi_pop(&qt, qd)) break;
        if (demi_wait(&qr, qt, &moment)) {
            demi_cancel(qt);
            qr = wait_for(qt);
        }
        if (qr.qr_opcode != DEMI_OPC_POP) continue;
        const uint8_t *in = qr.qr_value.sga.sga_segs[0].sgaseg_buf;
        uint32_t got = qr.qr_value.sga.sga_segs[0].sgaseg_len, number, size;
        memcpy(&number, in, 4);
        memcpy(&size, in + 4, 4);
        bool right = got >= 8 && number < LETTERS && size == got;
        for (uint32_t k = 8; right && k < got; k++) right = in[k] == byte_at(number, k);
        x->wrong += !right;
        x->came_back++;
        demi_sgafree(&qr.qr_value.sga);
    }
    demi_close(qd);
    return 0;
}

static void set_up_letters(struct world *w)
{
    struct letters *x = w->state = calloc(1, sizeof *x);
    struct sim_wire wire = {.delay_ns = MS(1)};
    x->six = w->seed % 2;
    x->clean = w->seed % 4 < 2;
    w->hosts[0] = add_usual_net_host(w->sim, "10.0.0.1", answers_letters, w);
    w->hosts[1] = add_usual_net_host(w->sim, "10.0.0.2", writes_letters, w);
    if (!x->clean)
        wire = (struct sim_wire){.delay_ns = MS(1),
                                 .jitter_ns = MS(3),
                                 .unordered = true,
                                 .loss_ppm = 20000,
                                 .twice_ppm = 20000,
                                 .corrupt_ppm = 100000};
    sim_wire_set(w->sim, NULL, NULL, &wire);
}

static void verify_letters(struct world *w)
{
    const struct letters *x = w->state;
    CHECK_EQUAL(w, x->wrong, 0);
    if (x->clean) CHECK_EQUAL(w, x->came_back, LETTERS);
    else CHECK(w, x->came_back > LETTERS / 10 && x->came_back < LETTERS);
}

static void test_a_datagram_is_whole_or_lost(void **state)
{
    run_seeds(&(struct scenario){"datagrams in pieces", set_up_letters, verify_letters, SEC(3600)}, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_over_a_good_cable),
        cmocka_unit_test(test_every_byte_arrives_over_bad_wires),
        cmocka_unit_test(test_a_cut_cable_ends_both_ends),
        cmocka_unit_test(test_every_byte_arrives_over_ipv6),
        cmocka_unit_test(test_a_stream_goes_on_when_the_wire_is_healed),
        cmocka_unit_test(test_a_narrow_path_is_learnt),
        cmocka_unit_test(test_who_is_left_alone_hears_of_it),
        cmocka_unit_test(test_thousands_of_short_connections_leave_little),
        cmocka_unit_test(test_a_datagram_is_whole_or_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
