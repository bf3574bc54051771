/* SPDX-License-Identifier: MIT
 *
 * The simulated network under programs that use nothing but demi/: what the library promises of streams, over links of
 * every kind. Each stream's bytes are a function of its number and of their place, so whoever pops can tell from a byte
 * alone whether it is right.
 */
#include "tests/sim/exchange.h"

#define PORT EXCHANGE_PORT

static void exchange_with(struct world *w, uint64_t goal_max, uint32_t reset_ppm)
{
    struct exchange *x = w->state = calloc(1, sizeof *x);
    x->goal_max = goal_max;
    struct sim_host *a = sim_host_add(w->sim, "10.0.0.1", listening_host, w),
                    *b = sim_host_add(w->sim, "10.0.0.2", connecting_host, w);
    struct sim_link l = sim_link_random(w->sim);
    if (l.segment_max < 100 || l.window < 1000) x->goal_max /= 10; /* as many segments, fewer bytes */
    sim_link_set(w->sim, a, b, &l);
    x->may_break = reset_ppm;
}

static void set_up_exchange(struct world *w) { exchange_with(w, 100000, 0); }

static void test_every_byte_arrives_once_and_in_order(void **state)
{
    run_seeds(&(struct scenario){"exchange", set_up_exchange, verify_exchange, SEC(3600)}, 150);
}

/* Resets begin once all streams are open. */
static void break_links(void *arg)
{
    struct world *w = arg;
    struct sim_link l = sim_link_random(w->sim);
    l.reset_ppm = 1 + (uint32_t)rng_below(sim_rng(w->sim), 20000);
    l.delay_ns = l.jitter_ns = 1000;
    sim_link_set(w->sim, NULL, NULL, &l);
}

static void set_up_breaking(struct world *w)
{
    struct exchange *x = w->state = calloc(1, sizeof *x);
    x->goal_max = 1000000;
    x->may_break = true;
    sim_host_add(w->sim, "10.0.0.1", listening_host, w);
    sim_host_add(w->sim, "10.0.0.2", connecting_host, w);
    sim_at(w->sim, SIM_START_NS + MS(20), break_links, w);
}

static void test_a_reset_leaves_a_prefix(void **state)
{
    run_seeds(&(struct scenario){"resets", set_up_breaking, verify_breaking, SEC(3600)}, 100);
}

/* --- a reader that does not read ---------------------------------------------------------------------------------- */

#define WINDOW 16384
#define BULK   (1u << 20)

static int sleeping_reader(void *arg)
{
    struct world *w = arg;
    static uint8_t room[65536];
    uint64_t got = 0;
    int l = listen_at("10.0.0.1", PORT, 1), qd = accept_on(l), n;
    sleep_ns(SEC(100));
    while ((n = pop_bytes(qd, room, sizeof room)) > 0) {
        CHECK_EQUAL(w, first_wrong(1, got, room, (size_t)n), n);
        got += (uint64_t)n;
    }
    CHECK_EQUAL(w, n, 0);
    CHECK_EQUAL(w, got, BULK);
    demi_close(qd);
    demi_close(l);
    return 0;
}

static int eager_writer(void *arg)
{
    struct world *w = arg;
    int qd;
    while ((qd = connect_to("10.0.0.1", PORT)) < 0) sleep_ns(MS(1));
    uint8_t *p = demi_malloc(BULK);
    fill(1, 0, p, BULK);
    demi_qtoken_t first, rest;
    struct iovec iov[2] = {{p, 100}, {p + 100, BULK - 100}};
    CHECK_EQUAL(w, demi_pushv(&first, qd, &iov[0], 1, DEMI_PUSH_HANDED_OVER), 0);
    CHECK_EQUAL(w, demi_pushv(&rest, qd, &iov[1], 1, DEMI_PUSH_HANDED_OVER), 0);
    CHECK_EQUAL(w, wait_done(first), 0); /* fits into the window */
    struct timespec ten = {10, 0};
    demi_qresult_t qr;
    CHECK_EQUAL(w, demi_wait(&qr, rest, &ten), ETIMEDOUT);
    size_t unsent = 0;
    demi_unsent(qd, &unsent);
    CHECK_EQUAL(w, unsent, BULK - WINDOW);
    uint64_t before = demi_clock_ns();
    CHECK_EQUAL(w, wait_done(rest), 0);
    CHECK(w, demi_clock_ns() - before > SEC(80));
    demi_free(p);
    demi_close(qd);
    return 0;
}

