/* SPDX-License-Identifier: MIT
 *
 * INFO: the server's state as text, in Redis's sections and fields, because monitoring reads them by name; what belongs
 * to features this version does not have is there with the value it has when they are off. Our own fields stand in the
 * section Demikernel (INFO all has it, INFO has not) and, in Server, as demikv_version.
 */
#include "server/observe/info.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "server/command/handlers.h"
#include "server/conf/config.h"
#include "server/db/own_expires.h"
#include "server/evict.h"
#include "server/exec/blocked.h"
#include "server/mem.h"
#include "server/net/pubsub.h"
#include "server/net/tracking.h"
#include "server/observe/errorstats.h"
#include "server/observe/info_section.h"
#include "server/persist/aof.h"
#include "server/persist/load.h"
#include "server/persist/save.h"
#include "server/observe/latency.h"
#include "server/repl/replica.h"
#include "server/repl/replicas.h"
#include "server/script/scripts.h"
#include "server/server.h"
#include "server/shutdown.h"
#include "server/worker.h"

/* --- sections ----------------------------------------------------------------------------------------------------- */

/* As they are configured; numbered by their kind. */
static void listener_lines(struct info *in)
{
    const struct config *cfg = in->srv->config;
    if (cfg->port) {
        info_part(in, "listener0:name=tcp");
        for (unsigned i = 0; i < cfg->bind_count; i++) info_part(in, ",bind=%s", cfg->bind[i]);
        info_line(in, ",port=%lld", (long long)cfg->port);
    }
    if (cfg->unixsocket && *cfg->unixsocket) info_line(in, "listener1:name=unix,bind=%s", cfg->unixsocket);
    if (cfg->tls_port) {
        info_part(in, "listener2:name=tls");
        for (unsigned i = 0; i < cfg->bind_count; i++) info_part(in, ",bind=%s", cfg->bind[i]);
        info_line(in, ",port=%lld", (long long)cfg->tls_port);
    }
    if (cfg->shm_path && *cfg->shm_path) info_line(in, "listener3:name=shm,bind=%s", cfg->shm_path);
    if (cfg->rdma_port) {
        info_part(in, "listener4:name=rdma");
        for (unsigned i = 0; i < cfg->rdma_bind_count; i++) info_part(in, ",bind=%s", cfg->rdma_bind[i]);
        info_line(in, ",port=%lld", (long long)cfg->rdma_port);
    }
}

