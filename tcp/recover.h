/* SPDX-License-Identifier: MIT
 *
 * What finding and repairing losses needs beyond the scoreboard, and how its four files talk:
 *
 *     recover.c   an ACK from above: what is acknowledged, which state, PRR, when the timer fires
 *     rexmit.c    the timer has fired
 *     rack.c      SACK blocks onto the scoreboard, RACK's loss detection, the tail loss probe (RFC 8985)
 *     undo.c      it was no loss: F-RTO, Eifel, DSACK (RFC 5682, 3522, 3708)
 *
 * struct recovery is made at the first sign of loss and stays with the connection; most never have one.
 */
#ifndef TCP_RECOVER_H
#define TCP_RECOVER_H

#include "tcp/conn.h"

enum eifel_step { EIFEL_OFF, EIFEL_ARMED, EIFEL_DECIDED };
enum frto_step { FRTO_OFF, FRTO_SENT, FRTO_PROBING }; /* RFC 5682 2.1: behind step 1, behind step 2b */

struct recovery {
    /* RACK: RFC 8985 5.3 */
    nsec rack_sent_at;   /* RACK.xmit_ts, */
    tcp_seq rack_end;    /* RACK.end_seq: of the latest sent of what was delivered */
    nsec rack_rtt;       /* RACK.rtt; 0: nothing was delivered yet */
    tcp_seq fack;        /* RACK.fack: the highest delivered */
    tcp_seq dsack_round; /* RACK.dsack_round, */
    bool dsack_round_on; /* if any */
    bool reordering_seen;
    uint8_t reo_mult, reo_persist;
    nsec reo_at; /* when the reordering window of the next suspect closes; NSEC_NEVER */

    /* tail loss probe: RFC 8985 7.1 */
    bool tlp_out, tlp_retrans; /* TLP.end_seq is set; TLP.is_retrans */
    tcp_seq tlp_end;

    /* PRR: RFC 9937 6.1 */
    uint32_t prr_delivered, prr_out, prr_flight; /* RecoverFS */
    bool prr_on;

    /* what was it? */
    bool undo_on;
    uint8_t eifel;                /* enum eifel_step */
    tcp_seq eifel_start;          /* of the first retransmission of the episode, */
    tcp_seq undo_start, undo_end; /* the episode's bytes */
    uint32_t undo_left;           /* records sent again in this episode whose DSACK has not come */
    uint32_t retrans_ts;          /* and its TSval */
    uint8_t frto;                 /* enum frto_step */

    bool disorder;        /* something is SACKed or came twice, and nothing is taken for lost yet: */
    tcp_seq disorder_nxt; /* SND.NXT when that began, without limited transmit's segments (RFC 5681 3.2 step 2) */

    bool force;           /* the first retransmission of an episode leaves whatever the window says */
    uint32_t reno_sacked; /* without SACK: bytes that duplicate ACKs tell of */
};

struct ack_work { /* one ACK on its way through recover.c */
    const struct ack_event *e;
    nsec now;
    tcp_seq una;           /* before */
    uint32_t pipe, flight; /* before: on the way; SND.NXT - SND.UNA */
    uint32_t acked;        /* by number, that no SACK had told of */
    uint32_t delivered;    /* bytes, by number or SACK */
    struct rate_sample rate;
    nsec newest_sent_at; /* of what is delivered and was sent once; 0: nothing */
    bool original;       /* something was delivered that was never sent again (F-RTO's evidence) */
    bool again;          /* something that was sent again was acknowledged by number (Karn) */
    bool sacked;         /* new SACKs */
    bool dsack;
    struct sack_block dsack_block;
};

/* NULL: out of memory; the caller does without until the next occasion. */
struct recovery *recovery_get(struct conn *c);
/* Bytes on the way: RFC 6675's pipe; without SACK, duplicate ACKs stand for what has left. */
uint32_t recover_pipe(const struct conn *c);
/* Record i is delivered by this ACK. */
void recover_delivered(struct conn *c, struct ack_work *w, uint32_t i);
/* A timer has found what is lost: fast recovery begins, unless a recovery is going on; what may leave now is what PRR
 * allows without an ACK (RFC 9937 6.2), not all that the losses have taken out of the window. flight: FlightSize when
 * the first sign of it came. */
void recover_found(struct conn *c, uint32_t flight);
/* Recovery of either kind is over. */
void recover_end(struct conn *c);
void recover_check(const struct conn *c); /* conn_check()'s part of it */

