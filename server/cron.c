/* SPDX-License-Identifier: MIT
 *
 * What is done `hz` times a second, each part bounded: expired keys, growing tables, clients that
 * idle or stall, the samples behind INFO's instantaneous figures, signals.
 */
#include "server/cron.h"

#include "server/exec/run.h"
#include "server/observe/latency.h"
#include "server/observe/log.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/shutdown.h"
#include "server/worker.h"

/* A tenth of a second's share that expiry and rehashing may take together at the default hz of 10:
 * a quarter, as Redis allows. */
#define BACKGROUND_SHARE    4
#define CLIENTS_PER_RUN_MIN 16

static void keyspace_cron(struct worker *w)
{
    struct server *srv = w->srv;
    uint64_t budget = (uint64_t)1000000000 / (uint64_t)srv->config->hz / BACKGROUND_SHARE;
    /* No client is to notice: at most a millisecond a turn. */
    if (budget > NSEC_PER_MSEC) budget = NSEC_PER_MSEC;
    uint64_t start = demi_clock_ns();
    for (int i = 0; i < srv->db_count; i++) {
        struct db *db = &srv->dbs[(w->cron_runs + (uint64_t)i) % (uint64_t)srv->db_count];
        if (!db_size(db)) continue;
        uint64_t spent = demi_clock_ns() - start;
        if (spent >= budget) {
            w->stats.expired_time_cap_reached++;
            break;
        }
        struct call c = run_internal(w, db);
        db_cron(&c, db, budget - spent);
        w->srv->dirty += c.dirty;
    }
    uint64_t spent = demi_clock_ns() - start;
    w->stats.expire_cycle_ns += spent;
    latency_sample(srv, "expire-cycle", (int64_t)(spent / NSEC_PER_MSEC));
}

/* Every client within a second. */
static void clients_cron(struct worker *w)
{
    size_t n = w->client_count / (size_t)w->srv->config->hz;
    if (n < CLIENTS_PER_RUN_MIN) n = CLIENTS_PER_RUN_MIN;
    if (n > w->client_count) n = w->client_count;
    while (n--) {
        struct list *it = list_pop_front(&w->clients);
        list_push_back(&w->clients, it);
        client_cron(list_entry(it, struct client, all));
    }
}

static void sample_rates(struct worker *w)
{
    struct server *srv = w->srv;
    uint64_t now[3] = {w->stats.commands, w->stats.net_in, w->stats.net_out};
    for (int i = 0; i < 3; i++) {
        int64_t ms = w->now_ms - srv->rate[i].last_ms;
        if (ms <= 0) return;
        srv->rate[i].samples[srv->rate_index] = (now[i] - srv->rate[i].last) * 1000 / (uint64_t)ms;
        srv->rate[i].last = now[i];
        srv->rate[i].last_ms = w->now_ms;
    }
    srv->rate_index = (srv->rate_index + 1) % 16;
}

void cron_run(struct worker *w)
{
    struct server *srv = w->srv;
    if (srv->signal) {
        shutdown_by_signal(w);
        if (srv->stopping) return;
    }
    if (srv->pause_cron) return;
    w->cron_runs++;
    ticks_calibrate(&w->ticks);
    run_update_slow_ticks(w);
    size_t used = demi_mem_used();
    if (used > srv->peak_memory) srv->peak_memory = used;
    sample_rates(w);
    clients_cron(w);
    replicas_cron(w);
    keyspace_cron(w);
}