static void info_server(struct info *in)
{
    struct server *srv = in->srv;
    struct utsname un;
    uname(&un);
    uint64_t up = (in->w->turn_ns - srv->start_ns) / NSEC_PER_SEC;
    info_line(in, "redis_version:%s", REDIS_VERSION);
    info_line(in, "redis_git_sha1:00000000");
    info_line(in, "redis_git_dirty:0");
    info_line(in, "redis_build_id:demikv-%s", DEMIKV_VERSION);
    info_line(in, "redis_mode:standalone");
    info_line(in, "demikv_version:%s", DEMIKV_VERSION);
    info_line(in, "os:%s %s %s", un.sysname, un.release, un.machine);
    info_line(in, "arch_bits:%d", (int)(sizeof(long) * 8));
    info_line(in, "monotonic_clock:POSIX clock_gettime");
    info_line(in, "multiplexing_api:%s", demi_libos_name());
    info_line(in, "atomicvar_api:c11-builtin");
    info_line(in, "gcc_version:%d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
    info_line(in, "process_id:%d", srv->pid);
    info_line(in, "process_supervised:%s", srv->supervised ? "systemd" : "no");
    info_line(in, "run_id:%s", srv->run_id);
    info_line(in, "tcp_port:%lld", (long long)(srv->config->port ? srv->config->port : srv->config->tls_port));
    info_line(in, "server_time_usec:%lld", (long long)in->w->now_us);
    info_line(in, "uptime_in_seconds:%llu", (unsigned long long)up);
    info_line(in, "uptime_in_days:%llu", (unsigned long long)(up / 86400));
    info_line(in, "hz:%lld", (long long)srv->config->hz);
    info_line(in, "configured_hz:%lld", (long long)srv->config->hz);
    info_line(in, "lru_clock:%llu", (unsigned long long)(in->w->now_ms / 1000) & 0xffffff);
    info_line(in, "executable:%s", srv->executable);
    info_line(in, "config_file:%s", srv->config_file);
    info_line(in, "io_threads_active:0");
    if (shutdown_is_awaited(srv)) info_line(in, "shutdown_in_milliseconds:%lld", (long long)shutdown_left_ms(in->w));
    listener_lines(in);
}

static void info_clients(struct info *in)
{
    struct worker *w = in->w;
    size_t in_max = 0, out_max = 0, waiting = 0, connected = 0;
    list_for_each(it, &w->clients)
    {
        struct client *cl = list_entry(it, struct client, all);
        size_t out = client_output_bytes(cl);
        if (cl->flags & CLIENT_CLOSE_NOW) continue; /* killed in this turn */
        connected += !(cl->s.flags & SESSION_REPLICA);
        if (cl->in_cap > in_max) in_max = cl->in_cap;
        if (out > out_max) out_max = out;
        waiting += (cl->flags & CLIENT_WAITS) != 0;
    }
    info_line(in, "connected_clients:%zu", connected);
    info_line(in, "cluster_connections:0");
    info_line(in, "maxclients:%lld", (long long)in->srv->config->maxclients);
    info_line(in, "client_recent_max_input_buffer:%zu", in_max);
    info_line(in, "client_recent_max_output_buffer:%zu", out_max);
    info_line(in, "blocked_clients:%zu", waiting);
    info_line(in, "tracking_clients:%zu", tracking_figures(in->srv).clients);
    info_line(in, "clients_in_timeout_table:%zu", blocked_timed_count(w));
    info_line(in, "total_blocking_keys:%zu", blocked_key_count(w, false));
    info_line(in, "total_blocking_keys_on_nokey:%zu", blocked_key_count(w, true));
}

static void info_loading(struct info *in, struct load_progress l)
{
    int64_t elapsed = in->w->now_ms / 1000 - l.started_s;
    uint64_t left = l.bytes_all > l.bytes_done ? l.bytes_all - l.bytes_done : 0;
    info_line(in, "loading_start_time:%lld", (long long)l.started_s);
    info_line(in, "loading_total_bytes:%llu", (unsigned long long)l.bytes_all);
    info_line(in, "loading_rdb_used_mem:%llu", (unsigned long long)l.used_mem);
    info_line(in, "loading_loaded_bytes:%llu", (unsigned long long)l.bytes_done);
    info_line(in, "loading_loaded_perc:%.2f", l.bytes_all ? (double)l.bytes_done * 100 / (double)l.bytes_all : 0);
    info_line(in, "loading_eta_seconds:%lld", elapsed ? (long long)((uint64_t)elapsed * left / (l.bytes_done + 1)) : 1);
}

static void info_log(struct info *in, const struct aof *a)
{
    info_line(in, "aof_current_size:%llu", (unsigned long long)aof_size(a));
    info_line(in, "aof_base_size:%llu", (unsigned long long)a->base_bytes);
    info_line(in, "aof_pending_rewrite:%d", a->scheduled);
    info_line(in, "aof_buffer_length:%llu", (unsigned long long)aof_unwritten(a));
    info_line(in, "aof_pending_bio_fsync:%d", a->runs && a->durable != a->written);
    info_line(in, "aof_delayed_fsync:%llu", (unsigned long long)a->delayed_syncs);
}

static void info_persistence(struct info *in)
{
    struct server *srv = in->srv;
    const struct persist *p = &srv->persist;
    bool saves = p->saving || p->streaming;
    const struct save *under_way = p->saving ? p->saving : p->streaming ? p->streaming : srv->aof.save;
    info_line(in, "loading:%d", p->loading != NULL);
    info_line(in, "async_loading:0");
    info_line(in, "current_cow_peak:%zu", under_way ? save_memory_peak(under_way) : 0);
    info_line(in, "current_cow_size:%zu", under_way ? save_memory(under_way) : 0);
    info_line(in, "current_cow_size_age:0");
    info_line(in, "current_fork_perc:%.2f",
              under_way && save_keys_all(under_way)
                  ? (double)save_keys_done(under_way) * 100 / (double)save_keys_all(under_way)
                  : 0);
    info_line(in, "current_save_keys_processed:%llu", under_way ? (unsigned long long)save_keys_done(under_way) : 0);
    info_line(in, "current_save_keys_total:%llu", under_way ? (unsigned long long)save_keys_all(under_way) : 0);
    info_line(in, "rdb_changes_since_last_save:%lld", (long long)srv->dirty);
    info_line(in, "rdb_bgsave_in_progress:%d", saves);
    info_line(in, "rdb_last_save_time:%lld", (long long)p->saved_s);
    info_line(in, "rdb_last_bgsave_status:%s", p->failed ? "err" : "ok");
    info_line(in, "rdb_last_bgsave_time_sec:%lld", (long long)p->took_s);
    info_line(in, "rdb_current_bgsave_time_sec:%lld", saves ? (long long)(in->w->now_ms / 1000 - p->tried_s) : -1);
    info_line(in, "rdb_saves:%llu", (unsigned long long)p->saves);
    info_line(in, "rdb_last_cow_size:%zu", p->memory_peak);
    info_line(in, "rdb_last_load_keys_expired:%llu", (unsigned long long)p->keys_expired);
    info_line(in, "rdb_last_load_keys_loaded:%llu", (unsigned long long)p->keys_loaded);
    const struct aof *a = &srv->aof;
    info_line(in, "aof_enabled:%d", a->state != AOF_OFF);
    info_line(in, "aof_rewrite_in_progress:%d", a->rewriting);
    info_line(in, "aof_rewrite_scheduled:%d", a->scheduled);
    info_line(in, "aof_last_rewrite_time_sec:%lld", (long long)a->rewrite_took_s);
    info_line(in, "aof_current_rewrite_time_sec:%lld",
              a->rewriting ? (long long)(in->w->now_ms / 1000 - a->rewrite_began_s) : -1);
    info_line(in, "aof_last_bgrewrite_status:%s", a->failed ? "err" : "ok");
    info_line(in, "aof_rewrites:%llu", (unsigned long long)a->rewrites);
    info_line(in, "aof_rewrites_consecutive_failures:%u", a->failures);
    info_line(in, "aof_last_write_status:%s", a->error ? "err" : "ok");
    info_line(in, "aof_last_cow_size:%zu", a->memory_peak);
    info_line(in, "module_fork_in_progress:0");
    info_line(in, "module_fork_last_cow_size:0");
    if (a->on_device) info_line(in, "aof_device:%s", srv->config->aof_device);
    if (a->state != AOF_OFF) info_log(in, a);
    if (p->loading) info_loading(in, load_progress(p->loading));
}

static unsigned long long mean_rate(const struct server *srv, enum server_rate i)
{
    unsigned long long sum = 0;
    for (int k = 0; k < SERVER_RATE_SAMPLES; k++) sum += srv->rate[i].samples[k];
    return sum / SERVER_RATE_SAMPLES;
}

/* Not of EXEC, whose time is that of the commands it runs. */
static unsigned long long command_us(const struct info *in)
{
    uint64_t ticks = 0;
    for (int k = 0; k < in->srv->worker_count; k++) {
        const struct command_stats *s = in->srv->workers[k].cmd_stats;
        for (unsigned i = 0, count = command_count(); i < count; i++)
            if (s[i].ticks && !(command_at(i)->flags & CMD_RUNS_QUEUE)) ticks += s[i].ticks;
    }
    return ticks_to_ns(&in->w->ticks, ticks) / 1000;
}

static void event_loop_lines(struct info *in, const struct worker_stats *s)
{
    info_line(in, "eventloop_cycles:%llu", (unsigned long long)s->turns);
    info_line(in, "eventloop_duration_sum:%llu", (unsigned long long)s->loop_ns / 1000);
    info_line(in, "eventloop_duration_cmd_sum:%llu", command_us(in));
    info_line(in, "instantaneous_eventloop_cycles_per_sec:%llu", mean_rate(in->srv, RATE_TURNS));
    info_line(in, "instantaneous_eventloop_duration_usec:%llu", mean_rate(in->srv, RATE_TURN_US));
}

static void acl_lines(struct info *in, const struct worker_stats *s)
{
    info_line(in, "acl_access_denied_auth:%llu", (unsigned long long)s->acl_denied[ACL_DENIED_AUTH]);
    info_line(in, "acl_access_denied_cmd:%llu", (unsigned long long)s->acl_denied[ACL_DENIED_COMMAND]);
    info_line(in, "acl_access_denied_key:%llu", (unsigned long long)s->acl_denied[ACL_DENIED_KEY]);
    info_line(in, "acl_access_denied_channel:%llu", (unsigned long long)s->acl_denied[ACL_DENIED_CHANNEL]);
}

static size_t own_expires_all(const struct server *srv)
{
    size_t n = 0;
    for (int i = 0; i < srv->db_count; i++) n += own_expires_count(&srv->dbs[i]);
    return n;
}

static void info_stats(struct info *in)
{
    struct server *srv = in->srv;
    worker_see_loop(in->w);
    const struct worker_stats sum = worker_stats_sum(in->srv), *s = &sum;
    const struct replicas_figures syncs = replicas_figures(in->w);
    info_line(in, "total_connections_received:%llu", (unsigned long long)s->connections);
    info_line(in, "total_commands_processed:%llu", (unsigned long long)s->commands);
    info_line(in, "instantaneous_ops_per_sec:%llu", mean_rate(srv, RATE_COMMANDS));
    info_line(in, "total_net_input_bytes:%llu", (unsigned long long)s->net_in);
    info_line(in, "total_net_output_bytes:%llu", (unsigned long long)s->net_out);
    info_line(in, "total_net_repl_input_bytes:%llu", (unsigned long long)s->repl_in);
    info_line(in, "total_net_repl_output_bytes:%llu", (unsigned long long)s->repl_out);
    info_line(in, "instantaneous_input_kbps:%.2f", (double)mean_rate(srv, RATE_INPUT) / 1024);
    info_line(in, "instantaneous_output_kbps:%.2f", (double)mean_rate(srv, RATE_OUTPUT) / 1024);
    info_line(in, "instantaneous_input_repl_kbps:%.2f", (double)mean_rate(srv, RATE_REPL_INPUT) / 1024);
    info_line(in, "instantaneous_output_repl_kbps:%.2f", (double)mean_rate(srv, RATE_REPL_OUTPUT) / 1024);
    info_line(in, "rejected_connections:%llu", (unsigned long long)s->rejected_conn);
    info_line(in, "sync_full:%llu", (unsigned long long)syncs.full);
    info_line(in, "sync_partial_ok:%llu", (unsigned long long)syncs.partial_ok);
    info_line(in, "sync_partial_err:%llu", (unsigned long long)syncs.partial_err);
    info_line(in, "expired_keys:%llu", (unsigned long long)s->expired);
    info_line(in, "expired_stale_perc:%.2f", s->expired_stale_perc * 100);
    info_line(in, "expired_time_cap_reached_count:%llu", (unsigned long long)s->expired_time_cap_reached);
    info_line(in, "expire_cycle_cpu_milliseconds:%llu", (unsigned long long)(s->expire_cycle_ns / NSEC_PER_MSEC));
    info_line(in, "evicted_keys:%llu", (unsigned long long)s->evicted);
    info_line(in, "evicted_clients:%llu", (unsigned long long)s->evicted_clients);
    info_line(in, "evicted_scripts:%llu", (unsigned long long)(in->srv->scripts ? in->srv->scripts->evicted : 0));
    uint64_t over_now, over = evict_over_ns(in->w, &over_now);
    info_line(in, "total_eviction_exceeded_time:%llu", (unsigned long long)(over / NSEC_PER_MSEC));
    info_line(in, "current_eviction_exceeded_time:%llu", (unsigned long long)(over_now / NSEC_PER_MSEC));
    info_line(in, "keyspace_hits:%llu", (unsigned long long)s->hits);
    info_line(in, "keyspace_misses:%llu", (unsigned long long)s->misses);
    info_line(in, "pubsub_channels:%zu", pubsub_count(srv, PUBSUB_CHANNELS));
    info_line(in, "pubsub_patterns:%zu", pubsub_count(srv, PUBSUB_PATTERNS));
    info_line(in, "pubsubshard_channels:%zu", pubsub_count(srv, PUBSUB_SHARDED));
    info_line(in, "latest_fork_usec:0");
    info_line(in, "total_forks:0");
    info_line(in, "migrate_cached_sockets:%zu", migrate_links(in->w));
    info_line(in, "slave_expires_tracked_keys:%zu", own_expires_all(srv));
    info_line(in, "active_defrag_hits:%llu", (unsigned long long)s->defrag_hits);
    info_line(in, "active_defrag_misses:%llu", (unsigned long long)s->defrag_misses);
    info_line(in, "active_defrag_key_hits:%llu", (unsigned long long)s->defrag_key_hits);
    info_line(in, "active_defrag_key_misses:%llu", (unsigned long long)s->defrag_key_misses);
    uint64_t defrag = defrag_current_ns(in->w);
    info_line(in, "total_active_defrag_time:%llu", (unsigned long long)((s->defrag_ns + defrag) / NSEC_PER_MSEC));
    info_line(in, "current_active_defrag_time:%llu", (unsigned long long)(defrag / NSEC_PER_MSEC));
    const struct tracking_figures tracking = tracking_figures(in->srv);
    info_line(in, "tracking_total_keys:%zu", tracking.keys);
    info_line(in, "tracking_total_items:%zu", tracking.items);
    info_line(in, "tracking_total_prefixes:%zu", tracking.prefixes);
    info_line(in, "unexpected_error_replies:%llu", (unsigned long long)s->unexpected_errors);
    info_line(in, "total_error_replies:%llu", (unsigned long long)s->errors);
    info_line(in, "dump_payload_sanitizations:0");
    info_line(in, "total_reads_processed:%llu", (unsigned long long)s->reads);
    info_line(in, "total_writes_processed:%llu", (unsigned long long)s->writes);
    info_line(in, "io_threaded_reads_processed:0");
    info_line(in, "io_threaded_writes_processed:0");
    info_line(in, "reply_buffer_shrinks:0");
    info_line(in, "reply_buffer_expands:0");
    event_loop_lines(in, s);
    acl_lines(in, s);
}

static void replica_line(struct info *in, size_t i, const struct client *cl)
{
    char ip[REPLICA_IP_MAX];
    const struct replica *r = cl->replica;
    replica_address(cl, ip, sizeof ip);
    info_line(in, "slave%zu:ip=%s,port=%d,state=%s,offset=%lld,lag=%lld", i, ip, r->port, replica_state_word(r),
              (long long)r->ack_offset, (long long)replica_lag_s(r, in->w->now_ms));
}

static void replicas_lines(struct info *in)
{
    const struct config *cfg = in->srv->config;
    info_line(in, "connected_slaves:%zu", replicas_count(in->w));
    if (cfg->min_replicas_to_write && cfg->min_replicas_max_lag)
        info_line(in, "min_slaves_good_slaves:%zu", replicas_good(in->w));
    for (size_t i = 0; i < replicas_count(in->w); i++) replica_line(in, i, replicas_at(in->w, i));
}

static void history_lines(struct info *in)
{
    const struct history *h = &in->srv->history;
    info_line(in, "master_replid:%s", h->id);
    info_line(in, "master_replid2:%s", h->id2);
    info_line(in, "master_repl_offset:%llu", (unsigned long long)history_offset(h));
    info_line(in, "second_repl_offset:%lld", (long long)h->second_offset);
    info_line(in, "repl_backlog_active:%d", history_is_kept(h));
    info_line(in, "repl_backlog_size:%lld", (long long)in->srv->config->repl_backlog_size);
    info_line(in, "repl_backlog_first_byte_offset:%llu", (unsigned long long)history_first(h));
    info_line(in, "repl_backlog_histlen:%llu", (unsigned long long)history_length(h));
}

static void info_replication(struct info *in)
{
    info_line(in, "role:%s", in->srv->upstream ? "slave" : "master");
    if (in->srv->upstream) info_upstream(in);
    replicas_lines(in);
    info_line(in, "master_failover_state:%s", failover_word(in->srv));
    history_lines(in);
}

static void cpu_lines(struct info *in, const char *suffix, const struct rusage *ru)
{
    info_line(in, "used_cpu_sys%s:%ld.%06ld", suffix, (long)ru->ru_stime.tv_sec, (long)ru->ru_stime.tv_usec);
    info_line(in, "used_cpu_user%s:%ld.%06ld", suffix, (long)ru->ru_utime.tv_sec, (long)ru->ru_utime.tv_usec);
}

static void info_cpu(struct info *in)
{
    static const struct rusage children; /* none: nothing forks but daemonize, whose child this is */
    struct rusage self, thread;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_THREAD, &thread);
    cpu_lines(in, "", &self);
    cpu_lines(in, "_children", &children);
    cpu_lines(in, "_main_thread", &thread);
}