/* rack.c */
void rack_sacks(struct conn *c, struct recovery *r, struct ack_work *w); /* the ACK's SACK blocks; una has moved */
void rack_delivered(struct conn *c, struct recovery *r, const struct ack_work *w, const struct sent_seg *g);
void rack_update_window(struct conn *c, struct recovery *r, const struct ack_work *w, bool recovered);
bool rack_detect(struct conn *c, struct recovery *r); /* true: something is lost that was not */
void rack_timeout_losses(struct conn *c, struct recovery *r);
#define TLP_INITIAL_NS   NSEC_PER_SEC          /* RFC 8985 7.2: without SRTT */
#define TLP_ACK_DELAY_NS (200 * NSEC_PER_MSEC) /* TLP.max_ack_delay */
/* 7.2: not in recovery of either kind, nothing SACKed, one probe a tail. */
static inline bool tlp_wanted(const struct conn *c)
{
    if ((c->flags & (CF_SACK | CF_RECOVERY | CF_LOSS)) != CF_SACK || !conn_is_synchronised(c)) return false;
    return likely(!c->recovery) ||
           (!c->inflight.sacked && !c->inflight.lost && !c->retransmits && !c->recovery->tlp_out);
}
/* TLP_calc_PTO() */
static inline nsec tlp_at(const struct conn *c)
{
    nsec srtt = rtt_srtt(&c->rtt), pto = srtt ? 2 * srtt : TLP_INITIAL_NS;
    if (srtt && c->inflight.count == 1) pto += TLP_ACK_DELAY_NS;
    return (c->last_snd_at > c->rto_base ? c->last_snd_at : c->rto_base) + pto;
}
void tlp_sent(struct conn *c, bool retransmit);
void tlp_skipped(struct conn *c); /* the window has no place for one: this tail goes without, by the RTO */
void tlp_acked(struct conn *c, struct recovery *r, const struct ack_work *w);

/* --- the timer --- */

static inline nsec recover_backed_off(const struct conn *c, nsec rto)
{
    nsec max = c->stack->conf.rto_max;
    unsigned shift = c->backoff;
    return shift >= 32 || rto << shift > max ? max : rto << shift; /* RFC 6298 5.5 */
}

static inline bool recover_has_unsent(const struct conn *c)
{
    return !(c->flags & CF_FIN_SENT) && (c->snd_nxt != c->snd_end || c->flags & CF_FIN_QUEUED);
}

/* When the timer of what is on the way should fire, and as what. */
static inline nsec recover_due(const struct conn *c, enum rexmit_kind *kind)
{
    nsec at = c->rto_base + recover_backed_off(c, c->rto);
    *kind = REXMIT_RTO;
    if (unlikely(c->recovery != NULL) && c->recovery->reo_at < at) {
        at = c->recovery->reo_at;
        *kind = REXMIT_REO;
    } else if (tlp_wanted(c)) {
        nsec probe = tlp_at(c);
        if (probe < at) at = probe;
        *kind = REXMIT_TLP; /* RFC 8985 7.2: instead of the RTO, should that come first */
    }
    return at;
}

/* FlightSize as ssthresh goes by it: SND.NXT - SND.UNA (RFC 5681 (4)), or what it was at its largest in this round:
 * when the ACKs of a whole window come in one burst, those before the hole have moved SND.UNA and what they allow
 * has not been sent yet; by the place of the hole in the burst alone ssthresh would be anything down to two
 * segments. But not more than the window was, or what was SACKed around old holes would raise the threshold. */
static inline uint32_t recover_flight(const struct conn *c, uint32_t flight)
{
    if (flight < c->flight_max) flight = c->flight_max;
    return flight < c->cc.cwnd ? flight : c->cc.cwnd;
}

/* undo.c */
void undo_begin(struct conn *c, struct recovery *r);
void undo_resent(struct conn *c, struct recovery *r, tcp_seq start);
void undo_dsack(struct conn *c, struct recovery *r, const struct ack_work *w);
/* true: what was taken for loss was none, and everything is as before. */
bool undo_try(struct conn *c, struct recovery *r, const struct ack_work *w);
void frto_begin(struct conn *c, struct recovery *r, bool again);
/* true: the timeout was spurious, undone */
bool frto_acked(struct conn *c, struct recovery *r, const struct ack_work *w);

#endif
