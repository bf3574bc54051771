/* SPDX-License-Identifier: MIT
 *
 * Acknowledgements, and the states they move a connection through; timeouts are rexmit.c's.
 *
 *                  something is lost                      recover is acknowledged
 *        open  ---------------------------->  RECOVERY  ---------------------------> open
 *         |  (RACK; three duplicate ACKs           |   PRR decides how much leaves
 *         |   without SACK)                        | RTO
 *         |            RTO                         v           recover is acknowledged, or undone (undo.c)
 *         `------------------------------------> LOSS  -----------------------------> open
 *                                                  slow start from one segment
 *
 * RFC 6298 5 (the timer), 5681 3.2 and 6582 (without SACK), 6675 and 8985 (with), 9937 (PRR), 3042 (limited transmit),
 * 3168 6.1.2 (ECE).
 *
 * An ACK of the usual kind (all in order, nothing missing) finds c->recovery NULL or idle and walks off with a
 * comparison for each.
 */
#include "tcp/recover.h"

#include "alloc/base/assert.h"
#include "alloc/heap.h"
#include "tcp/hdr.h"

#include <errno.h>
#include <netinet/in.h>

#define DUP_THRESH         3
#define RTO_AFTER_LOST_SYN (3 * NSEC_PER_SEC) /* RFC 6298 5.7: a SYN went again and there is no sample */

/* --- state -------------------------------------------------------------------------------------------------------- */

struct recovery *recovery_get(struct conn *c)
{
    if (c->recovery) return c->recovery;
    struct recovery *r = heap_alloc(sizeof *r);
    if (!r) {
        c->stack->n.drop_memory++;
        return NULL;
    }
    *r = (struct recovery){.fack = c->snd_una, .reo_mult = 1, .reo_at = NSEC_NEVER};
    return c->recovery = r;
}

void recover_free(struct conn *c)
{
    heap_free(c->recovery);
    c->recovery = NULL;
}

uint32_t recover_pipe(const struct conn *c)
{
    uint32_t pipe = inflight_pipe(&c->inflight, c->snd_una, c->snd_nxt);
    uint32_t left = c->recovery ? c->recovery->reno_sacked : 0;
    return pipe > left ? pipe - left : 0;
}

uint32_t recover_allowance(const struct conn *c)
{
    uint32_t pipe = recover_pipe(c), left = c->cc.cwnd > pipe ? c->cc.cwnd - pipe : 0;
    if (unlikely(c->recovery && c->recovery->force) && left < c->mss) left = c->mss;
    return left;
}

bool recover_next_lost(const struct conn *c, uint32_t *i)
{
    if (!c->inflight.gone.count) return false;
    if (c->recovery && c->recovery->frto == FRTO_PROBING) return false; /* RFC 5682 2b: new data first */
    *i = c->inflight.gone.first;
    return true;
}

/* --- something has left ------------------------------------------------------------------------------------------- */

static inline void count_sent(struct conn *c, uint32_t len)
{
    struct recovery *r = c->recovery;
    if (likely(!r)) return;
    r->force = false;
    if (r->prr_on) r->prr_out += len;
}

void recover_sent(struct conn *c, tcp_seq start, tcp_seq end)
{
    nsec now = conn_now(c);
    if (!c->inflight.count) c->first_unacked_at = c->rto_base = now; /* RFC 6298 5.1 */
    uint32_t outstanding = c->snd_nxt - c->snd_una;
    inflight_sent(&c->inflight, start, end, now);
    if (unlikely(c->rate != NULL)) rate_sent(c->rate, &c->inflight, inflight_end(&c->inflight) - 1, outstanding, now);
    c->snd_nxt = end;
    uint32_t flight = end - c->snd_una;
    if (flight > c->flight_max || seq_after_eq(c->snd_una, c->flight_end)) c->flight_max = flight, c->flight_end = end;
    count_sent(c, end - start);
}

void recover_resent(struct conn *c, uint32_t i)
{
    nsec now = conn_now(c);
    inflight_resent(&c->inflight, i, now);
    struct sent_seg *g = inflight_at(&c->inflight, i);
    if (c->rate) rate_sent(c->rate, &c->inflight, i, c->snd_nxt - c->snd_una, now);
    count_sent(c, g->end - g->start);
    /* RFC 6298 5.5: the timer runs from the retransmission of the earliest */
    if (i == c->inflight.head) c->rto_base = now;
    if (c->recovery) undo_resent(c, c->recovery, g->start);
}