static void info_modules(struct info *in) {}

static void info_commandstats(struct info *in)
{
    for (unsigned i = 0; i < command_count(); i++) {
        const struct command_stats sum = worker_command_stats_sum(in->srv, i), *s = &sum;
        if (!s->calls && !s->rejected && !s->failed) continue;
        uint64_t us = ticks_to_ns(&in->w->ticks, s->ticks) / 1000;
        info_line(in,
                  "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%"
                  "llu",
                  command_at(i)->full_name, (unsigned long long)s->calls, (unsigned long long)us,
                  s->calls ? (double)us / (double)s->calls : 0.0, (unsigned long long)s->rejected,
                  (unsigned long long)s->failed);
    }
}

static void error_line(void *arg, const char *code, uint64_t count)
{
    info_line(arg, "errorstat_%s:count=%llu", code, (unsigned long long)count);
}

static void info_errorstats(struct info *in) { errorstats_each(in->srv, error_line, in); }

/* 99.9 -> "99.9", though it is a little more */
static const char *percentile_text(char out[32], double p)
{
    int n = snprintf(out, 32, "%f", p);
    while (n > 0 && out[n - 1] == '0') n--;
    if (n > 0 && out[n - 1] == '.') n--;
    out[n] = 0;
    return out;
}

static void info_latencystats(struct info *in)
{
    const struct config *cfg = in->srv->config;
    char name[32];
    if (!cfg->latency_tracking) return;
    for (unsigned i = 0; i < command_count(); i++) {
        const uint32_t *h = worker_command_stats_sum(in->srv, i).histogram;
        if (!histogram_count(h)) continue;
        info_part(in, "latency_percentiles_usec_%s:", command_at(i)->full_name);
        for (unsigned k = 0; k < cfg->latency_tracking_info_percentile_count; k++) {
            double p = cfg->latency_tracking_info_percentiles[k];
            info_part(in, "%sp%s=%.3f", k ? "," : "", percentile_text(name, p),
                      (double)ticks_to_ns(&in->w->ticks, histogram_percentile(h, p)) / 1000);
        }
        info_line(in, "%s", "");
    }
}

