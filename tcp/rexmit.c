/* SPDX-License-Identifier: MIT
 *
 * The retransmission timer has fired, as what recover_due() made it: a timeout, a probe of a closed window, the end of
 * RACK's reordering window, a tail loss probe. And segments on the way that have become too long for the path.
 *
 * RFC 6298 5.4 to 5.7, 9293 3.8.3 (R1, R2), 3.8.6.1 (persist), 5482 (user timeout), 6429 (a window closed for ever),
 * 4821 7.7 (black holes).
 */
#include "tcp/recover.h"

#include "tcp/hdr.h"

#include <errno.h>

#define RETRIES_MAX 15 /* R2 of RFC 9293 3.8.3: with 200 ms as the first RTO, 924 s (as Linux) */
/* 127 s with the first RTO 1 s; R2 of a SYN is at least 3 minutes in RFC 9293 3.8.3: Deviation, as Linux */
#define SYN_TRIES_MAX       6
#define PROBES_MAX          15 /* probes of a zero window that nobody answers */
#define PROBES_MAX_DETACHED 8  /* or answers, while no user is there to decide: RFC 6429 */
#define BLACK_HOLE_RTOS     3  /* so many timeouts of full segments, and smaller ones are tried (RFC 4821 7.7) */
/* 1024 of RFC 4821 7.2 would do for most; what must pass everywhere is this (RFC 9293 3.7.1) */
#define BLACK_HOLE_MSS4 536u
#define BLACK_HOLE_MSS6 1220u

/* --- smaller segments --------------------------------------------------------------------------------------------- */

void recover_smaller_mss(struct conn *c)
{
    struct inflight *f = &c->inflight;
    struct recovery *r = recovery_get(c);
    bool longer = false;
    for (uint32_t i = f->head; i != inflight_end(f) && !longer; i++)
        longer = inflight_at(f, i)->end - inflight_at(f, i)->start > c->mss;
    /* out of memory: fragments, or the timeout's next try */
    if (!longer || !r || inflight_resegment(f, c->mss)) return;
    if (c->rate) {
        rate_reserve(c->rate, f); /* where it fails, some records share a place until there is memory */
        rate_reset(c->rate, f, conn_now(c));
    }
    for (uint32_t i = f->head; i != inflight_end(f); i++) {
        if (!(inflight_at(f, i)->flags & (SEG_SACKED | SEG_LOST))) inflight_lose(f, i);
    }
    inflight_order_losses(f);
    if (!(c->flags & (CF_RECOVERY | CF_LOSS))) {
        c->flags |= CF_LOSS; /* slow start or not by ssthresh, which stays */
        c->recover = c->snd_nxt;
        r->undo_on = r->prr_on = false;
        r->frto = FRTO_OFF;
    }
    r->force = true;
    recover_arm(c);
    conn_dirty(c);
}

/* The peer has taken back window over what is on the way. */
static bool window_ends_inside_first(const struct conn *c)
{
    return seq_before(c->snd_una + c->snd_wnd, inflight_at(&c->inflight, c->inflight.head)->end);
}

/* Bytes of the first record that go again: as far as the peer's window does. 0 where that is closed: what goes then
 * asks for it, and tells nothing of the path. */
static uint32_t sent_again(const struct conn *c, const struct sent_seg *g)
{
    uint32_t len = g->end - g->start;
    return len < c->snd_wnd ? len : c->snd_wnd;
}

/* RFC 4821 7.7 in its smallest form: full segments that never get through, without a word of ICMP, may be too large.
 * The peer's MSS is taken to be what every path carries; the connection keeps it. */
static void suspect_black_hole(struct conn *c)
{
    uint32_t base = addr_is_v4(&c->remote.addr) ? BLACK_HOLE_MSS4 : BLACK_HOLE_MSS6;
    const struct sent_seg *g = inflight_at(&c->inflight, c->inflight.head);
    /* the MSS counts options in (RFC 6691): 1,214 bytes with timestamps are too long, too */
    uint32_t longest = sent_again(c, g) + TCP_OPTS_MAX;
    if (c->retransmits != BLACK_HOLE_RTOS || longest <= base || c->path.is_loop) return;
    c->peer_mss = (uint16_t)base;
    tcp_update_mss(c);
}

/* --- timeouts ----------------------------------------------------------------------------------------------------- */

static void give_up(struct conn *c)
{
    c->stack->n.tcp_timeouts_user++;
    conn_finish(c, c->error_soft ? c->error_soft : ETIMEDOUT);
}

static bool user_timeout_over(const struct conn *c)
{
    nsec limit = c->opts ? c->opts->user_timeout_ms * NSEC_PER_MSEC : 0;
    return limit && conn_now(c) - c->first_unacked_at >= limit;
}

