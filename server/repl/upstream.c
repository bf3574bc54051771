/* SPDX-License-Identifier: MIT
 *
 * Roles, the link while it is there, and when the next attempt to get one (dial.h) begins: at once when a link that was
 * there has broken, else after a second.
 *
 * What the link sends goes into the history as far as it was executed, so that the offset is always that of the last
 * whole command, or of the last before a MULTI whose EXEC has not come: what of it has come is held aside, and thrown
 * away if the link breaks there.
 */
#include "server/repl/upstream.h"

#include <errno.h>
#include <string.h>

#include "demi/libos.h"
#include "server/command/command.h"
#include "server/conf/oom_score.h"
#include "server/ds/number.h"
#include "server/mem.h"
#include "server/observe/errorstats.h"
#include "server/observe/log.h"
#include "server/repl/dial.h"
#include "server/repl/replicas.h"
#include "server/repl/role.h"
#include "server/server.h"
#include "server/worker.h"

#define SECOND_NS     UINT64_C(1000000000)
#define LOG_TRIES_MAX 10 /* as in Redis */
#define SHOWN_MAX     4096

/* --- roles -------------------------------------------------------------------------------------------------------- */

static void show_role(struct worker *w)
{
    struct server *srv = w->srv;
    int err = oom_score_apply(&srv->oom_score, srv->config, srv->upstream ? OOM_SCORE_REPLICA : OOM_SCORE_PRIMARY);
    if (err) server_log(srv, LOG_WARNING_LEVEL, "Unable to write oom_score_adj: %s", strerror(-err));
    role_update(w);
}

/* `replicaof` is what CONFIG REWRITE writes, so that a restart goes on with the role it has. */
static void write_down(struct worker *w)
{
    const struct upstream *u = w->srv->upstream;
    if (conf_store_set_replicaof(&w->srv->conf, u ? u->host : NULL, u ? u->port : 0) == 0) worker_take_config(w);
}

static struct upstream *upstream_new(const struct worker *w, const char *host, int port)
{
    struct upstream *u = mem_calloc(sizeof *u);
    size_t size = strlen(host) + 1;
    u->host = mem_alloc(size);
    memcpy(u->host, host, size);
    u->port = port;
    u->stream_db = -1;
    return u;
}

static void drop_held(struct upstream *u)
{
    mem_free(u->held);
    u->held = NULL;
    u->held_size = u->held_cap = 0;
}

static void upstream_free(struct upstream *u)
{
    drop_held(u);
    mem_free(u->host);
    mem_free(u);
}

/* Its link and its attempt are nobody's any more, and go. */
static void part_with(struct upstream *u)
{
    if (u->dial) {
        u->dial->u = NULL;
        dial_call_off(u->dial, -ECANCELED);
        u->dial = NULL;
    }
    if (!u->client) return;
    struct client *cl = u->client;
    u->stream_db = cl->s.db->id;
    u->client = NULL;
    client_kill(cl);
}

static void begin_dial(struct worker *w)
{
    struct upstream *u = w->srv->upstream;
    u->next_ns = demi_clock_ns() + SECOND_NS;
    u->dial = dial_begin(w, u);
}

void upstream_begin(struct worker *w)
{
    struct server *srv = w->srv;
    const struct config *cfg = srv->config;
    w->nowhere.on_error = upstream_error;
    srv->persist.arrived = upstream_data_arrived;
    if (!cfg->replicaof_host) return;
    srv->upstream = upstream_new(w, cfg->replicaof_host, cfg->replicaof_port);
    history_follow(&srv->history, true);
    show_role(w);
}

void upstream_fini(struct worker *w)
{
    struct upstream *u = w->srv->upstream;
    w->srv->upstream = NULL;
    if (u) part_with(u);
    if (u) upstream_free(u);
    dials_wait(w);
}

