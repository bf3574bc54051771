/* SPDX-License-Identifier: MIT
 *
 * A connection described: figures in the style of Linux's TCP_INFO, one line for people, and its invariants.
 */
#include "tcp/conn.h"

#include "tcp/recover.h"

#include <stdio.h>

/* Linux's numbers (TCP_ESTABLISHED and so on): programs that read tcpi_state expect them. */
static const uint8_t linux_state[] = {
    [CONN_CLOSED] = 7,     [CONN_SYN_SENT] = 2,   [CONN_SYN_RECEIVED] = 3, [CONN_ESTABLISHED] = 1,
    [CONN_FIN_WAIT_1] = 4, [CONN_FIN_WAIT_2] = 5, [CONN_CLOSE_WAIT] = 8,   [CONN_CLOSING] = 11,
    [CONN_LAST_ACK] = 9,   [CONN_TIME_WAIT] = 6,
};

static uint32_t segments(uint32_t bytes, uint16_t mss) { return mss ? (bytes + mss - 1) / mss : 0; }
static nsec since(const struct conn *c, nsec at) { return at && at <= conn_now(c) ? conn_now(c) - at : 0; }
static uint32_t out_of_order(const struct conn *c) { return c->reasm ? reasm_bytes(c->reasm) : 0; }

/* Records on the way again. */
static uint32_t retransmitted(const struct inflight *f)
{
    uint32_t n = 0;
    for (uint32_t i = f->head; i != inflight_end(f); i++) {
        const struct sent_seg *g = inflight_at(f, i);
        if ((g->flags & SEG_RETRANS) && !(g->flags & (SEG_SACKED | SEG_LOST))) n++;
    }
    return n;
}

void conn_info(const struct conn *c, struct conn_info *out)
{
    const struct inflight *f = &c->inflight;
    *out = (struct conn_info){
        .state = linux_state[c->state],
        .ca_state = c->flags & CF_LOSS        ? 4
                    : c->flags & CF_RECOVERY  ? 3
                    : c->flags & CF_CWR_DUE   ? 2
                    : c->dupacks || f->sacked ? 1
                                              : 0,
        .retransmits = c->retransmits,
        .probes = c->probes,
        .backoff = c->backoff,
        .timestamps = c->flags & CF_TS,
        .sack = c->flags & CF_SACK,
        .wscale = c->flags & CF_WSCALE,
        .ecn = c->flags & CF_ECN,
        .snd_wscale = c->snd_wscale,
        .rcv_wscale = c->rcv_wscale,
        .snd_mss = c->mss,
        .rcv_mss = c->rcv_mss,
        .pmtu = c->path.mtu,
        .unacked_segments = f->count,
        .sacked_segments = segments(f->sacked, c->mss),
        .lost_segments = segments(f->lost, c->mss),
        .retrans_segments = retransmitted(f),
        .reordering_segments = 3,
        .snd_cwnd_bytes = c->cc.cwnd,
        .snd_ssthresh_bytes = c->cc.ssthresh,
        .snd_wnd = c->snd_wnd,
        .rcv_wnd = c->rcv_adv - c->rcv_nxt,
        .rcv_space = c->rcv_buffer,
        .rcv_queued = c->rcvq_bytes,
        .rcv_out_of_order = out_of_order(c),
        .unsent = seq_after(c->snd_end, c->snd_nxt) ? c->snd_end - c->snd_nxt : 0,
        .rto = c->rto,
        .srtt = rtt_srtt(&c->rtt),
        .rttvar = c->rtt.rttvar4 / 4,
        .rtt_min = c->rtt.min,
        .since_data_sent = since(c, c->last_snd_at),
        .since_data_received = since(c, c->last_rcv_at),
        .since_ack_received = since(c, c->last_rcv_at),
        .bytes_acked = c->stream_una,
        .bytes_received = c->bytes_in,
        .bytes_sent = conn_sent(c) + c->bytes_rexmit,
        .bytes_retransmitted = c->bytes_rexmit,
        .segments_in = c->segs_in,
        .segments_out = c->segs_out,
        .data_segments_in = c->data_segs_in,
        .data_segments_out = c->data_segs_out,
        .total_retransmits = c->rexmits,
        .duplicates_received = c->dups_in,
        .pacing_rate = c->cc.pacing_rate,
        .cc = c->cc.ops ? c->cc.ops->name : "",
    };
}

