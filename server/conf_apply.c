/* SPDX-License-Identifier: MIT */
#include "server/conf_apply.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <sys/resource.h>

#include "server/command/command.h"
#include "server/conf/conf.h"
#include "server/conf/oom_score.h"
#include "server/exec/run.h"
#include "server/metrics/metrics.h"
#include "server/net/listen.h"
#include "server/net/tls.h"
#include "server/observe/crash.h"
#include "server/observe/watchdog.h"
#include "server/observe/log.h"
#include "server/observe/proc_title.h"
#include "server/outgoing.h"
#include "server/server.h"

const char *conf_apply_rename(struct bytes from, struct bytes to)
{
    switch (command_rename(from, to)) {
    case 0: return NULL;
    case -ENOENT: return "No such command in rename-command";
    default: return "Target command name already exists";
    }
}

/* Opens what the configuration names besides; listen_settle() closes the rest. The connections there are stay. */
static int apply_listeners(struct server *srv, const struct config *cfg, const char **err, const char *refusal)
{
    const char *kind;
    int rc = listen_open(srv, cfg, &kind);
    if (rc == 0) rc = listen_accept(&srv->workers[0]);
    if (rc == 0) return 0;
    *err = refusal;
    return rc;
}

static int apply_port(struct server *srv, const struct config *cfg, const char **err)
{
    return apply_listeners(srv, cfg, err, "Unable to listen on this port. Check server logs.");
}

static int apply_bind(struct server *srv, const struct config *cfg, const char **err)
{
    return apply_listeners(srv, cfg, err, "Failed to bind to specified addresses.");
}

static void settle_metrics(struct server *srv)
{
    listen_settle(srv);
    if (!listen_any(srv, true)) metrics_stop(srv);
}

static int apply_tls(struct server *srv, const struct config *cfg, const char **err)
{
    int rc = tls_read(srv, cfg, false);
    if (rc) *err = "Unable to update TLS configuration. Check server logs.";
    return rc;
}

/* The first listener needs the contexts, too. */
static int apply_tls_port(struct server *srv, const struct config *cfg, const char **err)
{
    int rc = tls_read(srv, cfg, true);
    if (rc == 0) return apply_listeners(srv, cfg, err, "Unable to listen on this port. Check server logs.");
    *err = "Unable to update TLS configuration. Check server logs.";
    return rc;
}

static void settle_tls_port(struct server *srv)
{
    tls_settle(srv);
    listen_settle(srv);
}

static int apply_oom_score(struct server *srv, const struct config *cfg, const char **err)
{
    int rc = oom_score_apply(&srv->oom_score, cfg, srv->upstream ? OOM_SCORE_REPLICA : OOM_SCORE_PRIMARY);
    if (rc < 0) {
        server_log(srv, LOG_WARNING_LEVEL, "Unable to write oom_score_adj: %s", strerror(-rc));
        *err = "Failed to set current oom_score_adj. Check server logs.";
    }
    return rc;
}

static int apply_maxclients(struct server *srv, const struct config *cfg, const char **err)
{
    static char text[128];
    const rlim_t spare = 32;
    struct rlimit lim;
    rlim_t want = (rlim_t)cfg->maxclients + spare;
    if (getrlimit(RLIMIT_NOFILE, &lim) != 0 || lim.rlim_cur >= want) return 0;
    struct rlimit more = {want, lim.rlim_max < want ? want : lim.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0) return 0;
    snprintf(text, sizeof text,
             "The operating system is not able to handle the specified number of clients, try with %llu",
             (unsigned long long)(lim.rlim_cur > spare ? lim.rlim_cur - spare : 1));
    *err = text;
    return -EMFILE;
}

static int apply_maxmemory(struct server *srv, const struct config *cfg, const char **err)
{
    size_t limit = (size_t)cfg->maxmemory, used = demi_mem_used();
    if (!limit) return 0;
    if (used > limit)
        server_log(srv, LOG_WARNING_LEVEL,
                   "maxmemory was set to %zu bytes while %zu are in use: keys will be evicted, or "
                   "writes refused, as "
                   "maxmemory-policy says.",
                   limit, used);
    return 0; /* worker_take_config() has eviction begin, not before this command is done */
}

static int apply_spin(struct server *srv, const struct config *cfg, const char **err)
{
    char us[32];
    if (cfg->libos_spin_us < 0) snprintf(us, sizeof us, "auto");
    else snprintf(us, sizeof us, "%lld", (long long)cfg->libos_spin_us);
    int rc = demi_set_option("spin-us", us);
    if (rc) *err = "the libOS refuses this value";
    return -rc;
}

/* A client is touched by its own worker only. */
static void look_at_users(struct worker *w, struct worker_message *m)
{
    (void)m;
    client_users_changed(w);
}

