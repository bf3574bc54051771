/* SPDX-License-Identifier: MIT
 *
 * One command in execution. Its call is the worker's one struct call, filled in here; what runs inside of another
 * command (EXEC's queue, a client served while another's command ends) puts the outer one aside.
 *
 * Statistics are by command: calls, time, refused before the call, failed during it.
 */
#include "server/exec/run.h"

#include "server/exec/check_waist.h"
#include "server/exec/multi.h"
#include "server/net/monitor.h"
#include "server/net/pushes.h"
#include "server/observe/latency.h"
#include "server/observe/slowlog.h"
#include "server/observe/ticks.h"
#include "server/server.h"
#include "server/worker.h"

#define SLOW_US_MAX (INT64_C(1) << 40) /* 12 days: more is no other threshold, and its ticks would not fit */

struct call run_internal(struct worker *w, struct db *db)
{
    return (struct call){.srv = w->srv, .w = w, .cfg = w->conf.cfg, .db = db, .now_ms = w->now_ms, .held = UINT64_MAX};
}

static inline __attribute__((always_inline)) void account(struct session *s, const struct request *r, uint64_t ticks,
                                                          bool failed, bool blocked)
{
    struct worker *w = s->w;
    struct command_stats *stats = &w->cmd_stats[r->cmd->index];
    if (unlikely(blocked)) {
        s->waited_ticks += ticks;
        return;
    }
    stats->ticks += ticks;
    stats->calls++;
    if (failed) stats->failed++;
    if (w->conf.cfg->latency_tracking) {
        if (unlikely(!stats->histogram)) stats->histogram = histogram_new();
        stats->histogram[histogram_bucket(ticks)]++;
    }
    if (unlikely(ticks >= w->slow_ticks)) run_slow(s, r, ticks);
}

/* Kept out of line: at most a few a second. */
void run_slow(struct session *s, const struct request *r, uint64_t ticks)
{
    struct worker *w = s->w;
    int64_t us = (int64_t)(ticks_to_ns(&w->ticks, ticks) / 1000);
    int64_t slower_than = w->conf.cfg->slowlog_log_slower_than;
    if (slower_than >= 0 && us >= slower_than && !(r->cmd->flags & CMD_SKIP_SLOWLOG) && session_origin(s))
        slowlog_push(w->srv, session_origin(s), r->cmd, r->argv, r->argc, us);
    int64_t threshold = w->conf.cfg->latency_monitor_threshold;
    if (threshold && us / 1000 >= threshold)
        latency_sample(w->srv, (r->cmd->flags & CMD_FAST) ? "fast-command" : "command", us / 1000);
}

void run_update_slow_ticks(struct worker *w)
{
    const struct config *cfg = w->conf.cfg;
    int64_t us = cfg->slowlog_log_slower_than, monitor_ms = cfg->latency_monitor_threshold;
    if (us > SLOW_US_MAX) us = SLOW_US_MAX;
    int64_t monitor_us = monitor_ms > SLOW_US_MAX / 1000 ? SLOW_US_MAX : monitor_ms * 1000;
    if (monitor_us > 0 && (us < 0 || monitor_us < us)) us = monitor_us;
    if (us < 0) {
        w->slow_ticks = UINT64_MAX;
        return;
    }
    w->slow_ticks = w->ticks.factor ? (uint64_t)(((unsigned __int128)us * 1000 << 32) / w->ticks.factor) : 0;
}

void run_gave_up(struct session *s, const struct request *r, bool failed)
{
    account(s, r, s->waited_ticks, failed, false);
    s->waited_ticks = 0;
    s->w->stats.commands++;
}

/* Debug builds have several. EXEC holds what its queue holds together. */
static uint64_t slices_of(const struct session *s, const struct request *r)
{
    return (r->cmd->flags & CMD_RUNS_QUEUE) ? multi_held(s) : request_held(r, s->db);
}

/* What it changed becomes an effect: its own text, unless the handler said what it came to. */
static inline __attribute__((always_inline)) void collect_effects(struct call *c, bool in_script)
{
    struct worker *w = c->w;
    w->srv->dirty += c->dirty;
    if (c->effects_given || !effect_wanted(c)) return;
    if (c->in_exec || in_script || effects_pending(&w->effects)) effect_as(c, c->argc, c->argv);
    else effects_hand_over(w->srv, c->db->id, c->argv, c->argc);
}

/* What admit() and its callers promise to whoever runs a request. */
static inline void assert_admitted(const struct session *s, const struct request *r)
{
    DASSERT(r->cmd && r->cmd->handler);
    DASSERT(r->cmd->arity >= 0 ? r->argc == r->cmd->arity : r->argc >= -r->cmd->arity);
    DASSERT(s->client || !(r->cmd->flags & CMD_NEEDS_CLIENT));
    DASSERT(s->db >= s->w->srv->dbs && s->db < s->w->srv->dbs + s->w->srv->db_count);
    DASSERT(r->key_count == 0 || r->keys);
    (void)s, (void)r;
}