static bool is_too_long(const struct conn *c)
{
    if (user_timeout_over(c)) return true;
    if (!conn_is_synchronised(c)) return c->retransmits >= SYN_TRIES_MAX;
    /* RFC 9293 3.8.6 SHLD-17: a window that has closed over what is on the way, or over a part of it, is no dead peer
     * as long as it answers: as when persisting. */
    if (window_ends_inside_first(c) && conn_now(c) - c->last_rcv_at < 2 * c->stack->conf.rto_max &&
        !(c->flags & CF_DETACHED))
        return false;
    return !(c->opts && c->opts->user_timeout_ms) && c->retransmits >= RETRIES_MAX;
}

/* RFC 6298 5.4 to 5.7. */
static void rto_fired(struct conn *c)
{
    struct inflight *f = &c->inflight;
    if (is_too_long(c)) {
        give_up(c);
        return;
    }
    c->stack->n.tcp_rtos++;
    if (c->retransmits < UINT8_MAX) c->retransmits++;
    if (c->backoff < 31) c->backoff++; /* 5.5 */
    c->rto_base = conn_now(c);
    struct recovery *r = recovery_get(c);
    if (!r) { /* without memory nothing is sent again now */
        recover_arm(c);
        return;
    }
    suspect_black_hole(c);
    bool again = c->flags & CF_LOSS && c->retransmits > 1;
    uint32_t flight = recover_flight(c, c->snd_nxt - c->snd_una);
    /* RFC 2018 8: the peer has taken it back */
    if (inflight_at(f, f->head)->flags & SEG_SACKED) inflight_forget_sacks(f);
    if (!again) undo_begin(c, r);
    if (!conn_is_synchronised(c)) {
        c->cc.cwnd = c->mss; /* RFC 5681 3.1: a lost SYN makes the initial window one segment */
    } else {
        c->cc.ops->timeout(&c->cc, flight, conn_now(c));
        c->flags = (c->flags & ~(uint32_t)CF_RECOVERY) | CF_LOSS;
        frto_begin(c, r, again || c->recover - c->snd_una < c->snd_nxt - c->snd_una); /* RFC 5682 step 1 */
    }
    c->recover = c->snd_nxt;
    rack_timeout_losses(c, r);
    r->prr_on = r->tlp_out = false;
    r->reo_at = NSEC_NEVER;
    r->reno_sacked = 0;
    c->dupacks = 0;
    r->force = true;
    if (c->flags & CF_ECN) c->flags |= CF_CWR_DUE;
    recover_arm(c);
    conn_dirty(c);
}

/* RFC 9293 3.8.6.1: as long as the peer answers, a window of zero may last: it is the user who decides how long
 * (user timeout). Where no user is any more, we do. */
static void persist_fired(struct conn *c)
{
    if (!recover_has_unsent(c)) return;
    bool detached = c->flags & CF_DETACHED;
    if (user_timeout_over(c) || c->probes >= PROBES_MAX || (detached && c->backoff >= PROBES_MAX_DETACHED)) {
        tcp_send_reset(c);
        give_up(c);
        return;
    }
    c->probes++;
    if (c->backoff < 31) c->backoff++;
    c->flags |= CF_PROBE_NOW;
    conn_timer_set(c, DL_REXMIT, conn_now(c) + recover_backed_off(c, c->rto));
    conn_dirty(c);
}

static void reordering_fired(struct conn *c)
{
    uint32_t flight = c->recovery->disorder ? c->recovery->disorder_nxt - c->snd_una : c->snd_nxt - c->snd_una;
    if (rack_detect(c, c->recovery)) recover_found(c, flight);
    recover_arm(c);
    conn_dirty(c);
}

static void tlp_fired(struct conn *c)
{
    if (recovery_get(c)) {
        c->flags |= CF_TLP_NOW;
        conn_dirty(c);
    }
    c->rexmit_kind = REXMIT_RTO; /* output starts it anew once the probe has left */
    nsec at = c->rto_base + recover_backed_off(c, c->rto);
    conn_timer_set(c, DL_REXMIT, at > conn_now(c) ? at : conn_now(c) + 1);
}

void recover_timeout(struct conn *c)
{
    if (c->rexmit_kind != REXMIT_PERSIST && c->inflight.count) {
        enum rexmit_kind kind;
        if (recover_due(c, &kind) > conn_now(c)) { /* acknowledgements have come meanwhile: plain_ack() */
            recover_arm(c);
            return;
        }
    }
    switch (c->rexmit_kind) {
    case REXMIT_PERSIST: persist_fired(c); return;
    case REXMIT_REO: reordering_fired(c); return;
    case REXMIT_TLP: tlp_fired(c); return;
    default:
        if (c->inflight.count) rto_fired(c);
        return;
    }
}
