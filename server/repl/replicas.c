/* SPDX-License-Identifier: MIT
 *
 * Replicas are readers of the journal, behind a snapshot. A snapshot is shared: who comes while another still reads one
 * reads the same blocks and catches up with the effects since, as long as those are few beside it; so ten of them cost
 * one copy of the data, and one look at it.
 *
 * How far a replica may be behind is client-output-buffer-limit replica, looked at where the journal grows.
 */
#include "server/repl/replicas.h"

#include <stdio.h>

#include "server/exec/blocked.h"
#include "server/mem.h"
#include "server/net/feed.h"
#include "server/observe/log.h"
#include "server/rdb/format.h"
#include "server/repl/full_copy.h"
#include "server/repl/replica.h"
#include "server/server.h"
#include "server/worker.h"

#define AGE_FREE ((uint64_t)1 << 20) /* effects behind a snapshot that never speak against sharing it */

struct replicas {
    struct client **v;
    size_t count, cap;
    int64_t pinged_ms;
    int64_t alone_ms; /* since when there is no replica; 0: there is one */
    struct replicas_figures figures;
    struct snapshot **snapshots; /* that somebody reads, a reference of ours each; the last is the newest */
    size_t snapshot_count, snapshot_cap;
    uint64_t told_turn, told_end; /* when all of them were last looked at, and where the history ended then */
    bool wants_acks;              /* somebody waits: they are asked at the end of the turn */
};

