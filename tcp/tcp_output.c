/* SPDX-License-Identifier: MIT
 *
 * What leaves, and when.
 *
 *     tcp_output   1  what a timer asked for: probe of a zero window, tail loss probe, keep-alive
 *                  2  what is lost, again
 *                  3  what is new, as far as the peer's window, congestion control, pacing, Nagle and silly windows let
 *                     it
 *                  4  an ACK, if one is due and nothing carried it
 *
 * RFC 9293 3.8.6.2.1 (silly windows, sender), 3.8.6.2.2 (receiver), 3.7.4 (Nagle), 3.8.6.1 (zero windows), 3.7.1 and
 * RFC 6691 (MSS); RFC 7323 (timestamps in every segment, scale); RFC 2018 4, 2883 4 (SACK and DSACK in ACKs); RFC 3168
 * 6.1 (ECT, ECE, CWR); RFC 5681 4.1 (restart).
 *
 * ACKs leave here only, at the end of a turn: a reply that was pushed meanwhile carries them. SACK blocks go in ACKs of
 * their own, never on data: a segment with data is no duplicate ACK for the peer, and its payload would have to shrink.
 *
 * Left out: urgent data are never sent (RFC 6093); data in a SYN (RFC 7413).
 */
#include "tcp/conn.h"

#include "tcp/hdr.h"
#include "tcp/recover.h"

#include <netinet/in.h>

#define TS_SIZE 12u
/* of what a peer may ask for (CVE-2019-11479): below, headers are most of what is sent. Deviation from RFC 9293
 * 3.7.1 */
#define MSS_MIN         88u
#define MSS_DEFAULT4    536u /* RFC 9293 3.7.1: without the option */
#define MSS_DEFAULT6    1220u
#define CORK_NS         (200 * NSEC_PER_MSEC)
#define MEMORY_RETRY_NS (10 * NSEC_PER_MSEC)
#define PACE_QUANTUM_NS NSEC_PER_MSEC /* sent in one go when paced: a millisecond's worth, and two segments at least */
#define ECN_ECT0        2

/* --- windows and sizes -------------------------------------------------------------------------------------------- */

/* Silly-window rule of the receiver, 3.8.6.2.2: the right edge stays where it is until it can move by min(half the
 * buffer, a segment of the peer's); and it never moves left (3.8.6). The field is rounded down to the scale, so that
 * what is told may seem to retract by less than a unit (RFC 7323 2.4); input takes data up to rcv_adv nevertheless. */
uint16_t tcp_window_to_offer(struct conn *c)
{
    uint32_t space = c->rcvq_bytes < c->rcv_buffer ? c->rcv_buffer - c->rcvq_bytes : 0;
    uint32_t told = c->rcv_adv - c->rcv_nxt;
    if ((int32_t)told < 0) told = 0;
    uint32_t step = c->rcv_buffer / 2;
    if (c->rcv_mss < step) step = c->rcv_mss;
    uint32_t window = told;
    if (space > told && space - told >= step) window = space;
    uint32_t most = (uint32_t)UINT16_MAX << c->rcv_wscale;
    if (window > most) window = most;
    uint32_t field = window >> c->rcv_wscale;
    tcp_seq edge = c->rcv_nxt + (field << c->rcv_wscale);
    if (seq_after(edge, c->rcv_adv)) c->rcv_adv = edge;
    return (uint16_t)field;
}

uint16_t tcp_mss_to_offer(struct net_stack *s, const struct ip_addr *remote, const struct conn_opts *o)
{
    uint32_t headers = (addr_is_v4(remote) ? sizeof(struct ip4_hdr) : sizeof(struct ip6_hdr)) + TCP_HDR_MIN;
    uint32_t mss = s->conf.mtu > headers + MSS_MIN ? s->conf.mtu - headers : MSS_MIN;
    if (s->conf.mss_max && s->conf.mss_max < mss) mss = s->conf.mss_max;
    if (o && o->mss && o->mss < mss) mss = o->mss;
    return (uint16_t)mss;
}

/* RFC 9293 3.7.1: Eff.snd.MSS = min(SendMSS + 20, MMS_S) - TCPhdrsize - IPoptionsize, with the options that every
 * segment carries taken off (RFC 6691 3). */
