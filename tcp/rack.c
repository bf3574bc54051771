/* SPDX-License-Identifier: MIT
 *
 * RACK-TLP (RFC 8985): loss by time. A segment is lost when one that was sent later has been delivered and a reordering
 * window has passed.
 *
 *      sent_at   t0      t1      t2      t3        t2 was delivered (RACK.segment), rtt ago
 *                |       |       x       |
 *                lost?   lost?           no: sent behind it
 *                `-- sent_at + rtt + reo_wnd <= now: lost; else the timer looks again then
 *
 * The scoreboard's list of what flies is in order of sent_at, so that only what changes is looked at. The numbers in
 * comments are the steps of RFC 8985 6.2 and 7.
 *
 * SACK blocks (RFC 2018, 6675): a record is SACKed when a block covers all of it. Blocks that are not inside (SND.UNA,
 * SND.NXT] mark nothing.
 */
#include "tcp/recover.h"

#define DUP_THRESH   3
#define REO_PERSIST  16 /* recoveries, 6.2 step 4 */
#define REO_MULT_MAX 32 /* windows beyond that are cut at SRTT anyway */

/* 5.2: RACK_sent_after(). */
static inline bool sent_after(nsec t1, tcp_seq end1, nsec t2, tcp_seq end2)
{
    return t1 > t2 || (t1 == t2 && seq_after(end1, end2));
}

/* Steps 2 and 3, for each segment newly delivered; in order of sequence within an ACK. */
void rack_delivered(struct conn *c, struct recovery *r, const struct ack_work *w, const struct sent_seg *g)
{
    if (seq_after(g->end, r->fack)) r->fack = g->end;
    else if (seq_before(g->end, r->fack) && !(g->flags & SEG_RETRANS)) r->reordering_seen = true;

    nsec rtt = w->now - g->sent_at;
    if (g->flags & SEG_RETRANS) {
        const struct tcp_opts *o = w->e->opts;
        /* The ACK may be of what was sent before: an echo older than the retransmission, or a time that cannot be. */
        if (c->flags & CF_TS && o && o->has & OPT_TS &&
            seq_before(o->ts_ecr, (uint32_t)(g->sent_at / NSEC_PER_MSEC) + c->ts_offset))
            return;
        if (c->rtt.min != NSEC_NEVER && rtt < c->rtt.min) return;
    }
    r->rack_rtt = rtt ? rtt : 1;
    if (sent_after(g->sent_at, g->end, r->rack_sent_at, r->rack_end)) {
        r->rack_sent_at = g->sent_at;
        r->rack_end = g->end;
    }
}

/* --- SACK --------------------------------------------------------------------------------------------------------- */

/* RFC 2883 4: the first block is a duplicate if it lies below the ACK, or inside the second. One we never sent tells
 * nothing. */
static bool is_dsack(const struct conn *c, const struct tcp_opts *o, tcp_seq ack)
{
    const struct sack_block *b = &o->sack[0];
    if (!seq_before(b->start, b->end) || seq_after(b->end, c->snd_nxt)) return false;
    if (seq_before(b->start, ack)) return seq_before_eq(b->end, ack) && ack - b->start < 1u << 30;
    return o->sack_count > 1 && seq_after_eq(b->start, o->sack[1].start) && seq_before_eq(b->end, o->sack[1].end) &&
           seq_before(o->sack[1].start, o->sack[1].end) && seq_before_eq(o->sack[1].end, c->snd_nxt);
}

static void mark(struct conn *c, struct ack_work *w, struct sack_block b)
{
    struct inflight *f = &c->inflight;
    if (!seq_before(b.start, b.end) || seq_before(b.start, c->snd_una) || seq_after(b.end, c->snd_nxt) || !f->count)
        return;
    uint32_t i = inflight_find(f, b.start);
    if (inflight_at(f, i)->start != b.start) i++;
    while ((i = inflight_unsacked(f, i)) != inflight_end(f) && seq_before_eq(inflight_at(f, i)->end, b.end)) {
        recover_delivered(c, w, i);
        inflight_sack(f, i);
        w->sacked = true;
        i++;
    }
}

/* In order of sequence, since step 3 takes what is delivered below the highest for reordering. */
void rack_sacks(struct conn *c, struct recovery *r, struct ack_work *w)
{
    const struct tcp_opts *o = w->e->opts;
    struct sack_block b[SACK_BLOCKS_MAX];
    unsigned n = 0, i = 0;
    if (is_dsack(c, o, w->e->ack)) {
        w->dsack = true;
        w->dsack_block = o->sack[0];
        i = 1;
    }
    for (; i < o->sack_count; i++) {
        unsigned at = n++;
        for (; at && seq_before(o->sack[i].start, b[at - 1].start); at--) b[at] = b[at - 1];
        b[at] = o->sack[i];
    }
    for (i = 0; i < n; i++) mark(c, w, b[i]);
}

