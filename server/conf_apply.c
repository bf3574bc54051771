/* SPDX-License-Identifier: MIT */
#include "server/conf_apply.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

#include "server/command/command.h"
#include "server/conf/conf.h"
#include "server/log.h"
#include "server/server.h"

const char *conf_apply_rename(struct bytes from, struct bytes to)
{
    switch (command_rename(from, to)) {
    case 0: return NULL;
    case -ENOENT: return "No such command in rename-command";
    default: return "Target command name already exists";
    }
}

/* Opens what the configuration names now; the connections there are stay. */
static int apply_listeners(struct server *srv, const char **err)
{
    static char text[512];
    text[0] = 0;
    listen_close(srv);
    int rc = listen_open(srv, text, sizeof text);
    if (rc == 0) rc = listen_accept(&srv->workers[0]);
    if (rc) *err = text[0] ? text : "Unable to listen on this port. Check server logs.";
    return rc;
}

static int apply_maxclients(struct server *srv, const char **err)
{
    static char text[128];
    const rlim_t spare = 32;
    struct rlimit lim;
    rlim_t want = (rlim_t)srv->config->maxclients + spare;
    if (getrlimit(RLIMIT_NOFILE, &lim) != 0 || lim.rlim_cur >= want) return 0;
    struct rlimit more = {want, lim.rlim_max < want ? want : lim.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0) return 0;
    snprintf(text, sizeof text, "The operating system is not able to handle the specified number of clients, try with %llu",
             (unsigned long long)(lim.rlim_cur > spare ? lim.rlim_cur - spare : 1));
    *err = text;
    return -EMFILE;
}

static int apply_thresholds(struct server *srv, const char **err)
{
    for (int i = 0; i < srv->worker_count; i++) exec_update_slow_ticks(&srv->workers[i]);
    return 0;
}

static int apply_spin(struct server *srv, const char **err)
{
    char us[32];
    snprintf(us, sizeof us, "%lld", (long long)srv->config->libos_spin_us);
    int rc = demi_set_option("spin-us", us);
    if (rc) *err = "the libOS refuses this value";
    return -rc;
}

static const struct conf_hook hooks[] = {
    {"port", apply_listeners},
    {"bind", apply_listeners},
    {"maxclients", apply_maxclients},
    {"slowlog-log-slower-than", apply_thresholds},
    {"latency-monitor-threshold", apply_thresholds},
    {"libos-spin-us", apply_spin},
};

void conf_apply_register(struct server *srv)
{
    conf_register(srv->config, hooks, sizeof hooks / sizeof *hooks, srv);
}
