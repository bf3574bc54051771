/* SPDX-License-Identifier: MIT
 *
 * Segments of a handshake: for a listener (RFC 9293 3.10.7.2), for a half-open passive open (3.10.7.4 as far as
 * SYN-RECEIVED goes), for an active open in SYN-SENT (3.10.7.3).
 *
 *     SYN ─ listener ─┬─ room ───────> synq entry, SYN-ACK ──ACK──┬─> conn in the listener's queue ─> hooks.acceptable
 *                     └─ none ─> SYN-ACK with a cookie ──────ACK──┘   (data of that ACK included)
 *
 * Data and FIN on a SYN-ACK are taken. On a SYN they are not, nor acknowledged (as RFC 9293 3.4 allows: they come
 * again); TCP Fast Open is left out (RFC 7413).
 */
#include "tcp/tcp_input.h"

#include "tcp/conn_table.h"
#include "tcp/cookie.h"
#include "tcp/isn.h"
#include "tcp/listener.h"

#include <errno.h>

#define RTO_AFTER_LOST_SYN (3 * NSEC_PER_SEC) /* RFC 6298 5.7 */

/* --- what a SYN says, and what we make of it ---------------------------------------------------------------------- */

/* RFC 9293 3.7.1 MUST-15: without the option, the smallest there can be. */
static uint16_t mss_of(const struct segment *g)
{
    if (g->opts.has & OPT_MSS) return g->opts.mss;
    return addr_is_v4(&g->remote.addr) ? 536 : 1220;
}

static uint32_t rcv_buffer_of(const struct listener *l)
{
    return conn_buffer_size(l->opts.rcv_buffer, l->stack->conf.limits.rcv_buffer);
}

static uint8_t agree(const struct net_stack *s, const struct segment *g)
{
    const struct stack_config *conf = &s->conf;
    uint8_t f = 0;
    if ((g->opts.has & OPT_TS) && !conf->no_timestamps) f |= SYNQ_TS;
    if ((g->opts.has & OPT_SACK_OK) && !conf->no_sack) f |= SYNQ_SACK;
    if ((g->opts.has & OPT_WSCALE) && !conf->no_wscale) f |= SYNQ_WSCALE;
    if ((g->flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR) && !conf->no_ecn) f |= SYNQ_ECN; /* RFC 3168 6.1.1 */
    return f;
}

static void describe(struct listener *l, const struct segment *g, struct synq_entry *e)
{
    struct net_stack *s = g->stack;
    uint32_t buffer = rcv_buffer_of(l);
    uint8_t flags = agree(s, g);
    *e = (struct synq_entry){
        .listener = l,
        .local = g->local.addr,
        .remote = g->remote.addr,
        .ports = g->ports,
        .hash = g->hash,
        .iss = isn_make(&g->local, &g->remote, s->key_isn, s->now),
        .irs = g->seq,
        .ts_recent = g->opts.ts_val,
        .ts_offset = isn_ts_offset(&g->local, &g->remote, s->key_isn),
        .peer_mss = mss_of(g),
        .window = (uint16_t)(buffer < UINT16_MAX ? buffer : UINT16_MAX), /* never scaled in a SYN (RFC 7323 2.2) */
        .flags = flags,
        .snd_wscale = flags & SYNQ_WSCALE ? g->opts.wscale : 0,
        .rcv_wscale = flags & SYNQ_WSCALE ? conn_wscale_for(buffer) : 0,
    };
}

/* --- cookies ------------------------------------------------------------------------------------------------------ */

static void send_cookie(struct listener *l, const struct segment *g, struct synq_entry *e)
{
    struct net_stack *s = g->stack;
    struct cookie_opts o = {
        .mss = e->peer_mss,
        .ts = e->flags & SYNQ_TS,
        .has_wscale = e->flags & SYNQ_WSCALE,
        .wscale = e->snd_wscale,
        .sack = e->flags & SYNQ_SACK,
        .ecn = e->flags & SYNQ_ECN,
    };
    if (!o.ts) e->flags = 0; /* nowhere to keep them */
    struct synq_entry answer = *e;
    answer.iss = cookie_make(&g->local, &g->remote, e->irs, &o, s->key_cookie, s->now);
    /* synq_send() adds clock and offset: the offset takes what the cookie changes. */
    uint32_t ts_val = (uint32_t)(s->now / NSEC_PER_MSEC) + e->ts_offset;
    answer.ts_offset += cookie_ts_val(ts_val, &o) - ts_val;
    l->cookies_until = s->now + 2 * COOKIE_STEP_NS;
    s->n.tcp_cookies_tx++;
    synq_send(s, &answer);
}

