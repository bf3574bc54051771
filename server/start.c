/* SPDX-License-Identifier: MIT */
#include "server/start.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/acl/load.h"
#include "server/conf_apply.h"
#include "server/exec/check_waist.h"
#include "server/lazyfree.h"
#include "server/observe/log.h"
#include "server/mem.h"
#include "server/metrics/metrics.h"
#include "server/net/pubsub.h"
#include "server/net/tls.h"
#include "server/net/tracking.h"
#include "server/observe/crash.h"
#include "server/repl/replicas.h"
#include "server/repl/upstream.h"
#include "server/observe/errorstats.h"
#include "server/observe/latency.h"
#include "server/observe/slowlog.h"
#include "server/script/scripts.h"
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
    conf_apply_register(srv, cfg);
    srv->config = cfg;
    conf_store_init(&srv->conf, &srv->config);
    srv->active_expire = true;
    list_init(&srv->sinks);
    atomic_store(&srv->next_client_id, 1);
}

#define SETTINGS_MAX 64

struct settings {
    struct demi_setting list[SETTINGS_MAX];
    size_t count;
    char *words; /* where what was cut out of libos-settings lies */
};

static const char *given(const char *text) { return text && *text ? text : NULL; }

static void add_setting(struct settings *s, const char *key, const char *value)
{
    if (given(value) && s->count < SETTINGS_MAX) s->list[s->count++] = (struct demi_setting){key, value};
}

/* libos-settings is "key=value key=value". False: a word is something else, or there are too many. */
static bool add_words(struct settings *s, const char *text)
{
    s->words = strdup(text);
    if (!s->words) mem_exhausted(strlen(text));
    char *rest = NULL;
    for (char *w = strtok_r(s->words, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(w, '=');
        if (!equals || equals == w || s->count == SETTINGS_MAX) return false;
        *equals = 0;
        add_setting(s, w, equals + 1);
    }
    return true;
}

static int init_libos(struct server *srv, const char *libos, char *why, size_t why_size)
{
    const struct config *cfg = srv->config;
    struct settings s = {.count = 0};
    if (given(cfg->libos_settings) && !add_words(&s, cfg->libos_settings)) {
        snprintf(why, why_size, "libos-settings: \"%.60s\" is not of the form key=value key=value",
                 cfg->libos_settings);
        free(s.words);
        return EINVAL;
    }
    add_setting(&s, "interface", cfg->libos_interface);
    add_setting(&s, "address", cfg->libos_address);
    add_setting(&s, "gateway", cfg->libos_gateway);
    add_setting(&s, "eal", cfg->libos_eal);
    add_setting(&s, "pcap", cfg->libos_pcap);
    if (cfg->rdma_port) add_setting(&s, "rdma.device", cfg->rdma_device);
    const struct demi_init_options o = {.libos = libos,
                                        .config_path = given(cfg->libos_config),
                                        .settings = s.list,
                                        .setting_count = s.count,
                                        .why = why,
                                        .why_size = why_size};
    int err = demi_init_options(&o);
    free(s.words);
    return err;
}

static void library_line(void *arg, int level, const char *text) { server_log(arg, level, "%s", text); }

static bool names_rdma(const char *list)
{
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == 4 && (!memcmp(at, "rdma", 4))) return true;
    return false;
}

/* What libos says, and rdma for rdma-port: started here and not by its first socket, it knows its settings. */
static const char *chosen_libos(const struct config *cfg, char *both, size_t size)
{
    const char *libos = given(cfg->libos), *first = libos ? libos : given(getenv("LIBOS"));
    if (!cfg->rdma_port || (first && names_rdma(first))) return libos;
    snprintf(both, size, "%s,rdma", first ? first : "posix");
    return both;
}

static int start_libos(struct server *srv)
{
    const struct config *cfg = srv->config;
    char both[128];
    const char *libos = chosen_libos(cfg, both, sizeof both);
    char why[1280] = ""; /* it may list all the settings there are */
    demi_set_log(library_line, srv);
    int err = init_libos(srv, libos, why, sizeof why);
    if (err) {
        const char *asked = libos ? libos : getenv("LIBOS") ? getenv("LIBOS") : "posix";
        if (!*why) snprintf(why, sizeof why, "%s", strerror(err));
        server_log(srv, LOG_WARNING_LEVEL, "Can't start libOS '%s': %s", asked, why);
        return -err;
    }
    if (cfg->libos_files == LIBOS_FILES_THREADS) demi_set_option("files", "threads");
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
    check_waist_init(srv);
}

static int start_process_parts(struct server *srv)
{
    crash_init(srv);
    int err = lazyfree_start(srv);
    if (err) server_log(srv, LOG_WARNING_LEVEL, "Can't start the thread that frees memory");
    else shutdown_handle_signals(srv);
    return err;
}

static void journal_appended(struct journal *j) { aof_appended(j->srv); }

