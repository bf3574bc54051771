/* SPDX-License-Identifier: MIT
 *
 * NewReno: RFC 5681, with the end of recovery of RFC 6582 and byte counting (RFC 3465).
 *
 *     slow start             cwnd += acked, at most SLOW_START_SEGMENTS of them an ACK
 *     congestion avoidance   cwnd += 1 MSS for each cwnd of bytes acknowledged
 *     loss, ECN              ssthresh = max(in flight / 2, 2 MSS)
 *     timeout                the same, and cwnd = 1 MSS; again without an ACK in between: ssthresh stays
 *
 * The window grows only while it is what holds the sender back (RFC 7661 1.3's trouble with windows nobody has tried).
 */
#include "tcp/cc.h"

#include "alloc/base/assert.h"

/* RFC 3465 2.3 has L = 2 and wants no more than that for ACKs that cover a lot; receivers that answer one ACK for a
 * burst of 64 KiB made that too slow. RFC 9406 4.2 takes 8 for senders that do not pace, and so do we. */
#define SLOW_START_SEGMENTS 8

enum newreno_phase { PHASE_OPEN, PHASE_RECOVERY, PHASE_LOSS };

struct newreno {                         /* in cc.state */
    uint32_t acked;                      /* bytes since cwnd grew last, in congestion avoidance */
    uint32_t prior_cwnd, prior_ssthresh; /* for undo: cc.can_undo. cc.phase is an enum newreno_phase */
};
static_assert(sizeof(struct newreno) <= sizeof(((struct cc *)0)->state), "fits");

static struct newreno *state_of(struct cc *c) { return (struct newreno *)(void *)c->state; }

static inline uint32_t max_u32(uint32_t a, uint32_t b) { return a > b ? a : b; }
static inline uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }

static bool newreno_init(struct cc *c, nsec now)
{
    *state_of(c) = (struct newreno){0};
    return true;
}

static void newreno_acked(struct cc *c, const struct cc_ack *a)
{
    struct newreno *s = state_of(c);
    if (c->phase == PHASE_LOSS && a->acked) c->phase = PHASE_OPEN;
    if (a->in_recovery || !a->cwnd_limited || c->cwnd > UINT32_MAX / 4) return;
    uint32_t acked = a->acked;
    if (c->cwnd < c->ssthresh) {
        uint32_t step = min_u32(min_u32(acked, SLOW_START_SEGMENTS * c->mss), c->ssthresh - c->cwnd);
        c->cwnd += step;
        if (c->cwnd < c->ssthresh) return;
        acked -= step; /* what is left counts for congestion avoidance */
    }
    s->acked += acked;
    if (s->acked >= c->cwnd) {
        s->acked -= c->cwnd;
        c->cwnd += c->mss;
        s->acked = min_u32(s->acked, c->cwnd); /* never two segments an ACK and more waiting */
    }
}

static void remember(struct cc *c, struct newreno *s)
{
    c->can_undo = true;
    s->prior_cwnd = c->cwnd;
    s->prior_ssthresh = c->ssthresh;
}

static void newreno_congestion(struct cc *c, uint32_t in_flight, nsec now, bool ecn)
{
    struct newreno *s = state_of(c);
    remember(c, s);
    c->ssthresh = max_u32(in_flight / 2, 2 * c->mss); /* RFC 5681 (4) */
    s->acked = 0;
    if (ecn) c->cwnd = c->ssthresh; /* RFC 3168 6.1.2 */
    else c->phase = PHASE_RECOVERY;
}

static void newreno_timeout(struct cc *c, uint32_t in_flight, nsec now)
{
    struct newreno *s = state_of(c);
    if (c->phase != PHASE_LOSS) {
        if (c->phase == PHASE_OPEN) remember(c, s); /* else what was before the recovery is what an undo returns to */
        c->ssthresh = max_u32(in_flight / 2, 2 * c->mss);
    }
    c->cwnd = c->mss; /* RFC 5681 3.1: LW */
    s->acked = 0;
    c->phase = PHASE_LOSS;
}

static void newreno_recovered(struct cc *c, nsec now)
{
    struct newreno *s = state_of(c);
    if (c->phase == PHASE_RECOVERY) c->cwnd = c->ssthresh; /* RFC 6582 3.2, 3, full acknowledgement, (2) */
    c->phase = PHASE_OPEN;
    s->acked = 0;
}

static void newreno_undo(struct cc *c, nsec now)
{
    struct newreno *s = state_of(c);
    if (!c->can_undo) return;
    c->cwnd = max_u32(c->cwnd, s->prior_cwnd);
    c->ssthresh = s->prior_ssthresh;
    c->can_undo = false;
    c->phase = PHASE_OPEN;
}

/* RFC 5681 4.1: RW = min(IW, cwnd). What the window was is remembered in ssthresh, so that it is reached again in
 * slow start. */
static void newreno_idle(struct cc *c, nsec now, nsec idle_for, nsec rto)
{
    if (idle_for <= rto) return;
    uint32_t restart = cc_initial_window(c->mss);
    if (c->cwnd <= restart) return;
    c->ssthresh = max_u32(c->ssthresh, c->cwnd / 4 * 3);
    c->cwnd = restart;
}

const struct cc_ops cc_newreno = {
    .name = "newreno",
    .init = newreno_init,
    .acked = newreno_acked,
    .congestion = newreno_congestion,
    .timeout = newreno_timeout,
    .recovered = newreno_recovered,
    .undo = newreno_undo,
    .idle = newreno_idle,
};