/* Whether the ACK g answers a cookie of ours; *e then is what the entry would have been. */
static bool accept_cookie(struct listener *l, const struct segment *g, struct synq_entry *e)
{
    struct net_stack *s = g->stack;
    struct cookie_opts o;
    if (l->cookies_until <= s->now) return false;
    if (!cookie_check(&g->local, &g->remote, g->seq - 1, g->ack - 1, g->opts.has & OPT_TS, g->opts.ts_ecr,
                      s->key_cookie, s->now, &o)) {
        s->n.drop_tcp_cookie++;
        return false;
    }
    describe(l, g, e);
    e->iss = g->ack - 1;
    e->irs = g->seq - 1;
    e->peer_mss = o.mss;
    e->flags = 0;
    if (o.ts) e->flags = SYNQ_TS | (o.sack ? SYNQ_SACK : 0) | (o.has_wscale ? SYNQ_WSCALE : 0) | (o.ecn ? SYNQ_ECN : 0);
    e->snd_wscale = e->flags & SYNQ_WSCALE ? o.wscale : 0;
    e->rcv_wscale = e->flags & SYNQ_WSCALE ? conn_wscale_for(rcv_buffer_of(l)) : 0;
    s->n.tcp_cookies_ok++;
    return true;
}

/* --- from handshake to connection --------------------------------------------------------------------------------- */

void conn_established(struct conn *c)
{
    bool lost = c->cc.cwnd <= c->mss; /* a SYN or SYN-ACK was */
    tcp_update_mss(c);
    conn_use_controller(c, c->cc.ops);
    if (lost) {
        c->cc.cwnd = c->mss;                                                           /* RFC 5681 3.1 */
        if (!c->rtt.srtt8 && c->rto < RTO_AFTER_LOST_SYN) c->rto = RTO_AFTER_LOST_SYN; /* RFC 6298 5.7 */
    }
    conn_set_state(c, c->flags & CF_FIN_QUEUED ? CONN_FIN_WAIT_1 : CONN_ESTABLISHED);
    conn_limit_buffer(c);
    conn_timer_touch(c);
    conn_dirty(c);
}

static struct conn *make_conn(struct listener *l, const struct segment *g, const struct synq_entry *e)
{
    struct net_stack *s = g->stack;
    int err;
    struct conn *c = conn_new(s, &g->local, &g->remote, &l->opts, &err);
    if (!c) return NULL;
    c->flags &= ~(uint32_t)(CF_TS | CF_SACK | CF_WSCALE | CF_ECN);
    if (e->flags & SYNQ_TS) c->flags |= CF_TS;
    if (e->flags & SYNQ_SACK) c->flags |= CF_SACK;
    if (e->flags & SYNQ_WSCALE) c->flags |= CF_WSCALE;
    if (e->flags & SYNQ_ECN) c->flags |= CF_ECN;
    c->iss = e->iss;
    c->ts_offset = e->ts_offset;
    c->ts_recent = e->ts_recent;
    c->ts_recent_at = conn_coarse(c);
    c->snd_wscale = e->snd_wscale;
    c->rcv_wscale = e->rcv_wscale;
    c->peer_mss = e->peer_mss;
    c->snd_una = c->snd_nxt = c->snd_end = c->iss + 1;
    c->recover = c->iss; /* RFC 6582 3.2, (1) */
    c->snd_small = c->snd_una;
    c->rcv_nxt = c->last_ack_sent = e->irs + 1;
    c->rcv_adv = c->rcv_nxt + e->window;
    c->snd_wl1 = g->seq - 1; /* so that the ACK in hand sets SND.WND */
    c->snd_wl2 = g->ack;
    if (e->tries) c->cc.cwnd = c->mss;
    conn_established(c);
    if (!e->tries && e->sent_at && s->now > e->sent_at) { /* Karn: only if it was sent once */
        rtt_sample(&c->rtt, s->now - e->sent_at, s->now);
        c->rto = rtt_rto(&c->rtt, s->conf.rto_initial, s->conf.rto_min, s->conf.rto_max);
    }
    return c;
}

/* The ACK that ends the handshake: a connection is made and gets the segment, whose data and FIN count (RFC 9293
 * 3.10.7.4, fifth to eighth). */
