/* SPDX-License-Identifier: MIT
 *
 * Was it a loss? Three witnesses that what was sent again had arrived, only late:
 *
 *     F-RTO   after a timeout two new segments are sent before the rest goes again; an ACK for something that was sent
 *             once only says that the original flight is still coming in (RFC 5682 3, SACK-enhanced)
 *     Eifel   the ACK of a retransmission echoes a timestamp from before it (RFC 3522 3.2)
 *     DSACK   everything that went again has been reported as a duplicate (RFC 3708, RFC 2883), in the recovery or
 *             within a window after it
 *
 * Then window and threshold are what they were (RFC 4015 3.2's response, without its new RTO), and nothing counts as
 * lost.
 */
#include "tcp/recover.h"

void undo_begin(struct conn *c, struct recovery *r)
{
    r->undo_on = true;
    r->eifel = EIFEL_OFF;
    r->undo_left = 0;
    r->undo_start = c->snd_una;
    r->undo_end = c->snd_nxt;
}

/* Another record has gone again in this episode. */
void undo_resent(struct conn *c, struct recovery *r, tcp_seq start)
{
    if (!r->undo_on) return;
    r->undo_left++;
    if (r->eifel == EIFEL_OFF && c->flags & CF_TS) { /* RFC 3522 3.2 step (2): RetransmitTS, of the first */
        r->eifel = EIFEL_ARMED;
        r->eifel_start = start;
        r->retrans_ts = conn_ts_now(c);
    }
}

void undo_dsack(struct conn *c, struct recovery *r, const struct ack_work *w)
{
    const struct sack_block *b = &w->dsack_block;
    if (!r->undo_on || !r->undo_left || seq_before(b->start, r->undo_start) || seq_after(b->end, r->undo_end)) return;
    uint32_t n = (b->end - b->start + c->mss - 1) / c->mss; /* a block may stand for several */
    r->undo_left -= n < r->undo_left ? n : r->undo_left;
    if (!r->undo_left) r->undo_left = UINT32_MAX; /* all of them: undo_try() sees it */
}

static void undo(struct conn *c, struct recovery *r)
{
    inflight_forget_losses(&c->inflight);
    if (c->cc.ops->undo) c->cc.ops->undo(&c->cc, conn_now(c));
    c->flags &= ~(uint32_t)(CF_RECOVERY | CF_LOSS);
    r->undo_on = r->prr_on = r->force = false;
    r->frto = FRTO_OFF;
    r->reno_sacked = 0;
    r->reordering_seen = true;
    r->reo_at = NSEC_NEVER;
    c->retransmits = c->backoff = 0;
    c->recover = c->snd_una - 1;
    c->stack->n.tcp_undos++;
}

bool undo_try(struct conn *c, struct recovery *r, const struct ack_work *w)
{
    if (!r->undo_on) return false;
    bool recovering = c->flags & (CF_RECOVERY | CF_LOSS);
    /* a window later nobody will tell any more */
    if (!recovering && seq_after(c->snd_una, r->undo_end + (r->undo_end - r->undo_start))) {
        r->undo_on = false;
        return false;
    }
    const struct tcp_opts *o = w->e->opts;
    /* Step (4): the first ACK for what went again first decides. */
    bool decides = r->eifel == EIFEL_ARMED && seq_after(w->e->ack, r->eifel_start);
    bool eifel = recovering && decides && o && o->has & OPT_TS && seq_before(o->ts_ecr, r->retrans_ts);
    bool dsack = r->undo_left == UINT32_MAX;
    if (decides) r->eifel = EIFEL_DECIDED;
    if (!eifel && !dsack) return false;
    if (c->flags & CF_LOSS) c->stack->n.tcp_spurious++;
    undo(c, r);
    return true;
}

/* Step 1. Not when an earlier timeout's recovery is still going on (`again`): the segments of that are ambiguous. */
void frto_begin(struct conn *c, struct recovery *r, bool again) { r->frto = again ? FRTO_OFF : FRTO_SENT; }

/* Steps 2 and 3, for an ACK while CF_LOSS. */
bool frto_acked(struct conn *c, struct recovery *r, const struct ack_work *w)
{
    bool advanced = w->e->ack != w->una;
    if (r->frto == FRTO_SENT) {
        if (!advanced) { /* 2: with SACK duplicates only adjust the scoreboard; without they end it (2.1 step 2a) */
            if (!(c->flags & CF_SACK) && !w->e->has_data && !w->e->window_changed) r->frto = FRTO_OFF;
            return false;
        }
        /* 2a: all is acknowledged, that tells nothing. 2b: two new segments, if there are and the window takes them. */
        bool may_probe = seq_before(w->e->ack, c->recover) && !(c->flags & CF_FIN_SENT) && c->snd_end != c->snd_nxt &&
                         (int32_t)(c->snd_una + c->snd_wnd - c->snd_nxt) > 0;
        r->frto = may_probe ? FRTO_PROBING : FRTO_OFF;
        r->force = may_probe;
        return false;
    }
    if (r->frto != FRTO_PROBING) return false;
    if (!w->original) { /* 3a: nothing of the original flight has come */
        if (advanced || w->sacked || !w->e->has_data) r->frto = FRTO_OFF;
        return false;
    }
    c->stack->n.tcp_spurious++; /* 3b */
    undo(c, r);
    return true;
}