static const char *const state_names[] = {
    [CONN_CLOSED] = "CLOSED",           [CONN_SYN_SENT] = "SYN-SENT",     [CONN_SYN_RECEIVED] = "SYN-RECEIVED",
    [CONN_ESTABLISHED] = "ESTABLISHED", [CONN_FIN_WAIT_1] = "FIN-WAIT-1", [CONN_FIN_WAIT_2] = "FIN-WAIT-2",
    [CONN_CLOSE_WAIT] = "CLOSE-WAIT",   [CONN_CLOSING] = "CLOSING",       [CONN_LAST_ACK] = "LAST-ACK",
    [CONN_TIME_WAIT] = "TIME-WAIT",
};

static const char *name(const struct ip_port *e, char out[ADDR_TEXT_MAX + 10])
{
    char text[ADDR_TEXT_MAX];
    snprintf(out, ADDR_TEXT_MAX + 10, addr_is_v4(&e->addr) ? "%s:%u" : "[%s]:%u", addr_text(&e->addr, text), e->port);
    return out;
}

/* Sequence numbers from the start of each direction: what a person can compare. */
const char *conn_print(const struct conn *c, char *out, size_t n)
{
    static const char *const timers[DL_COUNT] = {"rexmit", "ack", "keep", "pace"};
    char local[ADDR_TEXT_MAX + 10], remote[ADDR_TEXT_MAX + 10], running[128] = "";
    tcp_seq irs = c->rcv_nxt - (uint32_t)c->bytes_in - 1 - !!(c->flags & CF_FIN_RCVD);
    size_t at = 0;
    for (int i = 0; i < DL_COUNT && at < sizeof running; i++) {
        if (c->deadlines[i] == NSEC_NEVER) continue;
        int64_t in = (int64_t)(c->deadlines[i] - conn_now(c));
        at += (size_t)snprintf(running + at, sizeof running - at, " %s:%lldus", timers[i], (long long)(in / 1000));
    }
    snprintf(out, n,
             "%s > %s %s flags %x una +%u nxt +%u end +%u wnd %u cwnd %u ssthresh %u flight %u sacked %u lost %u | "
             "rcv +%u adv +%u queued %u ooo %u | "
             "srtt %lluus rto %lluus mss %u timers%s err %d",
             name(&c->local, local), name(&c->remote, remote), state_names[c->state], c->flags, c->snd_una - c->iss,
             c->snd_nxt - c->iss, c->snd_end - c->iss, c->snd_wnd, c->cc.cwnd, c->cc.ssthresh, c->snd_nxt - c->snd_una,
             c->inflight.sacked, c->inflight.lost, c->rcv_nxt - irs, c->rcv_adv - irs, c->rcvq_bytes, out_of_order(c),
             (unsigned long long)(rtt_srtt(&c->rtt) / 1000), (unsigned long long)(c->rto / 1000), c->mss, running,
             c->error);
    return out;
}

/* --- invariants --------------------------------------------------------------------------------------------------- */

static void check_receive_queue(const struct conn *c)
{
    uint32_t bytes = 0, count = 0;
    struct buf *const *tail = &c->rcvq;
    for (const struct buf *b = c->rcvq; b; b = b->next) {
        ASSERT(b->len > 0);
        bytes += b->len;
        count++;
        tail = &b->next;
    }
    ASSERT(bytes == c->rcvq_bytes && count == c->rcvq_count);
    ASSERT(tail == (struct buf *const *)c->rcvq_tail);
    ASSERT(!c->rcvq_copied || c->rcvq);
}

/* Whatever is waited for has a deadline, unless the next flush looks at it anyway (or a neighbour's answer makes it),
 * and the timer comes no later than the earliest. */
