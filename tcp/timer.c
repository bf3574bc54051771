/* SPDX-License-Identifier: MIT
 *
 * Timers of a connection. Each thing that is waited for has a deadline; one struct timer runs for all of them.
 *
 *     deadlines   REXMIT ----------+            ACK ----+      KEEP ----------------------------+     PACE: never
 *     timer       ...................................... ^ not later than the earliest of them
 *
 * A deadline that moves back touches nothing but its field: the timer fires at the old time, finds nothing due and is
 * started for what is the earliest then. Only one that comes before the timer's time starts it anew. A request and its
 * reply move deadlines half a dozen times; the wheel hears of it once in a retransmission timeout.
 *
 * What happens at each: retransmission and persist are recover.c's; a delayed ACK (RFC 9293 3.8.6.3) and pacing only
 * ask output to run; keep-alives (RFC 9293 3.8.4) are decided here, and when an idle connection gives up its rings;
 * FIN-WAIT-2 and linger of connections without a user are conn.c's.
 */
#include "tcp/conn.h"

#include <errno.h>

#define KEEP_IDLE_S     7200 /* RFC 1122 4.2.3.6: no less by default */
#define KEEP_INTERVAL_S 75
#define KEEP_COUNT      9
#define TIDY_NS         NSEC_PER_SEC /* idle so long: longer than most replies wait for the next request */

static void fired(struct timer *t);

static inline nsec timer_at(const struct timer *t) { return t->tick << WHEEL_TICK_BITS; }

void conn_timer_set(struct conn *c, enum conn_deadline which, nsec at)
{
    c->deadlines[which] = at;
    if (at == NSEC_NEVER) return;
    if (timer_runs(&c->timer) && timer_at(&c->timer) <= at + ((1u << WHEEL_TICK_BITS) - 1)) return;
    wheel_start(&c->stack->wheel, &c->timer, at, fired);
}

void conn_timer_stop_all(struct conn *c)
{
    for (int i = 0; i < DL_COUNT; i++) c->deadlines[i] = NSEC_NEVER;
    wheel_stop(&c->stack->wheel, &c->timer);
}

static uint32_t or_default(uint32_t v, uint32_t otherwise) { return v ? v : otherwise; }

static nsec keep_idle(const struct conn *c)
{
    return or_default(c->opts ? c->opts->keep_idle_s : 0, KEEP_IDLE_S) * NSEC_PER_SEC;
}

void conn_timer_touch(struct conn *c)
{
    if (c->deadlines[DL_KEEP] == NSEC_NEVER && c->opts && c->opts->keepalive && !(c->flags & (CF_DETACHED | CF_DEAD))) {
        conn_timer_set(c, DL_KEEP, conn_now(c) + keep_idle(c));
    }
}

/* RFC 1122 4.2.3.6: only when nothing came for the interval; only where asked for; a probe without an answer says
 * nothing, so several are sent. Data or a probe of a zero window that are on their way test the peer as well: then
 * this waits. */
static void keep_fired(struct conn *c)
{
    nsec now = conn_now(c);
    if (c->flags & CF_DETACHED) {
        conn_detached_timeout(c);
        return;
    }
    if (!c->opts || !c->opts->keepalive || !conn_is_synchronised(c)) return;
    nsec interval = or_default(c->opts->keep_interval_s, KEEP_INTERVAL_S) * NSEC_PER_SEC;
    if (c->snd_nxt != c->snd_una || seq_after(c->snd_end, c->snd_nxt)) {
        conn_timer_set(c, DL_KEEP, now + keep_idle(c));
        return;
    }
    if (now - c->last_rcv_at < (c->keep_probes ? interval : keep_idle(c))) c->keep_probes = 0; /* somebody was there */
    if (!c->keep_probes && now - c->last_rcv_at < keep_idle(c)) {
        conn_timer_set(c, DL_KEEP, c->last_rcv_at + keep_idle(c));
        return;
    }
    nsec silent = now - c->last_rcv_at;
    nsec limit = c->opts->user_timeout_ms * NSEC_PER_MSEC; /* RFC 5482 4.2: it counts for keep-alives, too */
    if (c->keep_probes && (limit ? silent >= limit : c->keep_probes >= or_default(c->opts->keep_count, KEEP_COUNT))) {
        c->stack->n.tcp_timeouts_user++;
        tcp_send_reset(c);
        conn_finish(c, c->error_soft ? c->error_soft : ETIMEDOUT);
        return;
    }
    c->keep_probes++;
    c->flags |= CF_KEEP_NOW;
    conn_dirty(c);
    conn_timer_set(c, DL_KEEP, now + interval);
}

static void ack_fired(struct conn *c)
{
    if (!(c->flags & CF_ACK_DELAYED)) return;
    c->flags |= CF_ACK_NOW;
    conn_dirty(c);
}

static bool is_due(struct conn *c, enum conn_deadline which)
{
    if (c->deadlines[which] > conn_now(c)) return false;
    c->deadlines[which] = NSEC_NEVER;
    return true;
}

/* Rings that stood empty for a while go: what an idle connection costs is itself. The timer that a request's reply
 * needed comes by once more, so the usual way knows nothing of it, and a busy connection makes its rings anew at
 * most once in TIDY_NS. When to look again. */
static nsec tidy(struct conn *c)
{
    if (!c->inflight.room && !c->sndq.room) return NSEC_NEVER;
    if (c->inflight.count || c->sndq.count) return NSEC_NEVER; /* there is a deadline for these */
    nsec at = c->last_snd_at + TIDY_NS;
    if (at > conn_now(c)) return at;
    inflight_free(&c->inflight);
    sndq_free(&c->sndq);
    return NSEC_NEVER;
}

static void fired(struct timer *t)
{
    struct conn *c = list_entry(t, struct conn, timer);
    if (is_due(c, DL_ACK)) ack_fired(c);
    if (is_due(c, DL_PACE)) conn_dirty(c);
    if (is_due(c, DL_KEEP)) keep_fired(c);
    if (!(c->flags & CF_DEAD) && is_due(c, DL_REXMIT)) recover_timeout(c);
    if (c->flags & CF_DEAD) return;
    nsec at = tidy(c);
    for (int i = 0; i < DL_COUNT; i++) at = c->deadlines[i] < at ? c->deadlines[i] : at;
    if (at == NSEC_NEVER) return;
    if (!timer_runs(t) || timer_at(t) > at + ((1u << WHEEL_TICK_BITS) - 1)) wheel_start(&c->stack->wheel, t, at, fired);
}
