/* SPDX-License-Identifier: MIT */
#include "tcp/inflight.h"

#include "alloc/base/assert_test.h"
#include "alloc/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MSS 100u

static void fill(struct inflight *f, tcp_seq una, uint32_t n)
{
    assert_true(inflight_reserve(f, n));
    for (uint32_t i = 0; i < n; i++) inflight_sent(f, una + i * MSS, una + (i + 1) * MSS, i);
    inflight_check(f, una, una + n * MSS);
}

static void test_losses_come_back_lowest_first_and_go_again(void **state)
{
    struct inflight f = {0};
    tcp_seq una = 0xffffff00u;
    fill(&f, una, 8);
    inflight_sack(&f, f.head + 3);
    inflight_lose(&f, f.head + 1);
    inflight_lose(&f, f.head + 2);
    inflight_lose(&f, f.head);
    inflight_check(&f, una, una + 800);
    assert_int_equal(f.gone.first, f.head);
    assert_int_equal(inflight_pipe(&f, una, una + 800), 400);
    inflight_resent(&f, f.head, 50);
    assert_int_equal(f.gone.first, f.head + 1);
    assert_int_equal(f.flying.last, f.head);
    assert_int_equal(inflight_at(&f, f.head)->times, 2);
    inflight_pop(&f);
    inflight_check(&f, una + 100, una + 800);
    inflight_trim(&f, una + 130);
    inflight_check(&f, una + 130, una + 800);
    assert_int_equal(f.lost, 170);
    inflight_free(&f);
}

static void test_runs_of_sacked_records_are_skipped(void **state)
{
    struct inflight f = {0};
    fill(&f, 0, 1000);
    for (uint32_t i = 999; i >= 1; i--) inflight_sack(&f, f.head + i); /* the worst order */
    assert_int_equal(inflight_unsacked(&f, f.head + 1), inflight_end(&f));
    assert_int_equal(inflight_at(&f, f.head + 1)->next, inflight_end(&f)); /* compressed */
    assert_int_equal(inflight_at(&f, f.head + 500)->next, inflight_end(&f));
    assert_int_equal(inflight_unsacked(&f, f.head), f.head);
    assert_true(inflight_reserve(&f, 1)); /* what comes behind is found */
    inflight_sent(&f, 100000, 100001, 0);
    assert_int_equal(inflight_unsacked(&f, f.head + 1), f.head + 1000);
    inflight_forget_sacks(&f);
    inflight_check(&f, 0, 100001);
    assert_int_equal(f.sacked, 0);
    assert_int_equal(f.flying.count, 1001);
    inflight_free(&f);
}

static void test_a_smaller_mss_cuts_all_and_keeps_marks(void **state)
{
    struct inflight f = {0};
    fill(&f, 5, 6);
    inflight_sack(&f, f.head + 4);
    inflight_lose(&f, f.head + 2);
    assert_int_equal(inflight_resegment(&f, 30), 0);
    inflight_check(&f, 5, 605);
    assert_int_equal(f.count, 24);
    assert_int_equal(f.sacked, 100);
    assert_int_equal(f.lost, 100);
    assert_int_equal(f.gone.count, 4);
    for (uint32_t i = f.head; i != inflight_end(&f); i++)
        assert_true(inflight_at(&f, i)->end - inflight_at(&f, i)->start <= 30);
    assert_int_equal(inflight_unsacked(&f, f.head + 16), f.head + 20);
    inflight_free(&f);
}

static void test_the_number_of_records_is_bounded(void **state)
{
    struct inflight f = {0};
    uint32_t n = 0;
    for (; inflight_reserve(&f, 1); n++) inflight_sent(&f, n, n + 1, n);
    assert_int_equal(n, INFLIGHT_RECORDS_MAX);
    inflight_check(&f, 0, n);
    while (f.count) inflight_pop(&f);
    assert_null(f.slots); /* large and empty: gone */
    inflight_free(&f);
}

