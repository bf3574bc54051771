/* SPDX-License-Identifier: MIT
 *
 * BBR over a simulated bottleneck: one link of a rate, a delay, a queue without an end, a sender that paces.
 */
#include "tcp/cc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MSS  1460u
#define MS   NSEC_PER_MSEC
#define SEC  NSEC_PER_SEC
#define RING 65536u

struct sent {
    nsec at, acked_at, delivered_at; /* delivered_at: when `delivered` was counted */
    uint64_t delivered;
    bool app_limited;
};

struct link {
    struct cc c;
    nsec now, delay, free_at, next_send, delivered_at, rtt_min, srtt;
    uint64_t rate; /* bytes a second */
    uint64_t delivered, round, round_end;
    uint32_t head, count, in_flight_max, in_flight_min;
    uint64_t app_every; /* ns between segments of the program; 0: always something to send */
    nsec app_next;
    nsec rtt_sum;
    uint64_t rtt_count;
    struct sent ring[RING];
};

static struct link *link_new(uint64_t rate, nsec delay)
{
    struct link *l = calloc(1, sizeof *l);
    l->rate = rate;
    l->delay = delay;
    l->now = l->delivered_at = SEC;
    l->rtt_min = NSEC_NEVER;
    l->in_flight_min = UINT32_MAX;
    cc_init(&l->c, &cc_bbr, MSS, l->now);
    return l;
}

static void send_one(struct link *l)
{
    struct sent *s = &l->ring[(l->head + l->count++) % RING];
    if (l->count == 1) l->delivered_at = l->now;
    l->free_at = (l->free_at > l->now ? l->free_at : l->now) + MSS * SEC / l->rate;
    *s = (struct sent){l->now, l->free_at + l->delay, l->delivered_at, l->delivered, l->app_every != 0};
    l->next_send = l->now + (l->c.pacing_rate ? MSS * SEC / l->c.pacing_rate : 0);
    if (l->app_every) l->app_next = l->now + l->app_every;
    if (l->count * MSS > l->in_flight_max) l->in_flight_max = l->count * MSS;
}

static void ack_one(struct link *l)
{
    struct sent s = l->ring[l->head++ % RING];
    struct cc_ack a = {
        .now = l->now, .acked = MSS, .in_flight = l->count * MSS, .cwnd_limited = true, .rtt = l->now - s.at};
    l->count--;
    l->delivered += MSS;
    l->delivered_at = l->now;
    if (s.delivered >= l->round_end) {
        l->round++;
        l->round_end = l->delivered;
    }
    if (a.rtt < l->rtt_min) l->rtt_min = a.rtt;
    l->rtt_sum += a.rtt;
    l->rtt_count++;
    l->srtt = l->srtt ? (7 * l->srtt + a.rtt) / 8 : a.rtt;
    a.srtt = l->srtt;
    a.min_rtt = l->rtt_min;
    a.delivered = l->delivered;
    a.round = l->round;
    a.rate = (l->delivered - s.delivered) * SEC / (l->now - s.delivered_at);
    a.rate_app_limited = s.app_limited;
    l->c.ops->acked(&l->c, &a);
    if (l->count * MSS < l->in_flight_min) l->in_flight_min = l->count * MSS;
}

/* One event after the other until `until`. */
static void run(struct link *l, nsec until)
{
    l->in_flight_max = 0, l->in_flight_min = UINT32_MAX, l->rtt_sum = l->rtt_count = 0;
    for (;;) {
        nsec ack_at = l->count ? l->ring[l->head % RING].acked_at : NSEC_NEVER, send_at = NSEC_NEVER;
        if ((l->count + 1) * MSS <= l->c.cwnd && l->count < RING) {
            send_at = l->next_send > l->app_next ? l->next_send : l->app_next;
            if (send_at < l->now) send_at = l->now;
        }
        nsec next = ack_at <= send_at ? ack_at : send_at;
        assert_true(next != NSEC_NEVER); /* nothing on the way and nothing may be sent: stuck */
        if (next > until) break;
        l->now = next;
        if (ack_at <= send_at) ack_one(l);
        else send_one(l);
    }
    l->now = until;
}

static uint64_t throughput(struct link *l, nsec until)
{
    uint64_t before = l->delivered;
    nsec begin = l->now;
    run(l, until);
    return (l->delivered - before) * SEC / (l->now - begin);
}

static void fills(uint64_t rate, nsec delay)
{
    struct link *l = link_new(rate, delay);
    run(l, l->now + 40 * delay + 200 * MS);
    uint64_t got = throughput(l, l->now + 4 * SEC);
    assert_in_range(got, rate * 93 / 100, rate);
    uint64_t bdp = rate * delay / SEC;
    assert_true(l->in_flight_max <= 2 * bdp + 70 * MSS + 3 * 65536);
    nsec rtt = l->rtt_sum / l->rtt_count, own = MSS * SEC / rate;
    assert_true(rtt <= (delay + own) * 5 / 4 + 8 * own); /* hardly a queue, on average */
    free(l);
}

static void test_it_fills_the_pipe_and_not_the_queue(void **state)
{
    fills(1250000, 40 * MS);  /* 10 Mbit/s */
    fills(12500000, 10 * MS); /* 100 Mbit/s */
    fills(12500000, 100 * MS);
    fills(125000000, 2 * MS); /* 1 Gbit/s */
}

static void test_a_path_that_gets_slower_is_followed(void **state)
{
    struct link *l = link_new(12500000, 20 * MS);
    run(l, 5 * SEC);
    l->rate = 2500000;
    run(l, 9 * SEC);
    assert_in_range(throughput(l, 11 * SEC), 2300000, 2500000);
    assert_true(l->rtt_sum / l->rtt_count < 45 * MS);
    assert_true(l->c.pacing_rate < 3400000);
    free(l);
}

