/* SPDX-License-Identifier: MIT
 *
 * A segment for a connection whose peer's SYN has come: RFC 9293 3.10.7.4, in its order and by its numbers, with what
 * RFC 7323, 5961, 2883 and 3168 put in between.
 *
 *     zeroth  timestamps: there, and not of the past (RFC 7323 5)
 *     first   sequence number in the window, and what lies outside is cut off
 *     second  RST      exactly RCV.NXT, else a challenge (RFC 5961 3.2)
 *     fourth  SYN      a challenge (RFC 5961 4.2)
 *     fifth   ACK      in [SND.UNA - MAX.SND.WND, SND.NXT] (RFC 5961 5.2), windows, states; then TS.Recent (RFC 7323
 *                      4.3)
 *     sixth   URG      nothing to do: the bytes stay in the stream (RFC 6093 5)
 *     seventh text     to the program, or behind a hole
 *     eighth  FIN
 *
 * Hooks run in the fifth (acked), seventh and eighth; each may close the connection: CF_DEAD and CF_DETACHED are looked
 * at again behind them.
 */
#include "tcp/tcp_input.h"

#include "tcp/timewait.h"

#include <errno.h>

#define TS_RECENT_MAX   ((24 * 24 * 3600 * NSEC_PER_SEC) >> COARSE_BITS) /* 24 days: RFC 7323 5.5 */
#define COPY_IF_EMPTIER 4u /* …those that use less than this part of their storage */

static uint32_t rcv_wnd(const struct conn *c) { return c->rcv_adv - c->rcv_nxt; }

/* <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>: at the end of the turn; in SYN-RECEIVED, where output would repeat the
 * SYN-ACK, by itself. */
static void acknowledge_now(struct conn *c)
{
    if (unlikely(c->state == CONN_SYN_RECEIVED)) {
        struct tcp_opts o = {.has = OPT_TS, .ts_val = conn_ts_now(c), .ts_ecr = c->ts_recent};
        struct bare_segment a = {
            .local = c->local,
            .remote = c->remote,
            .seq = c->snd_nxt,
            .ack = c->rcv_nxt,
            .flags = TCP_ACK,
            .window = (uint16_t)(rcv_wnd(c) >> c->rcv_wscale),
            .opts = c->flags & CF_TS ? &o : NULL,
            .hops = c->path.hops,
            .tos = c->path.tos,
        };
        tcp_send_bare(c->stack, &a);
        return;
    }
    c->flags |= CF_ACK_NOW;
    conn_dirty(c);
}

/* The ACK that an unacceptable segment gets: for segments with data always, since the peer waits for it; for others
 * within bounds, so that two confused ends cannot keep each other awake, nor anybody use us to count (RFC 5961 7). */
static void acknowledge_bad(struct conn *c, const struct segment *g)
{
    if (!g->len && !tcp_may_answer(c->stack, &c->answers)) {
        c->stack->n.drop_tcp_rate++;
        return;
    }
    acknowledge_now(c);
}

static void challenge(struct conn *c)
{
    if (tcp_may_challenge(c->stack, &c->answers)) acknowledge_now(c);
}

/* --- zeroth: timestamps ------------------------------------------------------------------------------------------- */

/* RFC 7323 5.3 R1, 3.2: only a RST may come without, or late. */
static bool timestamps_pass(struct conn *c, const struct segment *g)
{
    struct net_stack *s = c->stack;
    if (!(c->flags & CF_TS) || (g->flags & TCP_RST)) return true;
    if (!(g->opts.has & OPT_TS)) {
        s->n.drop_tcp_paws++;
        return false;
    }
    if ((int32_t)(g->opts.ts_val - c->ts_recent) >= 0 || conn_coarse(c) - c->ts_recent_at > TS_RECENT_MAX) return true;
    s->n.drop_tcp_paws++;
    acknowledge_bad(c, g);
    return false;
}

/* --- first: the sequence number ----------------------------------------------------------------------------------- */