/* --- the timer ---------------------------------------------------------------------------------------------------- */

static void arm_persist(struct conn *c)
{
    if (c->rexmit_kind == REXMIT_PERSIST && c->deadlines[DL_REXMIT] != NSEC_NEVER) return;
    if (c->rexmit_kind != REXMIT_PERSIST) c->backoff = c->probes = 0, c->first_unacked_at = conn_now(c);
    c->rexmit_kind = REXMIT_PERSIST;
    /* RFC 9293 3.8.6.1: the first after an RTO, then with back-off */
    conn_timer_set(c, DL_REXMIT, conn_now(c) + recover_backed_off(c, c->rto));
}

void recover_arm(struct conn *c)
{
    if (!c->inflight.count) {
        if (recover_has_unsent(c) && conn_is_synchronised(c)) {
            arm_persist(c);
            return;
        }
        c->rexmit_kind = REXMIT_RTO;
        c->deadlines[DL_REXMIT] = NSEC_NEVER; /* RFC 6298 5.2 */
        return;
    }
    if (unlikely(c->rexmit_kind == REXMIT_PERSIST)) c->backoff = c->probes = 0;
    enum rexmit_kind kind;
    nsec at = recover_due(c, &kind);
    c->rexmit_kind = (uint8_t)kind;
    conn_timer_set(c, DL_REXMIT, at);
}

/* --- recovery ----------------------------------------------------------------------------------------------------- */

/* DeliveredData of this ACK (0: a timer tells of the loss) belong to the episode, what was SACKed before it does
 * not. */
static void prr_begin(struct conn *c, struct recovery *r, uint32_t delivered)
{
    r->prr_on = c->cc.ssthresh != UINT32_MAX; /* controllers with a mind of their own (bbr, none) keep their window */
    r->prr_delivered = r->prr_out = 0;
    r->prr_flight = c->snd_nxt - c->snd_una - c->inflight.sacked + delivered;
    if (!r->prr_flight) r->prr_flight = 1;
}

static void episode_begin(struct conn *c, struct recovery *r, uint32_t flight, uint32_t delivered)
{
    flight = recover_flight(c, flight);
    undo_begin(c, r);
    c->cc.ops->congestion(&c->cc, flight, conn_now(c), false);
    c->recover = c->snd_nxt;
    c->flags |= CF_RECOVERY;
    c->stack->n.tcp_fast_recoveries++;
    if (c->flags & CF_ECN) c->flags |= CF_CWR_DUE; /* RFC 3168 6.1.2: whatever made us reduce */
    prr_begin(c, r, delivered);
    r->force = true;
    r->frto = FRTO_OFF;
}

void recover_end(struct conn *c)
{
    struct recovery *r = c->recovery;
    c->flags &= ~(uint32_t)(CF_RECOVERY | CF_LOSS);
    c->dupacks = 0;
    if (r) {
        r->prr_on = r->force = false;
        r->frto = FRTO_OFF;
        r->reno_sacked = 0;
    }
    c->cc.ops->recovered(&c->cc, conn_now(c));
}

/* RFC 9937 6.2: DeliveredData has arrived (0: a timer has found a loss); how much may leave. The window becomes what is
 * on the way and that much more. Below ssthresh it is the slow start reduction bound only after a safe ACK (SND.UNA
 * moves and nothing new is lost), else the conservative bound, which keeps as much on the way as there is: a queue that
 * overflows is not filled at twice its speed while it does. The window is never less than a segment: with nothing on
 * the way no ACK could ever open it again. */
static void prr(struct conn *c, struct recovery *r, uint32_t delivered, bool safe)
{
    uint32_t pipe = recover_pipe(c), ssthresh = c->cc.ssthresh;
    int64_t sndcnt;
    r->prr_delivered += delivered;
    if (pipe > ssthresh) {
        sndcnt = (int64_t)(((uint64_t)r->prr_delivered * ssthresh + r->prr_flight - 1) / r->prr_flight) - r->prr_out;
    } else {
        sndcnt = (int64_t)r->prr_delivered - r->prr_out;
        if (sndcnt < delivered) sndcnt = delivered;
        if (safe) sndcnt += c->mss;
        if (sndcnt > ssthresh - pipe) sndcnt = ssthresh - pipe;
    }
    if (!r->prr_out && sndcnt <= 0) sndcnt = c->mss; /* the fast retransmit */
    c->cc.cwnd = pipe + (sndcnt > 0 ? (uint32_t)sndcnt : 0);
    if (c->cc.cwnd < c->mss) c->cc.cwnd = c->mss;
}

