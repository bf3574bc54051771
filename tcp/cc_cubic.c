/* SPDX-License-Identifier: MIT
 *
 * CUBIC: RFC 9438, with HyStart++ (RFC 9406) in the first slow start. Windows are bytes, times 1/1024 s (TICK), all
 * integers.
 *
 *     W_cubic(t) = C (t - K)^3 + W_max    C = 0.4 segments/s^3,  K = cbrt((W_max - cwnd_epoch) / C)    RFC 9438 4.2
 *
 *      W_max ............______------'       concave up to W_max, where the loss was, flat around it,
 *             .  --'                         then convex: looking for more
 *      cwnd_epoch'---------|---------> t
 *             0            K
 *
 * W_est is the window that Reno with the same average would have (4.3); where it is larger it counts: on short round
 * trips always, which is most of what a key-value server sees.
 *
 * In the RFC's sections: multiplicative decrease 4.6, fast convergence 4.7, timeout 4.8, spurious ones 4.9, slow start
 * 4.10, application-limited 5.8. ECN is answered like a loss, by beta = 0.7 (4.6); RFC 8511's gentler 0.85 is not used.
 * Not paced: RFC 9406 4.2's L is 8 for that.
 */
#include "tcp/cc.h"

#include "alloc/base/assert.h"

#define BETA_NUM   7 /* beta_cubic = 0.7 */
#define BETA_DEN   10
#define ALPHA_NUM  9 /* alpha_cubic = 3 (1 - beta) / (1 + beta) = 9/17 */
#define ALPHA_DEN  17
#define WINDOW_MAX (UINT32_MAX / 4)
#define TICKS_MAX  (1u << 18) /* 256 s from K: its cube and a segment size fit 2^71 */
#define CUBE_SHIFT 30         /* TICK^3 = 2^30 a second^3 */

/* RFC 9406 4.3 */
#define HYSTART_RTT_MIN     (4 * NSEC_PER_MSEC)
#define HYSTART_RTT_MAX     (16 * NSEC_PER_MSEC)
#define HYSTART_RTT_DIVISOR 8
#define HYSTART_SAMPLES     8
#define HYSTART_CSS_DIVISOR 4
#define HYSTART_CSS_ROUNDS  5
#define HYSTART_L           8

enum cubic_phase { PHASE_OPEN, PHASE_RECOVERY, PHASE_LOSS };

struct cubic_curve { /* what a spurious event restores: RFC 9438 4.9 */
    nsec epoch;      /* t_epoch; 0: congestion avoidance has not begun since the last event */
    uint32_t w_max;  /* 0: none */
    uint32_t k;      /* ticks */
    uint32_t w_est;
    uint32_t cwnd_prior; /* before the last reduction */
};

struct hystart {
    uint8_t samples, css_rounds;
    bool in_css, round_known;
    uint32_t window_end;                      /* windowEnd: SND.NXT when this round began */
    uint32_t rtt_last, rtt_now, rtt_baseline; /* us, UINT32_MAX: infinite; 0 in rtt_baseline: not in CSS */
};

struct cubic_prior {
    struct cubic_curve curve;
    uint32_t cwnd, ssthresh;
};

/* In cc.state; cc.phase is an enum cubic_phase. HyStart++ is for the slow start before the first event, and what an
 * undo restores is made by an event: they share their place. */
struct cubic {
    struct cubic_curve curve;
    union {
        struct hystart hystart;   /* !cc.can_undo */
        struct cubic_prior prior; /* cc.can_undo */
    };
    uint32_t cwnd_part; /* fractions of a byte: (target - cwnd) * acked, less than cwnd */
    uint32_t est_part;  /* the same of W_est */
    nsec last_at;       /* of the ACK before, for times in which the program had nothing to send */
};
static_assert(sizeof(struct cubic) <= sizeof(((struct cc *)0)->state), "fits");

static struct cubic *state_of(struct cc *c) { return (struct cubic *)(void *)c->state; }

static inline uint32_t max_u32(uint32_t a, uint32_t b) { return a > b ? a : b; }
static inline uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint64_t ticks_of(nsec t) { return t > 3600 * NSEC_PER_SEC ? 3600u << 10 : (t << 10) / NSEC_PER_SEC; }

/* floor(cbrt(v)), a bit a round: 21 of them, once per congestion event. */
static uint32_t cube_root(uint64_t v)
{
    uint64_t root = 0;
    for (int bit = 20; bit >= 0; bit--) {
        uint64_t next = root | (uint64_t)1 << bit;
        if (next * next * next <= v) root = next;
    }
    return (uint32_t)root;
}

static const struct hystart hystart_fresh = {.rtt_last = UINT32_MAX, .rtt_now = UINT32_MAX};

static bool cubic_init(struct cc *c, nsec now)
{
    *state_of(c) = (struct cubic){.last_at = now, .hystart = hystart_fresh};
    return true;
}

/* --- slow start: RFC 9406 4.2 ------------------------------------------------------------------------------------- */

