/* SPDX-License-Identifier: MIT
 *
 * Replicas are readers of the history, behind a payload (server/repl/payload.h) or from where they stood. Those that
 * wait for a payload get one together, as soon as nothing else walks the data: into their connections where all of them
 * take that, after repl-diskless-sync-delay, so that others may come; else through a file, and who comes while that is
 * being saved gets it, too.
 *
 * How far a replica may be behind is client-output-buffer-limit replica, looked at where the history grows.
 */
#include "server/repl/replicas.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/exec/blocked.h"
#include "server/mem.h"
#include "server/net/feed.h"
#include "server/observe/log.h"
#include "server/exec/run.h"
#include "server/persist/persist.h"
#include "server/rdb/libraries.h"
#include "server/rdb/snapshot.h"
#include "server/repl/full_copy.h"
#include "server/repl/pace.h"
#include "server/repl/payload.h"
#include "server/repl/replica.h"
#include "server/server.h"
#include "server/worker.h"

#define CAUGHT_UP ((uint64_t)1 << 20) /* bytes behind: no more than there may be at any time */
#define SLOW_MS   10000               /* others wait for one that does not take its payload, in all */

struct replicas {
    struct client **v;
    size_t count, cap;
    int64_t pinged_ms;
    int64_t alone_ms; /* since when there is no replica; 0: there is one */
    struct replicas_figures figures;
    uint64_t told_turn, told_end; /* when all of them were last looked at, and where the history ended then */
    struct pace pace;
    bool catch_up;   /* some do, of whom writers may have to run not too far ahead */
    bool wants_acks; /* somebody waits: they are asked at the end of the turn */
};

size_t replicas_count(const struct worker *w) { return w->replicas ? w->replicas->count : 0; }
struct replicas_figures replicas_figures(const struct worker *w)
{
    return w->replicas ? w->replicas->figures : (struct replicas_figures){0};
}
const struct client *replicas_find(const struct worker *w, const char *host, int port)
{
    char ip[REPLICA_IP_MAX];
    for (size_t i = 0; i < replicas_count(w); i++) {
        const struct client *cl = w->replicas->v[i];
        replica_address(cl, ip, sizeof ip);
        if (cl->replica->port == port && strcasecmp(ip, host) == 0) return cl;
    }
    return NULL;
}

bool replicas_have_everything(const struct worker *w)
{
    for (size_t i = 0; i < replicas_count(w); i++) {
        const struct replica *r = w->replicas->v[i]->replica;
        if (r->state == REPLICA_ONLINE && r->by_psync && (uint64_t)r->ack_offset != history_offset(&w->srv->history))
            return false;
    }
    return true;
}

struct client *replicas_at(const struct worker *w, size_t i) { return w->replicas->v[i]; }

static struct replicas *replicas_of(struct worker *w)
{
    if (!w->replicas) w->replicas = mem_calloc(sizeof *w->replicas);
    return w->replicas;
}

/* --- who has come how far ----------------------------------------------------------------------------------------- */

static bool is_good(const struct worker *w, const struct replica *r)
{
    return r->state == REPLICA_ONLINE && r->by_psync &&
           replica_lag_s(r, w->now_ms) <= w->conf.cfg->min_replicas_max_lag;
}

size_t replicas_good(const struct worker *w)
{
    size_t n = 0;
    for (size_t i = 0; i < replicas_count(w); i++) n += is_good(w, replicas_at(w, i)->replica);
    return n;
}

size_t replicas_acknowledged(const struct worker *w, uint64_t offset)
{
    size_t n = 0;
    for (size_t i = 0; i < replicas_count(w); i++) {
        const struct replica *r = replicas_at(w, i)->replica;
        n += r->state == REPLICA_ONLINE && (uint64_t)r->ack_offset >= offset;
    }
    return n;
}

size_t replicas_logged(const struct worker *w, uint64_t offset)
{
    size_t n = 0;
    for (size_t i = 0; i < replicas_count(w); i++) {
        const struct replica *r = replicas_at(w, i)->replica;
        n += r->state == REPLICA_ONLINE && (uint64_t)r->aof_offset >= offset;
    }
    return n;
}