static void complete(struct listener *l, struct segment *g, const struct synq_entry *e, struct synq_entry *kept)
{
    struct net_stack *s = g->stack;
    if (listener_is_full(l)) { /* the entry stays: our SYN-ACK, or the peer's data, come again */
        s->n.drop_tcp_backlog++;
        return;
    }
    struct conn *c = make_conn(l, g, e);
    if (!c) {
        s->n.drop_memory++;
        return;
    }
    if (kept) synq_remove(s, kept);
    s->n.tcp_passive++;
    listener_enqueue(l, c);
    c->segs_in++;
    tcp_arrive(c, g);
    if (!(c->flags & CF_DEAD)) s->hooks->acceptable(s->arg, l);
}

/* --- LISTEN: RFC 9293 3.10.7.2 ------------------------------------------------------------------------------------ */

void tcp_listen_input(struct listener *l, struct segment *g, bool after_timewait, tcp_seq iss_after)
{
    struct net_stack *s = g->stack;
    struct synq_entry e;
    if (g->flags & TCP_RST) { /* first */
        s->n.drop_tcp_reset++;
        return;
    }
    if (g->flags & TCP_ACK) { /* second */
        if (!(g->flags & TCP_SYN) && accept_cookie(l, g, &e)) {
            complete(l, g, &e, NULL);
            return;
        }
        s->n.drop_tcp_port++;
        if (!s->conf.quiet_closed_ports) tcp_reject(g);
        return;
    }
    if (!(g->flags & TCP_SYN)) { /* fourth: neither RST, ACK nor SYN */
        s->n.drop_tcp_flags++;
        return;
    }
    if (listener_is_full(l)) {
        s->n.drop_tcp_backlog++;
        return;
    }
    describe(l, g, &e); /* third */
    if (after_timewait && seq_before_eq(e.iss, iss_after))
        e.iss = iss_after + 1 + ((uint32_t)rng_u64(&s->rng) & UINT16_MAX);
    if (synq_add(s, &e) == -ENOBUFS) send_cookie(l, g, &e);
}

/* --- SYN-RECEIVED of a passive open: 3.10.7.4 --------------------------------------------------------------------- */

static void answer(struct synq_entry *e, struct segment *g)
{
    struct net_stack *s = g->stack;
    if (!tcp_may_challenge(s, &e->answers)) return;
    struct tcp_opts o = {
        .has = OPT_TS, .ts_val = (uint32_t)(s->now / NSEC_PER_MSEC) + e->ts_offset, .ts_ecr = e->ts_recent};
    struct bare_segment a = {
        .local = g->local,
        .remote = g->remote,
        .seq = e->iss + 1,
        .ack = e->irs + 1,
        .flags = TCP_ACK,
        .window = (uint16_t)(e->window >> e->rcv_wscale),
        .opts = e->flags & SYNQ_TS ? &o : NULL,
        .hops = e->listener->opts.hops,
        .tos = e->listener->opts.tos & 0xfc,
    };
    tcp_send_bare(s, &a);
}