static void set_up_slow(struct world *w)
{
    struct sim_link l = sim_link_random(w->sim);
    l.window = WINDOW;
    if (l.segment_max < 100) l.segment_max = 100;
    sim_link_set(w->sim, NULL, NULL, &l);
    sim_host_add(w->sim, "10.0.0.1", sleeping_reader, w);
    sim_host_add(w->sim, "10.0.0.2", eager_writer, w);
}

static void test_a_reader_that_sleeps_holds_the_writer_back(void **state)
{
    run_seeds(&(struct scenario){"slow reader", set_up_slow, NULL, SEC(3600)}, 20);
}

/* --- half-close, cancelling, refusing ----------------------------------------------------------------------------- */

static int answers_after_the_end(void *arg)
{
    struct world *w = arg;
    char text[256];
    int l = listen_at("10.0.0.1", PORT, 1), qd = accept_on(l), n, got = 0;
    while ((n = pop_bytes(qd, text, sizeof text)) > 0) got += n;
    CHECK_EQUAL(w, n, 0);
    CHECK_EQUAL(w, got, 11);
    CHECK_EQUAL(w, push_bytes(qd, "and back", 8), 0);
    demi_close(qd); /* what was pushed still arrives */
    demi_close(l);
    return 0;
}

static int asks_and_ends(void *arg)
{
    struct world *w = arg;
    char text[256];
    int qd, n, got = 0;
    while ((qd = connect_to("10.0.0.1", PORT)) < 0) sleep_ns(MS(1));
    push_bytes(qd, "there ", 6);
    push_bytes(qd, "again", 5);
    CHECK_EQUAL(w, demi_shutdown(qd, SHUT_WR), 0);
    CHECK_EQUAL(w, push_bytes(qd, "late", 4), EPIPE);
    while ((n = pop_bytes(qd, text + got, sizeof text - (size_t)got)) > 0) got += n;
    CHECK_EQUAL(w, n, 0);
    CHECK(w, got == 8 && !memcmp(text, "and back", 8));
    demi_close(qd);
    return 0;
}

static void set_up_half_close(struct world *w)
{
    struct sim_link l = sim_link_random(w->sim);
    sim_link_set(w->sim, NULL, NULL, &l);
    sim_host_add(w->sim, "10.0.0.1", answers_after_the_end, w);
    sim_host_add(w->sim, "10.0.0.2", asks_and_ends, w);
}

static void test_who_has_shut_still_hears(void **state)
{
    run_seeds(&(struct scenario){"half-close", set_up_half_close, NULL, SEC(60)}, 100);
}

static int accepts_one(void *arg)
{
    struct world *w = arg;
    demi_qtoken_t qts[3];
    int l = listen_at("10.0.0.1", PORT, 1), qd = accept_on(l);
    for (int i = 0; i < 3; i++) CHECK_EQUAL(w, demi_accept(&qts[i], l), 0);
    demi_close(l);
    for (int i = 0; i < 3; i++) CHECK_EQUAL(w, wait_done(qts[i]), ECANCELED);
    char c;
    CHECK_EQUAL(w, pop_bytes(qd, &c, 1), 0);
    demi_close(qd);
    sleep_ns(SEC(60));
    return 0;
}

static int cancels(void *arg)
{
    struct world *w = arg;
    demi_qtoken_t pops[3], push, connect;
    int qd;
    while ((qd = connect_to("10.0.0.1", PORT)) < 0) sleep_ns(MS(1));
    for (int i = 0; i < 3; i++) CHECK_EQUAL(w, demi_pop(&pops[i], qd), 0);
    CHECK_EQUAL(w, demi_cancel(pops[1]), 0);
    CHECK_EQUAL(w, wait_done(pops[1]), ECANCELED);
    demi_close(qd);
    CHECK_EQUAL(w, wait_done(pops[0]), ECANCELED);
    CHECK_EQUAL(w, wait_done(pops[2]), ECANCELED);
    CHECK_EQUAL(w, demi_pop(&push, qd), EBADF);
    struct sockaddr_in nowhere = address("10.0.0.1", PORT + 1);
    demi_socket(&qd, AF_INET, SOCK_STREAM, 0);
    CHECK_EQUAL(w, demi_connect(&connect, qd, (struct sockaddr *)&nowhere, sizeof nowhere), 0);
    demi_close(qd);
    CHECK_EQUAL(w, wait_done(connect), ECANCELED);
    CHECK_EQUAL(w, connect_to("10.0.0.1", PORT + 1), -ECONNREFUSED);
    CHECK_EQUAL(w, connect_to("10.0.0.77", PORT), -EHOSTUNREACH);
    return 0;
}