void tcp_update_mss(struct conn *c)
{
    struct net_stack *s = c->stack;
    uint32_t peer = c->peer_mss ? c->peer_mss : addr_is_v4(&c->remote.addr) ? MSS_DEFAULT4 : MSS_DEFAULT6;
    if (peer < MSS_MIN) peer = MSS_MIN;
    uint32_t packet = path_l4_max(s, &c->path), mss = packet > TCP_HDR_MIN ? packet - TCP_HDR_MIN : 0;
    if (peer < mss) mss = peer;
    if (s->conf.mss_max && s->conf.mss_max < mss) mss = s->conf.mss_max;
    if (c->opts && c->opts->mss && c->opts->mss < mss) mss = c->opts->mss;
    uint32_t options = c->flags & CF_TS ? TS_SIZE : 0;
    /* 32: a path of 68 bytes (RFC 791) still gets through with timestamps off */
    mss = mss > options + 32 ? mss - options : 32;
    if (mss == c->mss) return;
    bool smaller = mss < c->mss;
    c->mss = (uint16_t)mss;
    if (c->cc.ops) cc_set_mss(&c->cc, mss);
    if (smaller && c->inflight.count && conn_is_synchronised(c)) recover_smaller_mss(c);
}

/* --- segments ----------------------------------------------------------------------------------------------------- */

static inline uint32_t timestamp(const struct conn *c) { return conn_ts_now(c); }

/* Writes a header with timestamps if they are agreed on; returns its size. The ACK it carries is told. */
static inline uint8_t write_header(struct conn *c, struct buf *b, tcp_seq seq, uint8_t flags)
{
    uint32_t size = TCP_HDR_MIN + (c->flags & CF_TS ? TS_SIZE : 0);
    struct tcp_hdr *h = buf_push_front(b, size);
    if (c->flags & CF_ECE) flags |= TCP_ECE;
    h->src = be16_of(c->local.port);
    h->dst = be16_of(c->remote.port);
    h->seq = be32_of(seq);
    h->ack = be32_of(c->rcv_nxt);
    h->offset = (uint8_t)(size << 2);
    h->flags = flags;
    h->window = be16_of(tcp_window_to_offer(c));
    h->csum = h->urgent = 0;
    if (c->flags & CF_TS) {
        uint8_t *o = (uint8_t *)(h + 1);
        store_u32(o, 0x0a080101); /* NOP, NOP, kind 8, length 10 (RFC 7323 appendix A) */
        store_be32(o + 4, timestamp(c));
        store_be32(o + 8, c->ts_recent);
    }
    c->last_ack_sent = c->rcv_nxt;
    c->flags &= ~(uint32_t)(CF_ACK_NOW | CF_ACK_DELAYED);
    c->deadlines[DL_ACK] = NSEC_NEVER;
    c->segs_out++;
    c->stack->n.tcp_tx++;
    return (uint8_t)size;
}

/* Memory ran out on the way out: the timer asks again. */
static void try_later(struct conn *c)
{
    c->stack->n.drop_memory++;
    conn_timer_set(c, DL_PACE, conn_now(c) + MEMORY_RETRY_NS);
}

/* [seq, seq + len) and, with fin, FIN. False: out of memory. */
static inline bool send_data(struct conn *c, tcp_seq seq, uint32_t len, bool fin, bool again)
{
    struct net_stack *s = c->stack;
    struct buf *b = likely(len != 0) ? sndq_segment(&c->sndq, seq, len, s->conf.segs_max) : buf_take_exact(0);
    if (unlikely(!b)) {
        try_later(c);
        return false;
    }
    uint8_t flags = TCP_ACK, ecn = 0;
    if (seq + len == c->snd_end && len) flags |= TCP_PSH; /* 3.9.1.2: when the buffer is empty with it */
    if (fin) flags |= TCP_FIN;
    if (c->flags & CF_ECN && len && !again) { /* RFC 3168 6.1.5: not on retransmissions */
        ecn = ECN_ECT0;
        if (c->flags & CF_CWR_DUE) {
            flags |= TCP_CWR;
            c->flags &= ~(uint32_t)CF_CWR_DUE;
        }
    }
    uint8_t size = write_header(c, b, seq, flags);
    c->data_segs_out++;
    s->n.tcp_tx_bytes += len;
    path_send(s, &c->path, b, size + len, size, len > c->mss ? c->mss : 0, ecn);
    return true;
}