static void hystart_round(struct hystart *s)
{
    s->rtt_last = s->rtt_now;
    s->rtt_now = UINT32_MAX;
    s->samples = 0;
    if (s->in_css) s->css_rounds++;
}

static void hystart_sample(struct hystart *s, const struct cc_ack *a)
{
    if (!s->round_known || (int32_t)(a->snd_una - s->window_end) > 0) { /* RFC 9406 4.2 */
        if (s->round_known) hystart_round(s);
        s->window_end = a->snd_nxt;
        s->round_known = true;
    }
    if (a->rtt) {
        uint64_t us = a->rtt / NSEC_PER_USEC;
        s->rtt_now = min_u32(s->rtt_now, us < UINT32_MAX ? (uint32_t)us : UINT32_MAX - 1);
        if (s->samples < UINT8_MAX) s->samples++;
    }
    if (s->samples < HYSTART_SAMPLES) return;
    if (s->in_css) {
        if (s->rtt_now < s->rtt_baseline) s->in_css = false; /* the delay was a jitter: back to slow start */
        return;
    }
    if (s->rtt_last == UINT32_MAX) return;
    uint32_t threshold = s->rtt_last / HYSTART_RTT_DIVISOR;
    threshold = max_u32(HYSTART_RTT_MIN / NSEC_PER_USEC, min_u32(threshold, HYSTART_RTT_MAX / NSEC_PER_USEC));
    if (s->rtt_now >= (uint64_t)s->rtt_last + threshold) {
        s->in_css = true;
        s->css_rounds = 0;
        s->rtt_baseline = s->rtt_now;
    }
}

/* Returns the acknowledged bytes that are left for congestion avoidance. */
static uint32_t slow_start(struct cc *c, struct cubic *s, const struct cc_ack *a)
{
    uint32_t step = min_u32(a->acked, HYSTART_L * c->mss);
    if (c->ssthresh == UINT32_MAX) { /* the first one only: RFC 9406 4.3 */
        struct hystart *h = &s->hystart;
        DASSERT(!c->can_undo);
        hystart_sample(h, a);
        if (h->in_css) step /= HYSTART_CSS_DIVISOR;
        if (a->cwnd_limited) c->cwnd += step;
        if (h->in_css && h->css_rounds >= HYSTART_CSS_ROUNDS) c->ssthresh = c->cwnd;
        return 0;
    }
    if (!a->cwnd_limited) return 0;
    step = min_u32(step, c->ssthresh - c->cwnd);
    c->cwnd += step;
    return c->cwnd < c->ssthresh ? 0 : a->acked - step;
}

/* --- congestion avoidance ----------------------------------------------------------------------------------------- */

static void epoch_begin(struct cc *c, struct cubic *s, nsec now)
{
    s->curve.epoch = now ? now : 1;
    s->curve.w_est = c->cwnd;
    s->cwnd_part = s->est_part = 0;
    if (s->curve.w_max <= c->cwnd) { /* no event yet, or a timeout: 4.8, 4.10 */
        s->curve.w_max = c->cwnd;
        s->curve.k = 0;
    } else { /* K^3 = (W_max - cwnd) / (0.4 MSS) s^3 */
        uint64_t diff = s->curve.w_max - c->cwnd;
        s->curve.k = cube_root((diff * 5 << (CUBE_SHIFT - 1)) / c->mss);
    }
}

static uint32_t w_cubic(const struct cc *c, const struct cubic *s, uint64_t t)
{
    bool below = t < s->curve.k;
    uint64_t d = below ? s->curve.k - t : t - s->curve.k;
    if (d > TICKS_MAX) d = TICKS_MAX;
    uint64_t delta = (uint64_t)((unsigned __int128)(d * d * d) * (2 * c->mss) >> CUBE_SHIFT) / 5;
    if (below) return delta < s->curve.w_max ? s->curve.w_max - (uint32_t)delta : 0;
    return delta < WINDOW_MAX - min_u32(s->curve.w_max, WINDOW_MAX) ? s->curve.w_max + (uint32_t)delta : WINDOW_MAX;
}

/* 4.3: W_est += alpha * segments acked / cwnd, alpha being 1 from cwnd_prior on. */
static void est_grow(struct cc *c, struct cubic *s, uint32_t acked)
{
    uint32_t alpha = s->curve.w_est >= s->curve.cwnd_prior ? ALPHA_DEN : ALPHA_NUM;
    uint64_t part = s->est_part + (uint64_t)acked * c->mss * alpha / ALPHA_DEN, step = part / c->cwnd;
    s->est_part = (uint32_t)(part - step * c->cwnd);
    if (!step) return;
    s->curve.w_est =
        step < WINDOW_MAX - min_u32(s->curve.w_est, WINDOW_MAX) ? s->curve.w_est + (uint32_t)step : WINDOW_MAX;
}