void recover_found(struct conn *c, uint32_t flight)
{
    struct recovery *r = recovery_get(c);
    if (!r) return; /* the next ACK or the RTO tries again */
    if (!(c->flags & (CF_RECOVERY | CF_LOSS))) episode_begin(c, r, flight, 0);
    if (c->flags & CF_RECOVERY && r->prr_on) prr(c, r, 0, false);
}

/* Without SACK: RFC 5681 3.2 and RFC 6582. Each duplicate ACK says that a segment has left (which is limited
 * transmit, RFC 3042, below the threshold), the third that the first is lost. */
static bool reno_duplicate(struct conn *c)
{
    struct recovery *r = recovery_get(c);
    if (c->dupacks < UINT8_MAX) c->dupacks++;
    if (!r) return false;
    uint32_t most = inflight_pipe(&c->inflight, c->snd_una, c->snd_nxt);
    r->reno_sacked += c->mss;
    if (r->reno_sacked > most) r->reno_sacked = most;
    const struct sent_seg *g = inflight_at(&c->inflight, c->inflight.head);
    /* RFC 6582 3.2 step 2: what is acknowledged must lie beyond the last recovery, or the duplicates may be of its
     * retransmissions. */
    if (c->dupacks != DUP_THRESH || c->flags & (CF_RECOVERY | CF_LOSS) || !seq_after(c->snd_una, c->recover) ||
        g->flags & SEG_LOST)
        return false;
    inflight_lose(&c->inflight, c->inflight.head);
    return true;
}

/* *found: the next hole, which a partial acknowledgement tells of, is taken for lost. */
static uint32_t reno_advanced(struct conn *c, struct recovery *r, uint32_t acked, bool *found)
{
    uint32_t fresh = acked > r->reno_sacked ? acked - r->reno_sacked : 0; /* what no duplicate has told of */
    c->dupacks = 0;
    if (!(c->flags & CF_RECOVERY)) {
        r->reno_sacked = 0;
        return fresh;
    }
    /* One of what is acknowledged was the retransmission; the others had been counted by their duplicates. */
    uint32_t counted = acked > c->mss ? acked - c->mss : 0;
    r->reno_sacked -= counted < r->reno_sacked ? counted : r->reno_sacked;
    if (c->inflight.count && seq_before(c->snd_una, c->recover)) { /* partial acknowledgement: the next hole */
        const struct sent_seg *g = inflight_at(&c->inflight, c->inflight.head);
        if (!(g->flags & (SEG_LOST | SEG_SACKED))) {
            inflight_lose(&c->inflight, c->inflight.head);
            *found = true;
        }
        r->force = true;
    }
    return fresh;
}

/* --- an ACK ------------------------------------------------------------------------------------------------------- */

void recover_delivered(struct conn *c, struct ack_work *w, uint32_t i)
{
    const struct sent_seg *g = inflight_at(&c->inflight, i);
    w->delivered += g->end - g->start;
    if (c->rate) {
        rate_count(c->rate, g->end - g->start, w->now);
        rate_note(c->rate, &w->rate, &c->inflight, i);
    }
    if (!(g->flags & SEG_RETRANS)) {
        w->original = true;
        if (g->sent_at > w->newest_sent_at) w->newest_sent_at = g->sent_at;
    }
    if (c->recovery) rack_delivered(c, c->recovery, w, g);
}

/* Takes what is acknowledged off the scoreboard. */
static void take_acked(struct conn *c, struct ack_work *w)
{
    struct inflight *f = &c->inflight;
    tcp_seq ack = w->e->ack;
    while (f->count) {
        struct sent_seg *g = inflight_at(f, f->head);
        if (seq_after(g->end, ack)) {
            if (!seq_after(ack, g->start)) break;
            if (!(g->flags & SEG_SACKED)) {
                w->delivered += ack - g->start;
                if (c->rate) c->rate->delivered += ack - g->start;
            }
            inflight_trim(f, ack);
            /* the rest of it has not gone again */
            if (unlikely(g->flags & SEG_CUT) && !(g->flags & (SEG_SACKED | SEG_LOST))) inflight_lose(f, f->head);
            break;
        }
        if (g->flags & SEG_RETRANS) w->again = true;
        if (likely(!(g->flags & SEG_SACKED))) recover_delivered(c, w, f->head);
        inflight_pop(f);
    }
    /* What had waited at the peer for a retransmission tells how long that took, not a round trip (Karn, for the
     * whole of such an ACK). */
    if (w->again) w->newest_sent_at = 0;
    w->acked = w->delivered;
}

