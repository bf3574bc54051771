/* SPDX-License-Identifier: MIT */
#include "tcp/peer_test.h"

/* Opened by the peer, closed by us first: we keep TIME-WAIT. Returns SND.NXT; the peer's next is PEER_ISN + 2. */
static tcp_seq close_first(struct peer *p, uint16_t from, const struct tcp_opts *syn, uint32_t ts)
{
    struct tcp_opts o = {.has = syn ? OPT_TS : 0, .ts_val = ts};
    unsigned at = p->count;
    peer_send(p, from, 80, TCP_SYN, PEER_ISN, 0, syn, 0);
    tcp_seq nxt = p->out[at].seq + 1;
    assert_int_equal(p->out[at].flags, TCP_SYN | TCP_ACK);
    o.ts_ecr = p->out[at].opts.ts_val;
    peer_send(p, from, 80, TCP_ACK, PEER_ISN + 1, nxt, syn ? &o : NULL, 0);
    struct conn *c = p->c;
    conn_close(c, NSEC_NEVER);
    peer_take(p);
    assert_int_equal(p->out[p->count - 1].flags, TCP_FIN | TCP_ACK);
    peer_send(p, from, 80, TCP_FIN | TCP_ACK, PEER_ISN + 1, nxt + 1, syn ? &o : NULL, 0);
    assert_int_equal(p->out[p->count - 1].flags, TCP_ACK);
    assert_int_equal(p->out[p->count - 1].ack, PEER_ISN + 2);
    p->read = p->count;
    return nxt + 1;
}

static void test_a_repeated_fin_is_acknowledged_and_an_exact_reset_ends_it(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct listener *l = peer_listen(&p, 80, 4);
    tcp_seq nxt = close_first(&p, 5000, NULL, 0);
    assert_int_equal(timewait_count(p.s), 1);
    assert_int_equal(p.s->tcp.conn_count, 0);
    peer_send(&p, 5000, 80, TCP_RST, PEER_ISN + 1, 0, NULL, 0); /* an old duplicate */
    assert_int_equal(timewait_count(p.s), 1);
    assert_int_equal(p.read, p.count);
    peer_send(&p, 5000, 80, TCP_RST, PEER_ISN + 3, 0, NULL, 0); /* in the window: RFC 5961 3.2 */
    assert_int_equal(timewait_count(p.s), 1);
    assert_int_equal(want(&p, TCP_ACK)->ack, PEER_ISN + 2);
    peer_wait(&p, 59 * SECOND);
    peer_send(&p, 5000, 80, TCP_FIN | TCP_ACK, PEER_ISN + 1, nxt, NULL, 0);
    struct seen *o = want(&p, TCP_ACK);
    assert_int_equal(o->seq, nxt);
    assert_int_equal(o->ack, PEER_ISN + 2);
    peer_wait(&p, 59 * SECOND); /* its time began anew */
    assert_int_equal(timewait_count(p.s), 1);
    peer_wait(&p, 2 * SECOND);
    assert_int_equal(timewait_count(p.s), 0);
    close_first(&p, 5001, NULL, 0);
    peer_send(&p, 5001, 80, TCP_RST, PEER_ISN + 2, 0, NULL, 0);
    assert_int_equal(timewait_count(p.s), 0);
    assert_int_equal(p.read, p.count);
    listener_close(l);
    peer_fini(&p);
}

static void test_an_old_syn_is_refused_and_a_newer_one_opens_anew(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct listener *l = peer_listen(&p, 80, 4);
    tcp_seq nxt = close_first(&p, 5000, NULL, 0);
    peer_send(&p, 5000, 80, TCP_SYN, PEER_ISN, 0, NULL, 0);
    assert_int_equal(want(&p, TCP_ACK)->seq, nxt);
    assert_int_equal(timewait_count(p.s), 1);
    peer_send(&p, 5000, 80, TCP_SYN, PEER_ISN + 3, 0, NULL, 0);
    struct seen *o = want(&p, TCP_SYN | TCP_ACK);
    assert_true(seq_after(o->seq, nxt + 65535)); /* RFC 1122 4.2.2.13 */
    assert_int_equal(timewait_count(p.s), 0);
    assert_int_equal(synq_count(p.s), 1);
    listener_close(l);
    peer_fini(&p);
}