/* min-replicas-to-write. Looked at when one comes, goes or acknowledges, and by the cron, since their lag grows. */
static void see_good(struct worker *w)
{
    const struct config *cfg = w->conf.cfg;
    bool asked = cfg->min_replicas_to_write && cfg->min_replicas_max_lag && !w->srv->upstream;
    if (asked && replicas_good(w) < (size_t)cfg->min_replicas_to_write) w->srv->unusual |= SERVER_FEW_REPLICAS;
    else w->srv->unusual &= ~(unsigned)SERVER_FEW_REPLICAS;
}

void replicas_take_config(struct worker *w)
{
    see_good(w);
    history_resize(&w->srv->history, (uint64_t)w->conf.cfg->repl_backlog_size);
}

void replicas_want_acks(struct worker *w)
{
    if (w->replicas) w->replicas->wants_acks = true;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* Never below the backlog, which one that asks for it all is behind at once. */
static size_t hard_limit(const struct worker *w)
{
    const struct config *cfg = w->conf.cfg;
    int64_t hard = cfg->client_output_buffer_limit[CLASS_REPLICA].hard_bytes;
    return (size_t)(hard && hard < cfg->repl_backlog_size ? cfg->repl_backlog_size : hard);
}

static bool is_first_reader(const struct replicas *r, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (r->v[k]->feed && r->v[k]->feed->payload == r->v[i]->feed->payload) return false;
    return true;
}

/* Each payload once. There are few replicas. */
static size_t payloads_memory(const struct replicas *r)
{
    size_t sum = 0;
    for (size_t i = 0; r && i < r->count; i++) {
        const struct feed *f = r->v[i]->feed;
        if (f && f->payload && is_first_reader(r, i)) sum += payload_memory(f->payload);
    }
    return sum;
}

size_t replicas_memory(const struct worker *w)
{
    size_t stream = w->srv->history.journal.text.bytes, backlog = replicas_backlog_memory(w);
    return payloads_memory(w->replicas) + stream - backlog;
}

size_t replicas_backlog_memory(const struct worker *w)
{
    const struct history *h = &w->srv->history;
    size_t most = (size_t)h->backlog_size + HISTORY_TRIM;
    if (!history_is_kept(h)) return 0;
    return h->journal.text.bytes < most ? h->journal.text.bytes : most;
}

/* --- replicas ----------------------------------------------------------------------------------------------------- */

#define LOOK_BYTES ((uint64_t)256 << 10)

void replicas_history_appended(struct journal *j)
{
    struct worker *w = &j->srv->workers[0];
    struct replicas *r = w->replicas;
    history_trim(&j->srv->history);
    if (!r || r->count == 0) return; /* the backlog alone reads it */
    if (likely(r->told_turn == w->turn_ns && j->text.end - r->told_end < LOOK_BYTES)) return;
    size_t hard = hard_limit(w);
    r->told_turn = w->turn_ns;
    r->told_end = j->text.end;
    for (size_t i = 0; i < r->count; i++) {
        struct client *cl = r->v[i];
        if (cl->flags & CLIENT_CLOSE_NOW) continue;
        client_output(cl);
        if (hard && unlikely(feed_lag(cl) > hard)) {
            client_close_over_limit(cl);
            feed_end(cl);
        }
    }
}

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

void replicas_payload_flows(struct worker *w, struct payload *p)
{
    struct replicas *r = w->replicas;
    for (size_t i = 0; i < r->count; i++)
        if (reads(r->v[i], p)) begin_flow(r->v[i]);
    demi_wake_ring(w->wake);
}

/* What the fastest and the slowest have not taken of it. */
struct untaken {
    uint64_t least, most;
};

static struct untaken untaken(const struct worker *w, const struct payload *p)
{
    const struct replicas *r = w->replicas;
    struct untaken u = {UINT64_MAX, 0};
    for (size_t i = 0; i < r->count; i++) {
        if (!reads(r->v[i], p)) continue;
        uint64_t n = broadcast_unread(&r->v[i]->feed->in_payload);
        if (n < u.least) u.least = n;
        if (n > u.most) u.most = n;
    }
    return u;
}

static bool is_room(struct untaken u) { return u.least < PAYLOAD_AHEAD && u.most < PAYLOAD_BEHIND; }

bool replicas_have_room(const struct worker *w, struct payload *p)
{
    if (p->reader_count == 0) return true; /* it will be told */
    p->wants_room = !is_room(untaken(w, p));
    return !p->wants_room;
}

void replicas_payload_grew(struct worker *w, const struct payload *p)
{
    const struct replicas *r = w->replicas;
    for (size_t i = 0; i < r->count; i++)
        if (reads(r->v[i], p)) client_output(r->v[i]);
    demi_wake_ring(w->wake);
}

void replicas_payload_taken(struct client *cl)
{
    struct payload *p = cl->feed->payload;
    if (!p->wants_room || !is_room(untaken(cl->w, p))) return;
    p->wants_room = false;
    p->go_on(p);
}

static void serve_waiting(struct worker *w);

void replicas_payload_ended(struct worker *w, struct payload *p, int err)
{
    struct replicas *r = w->replicas;
    for (size_t i = 0; r && i < r->count; i++) {
        struct client *cl = r->v[i];
        if (!reads(cl, p)) continue;
        client_output(cl);
        if (!err) continue;
        server_log(w->srv, LOG_WARNING_LEVEL, "SYNC failed for replica %s: %s", cl->peer, strerror(-err));
        client_kill(cl);
    }
    if (r && !w->srv->stopping) serve_waiting(w);
    demi_wake_ring(w->wake);
}

void replicas_transferred(struct client *cl)
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
    see_good(cl->w);
}