void upstream_data_arrived(struct worker *w)
{
    struct server *srv = w->srv;
    const struct rdb_origin *o = &srv->persist.origin;
    if (strlen(o->id) != HISTORY_ID_SIZE - 1 || o->offset < 0) return;
    history_resume(&srv->history, o->id, (uint64_t)o->offset);
    server_log(srv, LOG_NOTICE_LEVEL, "The data are of the history %s up to %lld: who knows that may go on there",
               o->id, (long long)o->offset);
    if (!srv->upstream) return;
    srv->upstream->may_continue = true;
    srv->upstream->stream_db = o->db;
}

void upstream_set(struct worker *w, const char *host, int port)
{
    struct server *srv = w->srv;
    struct upstream *was = srv->upstream, *u = upstream_new(w, host, port);
    if (was) part_with(was);
    role_disturb_waiting(w);
    srv->upstream = u;
    if (was) {
        u->may_continue = was->may_continue;
        u->stream_db = was->stream_db;
        u->down_ms = was->state == UPSTREAM_CONNECTED ? w->now_ms : was->down_ms;
        upstream_free(was);
    } else {
        /* A primary's data are those of its own id as far as it stands, and the new one may know that id. */
        u->may_continue = true;
        history_follow(&srv->history, true);
    }
    write_down(w);
    show_role(w);
    server_log(srv, LOG_NOTICE_LEVEL, "Connecting to MASTER %s:%d", host, port);
    if (!srv->persist.loading) begin_dial(w);
}

void upstream_hand_over(struct worker *w, const char *host, int port, upstream_handed_over *fn)
{
    upstream_set(w, host, port);
    w->srv->upstream->hands_over = fn;
}

void upstream_unset(struct worker *w)
{
    struct server *srv = w->srv;
    struct upstream *u = srv->upstream;
    if (!u) return;
    part_with(u);
    srv->upstream = NULL;
    upstream_free(u);
    replicas_close_all(w); /* they come back, and are told the new id */
    history_branch(&srv->history);
    history_keep(&srv->history);
    history_follow(&srv->history, false);
    write_down(w);
    show_role(w);
    if (w->conf.cfg->appendonly && srv->aof.state == AOF_OFF && !srv->persist.loading) aof_switch_on(w);
}

/* --- the link comes and goes -------------------------------------------------------------------------------------- */

static struct client *make_client(struct worker *w, struct dial *a)
{
    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof peer;
    demi_sgarray_t in;
    size_t taken;
    int qd = link_give(&a->link, &in, &taken);
    if (demi_getpeername(qd, (struct sockaddr *)&peer, &size) != 0) peer.ss_family = AF_INET;
    struct client *cl = client_new(w, qd, &peer);
    session_set_user(&cl->s, NULL);
    cl->s.flags |= SESSION_PRIMARY | SESSION_AUTHENTICATED;
    client_take_input(cl, &in, taken);
    return cl;
}

int upstream_take_up(struct dial *a)
{
    struct worker *w = a->w;
    struct server *srv = w->srv;
    struct upstream *u = srv->upstream;
    struct client *cl = make_client(w, a);
    int64_t db = u->stream_db;
    if (db >= 0 && db < srv->db_count) cl->s.db = &srv->dbs[db];
    u->client = cl;
    u->state = UPSTREAM_CONNECTED;
    u->acknowledges = a->by_psync;
    u->applied = 0;
    u->seen = cl->net_in;
    u->heard_ns = demi_clock_ns();
    u->io_ms = w->now_ms;
    u->log = (struct upstream_log){0};
    role_update(w);
    upstream_acknowledge(w);
    demi_wake_ring(w->wake);
    return 0;
}

void upstream_dial_ended(struct worker *w, int err)
{
    struct upstream *u = w->srv->upstream;
    u->dial = NULL;
    if (!err && u->client) return;
    bool was_receiving = u->state == UPSTREAM_TRANSFER;
    u->state = UPSTREAM_CONNECT;
    u->next_ns = demi_clock_ns() + SECOND_NS;
    role_update(w);
    if (was_receiving)
        server_log(w->srv, LOG_NOTICE_LEVEL, "Reconnecting to MASTER %s:%d after failure", u->host, u->port);
}