static void test_a_larger_timestamp_opens_anew_whatever_the_number(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct listener *l = peer_listen(&p, 80, 4);
    struct tcp_opts syn = {.has = OPT_MSS | OPT_TS, .mss = 1460, .ts_val = 100};
    close_first(&p, 5000, &syn, 101);
    syn.ts_val = 100;
    peer_send(&p, 5000, 80, TCP_SYN, PEER_ISN + 5000, 0, &syn, 0); /* later in number, older in time: RFC 6191 2 */
    want(&p, TCP_ACK);
    syn.ts_val = 102;
    peer_send(&p, 5000, 80, TCP_SYN, PEER_ISN - 5000, 0, &syn, 0);
    want(&p, TCP_SYN | TCP_ACK);
    assert_int_equal(timewait_count(p.s), 0);
    listener_close(l);
    peer_fini(&p);
}

static void test_the_oldest_makes_room(void **state)
{
    static struct peer p;
    struct stack_config conf = {.limits = {.time_wait = 100}};
    peer_init(&p, &conf);
    struct listener *l = peer_listen(&p, 80, 4);
    for (unsigned i = 0; i < 150; i++) {
        close_first(&p, (uint16_t)(5000 + i), NULL, 0);
        p.now += 10 * MSEC;
        stack_advance(p.s, p.now);
    }
    assert_int_equal(timewait_count(p.s), 100);
    struct ip_addr us = peer_addr(1), peer = peer_addr(2);
    for (unsigned i = 0; i < 150; i++) {
        uint32_t ports = conn_ports(80, (uint16_t)(5000 + i));
        bool there = timewait_find(p.s, conn_hash(p.s->hash_seed, &us, &peer, ports), &us, &peer, ports);
        assert_int_equal(there, i >= 50);
    }
    timewait_remove_address(p.s, &us);
    assert_int_equal(timewait_count(p.s), 0);
    listener_close(l);
    peer_fini(&p);
}

static void test_our_own_connect_takes_over_only_with_timestamps_and_after_a_second(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct listener *l = peer_listen(&p, 80, 4);
    struct tcp_opts syn = {.has = OPT_MSS | OPT_TS, .mss = 1460, .ts_val = 100};
    struct ip_port from = {.addr = peer_addr(1), .port = 80}, to = {.addr = peer_addr(2), .port = 5000};
    struct conn *c;
    close_first(&p, 5001, NULL, 0);
    tcp_seq nxt = close_first(&p, 5000, &syn, 101);
    assert_int_equal(conn_connect(p.s, &from, &to, NULL, &p, &c), -EADDRINUSE);
    peer_wait(&p, 2 * SECOND);
    assert_int_equal(conn_connect(p.s, &from, &to, NULL, &p, &c), 0);
    peer_take(&p);
    assert_true(seq_after(want(&p, TCP_SYN)->seq, nxt + 65535));
    conn_abort(c);
    to.port = 5001;
    assert_int_equal(conn_connect(p.s, &from, &to, NULL, &p, &c), -EADDRINUSE);
    listener_close(l);
    peer_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_repeated_fin_is_acknowledged_and_an_exact_reset_ends_it),
        cmocka_unit_test(test_an_old_syn_is_refused_and_a_newer_one_opens_anew),
        cmocka_unit_test(test_a_larger_timestamp_opens_anew_whatever_the_number),
        cmocka_unit_test(test_the_oldest_makes_room),
        cmocka_unit_test(test_our_own_connect_takes_over_only_with_timestamps_and_after_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