static void test_a_path_that_gets_faster_is_found(void **state)
{
    struct link *l = link_new(2500000, 20 * MS);
    run(l, 4 * SEC);
    l->rate = 12500000;
    run(l, 9 * SEC); /* a quarter more each eight RTTs */
    assert_true(throughput(l, 10 * SEC) > 11000000);
    free(l);
}

static void test_a_minimum_not_seen_for_ten_seconds_is_measured_anew(void **state)
{
    struct link *l = link_new(12500000, 20 * MS);
    run(l, 8 * SEC);
    l->delay = 21 * MS; /* until here the draining phases show the path's own delay again and again */
    bool seen = false;
    nsec begin = 0, end = 0;
    for (nsec t = 8 * SEC; t < 24 * SEC; t += 10 * MS) {
        run(l, t);
        if (l->c.cwnd == 4 * MSS) {
            if (!seen) begin = t;
            seen = true;
            end = t;
            assert_true(l->in_flight_max < 600 * MSS);
        } else if (seen) break;
    }
    assert_true(seen);
    assert_in_range(end - begin, 190 * MS, 400 * MS);
    assert_in_range(throughput(l, l->now + 3 * SEC), 11600000, 12500000); /* and the window comes back */
    free(l);
}

static void test_a_program_with_little_to_say_does_not_lower_the_estimate(void **state)
{
    struct link *l = link_new(12500000, 20 * MS);
    run(l, 5 * SEC);
    uint64_t rate = l->c.pacing_rate;
    l->app_every = 10 * MS;
    run(l, 9 * SEC);
    assert_true(l->c.pacing_rate > rate / 2);
    free(l);
}

static void test_a_loss_takes_the_window_for_a_recovery_only(void **state)
{
    struct link *l = link_new(12500000, 20 * MS);
    run(l, 5 * SEC);
    uint32_t before = l->c.cwnd;
    l->c.ops->congestion(&l->c, l->count * MSS, l->now, false);
    assert_true(l->c.cwnd <= l->count * MSS);
    l->c.ops->recovered(&l->c, l->now);
    assert_int_equal(l->c.cwnd, before);
    l->c.ops->timeout(&l->c, l->count * MSS, l->now);
    assert_int_equal(l->c.cwnd, MSS);
    l->c.ops->recovered(&l->c, l->now);
    assert_int_equal(l->c.cwnd, before);
    assert_int_equal(l->c.ssthresh, UINT32_MAX); /* or PRR would set the window */
    assert_in_range(throughput(l, l->now + 3 * SEC), 11600000, 12500000);
    free(l);
}

static void test_a_recovery_that_lasts_does_not_starve(void **state)
{
    struct link *l = link_new(12500000, 20 * MS);
    run(l, 5 * SEC);
    uint32_t flight = l->count * MSS;
    l->c.ops->congestion(&l->c, flight, l->now, false);
    run(l, l->now + 10 * MS); /* within a round: as much leaves as arrives */
    assert_true(l->in_flight_max <= flight + MSS);
    assert_in_range(throughput(l, l->now + 2 * SEC), 11600000, 12500000); /* no recovered() */
    free(l);
}

static void test_an_ecn_mark_lowers_the_window_for_a_few_rounds(void **state)
{
    struct link *l = link_new(12500000, 20 * MS);
    run(l, 5 * SEC);
    uint32_t in_flight = l->count * MSS;
    l->c.ops->congestion(&l->c, in_flight, l->now, true);
    assert_int_equal(l->c.cwnd, (uint64_t)in_flight * 7 / 10);
    run(l, l->now + 30 * MS);
    assert_true(l->c.cwnd < in_flight);
    run(l, l->now + SEC);
    assert_true(l->c.cwnd > in_flight);
    free(l);
}

static void test_absurd_samples_do_no_harm(void **state)
{
    struct cc c;
    cc_init(&c, &cc_bbr, MSS, 1);
    struct cc_ack a = {
        .now = 1, .acked = UINT32_MAX, .in_flight = UINT32_MAX, .rtt = UINT64_MAX - 1, .srtt = 1, .rate = UINT64_MAX};
    for (unsigned i = 0; i < 2000; i++) {
        a.now += i * SEC;
        a.round += i % 3;
        a.rtt = i % 2 ? 1 : UINT64_MAX - 1;
        a.acked = i % 5 ? UINT32_MAX : 0;
        c.ops->acked(&c, &a);
        if (i % 7 == 0) c.ops->congestion(&c, i % 2 ? 0 : UINT32_MAX, a.now, i % 3);
        if (i % 11 == 0) c.ops->timeout(&c, 0, a.now);
        if (i % 4 == 0) c.ops->recovered(&c, a.now);
        assert_true(c.cwnd >= MSS && c.cwnd <= UINT32_MAX / 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_fills_the_pipe_and_not_the_queue),
        cmocka_unit_test(test_a_path_that_gets_slower_is_followed),
        cmocka_unit_test(test_a_path_that_gets_faster_is_found),
        cmocka_unit_test(test_a_minimum_not_seen_for_ten_seconds_is_measured_anew),
        cmocka_unit_test(test_a_program_with_little_to_say_does_not_lower_the_estimate),
        cmocka_unit_test(test_a_loss_takes_the_window_for_a_recovery_only),
        cmocka_unit_test(test_a_recovery_that_lasts_does_not_starve),
        cmocka_unit_test(test_an_ecn_mark_lowers_the_window_for_a_few_rounds),
        cmocka_unit_test(test_absurd_samples_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