static void enlist(struct client *cl)
{
    struct worker *w = cl->w;
    struct replicas *r = replicas_of(w);
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 4;
        r->v = mem_realloc(r->v, r->cap * sizeof *r->v);
    }
    if (r->count == 0) r->pinged_ms = w->now_ms;
    r->v[r->count++] = cl;
    r->alone_ms = 0;
    cl->s.flags |= SESSION_REPLICA;
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
    const struct replicas *r = w->replicas;
    int newest = (int)w->conf.cfg->rdb_version;
    struct waiting_group g = {.version = newest, .capa = ~0u, .since_ms = w->now_ms};
    for (size_t i = 0; i < r->count; i++) {
        const struct replica *me = r->v[i]->replica;
        if (!waits(r->v[i])) continue;
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
    struct replicas *r = w->replicas;
    for (size_t i = 0; i < r->count; i++)
        if (waits(r->v[i])) client_kill(r->v[i]);
}

/* One for all who wait, if it can begin now. */
static void serve_waiting(struct worker *w)
{
    struct replicas *r = w->replicas;
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
    for (size_t i = 0; i < r->count; i++)
        if (waits(r->v[i])) give(r->v[i], p);
    if (!by_mark) return;
    payload_flow(p, 0);
    replicas_payload_flows(w, p);
}

