/* SPDX-License-Identifier: MIT */
#include "server/repl/upstream.h"

#include <string.h>

#include "server/conf/oom_score.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/repl/role.h"
#include "server/server.h"
#include "server/worker.h"

/* --- roles -------------------------------------------------------------------------------------------------------- */

static void show_role(struct server *srv)
{
    int err = oom_score_apply(&srv->oom_score, srv->config, srv->upstream ? OOM_SCORE_REPLICA : OOM_SCORE_PRIMARY);
    if (err) server_log(srv, LOG_WARNING_LEVEL, "Unable to write oom_score_adj: %s", strerror(-err));
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
    u->down_ms = w->now_ms;
    return u;
}

static void upstream_free(struct upstream *u)
{
    mem_free(u->host);
    mem_free(u);
}

void upstream_begin(struct worker *w)
{
    struct server *srv = w->srv;
    const struct config *cfg = srv->config;
    if (!cfg->replicaof_host) return;
    srv->upstream = upstream_new(w, cfg->replicaof_host, cfg->replicaof_port);
    history_follow(&srv->history, true);
    role_update(w);
    show_role(srv);
}

void upstream_fini(struct worker *w)
{
    struct server *srv = w->srv;
    if (!srv->upstream) return;
    upstream_free(srv->upstream);
    srv->upstream = NULL;
}

void upstream_set(struct worker *w, const char *host, int port)
{
    struct server *srv = w->srv;
    struct upstream *was = srv->upstream;
    role_disturb_waiting(w);
    srv->upstream = upstream_new(w, host, port);
    /* A primary's data are those of its own id as far as it stands, and the new one may know that id. */
    srv->upstream->may_continue = was ? was->may_continue : true;
    if (was) {
        srv->upstream->down_ms = was->down_ms;
        upstream_free(was);
    } else {
        history_keep(&srv->history);
        history_follow(&srv->history, true);
    }
    role_update(w);
    write_down(w);
    show_role(srv);
    server_log(srv, LOG_NOTICE_LEVEL, "Connecting to MASTER %s:%d", host, port);
}

void upstream_unset(struct worker *w)
{
    struct server *srv = w->srv;
    if (!srv->upstream) return;
    upstream_free(srv->upstream);
    srv->upstream = NULL;
    history_branch(&srv->history);
    history_follow(&srv->history, false);
    role_update(w);
    write_down(w);
    show_role(srv);
}

/* --- the link ----------------------------------------------------------------------------------------------------- */

void upstream_cron(struct worker *w) { (void)w; }
