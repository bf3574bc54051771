/* SPDX-License-Identifier: MIT
 *
 * BBR, first version: Cardwell, Cheng, Gunn, Yeganeh, Jacobson, "BBR: Congestion-Based Congestion Control" (ACM Queue
 * 14(5), 2016), and draft-cardwell-iccrg-bbr-congestion-control-00. Two measurements make a model of the path, and the
 * model says how fast and how much:
 *
 *     bandwidth  the largest delivery rate of the last 10 round trips      pacing rate = pacing gain * bandwidth
 *     min RTT    the smallest of the last 10 s                     cwnd = cwnd gain * bandwidth * min RTT + 3 bursts
 *
 *     STARTUP --- bandwidth has not grown by 1/4 for 3 rounds ---> DRAIN --- in flight <= BDP ---> PROBE_BW
 *        ^                                                                                        |    ^
 *        '---- pipe never filled ---- PROBE_RTT <------- min RTT not seen for 10 s ---------------'    |
 *                                        '---------------- 200 ms and a round later ------------------'
 *
 * PROBE_BW goes through eight phases of a min RTT each: more, less, and six times as measured.
 *
 * A loss is no measurement: it holds the window to what arrives for a round of the recovery, no longer. ssthresh stays
 * UINT32_MAX, so that PRR leaves the window alone. Deviations: the phase in which PROBE_BW begins is drawn from the
 * clock's low bits, since there are no dice here; ECN marks, which the draft leaves out, hold the window at 0.7 of what
 * was in flight and let it rise by an eighth each round (RFC 3168 6.1.2 wants a reduction). Left out: the estimates of
 * policers and of aggregated ACKs that Linux has beyond the draft.
 */
#include "tcp/cc.h"

#include "alloc/base/assert.h"
#include "alloc/heap.h"

#define GAIN_ONE       256u
#define GAIN_STARTUP   739u /* 2 / ln 2 = 2.885 */
#define GAIN_DRAIN     88u  /* the inverse, rounded down: what STARTUP left behind is gone in about a round */
#define GAIN_CWND      512u
#define BW_ROUNDS      10u
#define MIN_RTT_WINDOW (10 * NSEC_PER_SEC)
#define PROBE_RTT_NS   (200 * NSEC_PER_MSEC)
#define MIN_SEGMENTS   4u
#define FULL_ROUNDS    3u
#define CYCLE_PHASES   8u
#define RATE_MAX       ((uint64_t)1 << 40) /* bytes a second; keeps products in 64 and 128 bits */
#define WINDOW_MAX     (UINT32_MAX / 4)

static const uint16_t cycle_gains[CYCLE_PHASES] = {320, 192, 256, 256, 256, 256, 256, 256};

enum bbr_mode { BBR_STARTUP, BBR_DRAIN, BBR_PROBE_BW, BBR_PROBE_RTT };

/* The largest of a window, by the best, second and third best of ever younger parts of it (K. Nichols' windowed
 * filter). */
struct bw_sample {
    uint64_t rate;
    uint32_t round;
};

struct bbr { /* cc.state[0] points to it: it is larger than what others need */
    struct bw_sample bw[3];
    nsec min_rtt, min_rtt_at; /* NSEC_NEVER: no sample yet */
    nsec probe_rtt_done;      /* 0: in flight has not come down yet */
    nsec cycle_at;
    uint64_t full_bw;
    uint32_t round, round_end; /* round_end: of PROBE_RTT */
    uint32_t conserve_end;     /* the round at which conserve ends */
    uint32_t prior_cwnd;       /* before recovery or PROBE_RTT; 0: neither */
    uint32_t ecn_limit;        /* UINT32_MAX: none */
    uint8_t mode, cycle, full_count;
    bool full, idle_restart, lost, in_loss, in_recovery, round_start, conserve, rtt_known;
};

static struct bbr *state_of(struct cc *c) { return (struct bbr *)(uintptr_t)c->state[0]; }

static inline uint32_t max_u32(uint32_t a, uint32_t b) { return a > b ? a : b; }
static inline uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint64_t bandwidth(const struct bbr *s) { return s->bw[0].rate; }

/* --- the model ---------------------------------------------------------------------------------------------------- */