/* SND.NXT, for a segment without text; but where the peer has taken back window, the last number inside of it: beyond,
 * it would be unacceptable (RFC 9293 3.10.7.4 first), and so is the edge itself. By less than a unit of its scale the
 * window only seems to shrink (RFC 7323 2.4). */
static inline tcp_seq control_seq(const struct conn *c)
{
    tcp_seq edge = c->snd_una + c->snd_wnd;
    int32_t beyond = (int32_t)(c->snd_nxt - edge);
    if (likely(beyond < 1 << c->snd_wscale)) return c->snd_nxt;
    return c->snd_wnd ? edge - 1 : edge;
}

/* A segment without payload at seq: an ACK, a probe, a keep-alive. */
static bool send_empty(struct conn *c, tcp_seq seq, uint8_t flags)
{
    struct buf *b = buf_take_exact(0);
    if (unlikely(!b)) {
        try_later(c);
        return false;
    }
    uint8_t size = write_header(c, b, seq, flags);
    path_send(c->stack, &c->path, b, size, size, 0, 0);
    return true;
}

static bool has_sacks(const struct conn *c)
{
    return c->flags & CF_SACK && (c->dsack.start != c->dsack.end || !reasm_is_empty(c->reasm));
}

/* RFC 2018 4: the block that changed last comes first. RFC 2883 4: and a duplicate before it; if it lies behind a
 * hole, the block that it is part of is the second. */
static unsigned sack_blocks(struct conn *c, struct sack_block *out, unsigned max)
{
    unsigned n = 0;
    if (c->dsack.start != c->dsack.end) {
        out[n++] = c->dsack;
        c->dsack.end = c->dsack.start;
    }
    if (!reasm_is_empty(c->reasm)) n += reasm_sacks(c->reasm, out + n, max - n);
    return n;
}

/* The header is written with its timestamps first; SACK blocks go behind them, so the buf is shifted by their size. */
static bool send_ack(struct conn *c)
{
    if (likely(!has_sacks(c))) {
        c->stack->n.tcp_acks_tx++;
        return send_empty(c, control_seq(c), TCP_ACK);
    }
    struct buf *b = buf_take_exact(0);
    if (unlikely(!b)) {
        try_later(c);
        return false;
    }
    struct tcp_opts o = {.has = OPT_SACK};
    o.sack_count = (uint8_t)sack_blocks(c, o.sack, c->flags & CF_TS ? 3 : 4); /* what 40 bytes hold */
    uint8_t blocks[TCP_OPTS_MAX];
    size_t n = options_write(blocks, &o);
    memcpy(buf_push_front(b, n), blocks, n);
    uint8_t size = (uint8_t)(write_header(c, b, control_seq(c), TCP_ACK) + n);
    ((struct tcp_hdr *)(void *)b->data)->offset = (uint8_t)(size << 2);
    c->stack->n.tcp_acks_tx++;
    path_send(c->stack, &c->path, b, size, size, 0, 0);
    return true;
}

/* --- 1: what a timer asked for ------------------------------------------------------------------------------------ */

/* Bytes of the peer's window that are free; FIN needs one, too. */
static inline uint32_t window_left(const struct conn *c)
{
    int32_t left = (int32_t)(c->snd_una + c->snd_wnd - c->snd_nxt);
    return left > 0 ? (uint32_t)left : 0;
}

static inline bool has_unsent(const struct conn *c)
{
    return !(c->flags & CF_FIN_SENT) && (c->snd_nxt != c->snd_end || c->flags & CF_FIN_QUEUED);
}

/* New bytes [snd_nxt, + len) and FIN; a record for each segment of mss. Room for them is reserved. */
static bool send_new_bytes(struct conn *c, uint32_t len, bool fin)
{
    tcp_seq start = c->snd_nxt, end = start + len;
    if (!send_data(c, start, len, fin, false)) return false;
    if (fin) c->flags |= CF_FIN_SENT;
    if (len % c->mss) c->snd_small = end;
    for (; end - start > c->mss; start += c->mss) recover_sent(c, start, start + c->mss);
    recover_sent(c, start, end + fin);
    c->last_snd_at = conn_now(c);
    /* what conn_uncork() let go may need several goes */
    if (unlikely(c->cork_at) && (c->cork_at != CORK_OVER || end == c->snd_end)) c->cork_at = 0;
    return true;
}

