/* SPDX-License-Identifier: MIT
 *
 * Replicas are readers of the history, behind a payload (server/repl/full_sync.h) or from where they stood. How far one
 * may be behind is client-output-buffer-limit replica, looked at where the history grows.
 */
#include "server/repl/replicas.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "demi/libos.h"
#include "server/exec/blocked.h"
#include "server/mem.h"
#include "server/net/feed.h"
#include "server/observe/log.h"
#include "server/repl/full_copy.h"
#include "server/repl/full_sync.h"
#include "server/repl/pace.h"
#include "server/repl/payload.h"
#include "server/repl/replica.h"
#include "server/server.h"
#include "server/worker.h"

#define CAUGHT_UP ((uint64_t)1 << 20) /* bytes behind: no more than there may be at any time */

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

void replicas_see_good(struct worker *w)
{
    const struct config *cfg = w->conf.cfg;
    bool asked = cfg->min_replicas_to_write && cfg->min_replicas_max_lag && !w->srv->upstream;
    if (asked && replicas_good(w) < (size_t)cfg->min_replicas_to_write) w->srv->unusual |= SERVER_FEW_REPLICAS;
    else w->srv->unusual &= ~(unsigned)SERVER_FEW_REPLICAS;
}

void replicas_take_config(struct worker *w)
{
    replicas_see_good(w);
    history_resize(&w->srv->history, (uint64_t)w->conf.cfg->repl_backlog_size);
}

void replicas_want_acks(struct worker *w)
{
    if (w->replicas) w->replicas->wants_acks = true;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

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
    size_t hard = client_hard_limit(w, CLASS_REPLICA);
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

void replicas_add(struct client *cl, bool in_full)
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
    if (w->conf.cfg->repl_disable_tcp_nodelay) {
        int off = 0; /* Nagle's algorithm gathers what is small; a connection of another kind has none */
        demi_setsockopt(cl->qd, IPPROTO_TCP, TCP_NODELAY, &off, sizeof off);
    }
    if (in_full) {
        r->figures.full++;
        cl->replica->catches_up = r->catch_up = true;
    } else {
        r->figures.partial_ok++;
    }
}

void replicas_continue(struct client *cl, uint64_t from)
{
    struct worker *w = cl->w;
    struct replica *me = replica_of(cl);
    char line[64];
    bool told_id = me->capa & REPLICA_CAPA_PSYNC2;
    int n = snprintf(line, sizeof line, "+CONTINUE%s%s\r\n", told_id ? " " : "", told_id ? w->srv->history.id : "");
    replicas_add(cl, false);
    me->by_psync = true;
    me->state = REPLICA_ONLINE;
    me->ack_ms = w->now_ms;
    reply_raw(&cl->out, bytes_of(line, (size_t)n));
    feed_continue(cl, from);
    server_log(w->srv, LOG_NOTICE_LEVEL,
               "Partial resynchronization request from %s accepted. Sending %llu bytes of backlog starting from offset "
               "%llu.",
               cl->peer, (unsigned long long)feed_lag(cl), (unsigned long long)from);
    client_output(cl);
    replicas_see_good(w);
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
    replicas_see_good(w);
    blocked_log_moved(w);
    failover_look(w);
}

void replicas_forget(struct client *cl)
{
    struct worker *w = cl->w;
    struct replicas *r = w->replicas;
    if (!(cl->s.flags & SESSION_REPLICA)) return;
    feed_end(cl);
    history_trim(&w->srv->history); /* what it held */
    size_t i = 0;
    while (r->v[i] != cl) i++;
    memmove(r->v + i, r->v + i + 1, (--r->count - i) * sizeof *r->v);
    cl->s.flags &= ~(uint32_t)SESSION_REPLICA;
    if (r->count == 0) r->alone_ms = w->now_ms;
    replicas_see_good(w);
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
        readers += making && cl->feed && cl->feed->payload == making;
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

void replicas_close_silent(struct client *cl, const char *what)
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
static void close_all_silent(struct worker *w)
{
    struct replicas *r = w->replicas;
    int64_t timeout_ms = w->conf.cfg->repl_timeout * 1000;
    for (size_t i = 0; i < r->count; i++) {
        struct client *cl = r->v[i];
        const struct replica *me = cl->replica;
        if (!cl->feed || (cl->flags & CLIENT_CLOSE_NOW)) continue;
        if (cl->feed->in_payload.of && is_stuck(cl, timeout_ms)) replicas_close_silent(cl, "full sync");
        bool follows = me->state == REPLICA_ONLINE && me->by_psync;
        if (follows && w->now_ms - me->ack_ms > timeout_ms) replicas_close_silent(cl, "streaming sync");
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
    full_sync_serve(w);
    full_sync_close_slow(w);
    replicas_see_good(w);
    failover_look(w);
    ping(w);
    forget_history(w);
    history_trim(&w->srv->history); /* payloads hold it, too */
    if (w->cron_runs % (uint64_t)w->conf.cfg->hz != 0) return;
    full_sync_tell_waiting(w);
    close_all_silent(w);
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
    if (unlikely(r->catch_up) || unlikely(r->pace.until_ns != 0))
        pace_turn(w, &r->pace, catching_up(r), client_hard_limit(w, CLASS_REPLICA));
    if (likely(!r->wants_acks) || !may_speak(w)) return;
    r->wants_acks = false;
    if (r->count == 0) return;
    history_record(&w->srv->history, (struct bytes[]){BYTES("REPLCONF"), BYTES("GETACK"), BYTES("*")}, 3);
}