/* --- loss --------------------------------------------------------------------------------------------------------- */

/* Step 4, the part with memory: RACK_update_reo_wnd(). */
void rack_update_window(struct conn *c, struct recovery *r, const struct ack_work *w, bool recovered)
{
    if (r->dsack_round_on && seq_after_eq(c->snd_una, r->dsack_round)) r->dsack_round_on = false;
    if (w->dsack && !r->dsack_round_on) {
        r->dsack_round_on = true;
        r->dsack_round = c->snd_nxt;
        r->reo_persist = REO_PERSIST;
        if (r->reo_mult < REO_MULT_MAX) r->reo_mult++;
    } else if (recovered && r->reo_persist && --r->reo_persist == 0) {
        r->reo_mult = 1;
    }
}

static uint32_t sacked_count(const struct inflight *f) { return f->count - f->flying.count - f->gone.count; }

static nsec reordering_window(const struct conn *c, const struct recovery *r)
{
    if (!r->reordering_seen && (c->flags & (CF_RECOVERY | CF_LOSS) || sacked_count(&c->inflight) >= DUP_THRESH))
        return 0;
    if (c->rtt.min == NSEC_NEVER) return 0;
    nsec window = r->reo_mult * (c->rtt.min / 4), srtt = rtt_srtt(&c->rtt);
    return window < srtt ? window : srtt;
}

/* Step 5. */
bool rack_detect(struct conn *c, struct recovery *r)
{
    struct inflight *f = &c->inflight;
    bool any = false;
    r->reo_at = NSEC_NEVER;
    if (!r->rack_rtt) return false;
    nsec patience = r->rack_rtt + reordering_window(c, r);
    while (f->flying.count) {
        uint32_t i = f->flying.first;
        const struct sent_seg *g = inflight_at(f, i);
        if (!sent_after(r->rack_sent_at, r->rack_end, g->sent_at, g->end)) break;
        if (g->sent_at + patience > conn_now(c)) {
            r->reo_at = g->sent_at + patience;
            break;
        }
        inflight_lose(f, i);
        any = true;
    }
    return any;
}

/* 6.3: upon RTO the first is lost, and whatever was sent longer ago than a round trip and the window. Without SACK:
 * everything (RFC 6582 3.2 goes back to SND.UNA as well). */
void rack_timeout_losses(struct conn *c, struct recovery *r)
{
    struct inflight *f = &c->inflight;
    bool all = !(c->flags & CF_SACK) || !r->rack_rtt;
    nsec patience = all ? 0 : r->rack_rtt + reordering_window(c, r);
    for (uint32_t i = f->head, end = inflight_end(f); i != end; i++) {
        const struct sent_seg *g = inflight_at(f, i);
        if (g->flags & (SEG_SACKED | SEG_LOST)) continue;
        if (all || i == f->head || g->sent_at + patience <= conn_now(c)) inflight_lose(f, i);
    }
    inflight_order_losses(f);
}

/* --- tail loss probe ---------------------------------------------------------------------------------------------- */

void tlp_sent(struct conn *c, bool retransmit)
{
    struct recovery *r = c->recovery;
    c->rto_base = conn_now(c); /* 7.3: the RTO timer starts anew */
    if (!r) return;
    r->tlp_out = true;
    r->tlp_retrans = retransmit;
    r->tlp_end = c->snd_nxt;
}

void tlp_skipped(struct conn *c)
{
    struct recovery *r = c->recovery;
    if (!r) return;
    r->tlp_out = true;
    r->tlp_retrans = false;
    r->tlp_end = c->snd_nxt;
}

/* 7.4.2: TLP_process_ack(). A loss that the probe itself has repaired is answered with the reduction that a recovery
 * would have brought. */
void tlp_acked(struct conn *c, struct recovery *r, const struct ack_work *w)
{
    if (!r->tlp_out || seq_before(w->e->ack, r->tlp_end)) return;
    if (!r->tlp_retrans || w->dsack) {
        r->tlp_out = false; /* new data; or case 1: both copies have come */
    } else if (seq_after(w->e->ack, r->tlp_end) || w->una != w->e->ack) {
        /* Case 2, "SEG.ACK > TLP.end_seq": the RFC waits here for one more ACK while SEG.ACK = TLP.end_seq, whose
         * DSACK or duplicate (1, 3) would tell that the original had come, too. */
        if (w->e->ack == r->tlp_end) return;
        r->tlp_out = false;
        if (c->flags & (CF_RECOVERY | CF_LOSS)) return;
        c->cc.ops->congestion(&c->cc, w->flight < c->cc.cwnd ? w->flight : c->cc.cwnd, w->now, false);
        c->cc.ops->recovered(&c->cc, w->now);
        c->recover = c->snd_nxt;
    } else if (!w->e->has_data && !w->e->window_changed && !w->sacked) {
        r->tlp_out = false; /* case 3: a duplicate ACK without SACK */
    }
}