static void info_cluster(struct info *in) { info_line(in, "cluster_enabled:0"); }

static void info_keyspace(struct info *in)
{
    for (int i = 0; i < in->srv->db_count; i++) {
        struct db *db = &in->srv->dbs[i];
        if (!db_size(db)) continue;
        info_line(in, "db%d:keys=%zu,expires=%zu,avg_ttl=%lld", i, db_size(db), db_expires(db),
                  (long long)db->avg_ttl_ms);
    }
}

/* The append-only file's time is that of its writes, and under `appendfsync always` of its syncs, as redis-server
 * counts it; the loop itself serves others meanwhile. */
static void info_debug(struct info *in)
{
    const struct worker_stats sum = worker_stats_sum(in->srv), *s = &sum;
    info_line(in, "eventloop_duration_aof_sum:%llu", (unsigned long long)in->srv->aof.took_ns / 1000);
    info_line(in, "eventloop_duration_cron_sum:%llu", (unsigned long long)s->cron_ns / 1000);
    info_line(in, "eventloop_duration_max:%llu",
              (unsigned long long)ticks_to_ns(&in->w->ticks, s->turn_ticks_max) / 1000);
    info_line(in, "eventloop_cmd_per_cycle_max:%llu", (unsigned long long)s->turn_commands_max);
}

