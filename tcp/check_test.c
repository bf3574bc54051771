/* SPDX-License-Identifier: MIT
 *
 * What stack_check() sees: each field of a connection, of its recovery, of the tables and rings that it says to look at
 * is spoilt, one after the other.
 */
#include "alloc/base/assert_test.h"
#include "tcp/neighbour.h"
#include "tcp/peer_test.h"
#include "tcp/recover.h"

static void check(void *p) { stack_check(((struct peer *)p)->s); }

/* A connection with bytes that wait for the program, bytes on the way and bytes that the window holds back. */
static struct conn *busy(struct peer *p)
{
    static const uint8_t text[20000];
    tcp_seq nxt = peer_open(p, 5000, 80);
    peer_send(p, 5000, 80, TCP_ACK | TCP_PSH, PEER_ISN + 1, nxt, NULL, 100);
    struct buf *b = buf_take(sizeof text);
    memcpy(buf_put_back(b, sizeof text), text, sizeof text);
    uint64_t end;
    assert_int_equal(conn_push(p->c, b, &end), 0);
    peer_take(p);
    check(p);
    assert_true(p->c->inflight.count > 1 && p->c->snd_nxt != p->c->snd_end);
    return p->c;
}

static void test_a_spoilt_connection_is_seen(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct listener *l = peer_listen(&p, 80, 4);
    struct conn *c = busy(&p);
    /* receive queue */
    SEEN(check, &p, c->rcvq_bytes, c->rcvq_bytes + 1, "bytes == c->rcvq_bytes");
    SEEN(check, &p, c->rcvq_count, c->rcvq_count + 1, "count == c->rcvq_count");
    SEEN(check, &p, c->rcvq->len, 0, "b->len > 0");
    SEEN(check, &p, c->rcvq_tail, &c->rcvq, "c->rcvq_tail");
    /* state and flags */
    SEEN(check, &p, c->flags, c->flags | CF_DOOMED, "!(c->flags & CF_DOOMED) || (c->flags & CF_DEAD)");
    SEEN(check, &p, c->flags, c->flags | CF_DEAD, "!timer_runs(&c->timer)");
    SEEN(check, &p, c->state, CONN_CLOSED, "c->state != CONN_CLOSED");
    SEEN(check, &p, c->state, CONN_TIME_WAIT, "c->state != CONN_TIME_WAIT");
    SEEN(check, &p, c->state, CONN_CLOSE_WAIT, "!(c->flags & CF_NOT_OPEN) == (c->state == CONN_ESTABLISHED)");
    SEEN(check, &p, c->flags, c->flags | CF_HOLE, "!(c->flags & CF_HOLE) == !c->reasm");
    /* SND.UNA, SND.NXT, what was pushed */
    SEEN(check, &p, c->snd_una, c->snd_nxt + 1, "seq_before_eq(c->snd_una, c->snd_nxt)");
    SEEN(check, &p, c->snd_una, c->snd_una + 1, "g->start == seq");
    SEEN(check, &p, c->snd_nxt, c->snd_end + 1, "seq_before_eq(c->snd_nxt, c->snd_end");
    SEEN(check, &p, c->snd_nxt, c->snd_nxt - 1, "seq == nxt");
    SEEN(check, &p, c->snd_end, c->snd_end + 1, "seq == end");
    SEEN(check, &p, c->flags, c->flags | CF_FIN_SENT, "!(c->flags & CF_FIN_SENT) || (c->flags & CF_FIN_QUEUED)");
    SEEN(check, &p, c->flags, c->flags | CF_FIN_ACKED, "!(c->flags & CF_FIN_ACKED) || ((c->flags & CF_FIN_SENT)");
    SEEN(check, &p, c->cc.cwnd, 0, "c->cc.cwnd");
    SEEN(check, &p, c->snd_wnd, c->snd_wnd_max + 1, "c->snd_wnd <= c->snd_wnd_max");
    SEEN(check, &p, c->sndq.bytes, c->sndq.bytes + 1, "bytes == q->bytes");
    SEEN(check, &p, c->inflight.lost, 1, "lost == f->lost");
    /* RCV.NXT and the window that was offered */
    SEEN(check, &p, c->rcv_adv, c->rcv_nxt - 1, "seq_before_eq(c->rcv_nxt, c->rcv_adv)");
    SEEN(check, &p, c->rcv_adv, c->rcv_nxt + (1u << 30) + 1, "c->rcv_adv - c->rcv_nxt <= 1u << 30");
    SEEN(check, &p, c->last_ack_sent, c->rcv_nxt + 1, "seq_before_eq(c->last_ack_sent, c->rcv_nxt)");
    /* timers */
    SEEN(check, &p, c->deadlines[DL_REXMIT], NSEC_NEVER, "DL_REXMIT] != NSEC_NEVER");
    SEEN(check, &p, c->deadlines[DL_KEEP], p.now, "c->timer.tick <= (due > passed ? due : passed) + 1");
    SEEN(check, &p, c->flags, c->flags | CF_ACK_NOW, "!(c->flags & CF_ACK_NOW) || looked_at");
    conn_abort(c);
    listener_close(l);
    peer_fini(&p);
}

