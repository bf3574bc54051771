/* SPDX-License-Identifier: MIT
 *
 * NewReno and "none", and what is the same for all controllers.
 */
#include "tcp/cc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MSS 1000u

static struct cc fresh(const struct cc_ops *ops)
{
    struct cc c;
    cc_init(&c, ops, MSS, 1);
    return c;
}

static void ack(struct cc *c, uint32_t bytes)
{
    struct cc_ack a = {.now = 1, .acked = bytes, .in_flight = c->cwnd, .cwnd_limited = true};
    c->ops->acked(c, &a);
}

static void test_names_are_found_and_others_not(void **state)
{
    assert_ptr_equal(cc_find("cubic"), &cc_cubic);
    assert_ptr_equal(cc_find("newreno"), &cc_newreno);
    assert_ptr_equal(cc_find("bbr"), &cc_bbr);
    assert_ptr_equal(cc_find("none"), &cc_none);
    assert_null(cc_find("reno"));
    assert_null(cc_find(""));
    assert_null(cc_find("CUBIC"));
}

static void test_the_initial_window_is_rfc_6928s(void **state)
{
    assert_int_equal(cc_initial_window(536), 5360);
    assert_int_equal(cc_initial_window(1460), 14600);
    assert_int_equal(cc_initial_window(1500), 14600);
    assert_int_equal(cc_initial_window(8960), 17920);
    assert_int_equal(cc_initial_window(65495), 130990);
    struct cc c;
    cc_init(&c, &cc_newreno, 1460, 1);
    cc_set_mss(&c, 536); /* nothing sent yet */
    assert_int_equal(c.cwnd, 5360);
    c.cwnd = 7000;
    cc_set_mss(&c, 1000);
    assert_int_equal(c.cwnd, 7000);
    cc_set_mss(&c, 9000);
    assert_int_equal(c.cwnd, 9000); /* a segment must fit */
}

static void test_slow_start_doubles_a_round_trip_and_stretched_acks_are_cut(void **state)
{
    struct cc c = fresh(&cc_newreno);
    for (unsigned i = 0; i < 10; i++) ack(&c, MSS);
    assert_int_equal(c.cwnd, 20 * MSS);
    ack(&c, 64 * MSS);
    assert_int_equal(c.cwnd, 28 * MSS);
}

static void test_avoidance_adds_a_segment_a_window(void **state)
{
    struct cc c = fresh(&cc_newreno);
    c.ssthresh = c.cwnd = 20 * MSS;
    for (unsigned round = 0; round < 50; round++) {
        uint32_t window = c.cwnd;
        for (uint32_t done = 0; done < window; done += MSS / 2) ack(&c, MSS / 2);
        assert_int_equal(c.cwnd, window + MSS);
    }
    c.cwnd = c.ssthresh - MSS / 2; /* across the threshold no byte counts twice */
    ack(&c, MSS);
    assert_int_equal(c.cwnd, c.ssthresh);
}

static void test_an_unused_window_does_not_grow(void **state)
{
    struct cc c = fresh(&cc_newreno);
    struct cc_ack a = {.now = 1, .acked = MSS};
    c.ops->acked(&c, &a);
    a.cwnd_limited = a.in_recovery = true;
    c.ops->acked(&c, &a);
    assert_int_equal(c.cwnd, 10 * MSS);
}

static void test_loss_halves_what_was_in_flight(void **state)
{
    struct cc c = fresh(&cc_newreno);
    c.cwnd = 40 * MSS;
    c.ops->congestion(&c, 30 * MSS, 2, false);
    assert_int_equal(c.ssthresh, 15 * MSS);
    assert_int_equal(c.cwnd, 40 * MSS); /* PRR works until the end of recovery */
    c.ops->recovered(&c, 3);
    assert_int_equal(c.cwnd, 15 * MSS);
    c.ops->congestion(&c, 1, 4, true);
    assert_int_equal(c.ssthresh, 2 * MSS);
    assert_int_equal(c.cwnd, 2 * MSS);
}

