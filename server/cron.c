/* SPDX-License-Identifier: MIT
 *
 * What is done `hz` times a second, each part bounded: growing tables, clients that idle or stall,
 * a cycle of expiry that begins, the samples behind INFO's instantaneous figures, signals.
 */
#include "server/cron.h"

#include "server/exec/run.h"
#include "server/expire_cycle.h"
#include "server/metrics/metrics.h"
#include "server/net/tracking.h"
#include "server/observe/log.h"
#include "server/observe/supervisor.h"
#include "server/repl/replicas.h"
#include "server/repl/upstream.h"
#include "server/server.h"
#include "server/shutdown.h"
#include "server/worker.h"

#define RESIZE_NS           1000000 /* for moving buckets: no client is to notice */
#define CLIENTS_PER_RUN_MIN 16

/* Tables that are to grow or shrink: as many as the time is enough for, others the next time. */
static void resize_cron(struct worker *w)
{
    struct server *srv = w->srv;
    uint64_t deadline = demi_clock_ns() + RESIZE_NS;
    if (srv->persist.loading) return; /* there may be room that was made for keys to come */
    for (int i = 0; i < srv->db_count; i++) {
        struct db *db = &srv->dbs[(w->cron_runs + (uint64_t)i) % (uint64_t)srv->db_count];
        if (!db_size(db)) continue;
        db_resize_some(db, deadline);
        if (demi_clock_ns() >= deadline) break;
    }
}

/* Every client within a second. */
static void clients_cron(struct worker *w)
{
    size_t n = w->client_count / (size_t)w->conf.cfg->hz;
    if (n < CLIENTS_PER_RUN_MIN) n = CLIENTS_PER_RUN_MIN;
    if (n > w->client_count) n = w->client_count;
    while (n--) {
        struct list *it = list_pop_front(&w->clients);
        list_push_back(&w->clients, it);
        client_cron(list_entry(it, struct client, all));
    }
}

/* By how much value has grown for each `per` that base has. A first sample would be of less than a run of cron, and far
 * off: it is 0. */
static void sample_rate(struct server *srv, enum server_rate i, uint64_t value, uint64_t base, uint64_t per)
{
    bool first = srv->rate[i].last_base == 0;
    uint64_t grown = base - srv->rate[i].last_base;
    srv->rate[i].samples[srv->rate_index] = grown && !first ? (value - srv->rate[i].last) * per / grown : 0;
    srv->rate[i].last = value;
    srv->rate[i].last_base = base;
}

static void sample_rates(struct worker *w)
{
    struct server *srv = w->srv;
    uint64_t ms = (uint64_t)w->now_ms;
    if (ms <= srv->rate[RATE_COMMANDS].last_base) return;
    worker_see_loop(w);
    sample_rate(srv, RATE_COMMANDS, w->stats.commands, ms, 1000);
    sample_rate(srv, RATE_INPUT, w->stats.net_in, ms, 1000);
    sample_rate(srv, RATE_OUTPUT, w->stats.net_out, ms, 1000);
    sample_rate(srv, RATE_REPL_INPUT, w->stats.repl_in, ms, 1000);
    sample_rate(srv, RATE_REPL_OUTPUT, w->stats.repl_out, ms, 1000);
    sample_rate(srv, RATE_TURNS, w->stats.turns, ms, 1000);
    sample_rate(srv, RATE_TURN_US, w->stats.loop_ns / 1000, w->stats.turns, 1);
    srv->rate_index = (srv->rate_index + 1) % SERVER_RATE_SAMPLES;
}

/* As redis-server does every five seconds, for whoever reads the log at these levels. */
static void log_counts(struct worker *w)
{
    const struct server *srv = w->srv;
    const size_t bucket_slots = sizeof((struct table_bucket *)0)->slot / sizeof(uint64_t);
    if ((int)srv->config->loglevel > LOG_VERBOSE_LEVEL || w->cron_runs % (5 * (uint64_t)srv->config->hz) != 0) return;
    for (int i = 0; i < srv->db_count; i++) {
        const struct db *db = &srv->dbs[i];
        size_t slots = 0;
        for (unsigned k = 0; k < db->slice_count; k++) slots += db->slices[k].table.bucket_count * bucket_slots;
        if (db_size(db))
            server_log(w->srv, LOG_VERBOSE_LEVEL, "DB %d: %zu keys (%zu volatile) in %zu slots HT.", i, db_size(db),
                       db_expires(db), slots);
    }
    server_log(w->srv, LOG_DEBUG_LEVEL, "%zu clients connected (%zu replicas), %zu bytes in use",
               w->client_count - replicas_count(w), replicas_count(w), demi_mem_used());
}

void cron_run(struct worker *w)
{
    struct server *srv = w->srv;
    supervisor_feed(srv);
    if (srv->pause_cron) return;
    if (srv->signal) {
        shutdown_by_signal(w);
        if (srv->stopping) return;
    }
    shutdown_look(w);
    if (srv->stopping) return;
    w->cron_runs++;
    ticks_calibrate(&w->ticks);
    run_update_slow_ticks(w);
    size_t used = demi_mem_used();
    if (used > srv->peak_memory) srv->peak_memory = used;
    sample_rates(w);
    log_counts(w);
    clients_cron(w);
    tracking_cron(w);
    replicas_cron(w);
    upstream_cron(w);
    migrate_cron(w);
    metrics_cron(w);
    resize_cron(w);
    persist_cron(w);
    if (!srv->persist.loading) expire_cycle_begin(w);
    defrag_cron(w);
}
