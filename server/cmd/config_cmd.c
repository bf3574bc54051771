/* SPDX-License-Identifier: MIT
 *
 * CONFIG. What options there are and what they accept is server/conf/'s business; here are only the
 * replies.
 */
#include <errno.h>

#include "server/command/handlers.h"
#include "server/conf/conf.h"
#include "server/lazyfree.h"
#include "server/mem.h"
#include "server/observe/errorstats.h"
#include "server/observe/log.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/worker.h"

static void reply_pair(void *arg, struct bytes name, struct bytes value)
{
    struct call *c = arg;
    call_bulk(c, name);
    call_bulk(c, value);
}

void cmd_config_get(struct call *c)
{
    const struct bytes *patterns = c->argv + 2;
    int count = c->argc - 2;
    reply_map(c->out, (size_t)conf_get(c->cfg, patterns, count, NULL, NULL));
    conf_get(c->cfg, patterns, count, reply_pair, c);
}

/* A change made in a transaction or by the server itself has the rights of whoever began it. */
static bool may_set_protected(const struct call *c)
{
    enum protected_action who = c->cfg->enable_protected_configs;
    if (who == PROTECTED_ACTION_LOCAL) return !c->client || (c->client->s.flags & SESSION_LOCAL);
    return who == PROTECTED_ACTION_YES;
}

/* This worker's next command works with it already, the others' from their next turn on. */
static void take_over(struct call *c)
{
    worker_take_config(c->w);
    c->cfg = c->w->conf.cfg;
    for (int i = 0; i < c->srv->worker_count; i++)
        if (&c->srv->workers[i] != c->w) demi_wake_ring(c->srv->workers[i].wake);
}

void cmd_config_set(struct call *c)
{
    if (c->argc % 2) {
        call_syntax_error(c);
        return;
    }
    struct conf_text err = {0};
    bool loading = c->srv->unusual & SERVER_LOADING;
    int rc = conf_store_set(&c->srv->conf, c->argv + 2, (c->argc - 2) / 2, may_set_protected(c), loading, &err);
    if (rc == 0) {
        take_over(c);
        call_ok(c);
    } else if (rc == -EBUSY) call_error(c, "LOADING Redis is loading the dataset in memory");
    else call_errorf(c, "ERR %s", err.p ? err.p : "CONFIG SET failed");
    conf_text_free(&err);
}

void cmd_config_rewrite(struct call *c)
{
    if (!c->cfg->file) {
        call_error(c, "ERR The server is running without a config file");
        return;
    }
    struct conf_text users = {0};
    if (!c->cfg->aclfile || !*c->cfg->aclfile) acl_describe(&c->srv->acl, &users);
    int rc = conf_rewrite(c->cfg, conf_text_bytes(&users), false);
    conf_text_free(&users);
    if (rc < 0) {
        server_log(c->srv, LOG_WARNING_LEVEL, "CONFIG REWRITE failed: %s", strerror(-rc));
        call_errorf(c, "ERR Rewriting config file: %s", strerror(-rc));
        return;
    }
    server_log(c->srv, LOG_WARNING_LEVEL, "CONFIG REWRITE executed with success.");
    call_ok(c);
}

static void command_stats_reset(struct worker *w)
{
    for (unsigned i = 0; i < command_count(); i++) {
        struct command_stats *s = &w->cmd_stats[i];
        mem_free(s->histogram);
        *s = (struct command_stats){0};
    }
}

void cmd_config_resetstat(struct call *c)
{
    struct server *srv = c->srv;
    for (int i = 0; i < srv->worker_count; i++) {
        worker_see_loop(&srv->workers[i]);
        srv->workers[i].stats = (struct worker_stats){0};
        command_stats_reset(&srv->workers[i]);
        replicas_reset_figures(&srv->workers[i]);
    }
    for (unsigned i = 0; i < sizeof srv->rate / sizeof *srv->rate; i++) memset(&srv->rate[i], 0, sizeof srv->rate[i]);
    srv->rate_index = 0;
    srv->aof.took_ns = 0;
    errorstats_reset(srv);
    lazyfree_reset(srv);
    call_ok(c);
}

void cmd_config_help(struct call *c)
{
    static const char *const lines[] = {
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
        NULL,
    };
    call_help(c, lines);
}