static void avoid(struct cc *c, struct cubic *s, const struct cc_ack *a, uint32_t acked)
{
    if (s->curve.epoch == 0) epoch_begin(c, s, a->now);
    uint64_t t = ticks_of(a->now > s->curve.epoch ? a->now - s->curve.epoch : 0);
    est_grow(c, s, acked);
    if (w_cubic(c, s, t) < s->curve.w_est) { /* Reno-friendly region */
        c->cwnd = max_u32(c->cwnd, s->curve.w_est);
        return;
    }
    /* 4.4, 4.5: towards where the curve is a round trip from now, by at most half a window a round trip (4.2). */
    uint32_t target = min_u32(max_u32(w_cubic(c, s, t + ticks_of(a->srtt)), c->cwnd), c->cwnd + c->cwnd / 2);
    uint64_t part = s->cwnd_part + (uint64_t)(target - c->cwnd) * acked, step = part / c->cwnd;
    s->cwnd_part = (uint32_t)(part - step * c->cwnd);
    c->cwnd = (uint32_t)(c->cwnd + step < target ? c->cwnd + step : target);
}

static void cubic_acked(struct cc *c, const struct cc_ack *a)
{
    struct cubic *s = state_of(c);
    nsec since = a->now > s->last_at ? a->now - s->last_at : 0;
    s->last_at = a->now;
    if (c->phase == PHASE_LOSS && a->acked) c->phase = PHASE_OPEN;
    if (a->in_recovery || c->cwnd >= WINDOW_MAX) return;
    uint32_t acked = a->acked;
    if (c->cwnd < c->ssthresh) {
        acked = slow_start(c, s, a);
        if (acked == 0) return;
    }
    if (a->cwnd_limited) avoid(c, s, a, acked);
    else if (s->curve.epoch) s->curve.epoch += since; /* 5.8: this time does not count */
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void remember(struct cc *c, struct cubic *s)
{
    s->prior = (struct cubic_prior){.curve = s->curve, .cwnd = c->cwnd, .ssthresh = c->ssthresh};
    c->can_undo = true;
}

static void decrease(struct cc *c, struct cubic *s, uint32_t in_flight)
{
    uint32_t ssthresh = (uint32_t)((uint64_t)in_flight * BETA_NUM / BETA_DEN);
    c->ssthresh = max_u32(ssthresh, 2 * c->mss);
    s->curve.cwnd_prior = c->cwnd;
    s->curve.epoch = 0;
}

static void cubic_congestion(struct cc *c, uint32_t in_flight, nsec now, bool ecn)
{
    struct cubic *s = state_of(c);
    remember(c, s);
    if (c->cwnd < s->curve.w_max) /* 4.7: somebody else needs room; W_max = cwnd (1 + beta) / 2 */
        s->curve.w_max = (uint32_t)((uint64_t)c->cwnd * (BETA_DEN + BETA_NUM) / (2 * BETA_DEN));
    else s->curve.w_max = c->cwnd;
    decrease(c, s, in_flight);
    if (ecn) c->cwnd = min_u32(c->cwnd, c->ssthresh);
    else c->phase = PHASE_RECOVERY;
}

static void cubic_timeout(struct cc *c, uint32_t in_flight, nsec now)
{
    struct cubic *s = state_of(c);
    if (c->phase != PHASE_LOSS) { /* again without an ACK in between: ssthresh stays (RFC 5681 3.1) */
        if (c->phase == PHASE_OPEN) remember(c, s);
        decrease(c, s, in_flight);
        s->curve.w_max = 0; /* 4.8: K = 0, W_max = cwnd where congestion avoidance begins */
    }
    c->cwnd = c->mss;
    c->phase = PHASE_LOSS;
}

static void cubic_recovered(struct cc *c, nsec now)
{
    if (c->phase == PHASE_RECOVERY) c->cwnd = c->ssthresh;
    c->phase = PHASE_OPEN;
}

static void cubic_undo(struct cc *c, nsec now)
{
    struct cubic *s = state_of(c);
    if (!c->can_undo) return;
    c->cwnd = max_u32(c->cwnd, s->prior.cwnd);
    c->ssthresh = s->prior.ssthresh;
    s->curve = s->prior.curve;
    s->hystart = hystart_fresh; /* should it be in its first slow start again: rounds are counted anew */
    c->can_undo = false;
    c->phase = PHASE_OPEN;
}

/* 5.8: the pause does not count as time on the curve. Longer than a timeout, the window itself is no longer to be
 * trusted: RFC 5681 4.1. */
static void cubic_idle(struct cc *c, nsec now, nsec idle_for, nsec rto)
{
    struct cubic *s = state_of(c);
    s->last_at = now;
    if (s->curve.epoch) s->curve.epoch = idle_for < now - s->curve.epoch ? s->curve.epoch + idle_for : now;
    uint32_t restart = cc_initial_window(c->mss);
    if (idle_for <= rto || c->cwnd <= restart) return;
    c->ssthresh = max_u32(c->ssthresh, c->cwnd / 4 * 3);
    c->cwnd = restart;
    s->curve.epoch = 0;
}

const struct cc_ops cc_cubic = {
    .name = "cubic",
    .init = cubic_init,
    .acked = cubic_acked,
    .congestion = cubic_congestion,
    .timeout = cubic_timeout,
    .recovered = cubic_recovered,
    .undo = cubic_undo,
    .idle = cubic_idle,
};