/* RFC 9293 table 6. */
static bool is_acceptable(const struct conn *c, const struct segment *g)
{
    uint32_t wnd = rcv_wnd(c), space = segment_space(g);
    if (!space) return wnd ? g->seq - c->rcv_nxt < wnd : g->seq == c->rcv_nxt;
    return wnd && (g->seq - c->rcv_nxt < wnd || g->seq + space - 1 - c->rcv_nxt < wnd);
}

static void remember_duplicate(struct conn *c, tcp_seq start, tcp_seq end)
{
    c->dups_in++;
    c->stack->n.tcp_dup_rx++;
    if (c->flags & CF_SACK) c->dsack = (struct sack_block){start, end}; /* RFC 2883 4 */
    c->flags |= CF_ACK_NOW;
    conn_dirty(c);
}

/* What came before RCV.NXT was here already; what lies behind the window has no place. */
static void cut_to_window(struct conn *c, struct segment *g)
{
    uint32_t before = c->rcv_nxt - g->seq;
    if (seq_before(g->seq, c->rcv_nxt)) {
        if (before > g->len) before = g->len; /* a FIN we know */
        if (before) remember_duplicate(c, g->seq, g->seq + before);
        segment_trim_front(g, before);
    }
    uint32_t room = c->rcv_adv - g->seq;
    if (g->len + !!(g->flags & TCP_FIN) > room) {
        if (g->len > room) {
            c->stack->n.drop_tcp_buffer++;
            segment_trim_back(g, g->len - room);
        }
        g->flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        c->flags |= CF_ACK_NOW;
        conn_dirty(c);
    }
}