static void test_timeouts_in_a_row_keep_the_threshold(void **state)
{
    struct cc c = fresh(&cc_newreno);
    c.cwnd = 40 * MSS;
    c.ops->timeout(&c, 40 * MSS, 2);
    assert_int_equal(c.cwnd, MSS);
    assert_int_equal(c.ssthresh, 20 * MSS);
    c.ops->timeout(&c, MSS, 3);
    assert_int_equal(c.ssthresh, 20 * MSS);
    ack(&c, MSS);
    assert_int_equal(c.cwnd, 2 * MSS);
    c.ops->recovered(&c, 4);
    assert_int_equal(c.cwnd, 2 * MSS); /* slow start goes on */
    c.ops->timeout(&c, 2 * MSS, 5);
    assert_int_equal(c.ssthresh, 2 * MSS);
}

static void test_undo_restores_what_was_before(void **state)
{
    static const struct cc_ops *const all[] = {&cc_newreno, &cc_cubic};
    for (unsigned i = 0; i < 2; i++) {
        struct cc c = fresh(all[i]);
        c.cwnd = 40 * MSS;
        c.ssthresh = 25 * MSS;
        c.ops->congestion(&c, 40 * MSS, 2, false);
        c.ops->timeout(&c, 30 * MSS, 2); /* in the midst of recovery */
        c.ops->undo(&c, 3);
        assert_int_equal(c.cwnd, 40 * MSS);
        assert_int_equal(c.ssthresh, 25 * MSS);
        c.cwnd = MSS;
        c.ops->undo(&c, 4); /* once */
        assert_int_equal(c.cwnd, MSS);
    }
}

static void test_after_a_pause_the_window_restarts(void **state)
{
    static const struct cc_ops *const all[] = {&cc_newreno, &cc_cubic};
    for (unsigned i = 0; i < 2; i++) {
        struct cc c = fresh(all[i]);
        c.cwnd = 100 * MSS;
        c.ssthresh = 50 * MSS;
        c.ops->idle(&c, 10, 5, 5);
        assert_int_equal(c.cwnd, 100 * MSS);
        c.ops->idle(&c, 20, 6, 5);
        assert_int_equal(c.cwnd, 10 * MSS);
        assert_int_equal(c.ssthresh, 75 * MSS);
        c.cwnd = 3 * MSS;
        c.ops->idle(&c, 30, 6, 5);
        assert_int_equal(c.cwnd, 3 * MSS); /* never up */
    }
}

static void test_none_stays_what_it_is(void **state)
{
    struct cc c = fresh(&cc_none);
    uint32_t window = c.cwnd;
    assert_true(window >= 1u << 30);
    ack(&c, MSS);
    c.ops->congestion(&c, MSS, 1, true);
    c.ops->timeout(&c, MSS, 2);
    c.ops->recovered(&c, 3);
    cc_set_mss(&c, 1460);
    assert_int_equal(c.cwnd, window);
    assert_int_equal(c.ssthresh, UINT32_MAX); /* or PRR would set the window */
    c.cwnd = MSS;
    ack(&c, MSS);
    assert_int_equal(c.cwnd, window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_found_and_others_not),
        cmocka_unit_test(test_the_initial_window_is_rfc_6928s),
        cmocka_unit_test(test_slow_start_doubles_a_round_trip_and_stretched_acks_are_cut),
        cmocka_unit_test(test_avoidance_adds_a_segment_a_window),
        cmocka_unit_test(test_an_unused_window_does_not_grow),
        cmocka_unit_test(test_loss_halves_what_was_in_flight),
        cmocka_unit_test(test_timeouts_in_a_row_keep_the_threshold),
        cmocka_unit_test(test_undo_restores_what_was_before),
        cmocka_unit_test(test_after_a_pause_the_window_restarts),
        cmocka_unit_test(test_none_stays_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