static void bw_update(struct bbr *s, uint64_t rate)
{
    struct bw_sample *f = s->bw, new = {rate, s->round};
    if (rate >= f[0].rate || s->round - f[2].round > BW_ROUNDS) {
        f[0] = f[1] = f[2] = new;
        return;
    }
    if (rate >= f[1].rate) f[1] = f[2] = new;
    else if (rate >= f[2].rate) f[2] = new;

    uint32_t age = s->round - f[0].round;
    if (age > BW_ROUNDS) { /* the best has left the window; perhaps the second best, too */
        f[0] = f[1], f[1] = f[2], f[2] = new;
        if (s->round - f[0].round > BW_ROUNDS) f[0] = f[1], f[1] = f[2];
    } else if (f[1].round == f[0].round && age > BW_ROUNDS / 4) {
        f[1] = f[2] = new;
    } else if (f[2].round == f[1].round && age > BW_ROUNDS / 2) {
        f[2] = new;
    }
}

/* What one burst of the sender may be: draft 4.2.2. */
static uint32_t send_quantum(const struct cc *c)
{
    if (c->pacing_rate < 150000) return c->mss; /* 1.2 Mbit/s */
    if (c->pacing_rate < 3000000) return 2 * c->mss;
    uint64_t ms = c->pacing_rate / 1000;
    return ms < 65536 ? max_u32((uint32_t)ms, 2 * c->mss) : 65536;
}

/* gain * bandwidth * min RTT, and no less than MIN_SEGMENTS. Without a model: the initial window. */
static uint32_t inflight_at(const struct cc *c, const struct bbr *s, uint32_t gain, bool with_bursts)
{
    if (s->min_rtt == NSEC_NEVER || bandwidth(s) == 0) return cc_initial_window(c->mss);
    unsigned __int128 bdp = (unsigned __int128)bandwidth(s) * s->min_rtt / NSEC_PER_SEC * gain / GAIN_ONE;
    uint64_t n = (uint64_t)(bdp < WINDOW_MAX ? bdp : WINDOW_MAX) + (with_bursts ? 3 * send_quantum(c) : 0);
    return n < MIN_SEGMENTS * c->mss ? MIN_SEGMENTS * c->mss : (uint32_t)(n < WINDOW_MAX ? n : WINDOW_MAX);
}

static uint32_t pacing_gain(const struct bbr *s)
{
    switch (s->mode) {
    case BBR_STARTUP: return GAIN_STARTUP;
    case BBR_DRAIN: return GAIN_DRAIN;
    case BBR_PROBE_BW: return s->idle_restart ? GAIN_ONE : cycle_gains[s->cycle];
    default: return GAIN_ONE;
    }
}

static void set_pacing(struct cc *c, const struct bbr *s)
{
    if (bandwidth(s) == 0) return;
    uint64_t rate = bandwidth(s) * pacing_gain(s) / GAIN_ONE;
    rate -= rate / 100; /* a little below, so that queues drain on average (draft 4.2.1) */
    if (rate == 0) rate = 1;
    if (s->full || rate > c->pacing_rate) c->pacing_rate = rate;
}

/* --- modes -------------------------------------------------------------------------------------------------------- */

static void enter_probe_bw(struct bbr *s, nsec now)
{
    s->mode = BBR_PROBE_BW;
    /* any but the one that drains: it would come without its cause */
    s->cycle = (uint8_t)(now / 1000 % (CYCLE_PHASES - 1));
    if (s->cycle >= 1) s->cycle++;
    s->cycle_at = now;
    s->lost = false;
}

static void cycle_update(const struct cc *c, struct bbr *s, const struct cc_ack *a)
{
    if (s->mode != BBR_PROBE_BW) return;
    bool long_enough = a->now > s->cycle_at && a->now - s->cycle_at > s->min_rtt, next = long_enough;
    uint32_t gain = cycle_gains[s->cycle];
    if (gain > GAIN_ONE) next = long_enough && (s->lost || a->in_flight >= inflight_at(c, s, gain, false));
    else if (gain < GAIN_ONE) next = long_enough || a->in_flight <= inflight_at(c, s, GAIN_ONE, false);
    if (!next) return;
    s->cycle = (s->cycle + 1) % CYCLE_PHASES;
    s->cycle_at = a->now;
    s->lost = false;
}