#define COUNTER_NAME_MAX 64

static void counter_line(void *arg, const char *name, uint64_t value)
{
    char field[COUNTER_NAME_MAX];
    size_t n = 0;
    for (; name[n] && n < sizeof field - 1; n++) field[n] = (char)(name[n] == '.' || name[n] == '-' ? '_' : name[n]);
    field[n] = 0;
    info_line(arg, "demi_%s:%llu", field, (unsigned long long)value);
}

static void info_demikernel(struct info *in)
{
    info_line(in, "demi_version:%s", demi_version());
    info_line(in, "demi_libos:%s", demi_libos_name());
    info_line(in, "demi_batches:%llu", (unsigned long long)worker_stats_sum(in->srv).batches);
    demi_counters(counter_line, in);
}

/* --- choosing ----------------------------------------------------------------------------------------------------- */

static void certificate_lines(struct info *in, const char *whose, const demi_tls_context_t *c,
                              enum demi_tls_which which)
{
    struct demi_tls_certificate x;
    if (!c || demi_tls_context_certificate(c, which, &x)) return;
    info_line(in, "tls_%s_cert_serial:%s", whose, x.serial);
    info_line(in, "tls_%s_cert_expires_in_seconds:%lld", whose, (long long)(x.not_after_s - in->w->now_us / 1000000));
}