/* How much of record i may go again (RFC 9293 3.8.6, SHLD-16): all of it, unless the window has shrunk meanwhile. Then
 * the first goes as far as the window does, and whole if that is closed (it asks, then, and peers must answer); the
 * others wait for their turn to be the first. */
static uint32_t sendable_again(const struct conn *c, uint32_t i)
{
    const struct sent_seg *g = inflight_at(&c->inflight, i);
    uint32_t len = g->end - g->start;
    int32_t left = (int32_t)(c->snd_una + c->snd_wnd - g->start);
    if (likely(left >= (int32_t)len)) return len;
    if (i != c->inflight.head) return 0;
    return left > 0 ? (uint32_t)left : len;
}

static bool send_again(struct conn *c, uint32_t i)
{
    struct sent_seg *g = inflight_at(&c->inflight, i);
    uint32_t len = sendable_again(c, i), cut = g->end - g->start - len;
    bool fin = !cut && c->flags & CF_FIN_SENT && g->end == c->snd_end + 1;
    len -= fin;
    if (!send_data(c, g->start, len, fin, true)) return false;
    c->rexmits++;
    c->bytes_rexmit += len;
    c->stack->n.tcp_retransmits++;
    recover_resent(c, i);
    if (likely(!cut)) g->flags &= (uint8_t)~SEG_CUT;
    else g->flags |= SEG_CUT;
    c->last_snd_at = conn_now(c);
    return true;
}

/* RFC 8985 7.3: a new segment if the window takes one, else the last one again; whatever congestion control says. */
static bool send_tail_probe(struct conn *c)
{
    if (!c->inflight.count) return true;
    uint32_t unsent = has_unsent(c) ? c->snd_end - c->snd_nxt : 0, left = window_left(c);
    uint32_t len = unsent < c->mss ? unsent : c->mss;
    bool again = !len || left < len || !recover_reserve(c, 1);
    bool fin = !again && len == unsent && c->flags & CF_FIN_QUEUED && left > len;
    uint32_t last = inflight_end(&c->inflight) - 1;
    if (again && inflight_at(&c->inflight, last)->flags & (SEG_SACKED | SEG_LOST)) return true;
    if (again && !sendable_again(c, last)) {
        tlp_skipped(c);
        return true;
    }
    if (!(again ? send_again(c, last) : send_new_bytes(c, len, fin))) return false;
    c->stack->n.tcp_tlps++;
    tlp_sent(c, again);
    return true;
}

/* 3.8.6.1: a window that is closed, or too small for the rule of silly windows, is asked for. With room for some
 * bytes they go (that is the override of 3.8.6.2.1, (4)). Deviation: a probe of a window of zero is an empty segment
 * at SND.UNA - 1, not an octet of data; a peer must answer it with an ACK (3.10.7.4, first), and nothing is cut into
 * single bytes. Linux does the same. */
static bool send_window_probe(struct conn *c)
{
    uint32_t left = window_left(c), unsent = c->snd_end - c->snd_nxt;
    uint32_t len = unsent < left ? unsent : left;
    if (len > c->mss) len = c->mss;
    if (len && !c->inflight.count && recover_reserve(c, 1)) {
        return send_new_bytes(c, len, len == unsent && c->flags & CF_FIN_QUEUED && left > len);
    }
    c->stack->n.tcp_probes++;
    return send_empty(c, c->snd_una - 1, TCP_ACK);
}

static bool send_asked(struct conn *c)
{
    uint32_t asked = c->flags;
    c->flags &= ~(uint32_t)(CF_PROBE_NOW | CF_TLP_NOW | CF_KEEP_NOW);
    if (asked & CF_PROBE_NOW && has_unsent(c) && !send_window_probe(c)) return false;
    if (asked & CF_TLP_NOW && !send_tail_probe(c)) return false;
    if (asked & CF_KEEP_NOW) { /* RFC 1122 4.2.3.6: SEG.SEQ = SND.NXT - 1, no octet */
        c->stack->n.tcp_keepalives++;
        return send_empty(c, c->snd_nxt - 1, TCP_ACK);
    }
    return true;
}

/* --- 2: again ----------------------------------------------------------------------------------------------------- */