static void check_timers(const struct conn *c)
{
    bool looked_at = !list_is_empty(&c->dirty) || c->deadlines[DL_PACE] != NSEC_NEVER;
    nsec first = NSEC_NEVER;
    for (int i = 0; i < DL_COUNT; i++) first = c->deadlines[i] < first ? c->deadlines[i] : first;
    if (first != NSEC_NEVER) {
        uint64_t due = first >> WHEEL_TICK_BITS, passed = c->stack->wheel.tick;
        ASSERT(timer_runs(&c->timer));
        ASSERT(c->timer.tick <= (due > passed ? due : passed) + 1);
    }
    ASSERT(!c->inflight.count || c->deadlines[DL_REXMIT] != NSEC_NEVER);
    ASSERT(!recover_has_unsent(c) || c->deadlines[DL_REXMIT] != NSEC_NEVER || looked_at);
    ASSERT(!(c->flags & CF_ACK_NOW) || looked_at);
    ASSERT(!(c->flags & CF_ACK_DELAYED) || c->deadlines[DL_ACK] != NSEC_NEVER || looked_at);
}

void conn_check(const struct conn *c)
{
    check_receive_queue(c);
    ASSERT(!(c->flags & CF_DOOMED) || (c->flags & CF_DEAD));
    if (c->flags & CF_DEAD) {
        ASSERT(!timer_runs(&c->timer) && list_is_empty(&c->dirty) && !c->reasm && !c->sndq.bytes);
        return;
    }
    ASSERT(c->state != CONN_CLOSED && c->state != CONN_TIME_WAIT);
    ASSERT(!(c->flags & CF_NOT_OPEN) == (c->state == CONN_ESTABLISHED));
    ASSERT(!(c->flags & CF_HOLE) == !c->reasm);

    /* SND.UNA <= SND.NXT <= snd_end, and FIN behind */
    ASSERT(seq_before_eq(c->snd_una, c->snd_nxt));
    ASSERT(seq_before_eq(c->snd_nxt, c->snd_end + (c->flags & CF_FIN_SENT ? 1 : 0)) || c->state <= CONN_SYN_RECEIVED);
    ASSERT(!(c->flags & CF_FIN_SENT) || (c->flags & CF_FIN_QUEUED));
    ASSERT(!(c->flags & CF_FIN_ACKED) || ((c->flags & CF_FIN_SENT) && c->snd_una == c->snd_end + 1));
    ASSERT(!(c->flags & CF_FIN_ACKED) == (c->state != CONN_FIN_WAIT_2));
    ASSERT(c->cc.cwnd);
    ASSERT(c->snd_wnd <= c->snd_wnd_max);
    inflight_check(&c->inflight, c->snd_una, c->snd_nxt);
    recover_check(c);
    check_timers(c);
    if (c->flags & CF_FIN_ACKED) ASSERT(!c->sndq.count);
    else sndq_check(&c->sndq, c->state <= CONN_SYN_RECEIVED ? c->iss + 1 : c->snd_una, c->snd_end);

    /* states and what they mean */
    bool fin_queued = c->flags & CF_FIN_QUEUED, fin_rcvd = c->flags & CF_FIN_RCVD;
    switch (c->state) {
    case CONN_ESTABLISHED: ASSERT(!fin_queued && !fin_rcvd); break;
    case CONN_FIN_WAIT_1:
    case CONN_FIN_WAIT_2: ASSERT(fin_queued && !fin_rcvd); break;
    case CONN_CLOSE_WAIT: ASSERT(!fin_queued && fin_rcvd); break;
    case CONN_CLOSING:
    case CONN_LAST_ACK: ASSERT(fin_queued && fin_rcvd); break;
    default: break;
    }

    /* receive side */
    if (c->state == CONN_SYN_SENT) return;
    ASSERT(seq_before_eq(c->rcv_nxt, c->rcv_adv) || fin_rcvd);
    ASSERT(c->rcv_adv - c->rcv_nxt <= 1u << 30 || fin_rcvd); /* RFC 7323 2.3 */
    ASSERT(seq_before_eq(c->last_ack_sent, c->rcv_nxt));
    if (c->reasm) reasm_check(c->reasm, c->rcv_nxt, c->rcv_adv);
}