static void full_update(struct bbr *s, const struct cc_ack *a)
{
    if (s->full || !s->round_start || a->rate_app_limited || bandwidth(s) == 0) return;
    if (bandwidth(s) >= s->full_bw + s->full_bw / 4) {
        s->full_bw = bandwidth(s);
        s->full_count = 0;
        return;
    }
    if (++s->full_count >= FULL_ROUNDS) s->full = true;
}

static void startup_update(const struct cc *c, struct bbr *s, const struct cc_ack *a, uint32_t in_flight)
{
    if (s->mode == BBR_STARTUP && s->full) s->mode = BBR_DRAIN;
    if (s->mode == BBR_DRAIN && in_flight <= inflight_at(c, s, GAIN_ONE, false)) enter_probe_bw(s, a->now);
}

static void save_cwnd(struct cc *c, struct bbr *s)
{
    if (!s->in_recovery && !s->in_loss && s->mode != BBR_PROBE_RTT) s->prior_cwnd = c->cwnd;
    else s->prior_cwnd = max_u32(s->prior_cwnd, c->cwnd);
}

static void leave_probe_rtt(struct cc *c, struct bbr *s, nsec now)
{
    s->min_rtt_at = now;
    c->cwnd = max_u32(c->cwnd, s->prior_cwnd);
    if (s->full) enter_probe_bw(s, now);
    else s->mode = BBR_STARTUP;
}

static void min_rtt_update(struct cc *c, struct bbr *s, const struct cc_ack *a, uint32_t in_flight)
{
    bool expired = s->min_rtt != NSEC_NEVER && a->now > s->min_rtt_at && a->now - s->min_rtt_at > MIN_RTT_WINDOW;
    if (a->rtt && (a->rtt <= s->min_rtt || expired)) {
        s->min_rtt = a->rtt;
        s->min_rtt_at = a->now;
    }
    if (expired && !s->idle_restart && s->mode != BBR_PROBE_RTT) {
        save_cwnd(c, s);
        s->mode = BBR_PROBE_RTT;
        s->probe_rtt_done = 0;
    }
    if (s->mode != BBR_PROBE_RTT) return;
    if (s->probe_rtt_done == 0) {
        if (in_flight > MIN_SEGMENTS * c->mss) return;
        s->probe_rtt_done = a->now + PROBE_RTT_NS;
        s->round_end = s->round + 1;
    } else if (a->now >= s->probe_rtt_done && (int32_t)(s->round - s->round_end) >= 0) {
        leave_probe_rtt(c, s, a->now);
    }
}

/* --- the window --------------------------------------------------------------------------------------------------- */

static void window_update(struct cc *c, struct bbr *s, const struct cc_ack *a, uint32_t in_flight)
{
    uint32_t target =
        inflight_at(c, s, s->mode == BBR_STARTUP || s->mode == BBR_DRAIN ? GAIN_STARTUP : GAIN_CWND, true);
    if (s->conserve) { /* as much leaves as arrives (draft 4.2.3.4) */
        c->cwnd = max_u32(c->cwnd, min_u32(in_flight, WINDOW_MAX) + min_u32(a->acked, WINDOW_MAX));
    } else if (s->full) {
        c->cwnd = min_u32(c->cwnd + min_u32(a->acked, WINDOW_MAX), target);
    } else if (c->cwnd < target || a->delivered < cc_initial_window(c->mss)) {
        c->cwnd = min_u32(c->cwnd + min_u32(a->acked, WINDOW_MAX), WINDOW_MAX);
    }
    if (s->ecn_limit != UINT32_MAX) {
        if (s->round_start) s->ecn_limit += s->ecn_limit / 8;
        if (s->ecn_limit >= target) s->ecn_limit = UINT32_MAX;
        else c->cwnd = min_u32(c->cwnd, s->ecn_limit);
    }
    if (!s->in_loss) c->cwnd = max_u32(c->cwnd, MIN_SEGMENTS * c->mss);
    if (s->mode == BBR_PROBE_RTT) c->cwnd = min_u32(c->cwnd, MIN_SEGMENTS * c->mss);
}