static void set_up_cancel(struct world *w)
{
    sim_host_add(w->sim, "10.0.0.1", accepts_one, w);
    sim_host_add(w->sim, "10.0.0.2", cancels, w);
}

static void test_a_close_cancels_what_is_outstanding(void **state)
{
    run_seeds(&(struct scenario){"cancel", set_up_cancel, NULL, SEC(100)}, 50);
}

/* --- partitions --------------------------------------------------------------------------------------------------- */

struct partition {
    struct sim_host *a, *b;
};

static void cut_them(void *arg)
{
    struct world *w = arg;
    struct partition *p = w->state;
    sim_cut(w->sim, p->a, p->b);
}

static void heal_them(void *arg)
{
    struct world *w = arg;
    struct partition *p = w->state;
    sim_heal(w->sim, p->a, p->b);
}

static int echoes(void *arg)
{
    char text[64];
    int l = listen_at("10.0.0.1", PORT, 1), qd = accept_on(l), n;
    while ((n = pop_bytes(qd, text, sizeof text)) > 0) push_bytes(qd, text, (size_t)n);
    demi_close(qd);
    demi_close(l);
    return 0;
}

static int asks_across(void *arg)
{
    struct world *w = arg;
    char c = 0;
    int qd;
    while ((qd = connect_to("10.0.0.1", PORT)) < 0) sleep_ns(MS(1));
    sleep_ns(SEC(1)); /* the link is cut now */
    push_bytes(qd, "x", 1);
    uint64_t before = demi_clock_ns();
    CHECK_EQUAL(w, pop_bytes(qd, &c, 1), 1);
    CHECK_EQUAL(w, c, 'x');
    CHECK(w, demi_clock_ns() - before > SEC(50));
    demi_close(qd);
    return 0;
}

static void set_up_partition(struct world *w)
{
    struct partition *p = w->state = calloc(1, sizeof *p);
    p->a = sim_host_add(w->sim, "10.0.0.1", echoes, w);
    p->b = sim_host_add(w->sim, "10.0.0.2", asks_across, w);
    sim_at(w->sim, SIM_START_NS + MS(500), cut_them, w);
    sim_at(w->sim, SIM_START_NS + SEC(60), heal_them, w);
}

static void test_a_stream_goes_on_when_the_link_is_healed(void **state)
{
    run_seeds(&(struct scenario){"partition", set_up_partition, NULL, SEC(100)}, 50);
}

static int idles(void *arg)
{
    sleep_ns(SEC(60));
    return 0;
}

static int connects_across(void *arg)
{
    struct world *w = arg;
    sleep_ns(SEC(1));
    CHECK_EQUAL(w, connect_to("10.0.0.1", PORT), -ETIMEDOUT);
    return 0;
}

static void set_up_unheard(struct world *w)
{
    struct partition *p = w->state = calloc(1, sizeof *p);
    p->a = sim_host_add(w->sim, "10.0.0.1", idles, w);
    p->b = sim_host_add(w->sim, "10.0.0.2", connects_across, w);
    sim_at(w->sim, SIM_START_NS + MS(500), cut_them, w);
}

static void test_a_connection_across_a_cut_times_out(void **state)
{
    run_seeds(&(struct scenario){"unheard", set_up_unheard, NULL, SEC(200)}, 10);
}

/* --- datagrams, time ---------------------------------------------------------------------------------------------- */

#define DATAGRAMS 200

struct letters {
    unsigned seen[DATAGRAMS];
    unsigned count, late;
};

static int reads_letters(void *arg)
{
    struct world *w = arg;
    struct letters *x = w->state;
    struct sockaddr_in at = address("10.0.0.1", PORT);
    int qd;
    uint32_t last = 0;
    demi_socket(&qd, AF_INET, SOCK_DGRAM, 0);
    CHECK_EQUAL(w, demi_bind(qd, (struct sockaddr *)&at, sizeof at), 0);
    struct timespec minute = {60, 0};
    demi_qtoken_t qt;
    for (demi_qresult_t qr; !demi_pop(&qt, qd) && !demi_wait(&qr, qt, &minute);) {
        uint32_t n = DATAGRAMS;
        if (CHECK_EQUAL(w, qr.qr_value.sga.sga_segs[0].sgaseg_len, sizeof n))
            memcpy(&n, qr.qr_value.sga.sga_segs[0].sgaseg_buf, sizeof n);
        if (CHECK(w, n < DATAGRAMS)) x->seen[n]++;
        CHECK_EQUAL(w, ntohl(qr.qr_value.sga.sga_addr.sin_addr.s_addr), 0x0a000002);
        x->count++;
        x->late += n < last;
        last = n;
        demi_sgafree(&qr.qr_value.sga);
    }
    demi_close(qd);
    return 0;
}