/* One that is being saved, and may be had by another: he has to catch up with what was written since it stood. */
static struct payload *payload_to_join(const struct worker *w, const struct replica *me)
{
    struct payload *p = full_copy_payload(w);
    size_t hard = hard_limit(w);
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

void replicas_attach(struct client *cl)
{
    struct worker *w = cl->w;
    struct replica *me = replica_of(cl);
    keep_history(w);
    enlist(cl);
    me->state = REPLICA_WAITS;
    me->catches_up = w->replicas->catch_up = true;
    me->asked_ms = w->now_ms;
    w->replicas->figures.full++;
    struct payload *p = payload_to_join(w, me);
    if (me->wants) give_part(cl);
    else if (p) give(cl, p);
    else serve_waiting(w);
}

void replicas_continue(struct client *cl, uint64_t from)
{
    struct worker *w = cl->w;
    struct replica *me = replica_of(cl);
    char line[64];
    bool told_id = me->capa & REPLICA_CAPA_PSYNC2;
    int n = snprintf(line, sizeof line, "+CONTINUE%s%s\r\n", told_id ? " " : "", told_id ? w->srv->history.id : "");
    enlist(cl);
    me->by_psync = true;
    me->state = REPLICA_ONLINE;
    me->ack_ms = w->now_ms;
    reply_raw(&cl->out, bytes_of(line, (size_t)n));
    feed_continue(cl, from);
    server_log(w->srv, LOG_NOTICE_LEVEL,
               "Partial resynchronization request from %s accepted. Sending %llu bytes of backlog starting from offset "
               "%llu.",
               cl->peer, (unsigned long long)feed_lag(cl), (unsigned long long)from);
    w->replicas->figures.partial_ok++;
    client_output(cl);
    see_good(w);
}

void replicas_count_refused(struct worker *w) { replicas_of(w)->figures.partial_err++; }

void replicas_reset_figures(struct worker *w)
{
    if (w->replicas) w->replicas->figures = (struct replicas_figures){0};
}

void replicas_take_ack(struct client *cl, int64_t offset, int64_t aof_offset)
{
    struct worker *w = cl->w;
    replica_acknowledge(cl->replica, offset, aof_offset, w->now_ms);
    if (cl->feed && cl->feed->held && cl->replica->state == REPLICA_ONLINE && !cl->replica->rdb_only) {
        cl->feed->held = false;
        client_output(cl);
    }
    see_good(w);
    blocked_log_moved(w);
    failover_look(w);
}

void replicas_forget(struct client *cl)
{
    struct worker *w = cl->w;
    struct replicas *r = w->replicas;
    if (!(cl->s.flags & SESSION_REPLICA)) return;
    feed_end(cl);
    size_t i = 0;
    while (r->v[i] != cl) i++;
    memmove(r->v + i, r->v + i + 1, (--r->count - i) * sizeof *r->v);
    cl->s.flags &= ~(uint32_t)SESSION_REPLICA;
    if (r->count == 0) r->alone_ms = w->now_ms;
    see_good(w);
    blocked_log_moved(w);
}

void replicas_close_all(struct worker *w)
{
    struct replicas *r = w->replicas;
    for (size_t i = 0; r && i < r->count; i++) {
        feed_end(r->v[i]);
        client_kill(r->v[i]);
    }
}

#ifdef DEMI_DEBUG
void replicas_check(const struct worker *w)
{
    const struct replicas *r = w->replicas;
    size_t readers = 0;
    if (!r) {
        ASSERT(!w->copy);
        return;
    }
    const struct payload *making = full_copy_payload(w);
    if (making) ASSERT(making->stage != PAYLOAD_WHOLE);
    for (size_t i = 0; i < r->count; i++) {
        const struct client *cl = r->v[i];
        const struct replica *me = cl->replica;
        ASSERT(cl->s.flags & SESSION_REPLICA);
        ASSERT(me != NULL);
        readers += making && reads(cl, making);
        if (!cl->feed) continue; /* it waits, or is about to be closed */
        const struct payload *p = cl->feed->payload;
        ASSERT(!p == (me->state == REPLICA_ONLINE));
        if (!p) continue;
        ASSERT(p->reader_count >= 1);
        ASSERT(!cl->feed->in_payload.of == (p->stage == PAYLOAD_GATHERS));
        ASSERT(!p->since.of == (p->stage != PAYLOAD_GATHERS));
    }
    if (making) ASSERT(readers == making->reader_count);
}
#endif

void replicas_fini(struct worker *w)
{
    struct replicas *r = w->replicas;
    full_copy_fini(w);
    if (!r) return;
    ASSERT(r->count == 0);
    mem_free(r->v);
    mem_free(r);
    w->replicas = NULL;
}

/* A newline each second tells who waits for a snapshot that the link is alive. */
static void tell_waiting(const struct replicas *r)
{
    for (size_t i = 0; i < r->count; i++) {
        struct client *cl = r->v[i];
        if (cl->feed && (!cl->feed->payload || cl->feed->payload->stage != PAYLOAD_GATHERS)) continue;
        reply_raw(&cl->out, BYTES("\n"));
        client_output(cl);
    }
}

static void close_silent_one(struct client *cl, const char *what)
{
    server_log(cl->w->srv, LOG_WARNING_LEVEL, "Disconnecting timedout replica (%s): %s", what, cl->peer);
    client_kill(cl);
}

/* It takes nothing of its payload; with SYNC nobody acknowledges. */
static bool is_stuck(struct client *cl, int64_t timeout_ms)
{
    struct replica *me = cl->replica;
    uint64_t taken = cl->net_out - cl->unsent;
    if (taken != me->taken || !broadcast_unread(&cl->feed->in_payload)) {
        me->taken = taken;
        me->taken_ms = cl->w->now_ms;
    }
    return cl->w->now_ms - me->taken_ms > timeout_ms;
}

/* Once a second. */
static void close_silent(struct worker *w)
{
    struct replicas *r = w->replicas;
    int64_t timeout_ms = w->conf.cfg->repl_timeout * 1000;
    for (size_t i = 0; i < r->count; i++) {
        struct client *cl = r->v[i];
        const struct replica *me = cl->replica;
        if (!cl->feed || (cl->flags & CLIENT_CLOSE_NOW)) continue;
        if (cl->feed->in_payload.of && is_stuck(cl, timeout_ms)) close_silent_one(cl, "full sync");
        bool follows = me->state == REPLICA_ONLINE && me->by_psync;
        if (follows && w->now_ms - me->ack_ms > timeout_ms) close_silent_one(cl, "streaming sync");
    }
}

/* One that is as far behind as it may be, while another waits for more: some times a second. */
static void close_slow(struct worker *w)
{
    struct replicas *r = w->replicas;
    for (size_t i = 0; i < r->count; i++) {
        struct client *cl = r->v[i];
        if (!cl->feed || !cl->feed->in_payload.of || !cl->feed->payload->wants_room) continue;
        struct untaken u = untaken(w, cl->feed->payload);
        if (u.least >= PAYLOAD_AHEAD || broadcast_unread(&cl->feed->in_payload) < PAYLOAD_BEHIND) continue;
        cl->replica->slow_ms += 1000 / w->conf.cfg->hz;
        if (cl->replica->slow_ms > SLOW_MS) close_silent_one(cl, "others wait for it");
    }
}

/* While writes are paused the history stands still. */
static bool may_speak(const struct worker *w) { return !w->srv->upstream && !server_is_paused(w->srv); }

static void ping(struct worker *w)
{
    struct replicas *r = w->replicas;
    struct bytes word = BYTES("ping");
    if (r->count == 0 || !may_speak(w)) return;
    if (w->now_ms - r->pinged_ms < w->conf.cfg->repl_ping_replica_period * 1000) return;
    r->pinged_ms = w->now_ms;
    history_record(&w->srv->history, &word, 1);
}

/* The backlog goes when no replica has been there for long; whoever comes later must not take what is written until
 * then for what it knows. A replica keeps its own: it may become the primary. */
static void forget_history(struct worker *w)
{
    struct replicas *r = w->replicas;
    struct history *h = &w->srv->history;
    int64_t ttl_ms = w->conf.cfg->repl_backlog_ttl * 1000;
    if (r->count || !history_is_kept(h)) return;
    if (w->srv->upstream || !r->alone_ms) r->alone_ms = w->now_ms;
    if (w->srv->upstream || !ttl_ms || w->now_ms - r->alone_ms <= ttl_ms) return;
    server_log(w->srv, LOG_NOTICE_LEVEL, "Replication backlog freed after %lld seconds without connected replicas.",
               (long long)(ttl_ms / 1000));
    history_forget(h);
    history_new_id(h);
}

void replicas_cron(struct worker *w)
{
    struct replicas *r = w->replicas;
    if (!r && history_is_kept(&w->srv->history)) r = replicas_of(w);
    if (!r) return;
    serve_waiting(w);
    see_good(w);
    close_slow(w);
    failover_look(w);
    ping(w);
    forget_history(w);
    if (w->cron_runs % (uint64_t)w->conf.cfg->hz != 0) return;
    tell_waiting(r);
    close_silent(w);
}

/* What the one that is farthest behind has not read, of those that catch up; it has when little is left. */
static uint64_t catching_up(struct replicas *r)
{
    uint64_t most = 0;
    r->catch_up = false;
    for (size_t i = 0; i < r->count; i++) {
        struct client *cl = r->v[i];
        uint64_t lag = feed_lag(cl);
        if (!cl->replica->catches_up || (cl->flags & CLIENT_CLOSE_NOW)) continue;
        cl->replica->catches_up = cl->replica->state != REPLICA_ONLINE || cl->feed->held || lag > CAUGHT_UP;
        r->catch_up |= cl->replica->catches_up;
        if (lag > most) most = lag;
    }
    return most;
}

uint64_t replicas_wakes_ns(const struct worker *w) { return pace_wakes_ns(&w->replicas->pace); }

void replicas_turn(struct worker *w)
{
    struct replicas *r = w->replicas;
    if (unlikely(r->catch_up) || unlikely(r->pace.until_ns != 0)) pace_turn(w, &r->pace, catching_up(r), hard_limit(w));
    if (likely(!r->wants_acks) || !may_speak(w)) return;
    r->wants_acks = false;
    if (r->count == 0) return;
    history_record(&w->srv->history, (struct bytes[]){BYTES("REPLCONF"), BYTES("GETACK"), BYTES("*")}, 3);
}