/* true: nothing more of it now. */
static bool send_lost(struct conn *c)
{
    uint32_t i;
    while (recover_next_lost(c, &i)) {
        const struct sent_seg *g = inflight_at(&c->inflight, i);
        /* A partial segment's worth of window counts as none, as for new data; the first of an episode is forced
         * through by the allowance. */
        uint32_t need = g->end - g->start < c->mss ? g->end - g->start : c->mss;
        if (recover_allowance(c) < need || unlikely(!sendable_again(c, i))) return true;
        if (!stack_tx_room(c->stack) || !send_again(c, i)) return false;
    }
    return true;
}

/* --- 3: new ------------------------------------------------------------------------------------------------------- */

/* Whether a segment that is not full, and is the last there is, waits: Nagle with Minshall's rule (RFC 9293 3.7.4,
 * only one small segment unacknowledged at a time), cork, or more to come, as the last push said. */
static bool is_held_back(struct conn *c)
{
    const struct conn_opts *o = c->opts;
    bool more = c->flags & CF_MORE || (o && o->cork);
    if (likely(!more && !(o && o->delay)) || c->flags & CF_FIN_QUEUED) return false;
    if (more) {
        nsec now = conn_now(c);
        if (!c->cork_at) c->cork_at = now;
        if (c->cork_at != CORK_OVER && now - c->cork_at < CORK_NS) {
            conn_timer_set(c, DL_PACE, c->cork_at + CORK_NS);
            return true;
        }
    }
    return o && o->delay && c->inflight.count && seq_after(c->snd_small, c->snd_una);
}

static inline uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* How much the next frame carries at most: one segment, or what the device cuts. */
static uint32_t frame_max(const struct conn *c)
{
    const struct stack_config *conf = &c->stack->conf;
    if (!(conf->offloads & OFFLOAD_TX_TSO) || conf->tso_max < 2u * c->mss) return c->mss;
    uint32_t max = conf->tso_max;
    if (c->cc.pacing_rate) { /* no larger than what is sent in a quantum */
        uint64_t quantum = c->cc.pacing_rate * PACE_QUANTUM_NS / NSEC_PER_SEC;
        if (quantum < max) max = quantum > 2u * c->mss ? (uint32_t)quantum : 2u * c->mss;
    }
    return max - max % c->mss;
}

/* Bytes pacing lets go now; 0: DL_PACE has been set. */
static uint32_t paced(struct conn *c)
{
    nsec now = conn_now(c);
    if (c->rate->pace_at > now) {
        conn_timer_set(c, DL_PACE, c->rate->pace_at);
        return 0;
    }
    uint64_t quantum = c->cc.pacing_rate * PACE_QUANTUM_NS / NSEC_PER_SEC, floor = 2u * c->mss;
    if (quantum > 1u << 30) quantum = 1u << 30;
    return (uint32_t)(quantum > floor ? quantum : floor);
}

/* What has been sent in this go is paid for in time before the next. */
static void pace_spent(struct conn *c, uint32_t bytes)
{
    c->rate->pace_at = conn_now(c) + (nsec)bytes * NSEC_PER_SEC / c->cc.pacing_rate;
    conn_timer_set(c, DL_PACE, c->rate->pace_at);
}

/* Sending after nothing was on the way. RFC 5681 4.1: after a pause of more than a timeout the window starts again;
 * the controller knows how (CUBIC's and BBR's clocks care about shorter ones, too). RFC 5681 3.1: after a lost SYN
 * the first window is one segment. */
static void restart(struct conn *c)
{
    nsec now = conn_now(c), idle = now - c->last_snd_at;
    if (unlikely(!c->data_segs_out) && c->rexmits) c->cc.cwnd = c->mss;
    if (idle && c->cc.ops->idle) c->cc.ops->idle(&c->cc, now, idle, c->rto);
}

/* The next new segment's size by the rules of RFC 9293 3.8.6.2.1, or 0. D is what is unsent, U the window, `cwnd`
 * what congestion control and pacing leave. */
static inline uint32_t next_size(struct conn *c, uint32_t unsent, uint32_t window, uint32_t cwnd, uint32_t max)
{
    uint32_t mss = c->mss, len = least(least(unsent, window), max);
    if (len > cwnd) { /* congestion control counts in segments: a part of one waits */
        c->flags |= CF_CWND_LIMITED;
        len = cwnd;
        if (len < mss) return 0;
    }
    if (len >= mss) return len - len % mss;              /* (1) */
    if (len == unsent) return is_held_back(c) ? 0 : len; /* (2) */
    return len >= c->snd_wnd_max / 2 && len ? len : 0;   /* (3), Fs = 1/2 */
}