/* SND.UNA moves; what was sent is given back. */
static void advance(struct conn *c, tcp_seq ack)
{
    uint32_t n = ack - c->snd_una;
    if (unlikely(c->snd_una == c->iss)) n--; /* the SYN is none of the stream's bytes; nor is FIN */
    if (unlikely(c->flags & CF_FIN_SENT) && ack == c->snd_end + 1) {
        n--;
        c->flags |= CF_FIN_ACKED;
    }
    c->snd_una = ack;
    if (n) {
        c->stream_una += n;
        sndq_ack(&c->sndq, c->flags & CF_FIN_ACKED ? c->snd_end : ack);
    }
    if (seq_before(c->recover, ack)) c->recover = ack - 1; /* is never so old that numbers wrap around it */
}

/* RFC 6298 3 (Karn): only of what was sent once; RFC 7323 4: or by the echo of a timestamp, if the ACK moves
 * SND.UNA. */
static nsec sample_rtt(struct conn *c, const struct ack_work *w)
{
    nsec rtt = 0;
    const struct tcp_opts *o = w->e->opts;
    if (likely(w->newest_sent_at)) {
        rtt = w->now - w->newest_sent_at;
        if (!rtt) rtt = 1;
        /* a duplicate's ACK echoes an old time */
    } else if (w->e->ack != w->una && c->flags & CF_TS && o && o->has & OPT_TS && !w->dsack) {
        uint32_t ms = conn_ts_now(c) - o->ts_ecr;
        if (ms < 600000) rtt = (ms ? ms : 1) * NSEC_PER_MSEC;
    }
    if (!rtt) return 0;
    const struct stack_config *conf = &c->stack->conf;
    rtt_sample(&c->rtt, rtt, w->now);
    c->rto = rtt_rto(&c->rtt, conf->rto_initial, conf->rto_min, conf->rto_max);
    c->backoff = 0; /* 5.7's collapse, as soon as there is a measurement */
    return rtt;
}

/* RFC 3168 6.1.2: reduced at most once a window of data. */
static void ecn_echo(struct conn *c, const struct ack_work *w)
{
    if (!(c->flags & CF_ECN) || c->flags & (CF_RECOVERY | CF_LOSS) || !seq_after_eq(w->e->ack, c->recover + 1)) return;
    c->cc.ops->congestion(&c->cc, recover_flight(c, w->flight), w->now, true);
    c->recover = c->snd_nxt;
    c->flags |= CF_CWR_DUE;
    c->stack->n.tcp_ecn_cuts++;
}

/* The window is what holds the sender back. In slow start half of it in use in a round trip is enough, since it
 * takes one until what was opened is used (RFC 7661 4.2 validates by the flight, too). */
static inline bool is_limited(const struct conn *c)
{
    return c->flags & CF_CWND_LIMITED || (c->cc.cwnd < c->cc.ssthresh && c->cc.cwnd / 2 < c->flight_max);
}

static void tell_controller(struct conn *c, const struct ack_work *w, nsec rtt)
{
    struct cc_ack a = {.now = w->now, .acked = w->acked, .in_flight = w->pipe};
    a.sacked = w->delivered - w->acked;
    a.cwnd_limited = is_limited(c);
    a.in_recovery = c->flags & CF_RECOVERY;
    a.ecn_echo = w->e->ece && c->flags & CF_ECN;
    a.rtt = rtt;
    a.srtt = rtt_srtt(&c->rtt);
    a.min_rtt = c->rtt.min;
    a.snd_una = c->snd_una;
    a.snd_nxt = c->snd_nxt;
    if (unlikely(c->rate != NULL)) {
        a.rate = rate_of(c->rate, &w->rate, c->rtt.min, w->now);
        a.rate_app_limited = w->rate.app_limited;
        a.delivered = c->rate->delivered;
        a.round = c->rate->round;
    }
    c->cc.ops->acked(&c->cc, &a);
}

static bool is_duplicate(const struct conn *c, const struct ack_work *w) /* RFC 5681 2 */
{
    return w->e->ack == w->una && c->inflight.count && !w->e->has_data && !w->e->window_changed;
}

