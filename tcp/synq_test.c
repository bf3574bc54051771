/* SPDX-License-Identifier: MIT */
#include "tcp/peer_test.h"

static void test_a_segment_for_no_listener_is_reset(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    peer_send(&p, 5000, 80, TCP_SYN, 7, 0, NULL, 0);
    struct seen *o = want(&p, TCP_RST | TCP_ACK);
    assert_int_equal(o->seq, 0);
    assert_int_equal(o->ack, 8);
    peer_send(&p, 5000, 80, TCP_ACK, 7, 99, NULL, 10);
    assert_int_equal(want(&p, TCP_RST)->seq, 99);
    peer_send(&p, 5000, 80, TCP_RST, 7, 0, NULL, 0);
    assert_null(next_out(&p));
    peer_fini(&p);
}

static void test_syn_ack_is_repeated_five_times_and_then_forgotten(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct listener *l = peer_listen(&p, 80, 4);
    peer_send(&p, 5000, 80, TCP_SYN, PEER_ISN, 0, NULL, 0);
    tcp_seq iss = want(&p, TCP_SYN | TCP_ACK)->seq;
    for (unsigned i = 0; i < 5; i++) {
        peer_wait(&p, ((nsec)SECOND << i) - 10 * MSEC);
        assert_null(next_out(&p));
        peer_wait(&p, 11 * MSEC);
        assert_int_equal(want(&p, TCP_SYN | TCP_ACK)->seq, iss);
    }
    assert_int_equal(synq_count(p.s), 1);
    peer_wait(&p, 33 * SECOND);
    assert_null(next_out(&p));
    assert_int_equal(synq_count(p.s), 0);
    assert_int_equal(l->half_open, 0);
    listener_close(l);
    peer_fini(&p);
}

static void test_the_syn_again_gets_the_same_answer(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct listener *l = peer_listen(&p, 80, 4);
    peer_send(&p, 5000, 80, TCP_SYN, PEER_ISN, 0, NULL, 0);
    tcp_seq iss = want(&p, TCP_SYN | TCP_ACK)->seq;
    p.now += 100 * MSEC;
    peer_send(&p, 5000, 80, TCP_SYN, PEER_ISN, 0, NULL, 0);
    assert_int_equal(want(&p, TCP_SYN | TCP_ACK)->seq, iss);
    assert_int_equal(synq_count(p.s), 1);
    listener_close(l);
    assert_int_equal(synq_count(p.s), 0);
    peer_fini(&p);
}

static void test_only_the_exact_reset_ends_a_half_open_one(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct listener *l = peer_listen(&p, 80, 4);
    peer_send(&p, 5000, 80, TCP_SYN, PEER_ISN, 0, NULL, 0);
    want(&p, TCP_SYN | TCP_ACK);
    peer_send(&p, 5000, 80, TCP_RST, PEER_ISN + 100, 0, NULL, 0);
    assert_int_equal(want(&p, TCP_ACK)->ack, PEER_ISN + 1); /* a challenge */
    peer_send(&p, 5000, 80, TCP_RST, PEER_ISN + 1 + 70000, 0, NULL, 0);
    assert_null(next_out(&p));
    assert_int_equal(synq_count(p.s), 1);
    peer_send(&p, 5000, 80, TCP_RST, PEER_ISN + 1, 0, NULL, 0);
    assert_int_equal(synq_count(p.s), 0);
    assert_null(next_out(&p));
    listener_close(l);
    peer_fini(&p);
}

static void test_a_wrong_ack_is_reset_and_the_handshake_goes_on(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct listener *l = peer_listen(&p, 80, 4);
    peer_send(&p, 5000, 80, TCP_SYN, PEER_ISN, 0, NULL, 0);
    tcp_seq iss = want(&p, TCP_SYN | TCP_ACK)->seq;
    peer_send(&p, 5000, 80, TCP_ACK, PEER_ISN + 1, iss + 2, NULL, 0);
    assert_int_equal(want(&p, TCP_RST)->seq, iss + 2);
    assert_int_equal(p.accepted, 0);
    peer_send(&p, 5000, 80, TCP_ACK, PEER_ISN + 1, iss + 1, NULL, 100); /* data on it counts */
    assert_int_equal(p.accepted, 1);
    assert_int_equal(p.c->rcvq_bytes, 100);
    conn_abort(p.c);
    listener_close(l);
    peer_fini(&p);
}

