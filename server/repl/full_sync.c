/* SPDX-License-Identifier: MIT */
#include "server/repl/full_sync.h"

#include <stdio.h>
#include <string.h>

#include "server/exec/run.h"
#include "server/mem.h"
#include "server/net/feed.h"
#include "server/observe/log.h"
#include "server/persist/persist.h"
#include "server/rdb/libraries.h"
#include "server/rdb/snapshot.h"
#include "server/repl/full_copy.h"
#include "server/repl/payload.h"
#include "server/repl/replica.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/worker.h"

#define SLOW_MS 10000 /* others wait for one that does not take its payload, in all */

/* --- what a reader is told ---------------------------------------------------------------------------------------- */

static void say(struct client *cl, const char *line, int n)
{
    reply_raw(&cl->out, bytes_of(line, (size_t)n));
    client_output(cl);
}

/* Where the payload stands, in the words of PSYNC. The first effect behind it says its database. */
static void send_full_resync(struct client *cl, const struct payload *p)
{
    char line[128];
    struct history *h = &cl->w->srv->history;
    journal_select_again(&h->journal);
    if (!cl->replica->by_psync) return;
    say(cl, line, snprintf(line, sizeof line, "+FULLRESYNC %s %llu\r\n", h->id, (unsigned long long)p->offset));
}

/* cl gets this one. */
static void give(struct client *cl, struct payload *p)
{
    feed_start(cl, p);
    send_full_resync(cl, p);
}

static void begin_flow(struct client *cl)
{
    char line[64];
    const struct payload *p = cl->feed->payload;
    feed_flow(cl);
    cl->replica->taken_ms = cl->w->now_ms;
    if (p->has_mark) {
        say(cl, line, snprintf(line, sizeof line, "$EOF:%s\r\n", p->mark));
        return;
    }
    cl->replica->state = REPLICA_RECEIVES;
    say(cl, line, snprintf(line, sizeof line, "$%llu\r\n", (unsigned long long)p->bytes));
}

static bool reads(const struct client *cl, const struct payload *p) { return cl->feed && cl->feed->payload == p; }

void full_sync_flows(struct worker *w, struct payload *p)
{
    for (size_t i = 0; i < replicas_count(w); i++)
        if (reads(replicas_at(w, i), p)) begin_flow(replicas_at(w, i));
    demi_wake_ring(w->wake);
}

/* What the fastest and the slowest have not taken of it. */
struct untaken {
    uint64_t least, most;
};

static struct untaken untaken(const struct worker *w, const struct payload *p)
{
    struct untaken u = {UINT64_MAX, 0};
    for (size_t i = 0; i < replicas_count(w); i++) {
        if (!reads(replicas_at(w, i), p)) continue;
        uint64_t n = broadcast_unread(&replicas_at(w, i)->feed->in_payload);
        if (n < u.least) u.least = n;
        if (n > u.most) u.most = n;
    }
    return u;
}

static bool is_room(struct untaken u) { return u.least < PAYLOAD_AHEAD && u.most < PAYLOAD_BEHIND; }

bool full_sync_has_room(const struct worker *w, struct payload *p)
{
    if (p->reader_count == 0) return true; /* it will be told */
    p->wants_room = !is_room(untaken(w, p));
    return !p->wants_room;
}

void full_sync_grew(struct worker *w, const struct payload *p)
{
    for (size_t i = 0; i < replicas_count(w); i++)
        if (reads(replicas_at(w, i), p)) client_output(replicas_at(w, i));
    demi_wake_ring(w->wake);
}

void full_sync_taken(struct client *cl)
{
    struct payload *p = cl->feed->payload;
    if (!p->wants_room || !is_room(untaken(cl->w, p))) return;
    p->wants_room = false;
    p->go_on(p);
}

void full_sync_ended(struct worker *w, struct payload *p, int err)
{
    for (size_t i = 0; i < replicas_count(w); i++) {
        struct client *cl = replicas_at(w, i);
        if (!reads(cl, p)) continue;
        client_output(cl);
        if (!err) continue;
        server_log(w->srv, LOG_WARNING_LEVEL, "SYNC failed for replica %s: %s", cl->peer, strerror(-err));
        client_kill(cl);
    }
    if (!w->srv->stopping) full_sync_serve(w);
    demi_wake_ring(w->wake);
}

void full_sync_transferred(struct client *cl)
{
    struct replica *me = cl->replica;
    me->state = REPLICA_ONLINE;
    me->ack_ms = cl->w->now_ms;
    if (me->rdb_only) {
        server_log(cl->w->srv, LOG_NOTICE_LEVEL,
                   "RDB transfer completed, rdb only replica (%s) should be disconnected asap", cl->peer);
        cl->feed->held = true;
        cl->flags |= CLIENT_CLOSE_AFTER;
        return;
    }
    server_log(cl->w->srv, LOG_NOTICE_LEVEL, "Synchronization with replica %s succeeded", cl->peer);
    replicas_see_good(cl->w);
}

/* --- who waits for a payload -------------------------------------------------------------------------------------- */

static bool waits(const struct client *cl) { return !cl->feed && !(cl->flags & CLIENT_CLOSE_NOW); }

/* Those that wait, as one group: how many, since when, and what all of them take. */
struct waiting_group {
    size_t count;
    int64_t since_ms;
    int version;
    unsigned capa;
};