static void test_random_marks_keep_sums_and_lists(void **state)
{
    struct rng r;
    rng_seed(&r, 9);
    for (int round = 0; round < 100; round++) {
        struct inflight f = {0};
        tcp_seq una = (tcp_seq)rng_u64(&r), nxt = una;
        for (int step = 0; step < 400; step++) {
            uint32_t i = f.head + (uint32_t)rng_below(&r, f.count);
            struct sent_seg *g = f.count ? inflight_at(&f, i) : NULL;
            switch (rng_below(&r, 9)) {
            case 0:
            case 1:
            case 2:
                if (inflight_reserve(&f, 1)) {
                    uint32_t n = 1 + (uint32_t)rng_below(&r, MSS);
                    inflight_sent(&f, nxt, nxt + n, (nsec)step);
                    nxt += n;
                }
                break;
            case 3:
                if (g && !(g->flags & SEG_SACKED)) inflight_sack(&f, i);
                break;
            case 4:
                if (g && !(g->flags & (SEG_SACKED | SEG_LOST))) inflight_lose(&f, i);
                break;
            case 5:
                if (g && !(g->flags & SEG_SACKED)) inflight_resent(&f, i, (nsec)step);
                break;
            case 6:
                if (g) {
                    una = inflight_at(&f, f.head)->end;
                    inflight_pop(&f);
                }
                break;
            case 7:
                if (g) {
                    tcp_seq at = una + (uint32_t)rng_below(&r, nxt - una);
                    uint32_t found = inflight_find(&f, at);
                    assert_true(seq_before_eq(inflight_at(&f, found)->start, at) &&
                                seq_before(at, inflight_at(&f, found)->end));
                    uint32_t u = inflight_unsacked(&f, i), slow = i;
                    while (slow != inflight_end(&f) && inflight_at(&f, slow)->flags & SEG_SACKED) slow++;
                    assert_int_equal(u, slow);
                }
                break;
            case 8:
                switch (rng_below(&r, 20)) {
                case 0: inflight_forget_sacks(&f); break;
                case 1: inflight_forget_losses(&f); break;
                case 2: assert_int_equal(inflight_resegment(&f, 20 + (uint32_t)rng_below(&r, 80)), 0); break;
                default: break;
                }
                break;
            }
            inflight_check(&f, una, nxt);
        }
        inflight_free(&f);
    }
}

static void check_f(void *f) { inflight_check(f, 500, 1300); }
static void check_una(void *f) { inflight_check(f, 501, 1300); }
static void check_nxt(void *f) { inflight_check(f, 500, 1301); }

static void test_spoilt_records_are_seen(void **state)
{
    struct inflight f = {0};
    fill(&f, 500, 8);
    inflight_sack(&f, f.head + 3);
    inflight_lose(&f, f.head + 1);
    inflight_lose(&f, f.head + 2);
    check_f(&f);
    assert_is_seen(check_una, &f, "another SND.UNA", "g->start == seq", __LINE__);
    assert_is_seen(check_nxt, &f, "another SND.NXT", "seq == nxt", __LINE__);
    SEEN(check_f, &f, f.room, f.room + 1, "(f->room & (f->room - 1)) == 0");
    SEEN(check_f, &f, f.count, f.room + 1, "f->count <= f->room");
    SEEN(check_f, &f, f.slots, NULL, "!f->room == !f->slots");
    SEEN(check_f, &f, f.sacked, 0, "sacked == f->sacked");
    SEEN(check_f, &f, f.lost, f.lost + 1, "lost == f->lost");
    SEEN(check_f, &f, f.flying.count, f.flying.count + 1, "l->count == count");
    SEEN(check_f, &f, f.gone.count, 0, "l->count == count");
    SEEN(check_f, &f, f.flying.last, f.head, "i == l->last");
    SEEN(check_f, &f, f.gone.first, f.head + 100, "i - f->head < f->count");
    struct sent_seg *g = inflight_at(&f, f.head + 3);
    SEEN(check_f, &f, g->start, g->start - 1, "g->start == seq");
    SEEN(check_f, &f, g->end, g->start, "len > 0");
    SEEN(check_f, &f, g->flags, g->flags | SEG_LOST, "!= (SEG_SACKED | SEG_LOST)");
    SEEN(check_f, &f, g->flags, 0, "sacked == f->sacked");
    inflight_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses_come_back_lowest_first_and_go_again),
        cmocka_unit_test(test_runs_of_sacked_records_are_skipped),
        cmocka_unit_test(test_a_smaller_mss_cuts_all_and_keeps_marks),
        cmocka_unit_test(test_the_number_of_records_is_bounded),
        cmocka_unit_test(test_random_marks_keep_sums_and_lists),
        cmocka_unit_test(test_spoilt_records_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