/* Ours: redis-server 7.2 does not tell when a certificate ends. */
static void info_tls(struct info *in)
{
    const struct tls_contexts *c = &in->srv->tls.now;
    certificate_lines(in, "server", c->server, DEMI_TLS_OWN);
    certificate_lines(in, "client", c->client, DEMI_TLS_OWN);
    certificate_lines(in, "ca", c->server, DEMI_TLS_CA);
    info_line(in, "tls_openssl_memory:%llu", (unsigned long long)demi_tls_memory(c->server));
}

static const struct section {
    const char *name, *title;
    void (*write)(struct info *in);
    bool by_default;
    bool by_name_only; /* neither "all" nor "everything" has it */
} sections[] = {
    {"server", "Server", info_server, true, false},
    {"clients", "Clients", info_clients, true, false},
    {"memory", "Memory", info_memory, true, false},
    {"persistence", "Persistence", info_persistence, true, false},
    {"stats", "Stats", info_stats, true, false},
    {"replication", "Replication", info_replication, true, false},
    {"cpu", "CPU", info_cpu, true, false},
    {"modules", "Modules", info_modules, true, false},
    {"commandstats", "Commandstats", info_commandstats, false, false},
    {"errorstats", "Errorstats", info_errorstats, true, false},
    {"latencystats", "Latencystats", info_latencystats, false, false},
    {"cluster", "Cluster", info_cluster, true, false},
    {"keyspace", "Keyspace", info_keyspace, true, false},
    {"debug", "Debug", info_debug, false, true},
    {"tls", "TLS", info_tls, true, false},
    {"demikernel", "Demikernel", info_demikernel, false, false},
};
#define SECTION_COUNT (sizeof sections / sizeof *sections)