static struct waiting_group who_waits(const struct worker *w)
{
    int newest = (int)w->conf.cfg->rdb_version;
    struct waiting_group g = {.version = newest, .capa = ~0u, .since_ms = w->now_ms};
    for (size_t i = 0; i < replicas_count(w); i++) {
        const struct replica *me = replicas_at(w, i)->replica;
        if (!waits(replicas_at(w, i))) continue;
        g.count++;
        g.capa &= me->capa;
        if (me->asked_ms < g.since_ms) g.since_ms = me->asked_ms;
        if (replica_rdb_version(me, newest) < g.version) g.version = replica_rdb_version(me, newest);
    }
    return g;
}

static bool is_time(const struct worker *w, const struct waiting_group *g)
{
    const struct config *cfg = w->conf.cfg;
    if (cfg->repl_diskless_sync_max_replicas && g->count >= (size_t)cfg->repl_diskless_sync_max_replicas) return true;
    return w->now_ms - g->since_ms >= cfg->repl_diskless_sync_delay * 1000;
}

static void close_waiting(struct worker *w)
{
    for (size_t i = 0; i < replicas_count(w); i++)
        if (waits(replicas_at(w, i))) client_kill(replicas_at(w, i));
}

/* One for all who wait, if it can begin now. */
void full_sync_serve(struct worker *w)
{
    struct waiting_group g = who_waits(w);
    if (g.count == 0 || !persist_may_walk(w->srv)) return;
    bool by_mark = w->conf.cfg->repl_diskless_sync && (g.capa & REPLICA_CAPA_EOF);
    if (by_mark && !is_time(w, &g)) return;
    struct payload *p = payload_new(w, g.version, by_mark);
    server_log(w->srv, LOG_NOTICE_LEVEL, "Starting BGSAVE for SYNC with target: %s",
               by_mark ? "replicas sockets" : "disk");
    if (!full_copy_begin(w, p)) {
        payload_let_go(p);
        close_waiting(w);
        return;
    }
    for (size_t i = 0; i < replicas_count(w); i++)
        if (waits(replicas_at(w, i))) give(replicas_at(w, i), p);
    if (!by_mark) return;
    payload_flow(p, 0);
    full_sync_flows(w, p);
}

/* One that is being saved, and may be had by another: he has to catch up with what was written since it stood. */
static struct payload *payload_to_join(const struct worker *w, const struct replica *me)
{
    struct payload *p = full_copy_payload(w);
    size_t hard = client_hard_limit(w, CLASS_REPLICA);
    if (!p || p->stage != PAYLOAD_GATHERS || p->reader_count == 0) return NULL;
    if (p->version > replica_rdb_version(me, (int)w->conf.cfg->rdb_version)) return NULL;
    return hard && broadcast_unread(&p->since) > hard / 2 ? NULL : p;
}

/* A file with the libraries of functions, or of nothing: it is small, and made at once. */
static void give_part(struct client *cl)
{
    struct worker *w = cl->w;
    struct payload *p = payload_new(w, replica_rdb_version(cl->replica, (int)w->conf.cfg->rdb_version), true);
    struct call c = run_internal(w, &w->srv->dbs[0]);
    struct rdb_sink s;
    struct rdb_writer out;
    give(cl, p);
    payload_flow(p, 0);
    begin_flow(cl);
    rdb_sink_init(&s, NULL, NULL);
    s.version = p->version;
    s.compress = c.cfg->rdbcompression;
    s.checksum = c.cfg->rdbchecksum;
    rdb_write_begin(&out, &s, &c, RDB_OF_SERVER);
    if (!(cl->replica->wants & REPLICA_WANTS_NO_FUNCTIONS)) libraries_write(&w->srv->libraries, &s);
    rdb_write_end(&out);
    payload_put(p, rdb_sink_bytes(&s));
    payload_end(p);
    rdb_sink_fini(&s);
    client_output(cl);
}

static void keep_history(struct worker *w)
{
    struct history *h = &w->srv->history;
    if (history_is_kept(h)) return;
    if (!w->srv->upstream) history_new_id(h); /* what was written since it was kept last is nobody's history */
    history_keep(h);
}

void full_sync_attach(struct client *cl)
{
    struct worker *w = cl->w;
    struct replica *me = replica_of(cl);
    keep_history(w);
    replicas_add(cl, true);
    me->state = REPLICA_WAITS;
    me->asked_ms = w->now_ms;
    struct payload *p = payload_to_join(w, me);
    if (me->wants) give_part(cl);
    else if (p) give(cl, p);
    else full_sync_serve(w);
}

/* One that is as far behind as it may be, while another waits for more: some times a second. */
void full_sync_close_slow(struct worker *w)
{
    for (size_t i = 0; i < replicas_count(w); i++) {
        struct client *cl = replicas_at(w, i);
        if (!cl->feed || !cl->feed->in_payload.of || !cl->feed->payload->wants_room) continue;
        struct untaken u = untaken(w, cl->feed->payload);
        if (u.least >= PAYLOAD_AHEAD || broadcast_unread(&cl->feed->in_payload) < PAYLOAD_BEHIND) continue;
        cl->replica->slow_ms += 1000 / w->conf.cfg->hz;
        if (cl->replica->slow_ms > SLOW_MS) replicas_close_silent(cl, "others wait for it");
    }
}

/* A newline each second tells who waits for a snapshot that the link is alive. */
void full_sync_tell_waiting(struct worker *w)
{
    for (size_t i = 0; i < replicas_count(w); i++) {
        struct client *cl = replicas_at(w, i);
        if (cl->feed && (!cl->feed->payload || cl->feed->payload->stage != PAYLOAD_GATHERS)) continue;
        reply_raw(&cl->out, BYTES("\n"));
        client_output(cl);
    }
}