static int sends_letters(void *arg)
{
    struct world *w = arg;
    struct sockaddr_in to = address("10.0.0.1", PORT);
    int qd;
    sleep_ns(SEC(1));
    demi_socket(&qd, AF_INET, SOCK_DGRAM, 0);
    for (uint32_t i = 0; i < DATAGRAMS; i++) {
        demi_sgarray_t sga = demi_sgaalloc(sizeof i);
        memcpy(sga.sga_segs[0].sgaseg_buf, &i, sizeof i);
        demi_qtoken_t qt;
        CHECK_EQUAL(w, demi_pushto(&qt, qd, &sga, (struct sockaddr *)&to, sizeof to), 0);
        demi_sgafree(&sga);
        CHECK_EQUAL(w, wait_done(qt), 0);
    }
    demi_close(qd);
    return 0;
}

static void set_up_letters(struct world *w)
{
    w->state = calloc(1, sizeof(struct letters));
    struct sim_link l = {
        .delay_ns = 1000, .jitter_ns = MS(1), .segment_max = 1, .window = 1, .loss_ppm = 100000, .twice_ppm = 100000};
    sim_link_set(w->sim, NULL, NULL, &l);
    sim_host_add(w->sim, "10.0.0.1", reads_letters, w);
    sim_host_add(w->sim, "10.0.0.2", sends_letters, w);
}

static void verify_letters(struct world *w)
{
    struct letters *x = w->state;
    unsigned none = 0, twice = 0;
    for (int i = 0; i < DATAGRAMS; i++) {
        none += !x->seen[i];
        twice += x->seen[i] == 2;
        CHECK(w, x->seen[i] <= 2);
    }
    CHECK(w, none > 0 && none < DATAGRAMS / 2);
    CHECK(w, twice > 0 && twice < DATAGRAMS / 2);
    CHECK(w, x->late > 0);
    CHECK_EQUAL(w, x->count, DATAGRAMS - none + twice);
}

static void test_datagrams_are_lost_doubled_and_overtaken(void **state)
{
    run_seeds(&(struct scenario){"datagrams", set_up_letters, verify_letters, SEC(200)}, 20);
}

static int sleeps_for_years(void *arg)
{
    struct world *w = arg;
    uint64_t before = demi_clock_ns();
    int64_t wall = demi_wall_us();
    sleep_ns(DAYS(3650));
    CHECK(w, demi_clock_ns() - before >= DAYS(3650) && demi_clock_ns() - before < DAYS(3650) + MS(1));
    CHECK(w, demi_wall_us() - wall >= (int64_t)(DAYS(3650) / 1000));
    return 0;
}

static void set_up_years(struct world *w) { sim_host_add(w->sim, "10.0.0.1", sleeps_for_years, w); }

static void test_ten_years_pass_at_once(void **state)
{
    run_seeds(&(struct scenario){"years", set_up_years, NULL, DAYS(4000)}, 1);
}

static void test_another_seed_is_another_run(void **state)
{
    struct world w;
    struct scenario sc = {"seeds", set_up_exchange, verify_exchange, SEC(3600)};
    assert_true(run_once(&sc, 1, &w).trace != run_once(&sc, 2, &w).trace);
}

static int waits_forever(void *arg) { return accept_on(listen_at("10.0.0.1", PORT, 1)); }

static void test_a_run_in_which_nothing_can_happen_any_more_ends(void **state)
{
    struct sim *s = sim_new(1);
    sim_host_add(s, "10.0.0.1", waits_forever, NULL);
    assert_int_equal(sim_run(s, SIM_NEVER - 1), -EDEADLK);
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_arrives_once_and_in_order),
        cmocka_unit_test(test_a_reset_leaves_a_prefix),
        cmocka_unit_test(test_a_reader_that_sleeps_holds_the_writer_back),
        cmocka_unit_test(test_who_has_shut_still_hears),
        cmocka_unit_test(test_a_close_cancels_what_is_outstanding),
        cmocka_unit_test(test_a_stream_goes_on_when_the_link_is_healed),
        cmocka_unit_test(test_a_connection_across_a_cut_times_out),
        cmocka_unit_test(test_datagrams_are_lost_doubled_and_overtaken),
        cmocka_unit_test(test_ten_years_pass_at_once),
        cmocka_unit_test(test_another_seed_is_another_run),
        cmocka_unit_test(test_a_run_in_which_nothing_can_happen_any_more_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