static int apply_password(struct server *srv, const struct config *cfg, const char **err)
{
    struct worker_message m = {.handle = look_at_users};
    acl_set_default_password(&srv->acl, cfg->requirepass);
    worker_post_all(srv, &m);
    return 0;
}

static int apply_appendonly(struct server *srv, const struct config *cfg, const char **err)
{
    struct worker *w = &srv->workers[0];
    bool is_on = srv->aof.state != AOF_OFF;
    if (cfg->appendonly == is_on) return 0;
    if (!cfg->appendonly) {
        aof_switch_off(w);
        return 0;
    }
    int rc = aof_switch_on(w);
    if (rc) *err = "Unable to turn on AOF. Check server logs.";
    return rc;
}

static int apply_saved_file(struct server *srv, const struct config *cfg, const char **err)
{
    claim_take(srv, cfg->dbfilename);
    return 0;
}

static int apply_proc_title(struct server *srv, const struct config *cfg, const char **err)
{
    proc_title_show(srv, cfg);
    return 0;
}

static int apply_crash_log(struct server *srv, const struct config *cfg, const char **err)
{
    crash_apply(srv, cfg);
    return 0;
}

static int apply_watchdog(struct server *srv, const struct config *cfg, const char **err)
{
    watchdog_apply(cfg);
    return 0;
}

static int apply_pcap(struct server *srv, const struct config *cfg, const char **err)
{
    const char *file = cfg->libos_pcap;
    int rc = demi_set_option("pcap", file && *file ? file : "off");
    if (rc == ENOPROTOOPT) *err = "this libOS has no frames to write down";
    else if (rc) *err = strerror(rc);
    return -rc;
}

static int apply_source_address(struct server *srv, const struct config *cfg, const char **err)
{
    outgoing_take_config(srv, cfg);
    return 0;
}

int conf_apply_locale(const struct config *cfg)
{
    const char *name = cfg->locale_collate;
    return setlocale(LC_COLLATE, name) || !*name ? 0 : -EINVAL;
}

static int apply_locale(struct server *srv, const struct config *cfg, const char **err)
{
    int rc = conf_apply_locale(cfg);
    if (rc) *err = "Invalid locale name";
    return rc;
}

static const struct conf_hook hooks[] = {
    {.option = "port", .apply = apply_port, .settle = listen_settle},
    {.option = "bind", .apply = apply_bind, .settle = listen_settle},
    {.option = "metrics-port", .apply = apply_port, .settle = settle_metrics},
    {.option = "metrics-bind", .apply = apply_bind, .settle = listen_settle},
    {.option = "rdma-port", .apply = apply_port, .settle = listen_settle},
    {.option = "rdma-bind", .apply = apply_bind, .settle = listen_settle},
    {.option = "tls-port", .apply = apply_tls_port, .settle = settle_tls_port},
    {.option = "tls-cluster", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-replication", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-auth-clients", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-prefer-server-ciphers", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-session-caching", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-session-cache-size", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-session-cache-timeout", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-cert-file", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-key-file", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-key-file-pass", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-client-cert-file", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-client-key-file", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-client-key-file-pass", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-dh-params-file", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-ca-cert-file", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-ca-cert-dir", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-protocols", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-ciphers", .apply = apply_tls, .settle = tls_settle},
    {.option = "tls-ciphersuites", .apply = apply_tls, .settle = tls_settle},
    {.option = "oom-score-adj", .apply = apply_oom_score},
    {.option = "oom-score-adj-values", .apply = apply_oom_score},
    {.option = "maxclients", .apply = apply_maxclients},
    {.option = "maxmemory", .apply = apply_maxmemory},
    {.option = "libos-spin-us", .apply = apply_spin},
    {.option = "libos-pcap", .apply = apply_pcap, .last = true}, /* a file that is opened again is empty */
    {.option = "appendonly", .apply = apply_appendonly, .last = true},
    {.option = "dir", .apply = apply_saved_file},
    {.option = "dbfilename", .apply = apply_saved_file},
    {.option = "proc-title-template", .apply = apply_proc_title},
    {.option = "crash-log-enabled", .apply = apply_crash_log},
    {.option = "watchdog-period", .apply = apply_watchdog},
    {.option = "locale-collate", .apply = apply_locale},
    {.option = "bind-source-addr", .apply = apply_source_address},
    {.option = "requirepass", .apply = apply_password, .last = true},
};

void conf_apply_register(struct server *srv, struct config *cfg)
{
    conf_register(cfg, hooks, sizeof hooks / sizeof *hooks, srv);
}

void conf_apply_start(struct server *srv)
{
    const char *err;
    apply_oom_score(srv, srv->config, &err);
    outgoing_take_config(srv, srv->config);
}