static void bbr_acked(struct cc *c, const struct cc_ack *ack)
{
    struct bbr *s = state_of(c);
    struct cc_ack delivered = *ack, *a = &delivered;
    delivered.acked += ack->sacked; /* what arrives counts here, whichever way it was told */
    uint32_t in_flight = a->in_flight > a->acked ? a->in_flight - a->acked : 0;
    s->round_start = (uint32_t)a->round != s->round;
    s->round = (uint32_t)a->round;
    uint64_t rate = a->rate < RATE_MAX ? a->rate : RATE_MAX;
    if (rate && (!a->rate_app_limited || rate >= bandwidth(s))) bw_update(s, rate);
    if ((int32_t)(s->round - s->conserve_end) >= 0) s->conserve = false;
    if (!s->rtt_known && a->srtt) { /* draft 4.2.1: initial window / SRTT */
        s->rtt_known = true;
        c->pacing_rate = (uint64_t)((unsigned __int128)c->cwnd * NSEC_PER_SEC / a->srtt) * GAIN_STARTUP / GAIN_ONE;
    }
    cycle_update(c, s, a);
    full_update(s, a);
    startup_update(c, s, a, in_flight);
    min_rtt_update(c, s, a, in_flight);
    if (a->acked) s->idle_restart = false;
    set_pacing(c, s);
    window_update(c, s, a, in_flight);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static bool bbr_init(struct cc *c, nsec now)
{
    struct bbr *s = heap_alloc(sizeof *s);
    if (!s) return false;
    c->state[0] = (uintptr_t)s;
    *s = (struct bbr){.min_rtt = NSEC_NEVER, .min_rtt_at = now, .cycle_at = now, .ecn_limit = UINT32_MAX};
    /* as if the RTT were 1 ms, until one is known */
    c->pacing_rate = (uint64_t)c->cwnd * 1000 * GAIN_STARTUP / GAIN_ONE;
    return true;
}

static void bbr_fini(struct cc *c) { heap_free(state_of(c)); }

static void bbr_congestion(struct cc *c, uint32_t in_flight, nsec now, bool ecn)
{
    struct bbr *s = state_of(c);
    s->lost = true;
    if (ecn) {
        s->ecn_limit = max_u32((uint32_t)((uint64_t)in_flight * 7 / 10), MIN_SEGMENTS * c->mss);
        c->cwnd = min_u32(c->cwnd, s->ecn_limit);
        return;
    }
    save_cwnd(c, s);
    s->conserve = s->in_recovery = true;
    s->conserve_end = s->round + 2; /* the one that is running, and a whole one */
    c->cwnd = max_u32(min_u32(in_flight, c->cwnd), MIN_SEGMENTS * c->mss);
}

static void bbr_timeout(struct cc *c, uint32_t in_flight, nsec now)
{
    struct bbr *s = state_of(c);
    save_cwnd(c, s);
    s->in_loss = true;
    s->conserve = s->in_recovery = false;
    s->lost = true;
    s->full_bw = 0; /* what was measured before may no longer hold */
    s->full_count = 0;
    c->cwnd = c->mss;
}

static void bbr_recovered(struct cc *c, nsec now)
{
    struct bbr *s = state_of(c);
    s->conserve = s->in_recovery = s->in_loss = false;
    if (s->mode != BBR_PROBE_RTT) c->cwnd = max_u32(c->cwnd, min_u32(s->prior_cwnd, s->ecn_limit));
}

static void bbr_undo(struct cc *c, nsec now) { bbr_recovered(c, now); }

/* After a pause with the pipe empty: begin at the measured rate, and do not take the pause for a reason to measure
 * the RTT (draft 4.3.4.4). */
static void bbr_idle(struct cc *c, nsec now, nsec idle_for, nsec rto)
{
    struct bbr *s = state_of(c);
    s->idle_restart = true;
    if (s->mode == BBR_PROBE_BW) set_pacing(c, s);
    if (s->mode == BBR_PROBE_RTT && s->probe_rtt_done && now >= s->probe_rtt_done) leave_probe_rtt(c, s, now);
}

const struct cc_ops cc_bbr = {
    .name = "bbr",
    .init = bbr_init,
    .fini = bbr_fini,
    .acked = bbr_acked,
    .wants_rate = true,
    .congestion = bbr_congestion,
    .timeout = bbr_timeout,
    .recovered = bbr_recovered,
    .undo = bbr_undo,
    .idle = bbr_idle,
};