static bool is_named(const struct section *s, struct bytes word)
{
    if (bytes_is_word(word, "all") || bytes_is_word(word, "everything")) return !s->by_name_only;
    if (bytes_is_word(word, "default")) return s->by_default;
    if (bytes_is_word(word, "module_list") && s->write == info_modules) return true;
    return bytes_is_word(word, s->name);
}

void info_write(struct worker *w, struct reply *text, const struct bytes *names, int count)
{
    struct info in;
    in.w = w;
    in.srv = w->srv;
    in.text = text;
    in.used = demi_mem_used();
    in.n = 0;
    bool wanted[SECTION_COUNT] = {false};
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        if (count == 0) wanted[i] = sections[i].by_default;
        for (int k = 0; k < count; k++) wanted[i] |= is_named(&sections[i], names[k]);
    }
    bool first = true;
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        if (!wanted[i] || (sections[i].write == info_tls && !in.srv->tls.now.server)) continue;
        if (!first) info_line(&in, "%s", "");
        first = false;
        info_line(&in, "# %s", sections[i].title);
        sections[i].write(&in);
    }
    info_flush(&in);
}

void cmd_info(struct call *c)
{
    struct reply text;
    reply_init(&text, 2);
    info_write(c->w, &text, c->argv + 1, c->argc - 1);
    call_text(c, &text);
}
