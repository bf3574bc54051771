/* SPDX-License-Identifier: MIT
 *
 * A worker's loop: one core, one runtime. A turn takes a batch of completions, hands each to its
 * owner, runs the commands that came in, pushes the replies, and frees who is gone:
 *
 *   demi_wait_batch -> endpoint_completed (a client's input, a listener's connection, a wake-up)
 *      -> batch_run -> blocked_serve -> client_flush -> client_free
 *
 * The wait ends with the next completion, the next deadline of a blocked client, or the next cron.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/check.h"
#include "server/cron.h"
#include "server/evict.h"
#include "server/exec/batch.h"
#include "server/exec/blocked.h"
#include "server/exec/run.h"
#include "server/mem.h"
#include "server/net/listen.h"
#include "server/net/client_weight.h"
#include "server/net/pushes.h"
#include "server/net/tracking.h"
#include "server/observe/log.h"
#include "server/observe/supervisor.h"
#include "server/observe/watchdog.h"
#include "server/persist/persist.h"
#include "server/repl/replicas.h"
#include "server/repl/role.h"
#include "server/server.h"

#define TURN_RESULTS 256

void worker_update_time(struct worker *w)
{
    w->now_us = demi_wall_us();
    w->now_ms = w->now_us / 1000;
    w->turn_ns = demi_clock_ns();
}

void worker_take_config(struct worker *w)
{
    int64_t maxmemory = w->conf.cfg->maxmemory;
    conf_store_pass(&w->srv->conf, &w->conf);
    w->call.cfg = w->conf.cfg;
    persist_update(w->srv);
    replicas_take_config(w);
    role_update(w);
    aof_take_config(w);
    tracking_take_config(w);
    client_weights_take_config(w);
    if (w->conf.cfg->maxmemory && w->conf.cfg->maxmemory != maxmemory) w->evicting = true;
    run_update_slow_ticks(w);
}

static void take_work_ns(void *arg, const char *name, uint64_t value)
{
    if (strcmp(name, "libos.work_ns") == 0) *(uint64_t *)arg = value;
}

void worker_see_loop(struct worker *w)
{
    uint64_t ns = w->loop_seen_ns;
    demi_counters(take_work_ns, &ns);
    w->stats.loop_ns += ns - w->loop_seen_ns;
    w->loop_seen_ns = ns;
}

void worker_ready(struct worker *w, struct client *cl)
{
    if (cl->flags & CLIENT_READY_QUEUED) return;
    cl->flags |= CLIENT_READY_QUEUED;
    cl->next_ready = NULL;
    *w->ready_tail = cl;
    w->ready_tail = &cl->next_ready;
}

void worker_ready_first(struct worker *w, struct client *cl)
{
    if (cl->flags & CLIENT_READY_QUEUED) return;
    cl->flags |= CLIENT_READY_QUEUED;
    cl->next_ready = w->ready;
    if (!w->ready) w->ready_tail = &cl->next_ready;
    w->ready = cl;
}

void worker_not_ready(struct worker *w, struct client *cl)
{
    struct client **at = &w->ready;
    while (*at && *at != cl) at = &(*at)->next_ready;
    if (!*at) return;
    *at = cl->next_ready;
    if (w->ready_tail == &cl->next_ready) w->ready_tail = at;
    cl->flags &= ~(uint32_t)CLIENT_READY_QUEUED;
}

void worker_post_all(struct server *srv, struct worker_message *m)
{
    for (int i = 0; i < srv->worker_count; i++) worker_post(&srv->workers[i], m);
}

struct worker_stats worker_stats_sum(const struct server *srv)
{
    struct worker_stats sum = {0};
    for (int i = 0; i < srv->worker_count; i++) {
        const struct worker_stats *s = &srv->workers[i].stats;
#define ADD(field) sum.field += s->field
        ADD(commands), ADD(connections), ADD(rejected_conn), ADD(hits), ADD(misses), ADD(expired), ADD(evicted);
        ADD(errors), ADD(unexpected_errors), ADD(net_in), ADD(net_out), ADD(repl_in), ADD(repl_out),
            ADD(protocol_errors), ADD(unblocked), ADD(reads), ADD(writes);
        ADD(batches), ADD(turns), ADD(loop_ns), ADD(expired_time_cap_reached), ADD(expire_cycle_ns);
        ADD(cron_ns), ADD(defrag_hits), ADD(defrag_misses), ADD(defrag_key_hits), ADD(defrag_key_misses);
        ADD(defrag_ns);
        for (int why = 0; why <= ACL_DENIED_CHANNEL; why++) ADD(acl_denied[why]);
        if (s->turn_ticks_max > sum.turn_ticks_max) sum.turn_ticks_max = s->turn_ticks_max;
        if (s->turn_commands_max > sum.turn_commands_max) sum.turn_commands_max = s->turn_commands_max;
        ADD(output_limit_closed), ADD(query_limit_closed), ADD(evicted_clients), ADD(over_ns), ADD(over_since_ns),
            ADD(peak_clients);
        sum.expired_stale_perc += s->expired_stale_perc / srv->worker_count;
#undef ADD
    }
    return sum;
}

struct command_stats worker_command_stats_sum(const struct server *srv, unsigned index)
{
    struct command_stats sum = {0};
    for (int i = 0; i < srv->worker_count; i++) {
        const struct command_stats *s = &srv->workers[i].cmd_stats[index];
        sum.calls += s->calls;
        sum.ticks += s->ticks;
        sum.rejected += s->rejected;
        sum.failed += s->failed;
        if (!sum.histogram) sum.histogram = s->histogram;
    }
    return sum;
}

/* Ringing is all it says: what was rung for lies in its own place, and the turn that follows looks there. */
static void woken(struct endpoint *e, struct worker *w, const demi_qresult_t *qr)
{
    (void)e, (void)qr;
    demi_qtoken_t qt;
    demi_wake_wait(&qt, w->wake);
}