void upstream_lost(struct client *cl)
{
    struct worker *w = cl->w;
    struct upstream *u = w->srv->upstream;
    if (!u || u->client != cl) return;
    server_log(w->srv, LOG_NOTICE_LEVEL, "Connection with master lost.");
    u->client = NULL;
    u->stream_db = cl->s.db->id;
    u->state = UPSTREAM_CONNECT;
    u->down_ms = w->now_ms;
    if (u->acknowledges && u->may_continue)
        server_log(w->srv, LOG_NOTICE_LEVEL, "Caching the disconnected master state.");
    drop_held(u);
    role_update(w);
    if (w->srv->stopping) return;
    server_log(w->srv, LOG_NOTICE_LEVEL, "Reconnecting to MASTER %s:%d", u->host, u->port);
    begin_dial(w);
}

/* --- the stream --------------------------------------------------------------------------------------------------- */

static void hold(struct upstream *u, struct bytes b)
{
    if (u->held_cap - u->held_size < b.n) {
        u->held_cap = demi_good_size(u->held_size + b.n + u->held_size / 2);
        u->held = mem_realloc(u->held, u->held_cap);
    }
    memcpy(u->held + u->held_size, b.p, b.n);
    u->held_size += b.n;
}

void upstream_applied(struct client *cl, size_t start, size_t end)
{
    struct upstream *u = cl->w->srv->upstream;
    if (!u || u->client != cl) return; /* the command was REPLICAOF */
    struct history *h = &cl->w->srv->history;
    struct bytes b = bytes_of(cl->in + start, end - start);
    if (unlikely(cl->net_in - (cl->in_len - start) != u->applied)) {
        upstream_protocol_error(cl, "bytes between commands");
        return;
    }
    u->applied += b.n;
    if (unlikely(cl->s.flags & SESSION_MULTI)) {
        hold(u, b);
        return;
    }
    if (unlikely(u->held_size)) {
        history_append(h, bytes_of(u->held, u->held_size));
        drop_held(u);
    }
    history_append(h, b);
    history_selected(h, cl->s.db->id);
}

void upstream_protocol_error(struct client *cl, const char *text)
{
    struct upstream *u = cl->w->srv->upstream;
    if (u && u->client == cl) {
        server_log(cl->w->srv, LOG_WARNING_LEVEL,
                   "WARNING: What the master sends is no stream of commands (%s). Closing the master connection and "
                   "discarding the cached master.",
                   text);
        u->may_continue = false;
    }
    client_kill(cl);
}

/* Not more than once a few bytes: the name of the command, and what it said. */
void upstream_error(void *ctx, struct bytes text)
{
    const struct session *s = ctx;
    struct worker *w = s->w;
    const struct config *cfg = w->conf.cfg;
    if (!(s->flags & SESSION_PRIMARY)) return; /* of a client that wants no replies */
    const char *name = s->last_cmd ? s->last_cmd->full_name : "<unknown>";
    w->stats.errors++;
    w->stats.unexpected_errors++;
    errorstats_count(w->srv, text);
    server_log(
        w->srv, LOG_WARNING_LEVEL,
        "== CRITICAL == This replica is sending an error to its master: '%.*s' after processing the command '%s'",
        (int)(text.n < SHOWN_MAX ? text.n : SHOWN_MAX), text.p, name);
    if (cfg->propagation_error_behavior == PROPAGATION_ERROR_IGNORE || !cfg->replica_read_only) return;
    server_log(w->srv, LOG_WARNING_LEVEL,
               "This replica stops, as propagation-error-behavior says: it may be another than its master now");
    w->srv->exit_code = 1;
    w->srv->stopping = true;
}