void tcp_synq_input(struct synq_entry *e, struct segment *g)
{
    struct net_stack *s = g->stack;
    tcp_seq rcv_nxt = e->irs + 1;
    uint32_t space = segment_space(g);
    /* the SYN again: our SYN-ACK was lost, or is late */
    if ((g->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN && g->seq == e->irs) {
        s->n.tcp_dup_rx++;
        synq_send(s, e);
        return;
    }
    if ((e->flags & SYNQ_TS) && !(g->flags & TCP_RST)) { /* RFC 7323 3.2, 5.3 */
        bool has = g->opts.has & OPT_TS;
        if (!has || (int32_t)(g->opts.ts_val - e->ts_recent) < 0) {
            s->n.drop_tcp_paws++;
            if (has) answer(e, g);
            return;
        }
    }
    /* first: the sequence number */
    bool acceptable =
        space ? g->seq - rcv_nxt < e->window || g->seq + space - 1 - rcv_nxt < e->window : g->seq - rcv_nxt < e->window;
    if (!acceptable) {
        s->n.drop_tcp_window++;
        if (!(g->flags & TCP_RST)) answer(e, g);
        return;
    }
    /* second: RST, only where it can not be guessed (RFC 5961 3.2) */
    if (g->flags & TCP_RST) {
        if (g->seq == rcv_nxt) {
            s->n.tcp_resets_rx++;
            s->n.tcp_failed++;
            synq_remove(s, e);
        } else {
            s->n.drop_tcp_reset++;
            answer(e, g);
        }
        return;
    }
    /* fourth: SYN (RFC 5961 4.2) */
    if (g->flags & TCP_SYN) {
        s->n.drop_tcp_flags++;
        answer(e, g);
        return;
    }
    /* fifth: ACK */
    if (!(g->flags & TCP_ACK)) {
        s->n.drop_tcp_flags++;
        return;
    }
    if (g->ack != e->iss + 1) {
        s->n.drop_tcp_ack++;
        tcp_reject(g);
        return;
    }
    struct synq_entry copy = *e;
    complete(e->listener, g, &copy, e);
}

/* --- SYN-SENT: 3.10.7.3 ------------------------------------------------------------------------------------------- */

/* The peer's SYN has come: what it offers, and we offered, is agreed on. */
static void take_syn(struct conn *c, const struct segment *g)
{
    c->rcv_nxt = c->last_ack_sent = g->seq + 1;
    uint32_t window = c->rcv_buffer < UINT16_MAX ? c->rcv_buffer : UINT16_MAX; /* as our SYN has told it */
    c->rcv_adv = c->rcv_nxt + window;
    c->peer_mss = mss_of(g);
    if (!(g->opts.has & OPT_TS)) c->flags &= ~(uint32_t)CF_TS;
    if (!(g->opts.has & OPT_SACK_OK)) c->flags &= ~(uint32_t)CF_SACK;
    if (!(g->opts.has & OPT_WSCALE)) c->flags &= ~(uint32_t)CF_WSCALE;
    c->snd_wscale = c->flags & CF_WSCALE ? g->opts.wscale : 0;
    if (!(c->flags & CF_WSCALE)) c->rcv_wscale = 0;
    if (c->flags & CF_TS) {
        c->ts_recent = g->opts.ts_val;
        c->ts_recent_at = conn_coarse(c);
    }
    c->snd_wnd = c->snd_wnd_max = g->window; /* not scaled: RFC 7323 2.2 */
    c->snd_wl1 = g->seq;
    c->snd_wl2 = g->ack;
}

/* RFC 3168 6.1.1: a SYN-ACK agrees by ECE without CWR; a SYN by both. */
static bool agrees_to_ecn(const struct segment *g)
{
    uint8_t both = g->flags & (TCP_ECE | TCP_CWR);
    return g->flags & TCP_ACK ? both == TCP_ECE : both == (TCP_ECE | TCP_CWR);
}

void tcp_syn_sent_input(struct conn *c, struct segment *g)
{
    struct net_stack *s = c->stack;
    bool ack = g->flags & TCP_ACK;
    /* first: ACK; our SYN is all there is to acknowledge */
    if (ack && g->ack != c->iss + 1) {
        s->n.drop_tcp_ack++;
        tcp_reject(g);
        return;
    }
    /* second: RST */
    if (g->flags & TCP_RST) {
        if (ack) {
            s->n.tcp_resets_rx++;
            conn_finish(c, ECONNREFUSED);
        } else {
            s->n.drop_tcp_reset++;
        }
        return;
    }
    /* fourth: SYN */
    if (!(g->flags & TCP_SYN)) {
        s->n.drop_tcp_flags++; /* fifth */
        return;
    }
    /* not ours */
    if ((c->flags & CF_TS) && ack && (g->opts.has & OPT_TS) && seq_after(g->opts.ts_ecr, conn_ts_now(c)))
        g->opts.ts_ecr = 0;
    take_syn(c, g);
    if (!agrees_to_ecn(g)) c->flags &= ~(uint32_t)CF_ECN;
    if (!ack) { /* simultaneous open: figure 8 of 3.5 */
        conn_set_state(c, CONN_SYN_RECEIVED);
        tcp_send_syn(c);
        return;
    }
    struct ack_event e = {.ack = g->ack, .opts = &g->opts};
    recover_ack(c, &e);
    if (c->flags & CF_DEAD) return;
    c->flags |= CF_ACK_NOW;
    conn_established(c);
    c->flags &= ~(uint32_t)CF_ACTIVE;
    if (!(c->flags & CF_DETACHED)) s->hooks->connected(s->arg, c, 0);
    if ((g->len || g->flags & TCP_FIN) && !(c->flags & CF_DEAD)) tcp_arrive_with_syn(c, g);
}