/* Users of the configuration, or of their file; not both, since one of them would be forgotten in silence. */
static int load_users(struct server *srv)
{
    const struct config *cfg = srv->config;
    bool open_channels = cfg->acl_pubsub_default == ACL_PUBSUB_ALLCHANNELS;
    bool has_file = given(cfg->aclfile);
    struct acl_users users, old;
    struct conf_text err = {0};
    acl_init(&srv->acl);
    acl_set_default_password(&srv->acl, cfg->requirepass);
    if (has_file && cfg->users) {
        server_log(srv, LOG_WARNING_LEVEL,
                   "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is "
                   "invalid. This setup is very likely to lead to configuration errors and security holes, please "
                   "define either an ACL file or declare users directly in your redis.conf, but not both.");
        return -EINVAL;
    }
    bool fine = acl_load_lines(&srv->acl, cfg->users, open_channels, &err);
    if (!fine) server_log(srv, LOG_WARNING_LEVEL, "Critical error while loading ACLs. Exiting: %s", err.p);
    if (fine && has_file) {
        fine = acl_load_file(cfg->aclfile, open_channels, &users, &err);
        if (fine) acl_replace(&srv->acl, &users, &old), acl_users_free(&old);
        else server_log(srv, LOG_WARNING_LEVEL, "Aborting Redis startup because of ACL errors: %s", err.p);
    }
    conf_text_free(&err);
    return fine ? 0 : -EINVAL;
}

static long long port_of_kind(const struct config *cfg, const char *kind)
{
    if (strcmp(kind, "tls") == 0) return cfg->tls_port;
    if (strcmp(kind, "metrics") == 0) return cfg->metrics_port;
    if (strcmp(kind, "rdma") == 0) return cfg->rdma_port;
    return strcmp(kind, "tcp") == 0 ? cfg->port : 0;
}

int server_start(struct server *srv, const struct server_options *o)
{
    int err = o->libos_runs ? 0 : start_libos(srv);
    if (err) return err;
    srv->start_ms = demi_wall_us() / 1000;
    srv->start_ns = demi_clock_ns();
    srv->in_a_process = o->in_a_process;
    persist_init(srv);
    open_keyspace(srv, o->hash_seed);
    err = load_users(srv);
    if (err) return err;
    srv->worker_count = 1;
    srv->workers = zeroed(sizeof *srv->workers);
    err = worker_init(&srv->workers[0], srv, o->dice_seed);
    if (err) return err;
    journal_init(&srv->journal, srv, journal_appended);
    history_init(&srv->history, srv, replicas_history_appended);
    srv->journal.sink.kind = EFFECT_TO_LOG;
    srv->history.journal.sink.kind = EFFECT_TO_REPLICAS;
    upstream_begin(&srv->workers[0]);
    pubsub_init(srv);
    slowlog_init(srv);
    latency_init(srv);
    scripts_init(srv);
    err = o->in_a_process ? start_process_parts(srv) : 0;
    if (err) return err;
    conf_apply_start(srv);
    srv->startup_memory = srv->peak_memory = demi_mem_used();
    const char *kind;
    err = tls_read(srv, srv->config, false); /* says why */
    if (err) {
        server_log(srv, LOG_WARNING_LEVEL, "Failed to configure TLS. Check logs for more info.");
        return err;
    }
    tls_settle(srv);
    err = listen_open(srv, srv->config, &kind); /* says why, if it fails */
    if (err)
        server_log(srv, LOG_WARNING_LEVEL, "Failed listening on port %lld (%s), aborting.",
                   port_of_kind(srv->config, kind), kind);
    if (!err && !listen_any(srv, false)) {
        server_log(srv, LOG_WARNING_LEVEL, "Configured to not listen anywhere, exiting.");
        return -EADDRNOTAVAIL;
    }
    return err;
}

void server_stop(struct server *srv)
{
    listen_close(srv);
    metrics_stop(srv);
    tls_fini(srv);
    crash_fini();
    upstream_fini(&srv->workers[0]);
    failover_fini(srv);
    persist_fini(&srv->workers[0]);
    scripts_fini(srv);
    worker_fini(&srv->workers[0]);
    lazyfree_stop(srv);
    check_waist_fini(srv);
    tracking_fini(srv);
    for (int i = 0; i < srv->db_count; i++) db_fini(&srv->dbs[i]);
    journal_fini(&srv->journal);
    history_fini(&srv->history);
    pubsub_fini(srv);
    slowlog_fini(srv);
    latency_fini(srv);
    errorstats_fini(srv);
    libraries_clear(&srv->libraries);
    acl_fini(&srv->acl);
    demi_exit();
    demi_set_log(NULL, NULL);
    free(srv->dbs);
    free(srv->workers);
    conf_store_fini(&srv->conf);
    srv->dbs = NULL;
    srv->workers = NULL;
}