/* false: no room for frames, or memory. */
static bool send_new(struct conn *c)
{
    struct net_stack *s = c->stack;
    uint32_t max = frame_max(c), spent = 0, quantum = UINT32_MAX;
    bool ok = true;
    if (!c->inflight.count) restart(c);
    if (unlikely(c->cc.pacing_rate)) quantum = paced(c);
    c->flags &= ~(uint32_t)CF_CWND_LIMITED;
    while (quantum) {
        uint32_t unsent = c->snd_end - c->snd_nxt, window = window_left(c);
        uint32_t cwnd = least(recover_allowance(c), quantum - least(quantum, spent));
        uint32_t len = unsent ? next_size(c, unsent, window, cwnd, max) : 0;
        bool fin = c->flags & CF_FIN_QUEUED && len == unsent && window > len;
        if (!len && !fin) break;
        if (unlikely(!stack_tx_room(s)) || unlikely(!recover_reserve(c, len / c->mss + 2)) ||
            unlikely(!send_new_bytes(c, len, fin))) {
            ok = false;
            break;
        }
        spent += len;
        if (c->flags & CF_FIN_SENT || c->snd_nxt == c->snd_end) {
            if (!has_unsent(c)) break;
        }
    }
    if (unlikely(spent && c->cc.pacing_rate)) pace_spent(c, spent);
    /* the program has no more (RFC 7661's and BBR's application-limited) */
    if (unlikely(c->rate != NULL) && (c->snd_nxt == c->snd_end || c->flags & CF_FIN_SENT)) {
        uint32_t pipe = recover_pipe(c);
        if (pipe < c->cc.cwnd) c->rate->app_limited = c->rate->delivered + pipe ? c->rate->delivered + pipe : 1;
    }
    return ok;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static bool output_opening(struct conn *c)
{
    if (c->snd_nxt == c->iss || c->inflight.lost) {
        if (!stack_tx_room(c->stack)) return false;
        if (path_can_send(c->stack, &c->path)) tcp_send_syn(c);
        else path_await(c->stack, &c->path, &c->dirty);
    } else if (c->flags & CF_ACK_NOW && c->state == CONN_SYN_RECEIVED) { /* RFC 5961 3.2, 4.2: an ACK without SYN */
        if (!stack_tx_room(c->stack)) return false;
        send_ack(c);
    }
    return true;
}

bool tcp_output(struct conn *c)
{
    if (unlikely(c->state < CONN_ESTABLISHED)) return c->state == CONN_CLOSED ? true : output_opening(c);
    if (unlikely(c->state == CONN_TIME_WAIT || c->flags & CF_DEAD)) return true;
    if (unlikely(!stack_tx_room(c->stack))) return false;
    bool sent = false, ok = true;
    if (unlikely(c->flags & CF_ACK_NOW) && unlikely(has_sacks(c)) && !send_ack(c)) return true;
    if (unlikely(c->flags & (CF_PROBE_NOW | CF_TLP_NOW | CF_KEEP_NOW))) {
        ok = send_asked(c);
        sent = true;
    }
    if (unlikely(c->inflight.gone.count)) {
        ok = send_lost(c) && ok;
        sent = true;
    }
    if (ok && has_unsent(c)) {
        ok = send_new(c);
        sent = true;
    }
    if (sent) recover_arm(c);
    if (c->flags & CF_ACK_NOW) {
        if (!stack_tx_room(c->stack)) return false;
        send_ack(c);
    }
    return ok || c->deadlines[DL_PACE] != NSEC_NEVER;
}

/* --- segments outside the stream ---------------------------------------------------------------------------------- */

/* A header with options of any kind, in a buf of its own. */
static void send_control(struct net_stack *s, struct path *path, const struct bare_segment *seg)
{
    struct buf *b = buf_take_exact(0);
    if (!b) {
        s->n.drop_memory++;
        return;
    }
    uint8_t options[TCP_OPTS_MAX];
    size_t n = seg->opts ? options_write(options, seg->opts) : 0;
    uint8_t size = (uint8_t)(TCP_HDR_MIN + n);
    struct tcp_hdr *h = buf_push_front(b, size);
    *h = (struct tcp_hdr){.src = be16_of(seg->local.port),
                          .dst = be16_of(seg->remote.port),
                          .seq = be32_of(seg->seq),
                          .ack = be32_of(seg->ack),
                          .offset = (uint8_t)(size << 2),
                          .flags = seg->flags,
                          .window = be16_of(seg->window)};
    memcpy(h + 1, options, n);
    s->n.tcp_tx++;
    if (seg->flags & TCP_RST) s->n.tcp_resets_tx++;
    path_send(s, path, b, size, size, 0, 0);
}

void tcp_send_bare(struct net_stack *s, const struct bare_segment *seg)
{
    struct path path;
    struct path_ends ends = {.remote = seg->remote, .local = seg->local};
    if (path_open(s, &path, &ends, IPPROTO_TCP)) {
        s->n.drop_tx_route++;
        return;
    }
    if (seg->hops) path.hops = seg->hops;
    path.tos = seg->tos;
    send_control(s, &path, seg);
    path_close(s, &path);
}

/* RFC 9293 3.10.1; options as RFC 7323 2.2 and 3.2 and RFC 2018 2 have them: in a SYN what we offer, in a SYN-ACK
 * what was offered, too. The window of a SYN is never scaled (RFC 7323 2.2). */
void tcp_send_syn(struct conn *c)
{
    struct net_stack *s = c->stack;
    bool answer = c->state == CONN_SYN_RECEIVED, first = c->snd_nxt == c->iss;
    if (first && !recover_reserve(c, 1)) {
        try_later(c);
        return;
    }
    struct tcp_opts o = {.has = OPT_MSS, .mss = tcp_mss_to_offer(s, &c->remote.addr, c->opts)};
    if (c->flags & CF_WSCALE) o.has |= OPT_WSCALE, o.wscale = c->rcv_wscale;
    if (c->flags & CF_SACK) o.has |= OPT_SACK_OK;
    if (c->flags & CF_TS) o.has |= OPT_TS, o.ts_val = timestamp(c), o.ts_ecr = answer ? c->ts_recent : 0;
    struct bare_segment seg = {.local = c->local, .remote = c->remote, .seq = c->iss, .flags = TCP_SYN, .opts = &o};
    uint32_t window = c->rcv_buffer < UINT16_MAX ? c->rcv_buffer : UINT16_MAX;
    seg.window = (uint16_t)window;
    if (answer) {
        seg.flags |= TCP_ACK;
        seg.ack = c->rcv_nxt;
        c->last_ack_sent = c->rcv_nxt;
        if (seq_after(c->rcv_nxt + window, c->rcv_adv)) c->rcv_adv = c->rcv_nxt + window;
        if (c->flags & CF_ECN) seg.flags |= TCP_ECE;
        c->flags &= ~(uint32_t)(CF_ACK_NOW | CF_ACK_DELAYED);
    } else if (c->flags & CF_ECN && !c->retransmits) {
        seg.flags |= TCP_ECE | TCP_CWR; /* RFC 3168 6.1.1; without on a retransmission: 6.1.1.1 */
    }
    send_control(s, &c->path, &seg);
    c->segs_out++;
    uint32_t i = c->inflight.head;
    if (first) {
        recover_sent(c, c->iss, c->iss + 1);
    } else if (c->inflight.count && c->snd_una == c->iss) {
        c->rexmits++;
        s->n.tcp_retransmits++;
        recover_resent(c, i);
    }
    recover_arm(c);
}

/* RFC 9293 3.10.4, 3.10.5: a connection that the peer knows of. In SYN-SENT there is nothing to reset. */
void tcp_send_reset(struct conn *c) { tcp_send_reset_at(c, control_seq(c)); }

void tcp_send_reset_at(struct conn *c, tcp_seq seq)
{
    if (c->state < CONN_SYN_RECEIVED || c->state == CONN_TIME_WAIT) return;
    /* RFC 7323 3.2: RST should carry it */
    struct tcp_opts o = {.has = OPT_TS, .ts_val = timestamp(c), .ts_ecr = c->ts_recent};
    struct bare_segment seg = {.local = c->local,
                               .remote = c->remote,
                               .seq = seq,
                               .ack = c->rcv_nxt,
                               .flags = TCP_RST | TCP_ACK,
                               .opts = c->flags & CF_TS ? &o : NULL};
    send_control(c->stack, &c->path, &seg);
    c->segs_out++;
}