/* FlightSize at the first sign of loss is what ssthresh and PRR go by. */
static void note_disorder(struct conn *c, struct recovery *r, const struct ack_work *w)
{
    bool signs = c->inflight.sacked || r->reno_sacked;
    if (!signs || !r->disorder || w->e->ack != w->una) r->disorder_nxt = c->snd_nxt;
    r->disorder = signs;
}

/* What an ACK means while something is or may be missing. */
static void process_ack(struct conn *c, struct ack_work *w)
{
    const struct ack_event *e = w->e;
    bool sacks = c->flags & CF_SACK, found = false, recovered = false;
    if (sacks && e->opts && e->opts->has & OPT_SACK && recovery_get(c)) rack_sacks(c, c->recovery, w);
    if (!sacks && is_duplicate(c, w)) found = reno_duplicate(c);
    struct recovery *r = c->recovery;
    if (!r) return;
    uint32_t delivered = w->delivered;
    if (!sacks) {
        if (e->ack != w->una) delivered = reno_advanced(c, r, e->ack - w->una, &found);
        /* more than were on the way cannot have arrived: who repeats himself for ever gets nothing for it */
        else if (is_duplicate(c, w) && !(r->prr_on && r->prr_delivered >= r->prr_flight)) delivered = c->mss;
    }
    if (seq_before(r->fack, c->snd_una)) r->fack = c->snd_una;
    if (w->dsack) undo_dsack(c, r, w);
    tlp_acked(c, r, w);
    bool undone = undo_try(c, r, w);
    if (c->flags & CF_LOSS && r->frto) undone = frto_acked(c, r, w) || undone;
    if (c->flags & (CF_RECOVERY | CF_LOSS) && seq_after_eq(e->ack, c->recover)) {
        recover_end(c);
        recovered = true;
    }
    note_disorder(c, r, w);
    if (sacks) {
        rack_update_window(c, r, w, recovered);
        found = rack_detect(c, r);
    }
    if (c->inflight.lost && !(c->flags & (CF_RECOVERY | CF_LOSS)) && !undone) {
        episode_begin(c, r, r->disorder ? r->disorder_nxt - w->una : w->flight, w->delivered);
        found = true;
    } else if (found) {
        c->flags &= ~(uint32_t)CF_CWND_LIMITED;
    }
    if (c->flags & CF_RECOVERY && r->prr_on) prr(c, r, delivered, w->una != e->ack && !found);
}

/* With nothing on the way and nothing learnt that matters later, the connection is as if nothing had been lost: the
 * short way is open again. */
static void forget_if_quiet(struct conn *c)
{
    const struct recovery *r = c->recovery;
    if (c->flags & (CF_RECOVERY | CF_LOSS) || r->reordering_seen || r->reo_mult > 1 || r->tlp_out || r->undo_on) return;
    recover_free(c);
}

/* Nothing is missing nor ever was, and the ACK says nothing unusual. Without c->recovery nothing has been sent
 * again, SACKed or taken for lost. */
static inline bool is_plain(const struct conn *c, const struct ack_event *e)
{
    return !c->recovery && e->ack != c->snd_una && c->inflight.count && c->snd_una != c->iss && !e->ece &&
           !(c->flags & (CF_FIN_SENT | CF_DETACHED | CF_ACCEPTING)) && !(e->opts && e->opts->has & OPT_SACK);
}

/* What recover_ack() does with such an ACK. The timer is left where it is, too early: when it fires it is set for
 * what is the time then. */