/* Of what nobody wants nothing is kept, and who writes without end may stop. */
static bool fits_a_chunk(struct reply *r, size_t bytes) { return bytes < REPLY_CHUNK_SIZE; }

int worker_init(struct worker *w, struct server *srv, uint64_t seed)
{
    w->srv = srv;
    conf_store_join(&srv->conf, &w->conf);
    rng_seed(&w->rng, seed);
    list_init(&w->clients);
    list_init(&w->copies);
    client_index_init(w);
    w->ready_tail = &w->ready;
    reply_init(&w->nowhere, 2);
    w->nowhere.may_grow = fits_a_chunk;
    pushes_init(w);
    w->cmd_stats = mem_calloc(command_count() * sizeof *w->cmd_stats);
    w->evict = evict_new(srv->db_count);
    w->expire.due_ns = UINT64_MAX;
    w->defrag.due_ns = UINT64_MAX;
    w->durable = UINT64_MAX;
    w->call = (struct call){.srv = srv, .w = w, .cfg = w->conf.cfg, .held = UINT64_MAX};
    ticks_init(&w->ticks);
    worker_update_time(w);
    replicas_take_config(w);
    role_update(w);
    run_update_slow_ticks(w);
    client_weights_take_config(w);
    int err = demi_wake_new(&w->wake);
    if (err) return -err;
    w->wake_endpoint.completed = woken;
    w->endpoints.wake = &w->wake_endpoint;
    err = batch_init(w);
    if (err) return err;
    return blocked_init(w);
}

void worker_fini(struct worker *w)
{
    migrate_fini(w);
    list_for_each_safe(it, &w->clients) client_free(list_entry(it, struct client, all));
    client_weights_fini(w);
    client_index_fini(w);
    blocked_fini(w);
    batch_fini(w);
    if (w->wake) demi_wake_free(w->wake);
    reply_fini(&w->nowhere);
    pushes_fini(w);
    effects_fini(&w->effects);
    key_refs_fini(&w->keys);
    replicas_fini(w);
    for (unsigned i = 0; i < command_count(); i++) mem_free(w->cmd_stats[i].histogram);
    mem_free(w->cmd_stats);
    defrag_stop(w);
    evict_free(w->evict);
    endpoints_fini(&w->endpoints);
    conf_store_leave(&w->srv->conf, &w->conf);
}

static void end_turn(struct worker *w)
{
    while (w->flush) {
        struct client *cl = w->flush;
        w->flush = cl->next_flush;
        client_flush(cl);
    }
    if (unlikely(w->srv->stopping)) return; /* whoever asked for it is let go when nobody can connect any more */
    while (w->dying) {
        struct client *cl = w->dying;
        w->dying = cl->next_dying;
        ASSERT(!(cl->flags & CLIENT_FLUSH_QUEUED) || !w->flush);
        client_free(cl);
    }
}

