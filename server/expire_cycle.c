/* SPDX-License-Identifier: MIT
 *
 * Redis 7.2's two cycles (src/expire.c there), with the time cut in slices. The slow cycle has a quarter of the time
 * between two crons, the fast one a millisecond, at most every other; active-expire-effort E of 1 to 10 gives more:
 *
 *     slow    (25 + 2 (E - 1)) % of 1 s / hz      hz times a second
 *     fast    1 ms + 0.25 ms (E - 1)              not within twice that of the last, and only while the last cycle's
 *                                                 budget ran out or more keys are dead than E accepts
 *
 * Within a cycle each database is looked through until few of what is seen there are dead (server/db/db_expire.c), so
 * a cycle with nothing to do ends after 20 keys a database, and one with a backlog uses all it may.
 *
 * Redis spends a slow cycle's 25 ms at once, and its clients wait. Here a turn of the loop gives a slice of at most a
 * millisecond, after the replies are out, and then the clients have at least as long:
 *
 *     cron      turn      turn      turn                             cron
 *      |  slice . . . slice . . . slice (all done, or budget gone) ...|
 *
 * The loop is woken for the slices of a cycle under way, but not for fast cycles: who has no traffic has until cron.
 */
#include "server/expire_cycle.h"

#include "server/db/hooks.h"
#include "server/db/own_expires.h"
#include "server/exec/run.h"
#include "server/observe/latency.h"
#include "server/server.h"
#include "server/worker.h"

#define SLOW_PERCENT        25
#define SLOW_PERCENT_EFFORT 2
#define FAST_NS             1000000
#define FAST_NS_EFFORT      250000
#define OWN_NS              1000000 /* of a writable replica's own keys */
#define STALE_WEIGHT        0.05    /* of the newest cycle in the running share of dead keys */

static uint64_t effort_of(const struct config *cfg)
{
    return cfg->active_expire_effort > 1 ? (uint64_t)cfg->active_expire_effort - 1 : 0;
}

static uint64_t fast_ns(const struct config *cfg) { return FAST_NS + FAST_NS_EFFORT * effort_of(cfg); }

static bool is_allowed(struct worker *w)
{
    const struct call c = run_internal(w, &w->srv->dbs[0]);
    return srv_active_expire(&c);
}

static void cycle_begin(struct worker *w, uint64_t budget_ns)
{
    struct expire_cycle *e = &w->expire;
    e->left_ns = budget_ns;
    e->dbs_left = w->srv->db_count;
    e->seen = e->expired = 0;
}

static void end(struct worker *w, bool capped)
{
    struct expire_cycle *e = &w->expire;
    const struct config *cfg = w->conf.cfg;
    double share = e->seen ? (double)e->expired / (double)e->seen : 0;
    w->stats.expired_stale_perc += (share - w->stats.expired_stale_perc) * STALE_WEIGHT;
    w->stats.expired_time_cap_reached += capped;
    e->capped = capped;
    e->left_ns = 0;
    bool behind = capped || w->stats.expired_stale_perc * 100 > db_expire_acceptable_percent(cfg);
    e->due_ns = behind ? e->fast_from_ns + 2 * fast_ns(cfg) : UINT64_MAX;
    if (behind && e->due_ns < e->rest_ns) e->due_ns = e->rest_ns;
}

/* A replica deletes what its own clients gave a time, and nothing else. */
static void delete_own(struct worker *w)
{
    struct server *srv = w->srv;
    if (!srv->upstream || !srv->active_expire) return;
    uint64_t deadline = demi_clock_ns() + OWN_NS;
    for (int i = 0; i < srv->db_count; i++) {
        if (!own_expires_count(&srv->dbs[i])) continue;
        struct call c = run_internal(w, &srv->dbs[i]);
        own_expires_some(&c, deadline);
        srv->dirty += c.dirty;
    }
}

void expire_cycle_begin(struct worker *w)
{
    struct expire_cycle *e = &w->expire;
    const struct config *cfg = w->conf.cfg;
    delete_own(w);
    if (e->left_ns) end(w, true);
    e->due_ns = UINT64_MAX;
    if (!is_allowed(w)) return;
    uint64_t percent = SLOW_PERCENT + SLOW_PERCENT_EFFORT * effort_of(cfg);
    cycle_begin(w, (uint64_t)1000000000 / (uint64_t)cfg->hz * percent / 100);
    e->due_ns = e->rest_ns;
}

/* The databases from where the cycle stopped; false: the time was not enough. */
static bool look(struct worker *w, uint64_t deadline)
{
    struct server *srv = w->srv;
    struct expire_cycle *e = &w->expire;
    for (; e->dbs_left > 0; e->dbs_left--, e->next_db++) {
        if (e->next_db >= srv->db_count) e->next_db = 0;
        struct db *db = &srv->dbs[e->next_db];
        struct call c = run_internal(w, db);
        bool done = db_expire_some(&c, db, deadline, &e->seen, &e->expired);
        srv->dirty += c.dirty;
        if (!done) return false;
    }
    return true;
}

void expire_cycle_slice(struct worker *w)
{
    struct expire_cycle *e = &w->expire;
    if (!is_allowed(w)) {
        e->left_ns = 0;
        e->due_ns = UINT64_MAX;
        return;
    }
    uint64_t start = demi_clock_ns();
    if (!e->left_ns) {
        cycle_begin(w, fast_ns(w->conf.cfg));
        e->fast_from_ns = start;
    }
    bool done = look(w, start + (e->left_ns < EXPIRE_SLICE_NS ? e->left_ns : EXPIRE_SLICE_NS));
    uint64_t now = demi_clock_ns(), spent = now - start;
    w->stats.expire_cycle_ns += spent;
    latency_sample(w->srv, "expire-cycle", (int64_t)(spent / NSEC_PER_MSEC));
    e->left_ns = spent < e->left_ns ? e->left_ns - spent : 0;
    e->rest_ns = now + spent;
    e->due_ns = e->rest_ns;
    if (done || !e->left_ns) end(w, !done);
}

bool expire_cycle_now(struct worker *w)
{
    uint64_t before = w->stats.expired;
    if (w->turn_ns < w->expire.rest_ns) return false;
    expire_cycle_slice(w);
    return w->stats.expired != before;
}

uint64_t expire_cycle_wakes_ns(const struct expire_cycle *e) { return e->left_ns ? e->due_ns : UINT64_MAX; }