static void test_a_full_accept_queue_drops_the_last_ack_and_takes_it_later(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    p.no_accept = true;
    struct listener *l = peer_listen(&p, 80, 1);
    tcp_seq iss[2];
    for (unsigned i = 0; i < 2; i++) {
        peer_send(&p, (uint16_t)(5000 + i), 80, TCP_SYN, PEER_ISN, 0, NULL, 0);
        iss[i] = want(&p, TCP_SYN | TCP_ACK)->seq;
    }
    for (unsigned i = 0; i < 2; i++)
        peer_send(&p, (uint16_t)(5000 + i), 80, TCP_ACK, PEER_ISN + 1, iss[i] + 1, NULL, 0);
    assert_int_equal(l->waiting, 1);
    assert_int_equal(synq_count(p.s), 1);
    assert_int_equal(p.s->n.drop_tcp_backlog, 1);
    peer_send(&p, 5002, 80, TCP_SYN, PEER_ISN, 0, NULL, 0);
    assert_null(next_out(&p)); /* nor are new ones begun */
    struct conn *c = listener_accept(l, &p);
    peer_send(&p, 5001, 80, TCP_ACK, PEER_ISN + 1, iss[1] + 1, NULL, 0);
    assert_int_equal(l->waiting, 1);
    assert_int_equal(conn_remote(c)->port, 5000);
    conn_abort(c);
    listener_close(l); /* resets the other */
    peer_take(&p);
    assert_int_equal(want(&p, TCP_RST | TCP_ACK)->to, 5000);
    assert_int_equal(want(&p, TCP_RST | TCP_ACK)->to, 5001);
    peer_fini(&p);
}

static void test_a_flood_is_answered_by_cookies_that_nothing_is_kept_for(void **state)
{
    static struct peer p;
    struct stack_config conf = {.limits = {.half_open = 8}};
    peer_init(&p, &conf);
    struct listener *l = peer_listen(&p, 80, 64);
    struct tcp_opts o = {.has = OPT_MSS | OPT_TS | OPT_WSCALE | OPT_SACK_OK, .mss = 1460, .wscale = 7, .ts_val = 5};
    for (unsigned i = 0; i < 100; i++) peer_send(&p, (uint16_t)(5000 + i), 80, TCP_SYN, PEER_ISN, 0, &o, 0);
    assert_int_equal(synq_count(p.s), 8);
    assert_int_equal(p.s->n.tcp_cookies_tx, 92);
    assert_int_equal(p.count, 100);
    struct seen last = p.out[99];
    struct tcp_opts ts = {.has = OPT_TS, .ts_val = 6, .ts_ecr = last.opts.ts_val};
    peer_send(&p, 5098, 80, TCP_ACK, PEER_ISN + 1, last.seq + 1, &ts, 0); /* for another one it is no cookie */
    assert_int_equal(p.accepted, 0);
    assert_int_equal(p.out[p.count - 1].flags, TCP_RST);
    assert_int_equal(p.s->n.drop_tcp_cookie, 1);
    peer_send(&p, 5099, 80, TCP_ACK, PEER_ISN + 1, last.seq + 1, &ts, 10);
    assert_int_equal(p.accepted, 1);
    assert_int_equal(p.s->n.tcp_cookies_ok, 1);
    assert_int_equal(p.c->flags & (CF_TS | CF_SACK | CF_WSCALE), CF_TS | CF_SACK | CF_WSCALE);
    assert_int_equal(p.c->snd_wscale, 7);
    assert_int_equal(p.c->peer_mss, 1460);
    assert_int_equal(p.c->rcvq_bytes, 10);
    conn_abort(p.c);
    peer_wait(&p, 200 * SECOND);
    p.read = p.count;
    peer_send(&p, 5099, 80, TCP_ACK, PEER_ISN + 1, last.seq + 1, &ts, 0); /* too old */
    assert_int_equal(p.accepted, 1);
    want(&p, TCP_RST);
    listener_close(l);
    peer_fini(&p);
}

static void test_resets_and_challenges_are_bounded(void **state)
{
    static struct peer p;
    struct stack_config conf = {.limits = {.resets_per_s = 10, .challenge_per_s = 40}};
    peer_init(&p, &conf);
    for (unsigned i = 0; i < 100; i++) peer_send(&p, 5000, 80, TCP_ACK, 7, 99, NULL, 0);
    assert_int_equal(p.count, 10);
    assert_int_equal(p.s->n.drop_tcp_rate, 90);
    p.now += SECOND;
    peer_send(&p, 5000, 80, TCP_ACK, 7, 99, NULL, 0);
    assert_int_equal(p.count, 11);
    struct listener *l = peer_listen(&p, 80, 4);
    p.read = p.count;
    tcp_seq nxt = peer_open(&p, 5000, 80);
    unsigned before = p.count;
    for (unsigned i = 0; i < 50; i++) peer_send(&p, 5000, 80, TCP_SYN, PEER_ISN + 1 + i, 0, NULL, 0);
    assert_int_equal(p.count - before, ANSWERS_PER_5S);
    assert_int_equal(p.out[before].seq, nxt);
    conn_abort(p.c);
    listener_close(l);
    peer_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_segment_for_no_listener_is_reset),
        cmocka_unit_test(test_syn_ack_is_repeated_five_times_and_then_forgotten),
        cmocka_unit_test(test_the_syn_again_gets_the_same_answer),
        cmocka_unit_test(test_only_the_exact_reset_ends_a_half_open_one),
        cmocka_unit_test(test_a_wrong_ack_is_reset_and_the_handshake_goes_on),
        cmocka_unit_test(test_a_full_accept_queue_drops_the_last_ack_and_takes_it_later),
        cmocka_unit_test(test_a_flood_is_answered_by_cookies_that_nothing_is_kept_for),
        cmocka_unit_test(test_resets_and_challenges_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