static void test_a_spoilt_recovery_is_seen(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct listener *l = peer_listen(&p, 80, 4);
    struct conn *c = busy(&p);
    SEEN(check, &p, c->flags, c->flags | CF_RECOVERY, "!recovery && !loss");
    SEEN(check, &p, c->flags, c->flags | CF_RECOVERY | CF_LOSS, "!recovery || !loss");
    struct recovery *r = c->recovery ? c->recovery : recovery_get(c);
    assert_non_null(r);
    check(&p);
    SEEN(check, &p, r->prr_on, true, "!r->prr_on || recovery");
    SEEN(check, &p, r->frto, 1, "!r->frto || loss");
    SEEN(check, &p, r->reo_mult, 0, "r->reo_mult");
    SEEN(check, &p, r->reo_at, r->rack_rtt ? NSEC_NEVER : 1, "r->reo_at == NSEC_NEVER || r->rack_rtt");
    SEEN(check, &p, r->fack, c->snd_nxt + 1, "seq_before_eq(r->fack, c->snd_nxt)");
    tcp_seq before = r->tlp_end;
    r->tlp_end = c->snd_nxt + 1;
    SEEN(check, &p, r->tlp_out, true, "!r->tlp_out || seq_before_eq(r->tlp_end, c->snd_nxt)");
    r->tlp_end = before;
    c->flags |= CF_RECOVERY;
    c->recover = c->snd_nxt;
    SEEN(check, &p, c->recover, c->snd_nxt + 1, "seq_before_eq(c->recover, c->snd_nxt)");
    c->flags &= ~CF_RECOVERY;
    conn_abort(c);
    listener_close(l);
    peer_fini(&p);
}