/* --- acknowledged ------------------------------------------------------------------------------------------------- */

/* How far the stream is in our log on the disk. */
static uint64_t logged(struct worker *w)
{
    struct server *srv = w->srv;
    struct upstream_log *l = &srv->upstream->log;
    uint64_t in_log = srv->journal.text.end, in_stream = history_offset(&srv->history);
    if (l->count == UPSTREAM_LOG_MARKS) l->count--;
    l->marks[l->count].in_log = in_log;
    l->marks[l->count++].in_stream = in_stream;
    unsigned safe = 0;
    while (safe < l->count && aof_is_durable(srv, l->marks[safe].in_log)) l->safe = l->marks[safe++].in_stream;
    memmove(l->marks, l->marks + safe, (l->count - safe) * sizeof *l->marks);
    l->count -= safe;
    return l->safe;
}

static void reply_number(struct reply *out, uint64_t v)
{
    char text[NUMBER_I64_SIZE];
    reply_bulk(out, bytes_of(text, number_format_i64(text, (int64_t)v)));
}

void upstream_acknowledge(struct worker *w)
{
    struct server *srv = w->srv;
    struct upstream *u = srv->upstream;
    if (!u || !u->client || !u->acknowledges || (u->client->flags & CLIENT_CLOSE_NOW)) return;
    struct reply *out = &u->client->out;
    bool has_log = srv->aof.state != AOF_OFF;
    reply_array(out, has_log ? 5 : 3);
    reply_bulk(out, BYTES("REPLCONF"));
    reply_bulk(out, BYTES("ACK"));
    reply_number(out, history_offset(&srv->history));
    if (has_log) {
        reply_bulk(out, BYTES("FACK"));
        reply_number(out, logged(w));
    }
    u->acked_ns = demi_clock_ns();
    client_output(u->client);
}

/* --- some times a second ------------------------------------------------------------------------------------------ */

static void look_at_link(struct worker *w, struct upstream *u, uint64_t now)
{
    if (u->client->net_in != u->seen) {
        u->seen = u->client->net_in;
        u->heard_ns = now;
        u->io_ms = u->client->active_ms;
    }
    if (now - u->heard_ns > (uint64_t)w->conf.cfg->repl_timeout * SECOND_NS) {
        server_log(w->srv, LOG_WARNING_LEVEL, "MASTER timeout: no data nor PING received...");
        client_kill(u->client);
        return;
    }
    if (now - u->acked_ns >= SECOND_NS) upstream_acknowledge(w);
}

void upstream_log_again(struct worker *w)
{
    struct server *srv = w->srv;
    struct upstream *u = srv->upstream;
    if (!u || !w->conf.cfg->appendonly || srv->aof.state != AOF_OFF || srv->persist.loading) return;
    u->log_next_ns = demi_clock_ns() + SECOND_NS;
    int err = aof_switch_on(w);
    if (!err) {
        u->log_tries = 0;
        return;
    }
    u->log_tries++;
    server_log(srv, LOG_WARNING_LEVEL, "Failed enabling the AOF after successful master synchronization: %s",
               strerror(-err));
    if (u->log_tries < LOG_TRIES_MAX) return;
    server_log(srv, LOG_WARNING_LEVEL,
               "FATAL: this replica instance finished the synchronization with its master, but the AOF can't be turned "
               "on. Exiting now.");
    srv->exit_code = 1;
    srv->stopping = true;
}

void upstream_cron(struct worker *w)
{
    struct server *srv = w->srv;
    struct upstream *u = srv->upstream;
    if (!u) return;
    uint64_t now = demi_clock_ns();
    if (u->client) look_at_link(w, u, now);
    else if (u->dial) dial_cron(u->dial);
    else if (!srv->persist.loading && now >= u->next_ns) begin_dial(w);
    if (u->client && u->log_tries && now >= u->log_next_ns) upstream_log_again(w);
}
