/* SPDX-License-Identifier: MIT */
#include "server/start.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/conf_apply.h"
#include "server/log.h"
#include "server/mem.h"
#include "server/shutdown.h"

#ifdef DEMI_DEBUG
#define SLICES 16
#else
#define SLICES 1
#endif

static void *zeroed(size_t size)
{
    void *p = calloc(1, size);
    if (!p) mem_exhausted(size);
    return p;
}

void server_init(struct server *srv, struct config *cfg)
{
    srv->config = cfg;
    srv->active_expire = true;
    list_init(&srv->sinks);
    atomic_store(&srv->next_client_id, 1);
}

static int start_libos(struct server *srv)
{
    const struct config *cfg = srv->config;
    const char *libos = cfg->libos && *cfg->libos ? cfg->libos : NULL;
    int err =
        demi_init_with(libos, cfg->libos_config && *cfg->libos_config ? cfg->libos_config : NULL);
    if (err) {
        const char *asked = libos ? libos : getenv("LIBOS") ? getenv("LIBOS") : "posix";
        server_log(srv, LOG_WARNING_LEVEL, "Can't start libOS '%s': %s", asked,
                   err == ENOTSUP ? "there is none of this name here; 'posix' always is" : strerror(err));
        return -err;
    }
    if (cfg->libos_spin_us < 0) return 0; /* the library knows the machine */
    char us[32];
    snprintf(us, sizeof us, "%lld", (long long)cfg->libos_spin_us);
    demi_set_option("spin-us", us);
    return 0;
}

static void open_keyspace(struct server *srv, uint64_t seed)
{
    srv->db_count = (int)srv->config->databases;
    srv->dbs = zeroed((size_t)srv->db_count * sizeof *srv->dbs);
    for (int i = 0; i < srv->db_count; i++) db_init(&srv->dbs[i], i, SLICES, seed);
    srv->slices = SLICES;
}

static int start_process_parts(struct server *srv)
{
    int err = lazyfree_start(srv);
    if (err) server_log(srv, LOG_WARNING_LEVEL, "Can't start the thread that frees memory");
    else shutdown_handle_signals(srv);
    return err;
}

int server_start(struct server *srv, const struct server_options *o)
{
    int err = o->libos_runs ? 0 : start_libos(srv);
    if (err) return err;
    srv->start_ms = demi_wall_us() / 1000;
    srv->start_ns = demi_clock_ns();
    open_keyspace(srv, o->hash_seed);
    srv->worker_count = 1;
    srv->workers = zeroed(sizeof *srv->workers);
    err = worker_init(&srv->workers[0], srv, o->dice_seed);
    if (err) return err;
    pubsub_init(srv);
    slowlog_init(srv);
    latency_init(srv);
    err = o->in_a_process ? start_process_parts(srv) : 0;
    if (err) return err;
    conf_apply_register(srv);
    srv->startup_memory = srv->peak_memory = demi_mem_used();
    char why[512] = "";
    err = listen_open(srv, why, sizeof why);
    if (err)
        server_log(srv, LOG_WARNING_LEVEL, "Failed listening on port %lld (tcp), aborting. %s",
                   (long long)srv->config->port, why);
    if (!err && srv->listener_count == 0) {
        server_log(srv, LOG_WARNING_LEVEL, "Configured to not listen anywhere, exiting.");
        return -EADDRNOTAVAIL;
    }
    return err;
}

void server_stop(struct server *srv)
{
    listen_close(srv);
    worker_fini(&srv->workers[0]);
    lazyfree_stop(srv);
    for (int i = 0; i < srv->db_count; i++) db_fini(&srv->dbs[i]);
    pubsub_fini(srv);
    slowlog_fini(srv);
    latency_fini(srv);
    errorstats_fini(srv);
    demi_exit();
    free(srv->dbs);
    free(srv->workers);
    srv->dbs = NULL;
    srv->workers = NULL;
}