static void test_spoilt_tables_are_seen(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct listener *l = peer_listen(&p, 80, 4);
    struct conn *c = busy(&p);
    struct tcp_layer *t = &p.s->tcp;
    uint32_t at = 0;
    while (!t->conns.tags[at]) at++;
    SEEN(check, &p, t->conns.count, t->conns.count + 1, "count == t->count");
    SEEN(check, &p, t->conns.count, t->conns.mask, "t->count <= (t->mask + 1) / 2");
    SEEN(check, &p, t->conns.tags[at], 0, "count == t->count");
    SEEN(check, &p, t->conns.tags[at], t->conns.tags[at] + 1, "conn_table_find(");
    SEEN(check, &p, c->ports, c->ports + 1, "c->ports == conn_ports(");
    SEEN(check, &p, t->conn_count, t->conn_count + 1, "count == s->tcp.conn_count");
    /* a handshake that is half open */
    peer_send(&p, 6000, 80, TCP_SYN, PEER_ISN, 0, NULL, 0);
    struct ip_addr us = peer_addr(1), them = peer_addr(2);
    struct ip_port local = {.addr = us, .port = 80}, remote = {.addr = them, .port = 6000};
    uint32_t ports = conn_ports(local.port, remote.port), hash = conn_hash(p.s->hash_seed, &us, &them, ports);
    struct synq_entry *e = synq_find(p.s, hash, &us, &them, ports);
    assert_non_null(e);
    SEEN(check, &p, e->hash, e->hash + 1, "e->hash == conn_hash(");
    SEEN(check, &p, e->ports, e->ports + 1, "e->hash == conn_hash(");
    SEEN(check, &p, e->tries, 1, "e->tries == i");
    SEEN(check, &p, l->half_open, 0, "e->listener->half_open");
    SEEN(check, &p, p.s->conf.limits.half_open, 0, "count <= s->conf.limits.half_open");
    /* the ring of frames to send */
    SEEN(check, &p, p.s->tx.head, p.s->tx.tail - p.s->tx.mask - 2, "s->tx.tail - s->tx.head <= s->tx.mask + 1");
    SEEN(check, &p, p.s->ip.loop.head, p.s->ip.loop.tail - p.s->ip.loop.mask - 2, "s->ip.loop.tail");
    conn_abort(c);
    listener_close(l);
    peer_fini(&p);
}

static void test_a_spoilt_neighbour_is_seen(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct ip_addr a = peer_addr(2);
    struct neighbour *n = neighbour_find(p.s, &a);
    assert_non_null(n);
    SEEN(check, &p, n->addr.w[3], n->addr.w[3] + 1, "neighbour_find(s, &n->addr) == n");
    SEEN(check, &p, n->waiting_count, 1, "n->waiting_count == 0 || n->state == NEIGH_INCOMPLETE");
    SEEN(check, &p, n->conns.next, (struct list *)n, "list_is_empty(&n->conns)");
    SEEN(check, &p, n->datagrams.next, (struct list *)n, "list_is_empty(&n->datagrams)");
    SEEN(check, &p, n->fixed, false, "timer_runs(&n->timer)");
    SEEN(check, &p, n->state, NEIGH_FREE, "count == t->count");
    SEEN(check, &p, n->state, NEIGH_INCOMPLETE, "incomplete == t->incomplete");
    peer_fini(&p);
}

static void test_a_spoilt_time_wait_is_seen(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    struct listener *l = peer_listen(&p, 80, 4);
    struct timewait_rec *w[2];
    for (int i = 0; i < 2; i++) {
        struct ip_port local = {.addr = peer_addr(1), .port = 80},
                       remote = {.addr = peer_addr(2), .port = (uint16_t)(7000 + i)};
        tcp_seq nxt = peer_open(&p, remote.port, 80);
        conn_close(p.c, NSEC_NEVER);
        peer_take(&p);
        peer_send(&p, remote.port, 80, TCP_FIN | TCP_ACK, PEER_ISN + 1, nxt + 1, NULL, 0);
        p.read = p.count;
        uint32_t ports = conn_ports(local.port, remote.port);
        w[i] = timewait_find(p.s, conn_hash(p.s->hash_seed, &local.addr, &remote.addr, ports), &local.addr,
                             &remote.addr, ports);
        assert_non_null(w[i]);
        peer_wait(&p, SECOND);
    }
    SEEN(check, &p, w[0]->hash, w[0]->hash + 1, "w->hash == conn_hash(");
    SEEN(check, &p, w[1]->ports, w[1]->ports + 1, "w->hash == conn_hash(");
    SEEN(check, &p, w[1]->started, w[0]->started - 1, "w->started >= last");
    SEEN(check, &p, w[0]->link.next, w[1]->link.next, "count == t->count");
    listener_close(l);
    peer_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_spoilt_connection_is_seen), cmocka_unit_test(test_a_spoilt_recovery_is_seen),
        cmocka_unit_test(test_spoilt_tables_are_seen),      cmocka_unit_test(test_a_spoilt_neighbour_is_seen),
        cmocka_unit_test(test_a_spoilt_time_wait_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