static void plain_ack(struct conn *c, const struct ack_event *e)
{
    struct inflight *f = &c->inflight;
    struct rate *rate = c->rate;
    tcp_seq ack = e->ack;
    nsec now = conn_now(c);
    uint32_t acked = ack - c->snd_una, flight = c->snd_nxt - c->snd_una;
    const struct sent_seg *last = NULL;
    do {
        struct sent_seg *g = inflight_at(f, f->head);
        if (seq_after(g->end, ack)) {
            if (seq_after(ack, g->start)) g->start = ack;
            break;
        }
        last = g; /* its slot stays what it is until something is sent */
        inflight_pop_plain(f);
    } while (f->count);
    c->probes = c->retransmits = 0;
    c->snd_una = ack;
    c->stream_una += acked;
    sndq_ack(&c->sndq, ack);
    if (seq_before(c->recover, ack)) c->recover = ack - 1;
    c->first_unacked_at = c->rto_base = now;
    nsec rtt = 0;
    if (likely(last)) {
        const struct stack_config *conf = &c->stack->conf;
        rtt = now - last->sent_at;
        if (!rtt) rtt = 1;
        rtt_sample(&c->rtt, rtt, now);
        c->rto = rtt_rto(&c->rtt, conf->rto_initial, conf->rto_min, conf->rto_max);
        c->backoff = 0;
    }
    if (is_limited(c) || unlikely(rate != NULL)) {
        struct ack_work w = {
            .e = e, .now = now, .una = ack - acked, .pipe = flight, .acked = acked, .delivered = acked};
        if (unlikely(rate != NULL)) {
            rate_count(rate, acked, now);
            if (last) rate_note(rate, &w.rate, f, f->head - 1);
        }
        tell_controller(c, &w, rtt);
    }
    if (f->count) {
        if (c->rexmit_kind == REXMIT_PERSIST || c->deadlines[DL_REXMIT] == NSEC_NEVER) recover_arm(c);
    } else {
        inflight_tidy(f);
        if (unlikely(recover_has_unsent(c))) {
            recover_arm(c);
        } else {
            c->rexmit_kind = REXMIT_RTO;
            c->deadlines[DL_REXMIT] = NSEC_NEVER;
        }
    }
    if (c->snd_nxt != c->snd_end || c->flags & CF_FIN_QUEUED) conn_dirty(c);
    c->stack->hooks->acked(c->stack->arg, c);
}

void recover_ack(struct conn *c, const struct ack_event *e)
{
    if (likely(is_plain(c, e))) {
        plain_ack(c, e);
        return;
    }
    struct inflight *f = &c->inflight;
    struct ack_work w = {.e = e, .now = conn_now(c), .una = c->snd_una, .pipe = recover_pipe(c)};
    w.flight = c->snd_nxt - c->snd_una;
    bool moved = e->ack != c->snd_una;
    c->probes = 0; /* somebody answers */
    if (moved) {
        take_acked(c, &w);
        advance(c, e->ack);
        c->retransmits = 0;
        c->first_unacked_at = c->rto_base = w.now; /* RFC 6298 5.3 */
    }
    if (unlikely(e->ece)) ecn_echo(c, &w);
    if (unlikely(c->recovery != NULL) || unlikely(e->opts && e->opts->has & OPT_SACK) || unlikely(!moved))
        process_ack(c, &w);
    if (w.newest_sent_at || moved) {
        nsec rtt = sample_rtt(c, &w);
        if (unlikely(w.una == c->iss) && !rtt && c->rto < RTO_AFTER_LOST_SYN)
            c->rto = RTO_AFTER_LOST_SYN, c->backoff = 0;
        tell_controller(c, &w, rtt);
    }
    if (!f->count && c->rexmit_kind == REXMIT_PERSIST && e->window_changed)
        c->deadlines[DL_REXMIT] = NSEC_NEVER; /* asked anew, if need be */
    recover_arm(c);
    if (f->gone.count || recover_has_unsent(c)) conn_dirty(c);
    if (!f->count && c->recovery) forget_if_quiet(c);
    if (moved && !(c->flags & (CF_DETACHED | CF_ACCEPTING)) && w.una != c->iss)
        c->stack->hooks->acked(c->stack->arg, c);
}

void recover_check(const struct conn *c)
{
    const struct recovery *r = c->recovery;
    bool recovery = c->flags & CF_RECOVERY, loss = c->flags & CF_LOSS;
    ASSERT(!recovery || !loss);
    if (!r) {
        ASSERT(!recovery && !loss);
        ASSERT(!c->inflight.sacked);
        ASSERT(!c->inflight.lost);
        return;
    }
    ASSERT(!r->prr_on || recovery);
    ASSERT(!r->prr_on || r->prr_flight);
    ASSERT(!r->frto || loss);
    ASSERT(!r->reno_sacked || !(c->flags & CF_SACK));
    ASSERT(r->reo_mult);
    ASSERT(r->reo_at == NSEC_NEVER || r->rack_rtt);
    ASSERT(seq_before_eq(r->fack, c->snd_nxt));
    ASSERT(!r->tlp_out || seq_before_eq(r->tlp_end, c->snd_nxt));
    ASSERT(!(recovery || loss) || seq_before_eq(c->recover, c->snd_nxt));
}