static bool sequence_passes(struct conn *c, struct segment *g)
{
    struct net_stack *s = c->stack;
    /* Both ends of a simultaneous open see the other's SYN-ACK with a SYN they know: its ACK is what they wait for. */
    if (c->state == CONN_SYN_RECEIVED && (g->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == (TCP_SYN | TCP_ACK) &&
        g->seq == c->rcv_nxt - 1) {
        g->flags &= (uint8_t)~TCP_SYN;
        g->seq++;
    }
    if (is_acceptable(c, g)) return true;
    if (g->flags & TCP_RST) {
        s->n.drop_tcp_reset++;
        return false;
    }
    /* A closed window takes no text, but what the segment says besides counts (3.10.7.4 first): a probe, or data
     * that crossed with the closing. */
    if (!rcv_wnd(c) && g->seq == c->rcv_nxt && !(g->flags & TCP_SYN)) {
        s->n.drop_tcp_buffer++;
        segment_trim_back(g, g->len);
        g->flags &= (uint8_t)~TCP_FIN;
        c->flags |= CF_ACK_NOW;
        conn_dirty(c);
        return true;
    }
    uint32_t space = segment_space(g);
    if (g->len && seq_before_eq(g->seq + space, c->rcv_nxt)) remember_duplicate(c, g->seq, g->seq + g->len);
    else s->n.drop_tcp_window++;
    acknowledge_bad(c, g);
    return false;
}

/* RFC 7323 4.3, (2): only what begins at or before the last ACK sent, so that a delayed one echoes the oldest time.
 * Deviation: it waits until the acknowledgment number has passed, too (RFC 5961 5.2), lest somebody who hits the
 * window by guessing move TS.Recent ahead, and PAWS drop everything from then on. */
static void update_ts_recent(struct conn *c, const struct segment *g, tcp_seq seq)
{
    if (!(g->opts.has & OPT_TS) || !(c->flags & CF_TS)) return;
    if (seq_after(seq, c->last_ack_sent)) return;
    c->ts_recent = g->opts.ts_val;
    c->ts_recent_at = conn_coarse(c);
}

/* --- second: RST -------------------------------------------------------------------------------------------------- */

static void take_reset(struct conn *c, const struct segment *g)
{
    struct net_stack *s = c->stack;
    if (g->seq != c->rcv_nxt) { /* RFC 5961 3.2 */
        s->n.drop_tcp_reset++;
        challenge(c);
        return;
    }
    s->n.tcp_resets_rx++;
    switch (c->state) {
    case CONN_SYN_RECEIVED: conn_finish(c, ECONNREFUSED); break;
    case CONN_CLOSING:
    case CONN_LAST_ACK: conn_finish(c, 0); break; /* all was said */
    default: conn_finish(c, ECONNRESET); break;
    }
}

/* --- fifth: ACK --------------------------------------------------------------------------------------------------- */

/* SND.WND <- SEG.WND if the segment is newer than the last that set it. */
static bool take_window(struct conn *c, const struct segment *g)
{
    if (seq_before(c->snd_wl1, g->seq) || (c->snd_wl1 == g->seq && seq_before_eq(c->snd_wl2, g->ack))) {
        uint32_t window = (uint32_t)g->window << c->snd_wscale;
        bool changed = window != c->snd_wnd;
        c->snd_wnd = window;
        c->snd_wl1 = g->seq;
        c->snd_wl2 = g->ack;
        if (window > c->snd_wnd_max) c->snd_wnd_max = window;
        return changed;
    }
    return false;
}

static void enter_time_wait(struct conn *c)
{
    struct net_stack *s = c->stack;
    conn_set_state(c, CONN_TIME_WAIT);
    struct timewait_rec *w = timewait_add(c);
    if (w && (c->flags & (CF_ACK_NOW | CF_ACK_DELAYED))) timewait_send_ack(s, w);
    conn_finish(c, 0);
}

/* Our FIN is acknowledged. */
static void fin_acked(struct conn *c)
{
    switch (c->state) {
    case CONN_FIN_WAIT_1:
        conn_set_state(c, CONN_FIN_WAIT_2);
        if (c->flags & CF_DETACHED) { /* nobody waits for the peer's FIN but us */
            nsec end = conn_now(c) + FIN_WAIT_2_NS;
            if (end < c->deadlines[DL_KEEP]) conn_timer_set(c, DL_KEEP, end);
        }
        break;
    case CONN_CLOSING: enter_time_wait(c); break;
    case CONN_LAST_ACK: conn_finish(c, 0); break;
    default: break;
    }
}

/* In SYN-RECEIVED the ACK of our SYN, or a reset. false: the segment is done with. */
static bool ack_opens(struct conn *c, struct segment *g)
{
    struct net_stack *s = c->stack;
    if (g->ack != c->iss + 1) {
        s->n.drop_tcp_ack++;
        tcp_reject(g);
        return false;
    }
    c->snd_wl1 = g->seq - 1; /* SND.WND is set by this segment, scaled now */
    conn_established(c);
    return true;
}

/* false: the segment is done with. */
static bool take_ack(struct conn *c, struct segment *g)
{
    struct net_stack *s = c->stack;
    bool opening = c->state == CONN_SYN_RECEIVED;
    if (!(g->flags & TCP_ACK)) {
        s->n.drop_tcp_flags++;
        return false;
    }
    if (opening && !ack_opens(c, g)) return false;
    if (seq_after(g->ack, c->snd_nxt) || seq_before(g->ack, c->snd_una - c->snd_wnd_max)) { /* RFC 5961 5.2 */
        s->n.drop_tcp_ack++;
        challenge(c);
        return false;
    }
    if (seq_before(g->ack, c->snd_una)) return true; /* an old one: its data may be new */
    bool window_changed = take_window(c, g);
    struct ack_event e = {
        .ack = g->ack,
        .opts = &g->opts,
        .has_data = g->len || (g->flags & TCP_FIN),
        .window_changed = window_changed,
        .ece = (g->flags & TCP_ECE) && (c->flags & CF_ECN),
    };
    recover_ack(c, &e);
    if (c->flags & CF_DEAD) return false;
    if (window_changed) conn_dirty(c);
    if (opening && (c->flags & CF_ACTIVE)) {
        c->flags &= ~(uint32_t)CF_ACTIVE;
        s->hooks->connected(s->arg, c, 0);
        if (c->flags & CF_DEAD) return false;
    }
    if (c->flags & CF_FIN_ACKED) fin_acked(c);
    return !(c->flags & CF_DEAD);
}

/* --- seventh: text ------------------------------------------------------------------------------------------------ */

/* Payload of a few bytes in a buf of 2 KiB: copied behind others, so that a program that reads slowly holds at most
 * about four times the bytes it was promised (the in-order side of CVE-2018-5390). true: b is taken. */
static bool copy_together(struct conn *c, struct buf *b)
{
    struct buf *last = c->rcvq_copied ? container_of(c->rcvq_tail, struct buf, next) : NULL;
    if (!last || buf_tailroom(last) < b->len) {
        last = buf_take(BUF_SMALL_SIZE);
        if (!last) return false; /* then it stays as it is */
        *c->rcvq_tail = last;
        c->rcvq_tail = &last->next;
        c->rcvq_count++;
        c->rcvq_copied = 1;
    }
    memcpy(buf_put_back(last, b->len), b->data, b->len);
    c->stack->n.tcp_compacted++;
    buf_unref(b);
    return true;
}

static bool is_wasteful(const struct conn *c, const struct buf *b)
{
    return c->rcvq_count >= COPY_FROM_COUNT && b->len <= BUF_SMALL_SIZE && b->len * COPY_IF_EMPTIER < b->store->cap;
}

void conn_receive(struct conn *c, struct buf *b, uint32_t n)
{
    c->bytes_in += n;
    c->data_segs_in++;
    if (unlikely(c->flags & CF_READ_CLOSED)) {
        buf_unref(b);
        return;
    }
    c->rcvq_bytes += n;
    while (b) {
        struct buf *next = b->next;
        b->next = NULL;
        if (unlikely(!b->len)) {
            buf_unref(b);
        } else if (likely(!is_wasteful(c, b)) || !copy_together(c, b)) {
            *c->rcvq_tail = b;
            c->rcvq_tail = &b->next;
            c->rcvq_count++;
            c->rcvq_copied = 0;
        }
        b = next;
    }
}

/* RFC 9293 3.8.6.3, RFC 5681 4.2: at least every second full segment, else within conf.delayed_ack; at once while
 * the peer is in slow start, which goes by the number of ACKs. This one is full, or larger than all before. */
void conn_acknowledge_full(struct conn *c, uint32_t n)
{
    if (n > c->rcv_mss && c->rcv_mss < c->mss) {
        c->rcv_mss = n < c->mss ? (uint16_t)n : c->mss;
        conn_update_ack_after(c);
    }
    if (c->quick_acks && n >= c->rcv_mss) {
        c->quick_acks--;
        c->flags |= CF_ACK_NOW;
    }
}

/* Text after the user has let go: nobody will ever read it, and the peer must hear that (RFC 9293 3.6.1, RFC 2525
 * 2.17). */
static bool is_after_close(const struct conn *c, const struct segment *g)
{
    return g->len && (c->flags & CF_DETACHED) && !(c->flags & CF_ACCEPTING);
}

/* Behind a hole, or a FIN there. */
static void keep_for_later(struct conn *c, struct segment *g)
{
    struct net_stack *s = c->stack;
    struct sack_block dup = {0, 0};
    bool fin = g->flags & TCP_FIN;
    c->flags |= CF_ACK_NOW; /* RFC 5681 4.2: an out of order segment, at once */
    conn_dirty(c);
    if (!g->len && !fin) return;
    if (!c->reasm && !(c->reasm = reasm_new())) {
        s->n.drop_memory++;
        return;
    }
    c->flags |= CF_HOLE;
    s->n.tcp_ooo++;
    tcp_seq seq = g->seq;
    uint32_t held = 0;
    if (!g->len) reasm_insert(c->reasm, seq, NULL, fin, &dup);
    while (g->b) { /* bufs of a chain one by one; FIN stands behind the last */
        struct buf *b = g->b;
        g->b = b->next;
        b->next = NULL;
        uint32_t n = b->len;
        struct sack_block d = {0, 0};
        held += reasm_insert(c->reasm, seq, b, fin && !g->b, &d);
        if (d.start != d.end && dup.start == dup.end) dup = d;
        seq += n;
    }
    if (dup.start != dup.end) remember_duplicate(c, dup.start, dup.end);
    else if (!held && g->len) s->n.drop_tcp_reasm++;
}

/* In order: this segment's text, and what waited for it. *fin: a FIN stands behind. Returns the number of bytes. */
static uint32_t take_in_order(struct conn *c, struct segment *g, bool *fin)
{
    uint32_t n = g->len;
    *fin = g->flags & TCP_FIN;
    if (n) {
        c->rcv_nxt += n;
        conn_receive(c, g->b, n);
        g->b = NULL;
    }
    if (likely(!c->reasm)) return n;
    c->flags |= CF_ACK_NOW; /* RFC 5681 4.2: it fills a hole, or a part of one */
    conn_dirty(c);
    uint32_t more = 0;
    bool fin_behind = false;
    struct buf *b = reasm_take(c->reasm, c->rcv_nxt, &more, &fin_behind);
    if (b) {
        c->rcv_nxt += more;
        conn_receive(c, b, more);
    }
    *fin |= fin_behind;
    if (reasm_is_empty(c->reasm)) conn_drop_reasm(c);
    return n + more;
}

/* --- eighth: FIN -------------------------------------------------------------------------------------------------- */

static void take_fin(struct conn *c)
{
    c->rcv_nxt++;
    if (seq_before(c->rcv_adv, c->rcv_nxt)) c->rcv_adv = c->rcv_nxt;
    c->flags |= CF_FIN_RCVD | CF_ACK_NOW;
    conn_drop_reasm(c); /* nothing comes behind a FIN */
    conn_dirty(c);
    switch (c->state) {
    case CONN_ESTABLISHED: conn_set_state(c, CONN_CLOSE_WAIT); break;
    case CONN_FIN_WAIT_1: conn_set_state(c, CONN_CLOSING); break; /* had it been acknowledged, it were FIN-WAIT-2 */
    default: break;
    }
}

/* Data and FIN as far as they are in order, told to the user. */
static void take_text(struct conn *c, struct segment *g)
{
    struct net_stack *s = c->stack;
    bool fin, last = c->state == CONN_FIN_WAIT_2;
    uint32_t n = take_in_order(c, g, &fin);
    if (n) conn_acknowledge(c, n);
    if (fin) take_fin(c);
    if (!n && !fin) return;
    if (!(c->flags & (CF_DETACHED | CF_ACCEPTING))) s->hooks->readable(s->arg, c);
    if (fin && last && !(c->flags & CF_DEAD)) enter_time_wait(c);
}

/* RFC 3168 6.1.3: CE is told by ECE in every ACK until the peer's CWR says that it has heard. */
static void look_at_ecn(struct conn *c, const struct segment *g)
{
    if (!(c->flags & CF_ECN)) return;
    if (g->flags & TCP_CWR) c->flags &= ~(uint32_t)CF_ECE;
    if (!g->ce || !g->len) return;
    c->stack->n.tcp_ecn_ce++;
    c->flags |= CF_ECE | CF_ACK_NOW;
    conn_dirty(c);
}

/* From the sixth step on. */
static void take_rest(struct conn *c, struct segment *g)
{
    if (c->flags & CF_FIN_RCVD) return; /* CLOSE-WAIT, CLOSING, LAST-ACK: nothing stands behind a FIN */
    if (is_after_close(c, g)) {
        c->stack->n.drop_tcp_closed++;
        tcp_send_reset_at(c, seq_max(g->ack, c->snd_una));
        conn_finish(c, ECONNRESET);
        return;
    }
    if (!segment_space(g)) return;
    if (g->seq == c->rcv_nxt) take_text(c, g);
    else keep_for_later(c, g);
}

void tcp_arrive(struct conn *c, struct segment *g)
{
    struct net_stack *s = c->stack;
    if (!timestamps_pass(c, g)) return;
    if (!sequence_passes(c, g)) return;
    if (g->flags & TCP_RST) {
        take_reset(c, g);
        return;
    }
    if (g->flags & TCP_SYN) {
        s->n.drop_tcp_flags++;
        challenge(c);
        return;
    }
    tcp_seq seq = g->seq; /* SEG.SEQ as it came */
    cut_to_window(c, g);
    if (!take_ack(c, g)) return;
    update_ts_recent(c, g, seq);
    look_at_ecn(c, g);
    take_rest(c, g);
}

void tcp_arrive_with_syn(struct conn *c, struct segment *g)
{
    g->flags &= (uint8_t)~TCP_SYN;
    g->seq++;
    cut_to_window(c, g);
    take_rest(c, g);
}
