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

#include "server/mem.h"
#include "server/net/feed.h"
#include "server/observe/log.h"
#include "server/repl/full_copy.h"
#include "server/server.h"
#include "server/worker.h"

#define AGE_FREE ((uint64_t)1 << 20) /* effects behind a snapshot that never speak against sharing it */

struct replicas {
    struct client **v;
    size_t count, cap;
    int64_t spoke_ms; /* when something was last sent */
    uint64_t full_syncs;
    struct snapshot **snapshots; /* that somebody reads, a reference of ours each; the last is the newest */
    size_t snapshot_count, snapshot_cap;
    uint64_t told_turn; /* the turn in which all of them were put on the list of those to be flushed */
};

size_t replicas_count(const struct worker *w) { return w->replicas ? w->replicas->count : 0; }
uint64_t replicas_full_syncs(const struct worker *w) { return w->replicas ? w->replicas->full_syncs : 0; }
struct client *replicas_at(const struct worker *w, size_t i) { return w->replicas->v[i]; }

static struct replicas *replicas_of(struct worker *w)
{
    if (!w->replicas) w->replicas = mem_calloc(sizeof *w->replicas);
    return w->replicas;
}

void replicas_take_config(struct worker *w)
{
    const struct config *cfg = w->conf.cfg;
    bool few = cfg->min_replicas_to_write && cfg->min_replicas_max_lag;
    if (few) w->srv->unusual |= SERVER_FEW_REPLICAS;
    else w->srv->unusual &= ~(unsigned)SERVER_FEW_REPLICAS;
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

static size_t hard_limit(const struct worker *w)
{
    return (size_t)w->conf.cfg->client_output_buffer_limit[CLASS_REPLICA].hard_bytes;
}

size_t replicas_memory(const struct worker *w)
{
    const struct replicas *r = w->replicas;
    return r ? snapshot_bytes(r) + (r->count ? w->srv->history.journal.text.bytes : 0) : 0;
}

/* One that a new replica may read; NULL: there is none, or too much has happened since it stood. */
static struct snapshot *snapshot_to_share(const struct worker *w)
{
    const struct replicas *r = w->replicas;
    if (r->snapshot_count == 0) return NULL;
    struct snapshot *newest = r->snapshots[r->snapshot_count - 1];
    uint64_t age = snapshot_age(newest), hard = hard_limit(w);
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
static struct snapshot *snapshot_begin(struct worker *w)
{
    ASSERT(may_begin(w));
    struct replicas *r = w->replicas;
    size_t allowed = snapshot_allowed(w);
    if (allowed == 0) return NULL;
    struct snapshot *s = snapshot_new(&w->srv->history.journal);
    if (r->snapshot_count == r->snapshot_cap) {
        r->snapshot_cap = r->snapshot_cap ? r->snapshot_cap * 2 : 4;
        r->snapshots = mem_realloc(r->snapshots, r->snapshot_cap * sizeof *r->snapshots);
    }
    r->snapshots[r->snapshot_count++] = s;
    full_copy_begin(w, s, allowed);
    return s;
}

/* --- replicas ----------------------------------------------------------------------------------------------------- */

void replicas_history_appended(struct journal *j)
{
    struct worker *w = &j->srv->workers[0];
    struct replicas *r = w->replicas;
    history_trim(&j->srv->history);
    if (!r || r->count == 0) return; /* the backlog alone reads it */
    size_t hard = hard_limit(w);
    if (r->told_turn == w->turn_ns && !hard) return;
    r->told_turn = w->turn_ns;
    r->spoke_ms = w->now_ms;
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

static void give(struct client *cl, struct snapshot *s)
{
    feed_start(cl, s);
    if (s->is_whole) send_head(cl, s);
}

bool replicas_attach(struct client *cl)
{
    struct worker *w = cl->w;
    struct replicas *r = replicas_of(w);
    drop_read(w);
    if (!history_is_kept(&w->srv->history)) { /* what was written since it was kept last is nobody's history */
        history_new_id(&w->srv->history);
        history_keep(&w->srv->history);
    }
    struct snapshot *s = snapshot_to_share(w);
    if (!s && may_begin(w) && !(s = snapshot_begin(w))) return false;
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 4;
        r->v = mem_realloc(r->v, r->cap * sizeof *r->v);
    }
    r->v[r->count++] = cl;
    r->spoke_ms = w->now_ms;
    r->full_syncs++;
    cl->s.flags |= SESSION_REPLICA;
    if (s) give(cl, s);
    return true;
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
        if (!next && !(next = snapshot_begin(w))) replica_refuse(cl);
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
    struct replicas *r = cl->w->replicas;
    if (!(cl->s.flags & SESSION_REPLICA)) return;
    feed_end(cl);
    size_t i = 0;
    while (r->v[i] != cl) i++;
    memmove(r->v + i, r->v + i + 1, (--r->count - i) * sizeof *r->v);
    cl->s.flags &= ~(uint32_t)SESSION_REPLICA;
    drop_read(cl->w);
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

/* A newline now and then tells who waits for a snapshot that the link is alive, as redis-server does it. */
static void tell_waiting(const struct replicas *r)
{
    for (size_t i = 0; i < r->count; i++) {
        struct client *cl = r->v[i];
        if (cl->feed && (!cl->feed->snapshot || cl->feed->snapshot->is_whole)) continue;
        reply_raw(&cl->out, BYTES("\n"));
        client_output(cl);
    }
}

void replicas_cron(struct worker *w)
{
    struct replicas *r = w->replicas;
    if (!r) return;
    drop_read(w);
    serve_waiting(w);
    if (w->cron_runs % (uint64_t)w->conf.cfg->hz == 0) tell_waiting(r);
    if (r->count == 0 || w->now_ms - r->spoke_ms < w->conf.cfg->repl_ping_replica_period * 1000) return;
    struct bytes ping = BYTES("PING");
    history_record(&w->srv->history, &ping, 1);
}