/* Before the turn ends: who tracks keys is told, and a client that is freed must not be on the ready list any more. */
static void before_end(struct worker *w)
{
    struct client **at = &w->ready;
    w->before_end = false;
    tracking_end_turn(w);
    if (!w->dying) return;
    while (*at) {
        if ((*at)->flags & CLIENT_CLOSE_NOW) *at = (*at)->next_ready;
        else at = &(*at)->next_ready;
    }
    w->ready_tail = at;
}

static struct timespec time_to_sleep(struct worker *w, uint64_t next_cron_ns)
{
    /* Who owed is served on when the wait has sent what it can; who waits for a stream that expired is told. */
    bool at_once = w->evicting || w->ready || blocked_any_ready(w);
    uint64_t ns = next_cron_ns > w->turn_ns && !at_once ? next_cron_ns - w->turn_ns : 0;
    uint64_t slice = expire_cycle_wakes_ns(&w->expire), to_slice = slice > w->turn_ns ? slice - w->turn_ns : 0;
    if (to_slice < ns) ns = to_slice;
    if (unlikely(w->defrag.due_ns != UINT64_MAX)) {
        uint64_t until = w->defrag.due_ns > w->turn_ns ? w->defrag.due_ns - w->turn_ns : 0;
        if (until < ns) ns = until;
    }
    if (unlikely(w->replicas != NULL)) {
        uint64_t at = replicas_wakes_ns(w), until = at > w->turn_ns ? at - w->turn_ns : 0;
        if (until < ns) ns = until;
    }
    uint64_t group = aof_group_sleep_ns(&w->srv->aof.group, w->turn_ns);
    if (group < ns) ns = group;
    int64_t deadline = blocked_next_deadline(w);
    if (deadline) {
        uint64_t until = deadline > w->now_ms ? (uint64_t)(deadline - w->now_ms) * 1000000 : 0;
        if (until < ns) ns = until;
    }
    if (w->srv->pause_until_ms) {
        uint64_t until =
            w->srv->pause_until_ms > w->now_ms ? (uint64_t)(w->srv->pause_until_ms - w->now_ms) * 1000000 : 0;
        if (until < ns) ns = until;
    }
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

/* Who waits may try it again, unless somebody else wants him to wait. */
static void end_standstill(struct worker *w)
{
    if (!server_is_paused(w->srv)) w->srv->unusual &= ~(unsigned)SERVER_PAUSED;
    worker_let_go(w);
}

static void end_pause(struct worker *w)
{
    if (w->now_ms < w->srv->pause_until_ms) return;
    w->srv->pause_until_ms = 0;
    end_standstill(w);
}

void worker_stand_still(struct worker *w, unsigned why)
{
    w->srv->stands_still |= why;
    w->srv->unusual |= SERVER_PAUSED;
}

void worker_go_on(struct worker *w, unsigned why)
{
    if (!(w->srv->stands_still & why)) return;
    w->srv->stands_still &= ~why;
    end_standstill(w);
}

void worker_let_go(struct worker *w)
{
    bool any = false;
    list_for_each(it, &w->clients)
    {
        struct client *cl = list_entry(it, struct client, all);
        if (!(cl->flags & CLIENT_PAUSED)) continue;
        cl->flags &= ~(uint32_t)CLIENT_PAUSED;
        worker_ready(w, cl);
        any = true;
    }
    if (any) demi_wake_ring(w->wake); /* a task may say so, while the loop sleeps */
}

/* Flushes and frees all but one, which stays on its lists. */
static void end_turn_but(struct worker *w, struct client *running)
{
    struct client *flush = w->flush, *dying = w->dying;
    w->flush = w->dying = NULL;
    while (flush) {
        struct client *cl = flush;
        flush = cl->next_flush;
        if (cl != running) {
            client_flush(cl);
            continue;
        }
        cl->next_flush = w->flush;
        w->flush = cl;
    }
    while (dying) {
        struct client *cl = dying;
        dying = cl->next_dying;
        cl->next_dying = w->dying;
        w->dying = cl;
    }
    if (w->srv->stopping) return; /* whoever asked for it is let go when nobody can connect any more */
    for (struct client **at = &w->dying, *cl; (cl = *at);) {
        if (cl == running || (cl->flags & CLIENT_FLUSH_QUEUED)) {
            at = &cl->next_dying;
            continue;
        }
        *at = cl->next_dying;
        client_free(cl);
    }
}

void worker_turn_in_script(struct worker *w, struct client *running, uint64_t wait_ns)
{
    demi_qresult_t results[TURN_RESULTS];
    struct timespec wait = {.tv_nsec = (long)wait_ns};
    int n = 0;
    int err = demi_wait_batch(results, TURN_RESULTS, &n, w->ready ? &(struct timespec){0} : &wait);
    if (err && err != ETIMEDOUT) return;
    worker_update_time(w);
    supervisor_feed(w->srv); /* there is no cron in here, and the script may take as long as its author likes */
    w->cut_short = false;
    for (int i = 0; i < n; i++) endpoint_completed(&w->endpoints, w, &results[i]);
    if (w->ready) batch_run(w);
    if (unlikely(w->before_end)) before_end(w);
    end_turn_but(w, running);
}

static void run_cron(struct worker *w)
{
    uint64_t start = demi_clock_ns();
    const struct config *cfg = w->srv->config; /* as CONFIG SET has left it in this very turn */
    if (unlikely(cfg->watchdog_period)) watchdog_feed(cfg);
    cron_run(w);
    w->stats.cron_ns += demi_clock_ns() - start;
}

static void note_turn(struct worker *w, uint64_t began)
{
    struct worker_stats *s = &w->stats;
    uint64_t ticks = ticks_now() - began, commands = s->commands - s->commands_before;
    if (unlikely(ticks > s->turn_ticks_max)) s->turn_ticks_max = ticks;
    if (unlikely(commands > s->turn_commands_max)) s->turn_commands_max = commands;
    s->commands_before = s->commands;
    if (unlikely(w->srv->unusual & SERVER_SAVING)) s->served_ns += demi_clock_ns() - w->turn_ns;
}

int worker_run(struct worker *w)
{
    struct server *srv = w->srv;
    demi_qresult_t results[TURN_RESULTS];
    demi_qtoken_t wake_token;
    if (demi_wake_wait(&wake_token, w->wake) != 0) return -EIO;
    int err = listen_accept(w);
    if (err) return err;
    uint64_t next_cron = w->turn_ns, began = ticks_now();
    while (!srv->stopping) {
        int n = 0;
        note_turn(w, began);
        struct timespec ts = time_to_sleep(w, next_cron);
        err = demi_wait_batch(results, TURN_RESULTS, &n, &ts);
        if (err && err != ETIMEDOUT) return -err;
        began = ticks_now();
        worker_update_time(w);
        w->stats.turns++;
        w->events = (size_t)n;
        w->cut_short = false;
        if (unlikely(srv->config != w->conf.cfg)) worker_take_config(w);
        if (unlikely(w->evicting)) evict_run(w); /* here, where no reply takes memory */
        for (int i = 0; i < n; i++) endpoint_completed(&w->endpoints, w, &results[i]);
        if (w->ready) batch_run(w);
        if (unlikely(w->turn_ns >= next_cron)) {
            run_cron(w);
            next_cron = w->turn_ns + (uint64_t)(1000 / w->conf.cfg->hz) * 1000000;
        }
        if (unlikely(w->migrated)) migrate_settle(w);
        if (unlikely(w->log_moved)) blocked_look_at_log(w);
        if (unlikely(blocked_any_ready(w))) blocked_serve(w);
        blocked_timeouts(w);
        if (unlikely(srv->pause_until_ms)) end_pause(w);
        if (w->ready) batch_run(w); /* who was unblocked may have more input */
        if (unlikely(w->before_end)) before_end(w);
        if (unlikely(w->replicas != NULL)) replicas_turn(w);
        end_turn(w);
        worker_check(w);
        if (unlikely(srv->aof.group.waits)) aof_turn(w);
        if (unlikely(w->turn_ns >= w->defrag.due_ns)) defrag_slice(w);
        if (likely(w->turn_ns < w->expire.due_ns)) continue;
        expire_cycle_slice(w); /* here, where the replies are out */
        if (unlikely(w->before_end)) before_end(w);
        end_turn(w);
    }
    end_turn(w);
    return 0;
}