/* What it changed is in the journal as far as this: WAITAOF waits for that, and where replies wait for the disk, this
 * client's; and in the history so far, for which WAIT waits. */
static void note_change(struct session *s)
{
    struct worker *w = s->w;
    if (likely(!w->notes_changes) || !s->client) return;
    s->client->durable_at = w->srv->journal.text.end;
    s->client->changed_at = history_offset(&w->srv->history);
}

/* Inlined several times: for a plain command `how` folds away. */
static inline __attribute__((always_inline)) bool run(struct session *s, const struct request *r, struct run_how how)
{
    struct worker *w = s->w;
    const struct command *cmd = r->cmd;
    struct call *c = &w->call, outer;
    bool nested = how.in_exec || how.unblocking || how.replayed || how.in_script;
    bool inner = how.in_exec || how.in_script;
    assert_admitted(s, r);
    if (unlikely(nested)) outer = *c;
    c->session = s;
    c->client = s->client;
    c->db = s->db;
    c->cmd = cmd;
    c->argv = r->argv;
    c->argc = r->argc;
    c->out = session_reply(s);
    /* cppcheck-suppress uninitvar ; in_exec is nested */
    c->now_ms = inner ? outer.now_ms : w->now_ms;
    c->keys = r->keys;
    c->key_count = r->key_count;
    c->key_at = 0;
    if (unlikely(w->srv->slices > 1)) c->held = slices_of(s, r);
    c->dirty = 0;
#ifdef DEMI_DEBUG
    c->befores = 0;
#endif
    c->in_exec = how.in_exec;
    c->deny_blocking = how.deny_blocking;
    c->unblocking = how.unblocking;
    c->no_touch = (s->flags & SESSION_NO_TOUCH) && !(cmd->flags & CMD_TOUCHES);
    c->blocked = c->failed = c->effects_given = false;

    uint32_t errors = c->out->error_count;
    struct check_waist waist;
    check_waist_before(&waist, c);
    uint64_t start = ticks_now();
    cmd->handler(c);
    uint64_t spent = ticks_now() - start;
    check_waist_after(&waist, c);
    DASSERT(c->dirty >= 0);
    DASSERT(c->out->deferred == 0);
    DASSERT(!c->blocked || (c->client && !c->deny_blocking));

    bool blocked = c->blocked;
    /* Errors of what EXEC ran are those commands'. */
    bool failed = unlikely(cmd->flags & CMD_RUNS_QUEUE) ? c->failed : c->out->error_count != errors;
    if (how.unblocking && !blocked) {
        spent += s->waited_ticks;
        s->waited_ticks = 0;
    }
    if (likely(!how.replayed)) account(s, r, spent, failed, blocked);
    if (unlikely(c->dirty)) {
        collect_effects(c, how.in_script);
        note_change(s);
    }
    /* What touches keys nobody named (SCAN, RANDOMKEY) finds dead ones by chance: they do not belong together. */
    if (unlikely(effects_pending(&w->effects)) && !inner) {
        effects_flush(w, !(cmd->flags & CMD_TOUCHES_ARBITRARY_KEYS));
        note_change(s);
    }
    if (unlikely(w->has_pushes) && !inner) pushes_deliver(w, s->client);
    /* After the call: EXEC is shown behind the commands it ran, SELECT in the database it selected. */
    if (unlikely(w->monitor_count) && (s->client || how.in_script) && !how.unblocking &&
        !(cmd->flags & (CMD_SKIP_MONITOR | CMD_ADMIN))) {
        if (how.in_script) monitor_feed_script(w, s->db, cmd, r->argv, r->argc);
        else monitor_feed(w, s->client, cmd, r->argv, r->argc);
    }
    if (how.replayed) w->replayed++;
    else if (likely(!blocked)) w->stats.commands++;
    else w->waits++;
    if (unlikely(nested)) {
        *c = outer;
        c->cfg = w->conf.cfg; /* what ran may have been a CONFIG SET, and what the outer one began with is gone */
    }
    return !blocked;
}

bool run_request(struct session *s, const struct request *r, struct run_how how) { return run(s, r, how); }
bool run_plain(struct session *s, const struct request *r) { return run(s, r, (struct run_how){0}); }
void run_for_script(struct session *s, const struct request *r)
{
    run(s, r, (struct run_how){.in_script = true, .deny_blocking = true, .replayed = s->w->srv->persist.replaying});
}