size_t replicas_count(const struct worker *w) { return w->replicas ? w->replicas->count : 0; }
struct replicas_figures replicas_figures(const struct worker *w)
{
    return w->replicas ? w->replicas->figures : (struct replicas_figures){0};
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

/* --- snapshots ---------------------------------------------------------------------------------------------------- */

/* Those that nobody but us holds any more go. */
static void drop_read(struct worker *w)
{
    struct replicas *r = w->replicas;
    size_t kept = 0;
    for (size_t i = 0; i < r->snapshot_count; i++) {
        struct snapshot *s = r->snapshots[i];
        if (s->refs > 1) {
            r->snapshots[kept++] = s;
            continue;
        }
        if (s == full_copy_of(w)) full_copy_stop(w);
        snapshot_unref(s);
    }
    r->snapshot_count = kept;
}

static size_t snapshot_bytes(const struct replicas *r)
{
    size_t sum = 0;
    for (size_t i = 0; i < r->snapshot_count; i++) sum += r->snapshots[i]->text.bytes;
    return sum;
}

/* Never below the backlog, which one that asks for it all is behind at once. */
static size_t hard_limit(const struct worker *w)
{
    const struct config *cfg = w->conf.cfg;
    int64_t hard = cfg->client_output_buffer_limit[CLASS_REPLICA].hard_bytes;
    return (size_t)(hard && hard < cfg->repl_backlog_size ? cfg->repl_backlog_size : hard);
}

size_t replicas_memory(const struct worker *w)
{
    const struct replicas *r = w->replicas;
    size_t stream = w->srv->history.journal.text.bytes, backlog = replicas_backlog_memory(w);
    return (r ? snapshot_bytes(r) : 0) + stream - backlog;
}

size_t replicas_backlog_memory(const struct worker *w)
{
    const struct history *h = &w->srv->history;
    size_t most = (size_t)h->backlog_size + HISTORY_TRIM;
    if (!history_is_kept(h)) return 0;
    return h->journal.text.bytes < most ? h->journal.text.bytes : most;
}

/* One that a new replica may read; NULL: there is none, or too much has happened since it stood. */
static struct snapshot *snapshot_to_share(const struct worker *w, int version)
{
    const struct replicas *r = w->replicas;
    if (r->snapshot_count == 0) return NULL;
    struct snapshot *newest = r->snapshots[r->snapshot_count - 1];
    uint64_t age = snapshot_age(newest), hard = hard_limit(w);
    if (newest->version > version) return NULL;
    if (age > AGE_FREE && age > newest->bytes / 2) return NULL;
    return hard && age > hard / 2 ? NULL : newest;
}

/* Bytes that a further one may have. */
static size_t snapshot_allowed(const struct worker *w)
{
    size_t kept = snapshot_bytes(w->replicas), hard = hard_limit(w);
    if (!kept || !hard) return SIZE_MAX;
    return hard > kept ? hard - kept : 0;
}

/* One walk at a time: another copy, or a file. */
static bool may_begin(const struct worker *w) { return walks_are_free(&w->srv->walks) && !w->srv->aof.rewriting; }

/* A new one, begun; NULL: there is no room for any. */
static struct snapshot *snapshot_begin(struct worker *w, int version)
{
    ASSERT(may_begin(w));
    struct replicas *r = w->replicas;
    size_t allowed = snapshot_allowed(w);
    if (allowed == 0) return NULL;
    struct snapshot *s = snapshot_new(&w->srv->history.journal);
    s->offset = history_offset(&w->srv->history);
    s->version = version;
    if (r->snapshot_count == r->snapshot_cap) {
        r->snapshot_cap = r->snapshot_cap ? r->snapshot_cap * 2 : 4;
        r->snapshots = mem_realloc(r->snapshots, r->snapshot_cap * sizeof *r->snapshots);
    }
    r->snapshots[r->snapshot_count++] = s;
    full_copy_begin(w, s, allowed);
    return s;
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

static void send_head(struct client *cl, const struct snapshot *s)
{
    char head[32];
    int n = snprintf(head, sizeof head, "$%llu\r\n", (unsigned long long)s->bytes);
    reply_raw(&cl->out, bytes_of(head, (size_t)n));
    client_output(cl);
}

/* Where the snapshot stands, in the words of PSYNC. Its first effect says its database. */
static void send_full_resync(struct client *cl, const struct snapshot *s)
{
    char line[128];
    struct history *h = &cl->w->srv->history;
    journal_select_again(&h->journal);
    if (!cl->replica->by_psync) return;
    int n = snprintf(line, sizeof line, "+FULLRESYNC %s %llu\r\n", h->id, (unsigned long long)s->offset);
    reply_raw(&cl->out, bytes_of(line, (size_t)n));
    client_output(cl);
}

static void give(struct client *cl, struct snapshot *s)
{
    feed_start(cl, s);
    cl->replica->state = REPLICA_RECEIVES;
    send_full_resync(cl, s);
    if (s->is_whole) send_head(cl, s);
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

bool replicas_attach(struct client *cl)
{
    struct worker *w = cl->w;
    struct replicas *r = replicas_of(w);
    struct history *h = &w->srv->history;
    struct replica *me = replica_of(cl);
    int version = replica_rdb_version(me, (int)w->conf.cfg->rdb_version);
    drop_read(w);
    if (!history_is_kept(h)) { /* what was written since it was kept last is nobody's history */
        if (!w->srv->upstream) history_new_id(h);
        history_keep(h);
    }
    struct snapshot *s = snapshot_to_share(w, version);
    if (!s && may_begin(w) && !(s = snapshot_begin(w, version))) return false;
    enlist(cl);
    me->state = REPLICA_WAITS;
    me->asked_ms = w->now_ms;
    r->figures.full++;
    if (s) give(cl, s);
    return true;
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
}

/* It is no replica any more, but a client that got an error. */
static void replica_refuse(struct client *cl)
{
    replicas_forget(cl);
    reply_error(&cl->out, "ERR Unable to SYNC: other replicas have not taken their snapshots yet");
    client_output(cl);
}

/* Those that wait get one snapshot together. */
static void serve_waiting(struct worker *w)
{
    struct replicas *r = w->replicas;
    struct snapshot *next = NULL;
    for (size_t i = r->count; i-- > 0 && (next || may_begin(w));) {
        struct client *cl = r->v[i];
        if (cl->feed) continue;
        if (!next && !(next = snapshot_begin(w, RDB_VERSION_MIN))) replica_refuse(cl);
        else give(cl, next);
    }
}

void replicas_copy_ended(struct worker *w, struct snapshot *s, int err)
{
    struct replicas *r = w->replicas;
    if (err)
        server_log(w->srv, LOG_WARNING_LEVEL,
                   "A snapshot for replicas was given up: with those that others have not taken yet it is more than "
                   "client-output-buffer-limit allows");
    else server_log(w->srv, LOG_NOTICE_LEVEL, "Snapshot for replicas made: %llu bytes", (unsigned long long)s->bytes);
    for (size_t i = 0; i < r->count; i++) {
        struct client *cl = r->v[i];
        if (cl->feed && cl->feed->snapshot == s && !err) send_head(cl, s);
    }
    for (size_t i = r->count; err && i-- > 0;)
        if (r->v[i]->feed && r->v[i]->feed->snapshot == s) replica_refuse(r->v[i]);
    drop_read(w);
    serve_waiting(w);
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
    drop_read(w);
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
    if (r) drop_read(w);
}

#ifdef DEMI_DEBUG
void replicas_check(const struct worker *w)
{
    const struct replicas *r = w->replicas;
    if (!r) {
        ASSERT(!w->copy);
        return;
    }
    size_t parts = 0, readers = 0, refs = 0;
    for (size_t i = 0; i < r->snapshot_count; i++) {
        const struct snapshot *s = r->snapshots[i];
        ASSERT(s->refs >= 1);
        ASSERT(s->is_whole == (s != full_copy_of(w)));
        parts += !s->is_whole;
        refs += s->refs - 1;
    }
    ASSERT(parts == (w->copy != NULL));
    for (size_t i = 0; i < r->count; i++) {
        const struct client *cl = r->v[i];
        ASSERT(cl->s.flags & SESSION_REPLICA);
        ASSERT(cl->feed || !may_begin(w)); /* it has something to read, or waits for the end of another walk */
        readers += cl->feed && cl->feed->snapshot;
    }
    ASSERT(readers == refs);
}
#endif

void replicas_fini(struct worker *w)
{
    struct replicas *r = w->replicas;
    if (!r) return;
    ASSERT(r->count == 0);
    drop_read(w);
    ASSERT(r->snapshot_count == 0);
    mem_free(r->snapshots);
    mem_free(r->v);
    mem_free(r);
    w->replicas = NULL;
}

/* A newline each second tells who waits for a snapshot that the link is alive. */
static void tell_waiting(const struct replicas *r)
{
    for (size_t i = 0; i < r->count; i++) {
        struct client *cl = r->v[i];
        if (cl->feed && (!cl->feed->snapshot || cl->feed->snapshot->is_whole)) continue;
        reply_raw(&cl->out, BYTES("\n"));
        client_output(cl);
    }
}

static void close_silent(struct worker *w)
{
    struct replicas *r = w->replicas;
    int64_t timeout_ms = w->conf.cfg->repl_timeout * 1000;
    for (size_t i = 0; i < r->count; i++) {
        struct client *cl = r->v[i];
        const struct replica *me = cl->replica;
        if (me->state != REPLICA_ONLINE || !me->by_psync || (cl->flags & CLIENT_CLOSE_NOW)) continue;
        if (w->now_ms - me->ack_ms <= timeout_ms) continue;
        server_log(w->srv, LOG_WARNING_LEVEL, "Disconnecting timedout replica (streaming sync): %s", cl->peer);
        client_kill(cl);
    }
}

/* While writes are paused the history stands still. */
static bool may_speak(const struct worker *w) { return !w->srv->upstream && !w->srv->pause_until_ms; }

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
    drop_read(w);
    serve_waiting(w);
    see_good(w);
    ping(w);
    forget_history(w);
    if (w->cron_runs % (uint64_t)w->conf.cfg->hz != 0) return;
    tell_waiting(r);
    close_silent(w);
}

void replicas_turn(struct worker *w)
{
    struct replicas *r = w->replicas;
    if (likely(!r->wants_acks) || !may_speak(w)) return;
    r->wants_acks = false;
    if (r->count == 0) return;
    history_record(&w->srv->history, (struct bytes[]){BYTES("REPLCONF"), BYTES("GETACK"), BYTES("*")}, 3);
}
