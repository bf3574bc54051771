/* SPDX-License-Identifier: MIT
 *
 * INFO: the server's state as text, in Redis's sections and fields, because monitoring reads them
 * by name; what belongs to features this version does not have is there with the value it has when
 * they are off. Our own fields stand in the section Demikernel and, in Server, as demikv_version.
 */
#include "server/observe/info.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "server/command/handlers.h"
#include "server/conf/conf.h"
#include "server/evict.h"
#include "server/exec/blocked.h"
#include "server/lazyfree.h"
#include "server/mem.h"
#include "server/net/pubsub.h"
#include "server/observe/errorstats.h"
#include "server/observe/latency.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/worker.h"

struct info {
    struct worker *w;
    struct server *srv;
    struct reply *text;
    size_t used; /* memory before this text took any */
};

static void line(struct info *in, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void line(struct info *in, const char *fmt, ...)
{
    char buf[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf - 2, fmt, ap);
    va_end(ap);
    if (n < 0) return;
    if ((size_t)n > sizeof buf - 3) n = (int)sizeof buf - 3;
    memcpy(buf + n, "\r\n", 2);
    reply_raw(in->text, bytes_of(buf, (size_t)n + 2));
}

/* 1536 -> "1.50K" */
static const char *human(char out[32], uint64_t n)
{
    static const char units[] = "BKMGTP";
    double v = (double)n;
    int u = 0;
    while (v >= 1024 && u < 5) {
        v /= 1024;
        u++;
    }
    if (u == 0) snprintf(out, 32, "%lluB", (unsigned long long)n);
    else snprintf(out, 32, "%.2f%c", v, units[u]);
    return out;
}

static size_t resident_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    unsigned long size, resident;
    return sscanf(text, "%lu %lu", &size, &resident) == 2 ? resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

/* --- sections ----------------------------------------------------------------------------------------------------- */

static void info_server(struct info *in)
{
    struct server *srv = in->srv;
    struct utsname un;
    uname(&un);
    uint64_t up = (in->w->turn_ns - srv->start_ns) / NSEC_PER_SEC;
    line(in, "redis_version:%s", REDIS_VERSION);
    line(in, "redis_git_sha1:00000000");
    line(in, "redis_git_dirty:0");
    line(in, "redis_build_id:demikv-%s", DEMIKV_VERSION);
    line(in, "redis_mode:standalone");
    line(in, "demikv_version:%s", DEMIKV_VERSION);
    line(in, "os:%s %s %s", un.sysname, un.release, un.machine);
    line(in, "arch_bits:%d", (int)(sizeof(long) * 8));
    line(in, "monotonic_clock:POSIX clock_gettime");
    line(in, "multiplexing_api:%s", demi_libos_name());
    line(in, "atomicvar_api:c11-builtin");
    line(in, "gcc_version:%d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
    line(in, "process_id:%d", srv->pid);
    line(in, "process_supervised:%s", srv->supervised ? "systemd" : "no");
    line(in, "run_id:%s", srv->run_id);
    line(in, "tcp_port:%lld", (long long)srv->config->port);
    line(in, "server_time_usec:%lld", (long long)in->w->now_us);
    line(in, "uptime_in_seconds:%llu", (unsigned long long)up);
    line(in, "uptime_in_days:%llu", (unsigned long long)(up / 86400));
    line(in, "hz:%lld", (long long)srv->config->hz);
    line(in, "configured_hz:%lld", (long long)srv->config->hz);
    line(in, "lru_clock:%llu", (unsigned long long)(in->w->now_ms / 1000) & 0xffffff);
    line(in, "executable:%s", srv->executable);
    line(in, "config_file:%s", srv->config_file);
    line(in, "io_threads_active:0");
}

static void info_clients(struct info *in)
{
    struct worker *w = in->w;
    size_t in_max = 0, out_max = 0;
    list_for_each(it, &w->clients)
    {
        struct client *cl = list_entry(it, struct client, all);
        size_t out = client_output_bytes(cl);
        if (cl->in_cap > in_max) in_max = cl->in_cap;
        if (out > out_max) out_max = out;
    }
    line(in, "connected_clients:%zu", w->client_count - replicas_count(w));
    line(in, "cluster_connections:0");
    line(in, "maxclients:%lld", (long long)in->srv->config->maxclients);
    line(in, "client_recent_max_input_buffer:%zu", in_max);
    line(in, "client_recent_max_output_buffer:%zu", out_max);
    line(in, "blocked_clients:%zu", w->blocked_count);
    line(in, "tracking_clients:0");
    line(in, "clients_in_timeout_table:%zu", blocked_timed_count(w));
}

static const char *config_text(const struct config *cfg, const char *name, char *out, size_t size);

static void info_memory(struct info *in)
{
    struct server *srv = in->srv;
    struct demi_mem_stats m;
    demi_mem_stats(&m);
    m.used = in->used;
    /* What nobody touched yet is not active: what is active is resident, or it is swapped out. */
    if (m.active > m.resident) m.active = m.resident > m.used ? m.resident : m.used;
    if (m.resident < m.active) m.resident = m.active;
    struct sysinfo si;
    sysinfo(&si);
    uint64_t total = (uint64_t)si.totalram * si.mem_unit;
    size_t rss = resident_bytes(), peak = m.peak > m.used ? m.peak : m.used;
    size_t clients = 0;
    list_for_each(it, &in->w->clients) clients += client_memory(list_entry(it, struct client, all));
    size_t overhead = srv->startup_memory + clients;
    for (int i = 0; i < srv->db_count; i++)
        for (unsigned k = 0; k < srv->dbs[i].slice_count; k++) overhead += table_bytes(&srv->dbs[i].slices[k].table);
    if (overhead > m.used) overhead = m.used;
    size_t dataset = m.used - overhead, beyond = m.used > srv->startup_memory ? m.used - srv->startup_memory : 1;
    char h[32], policy[32];
    line(in, "used_memory:%zu", m.used);
    line(in, "used_memory_human:%s", human(h, m.used));
    line(in, "used_memory_rss:%zu", rss);
    line(in, "used_memory_rss_human:%s", human(h, rss));
    line(in, "used_memory_peak:%zu", peak);
    line(in, "used_memory_peak_human:%s", human(h, peak));
    line(in, "used_memory_peak_perc:%.2f%%", (double)m.used * 100 / (double)(peak ? peak : 1));
    line(in, "used_memory_overhead:%zu", overhead);
    line(in, "used_memory_startup:%zu", srv->startup_memory);
    line(in, "used_memory_dataset:%zu", dataset);
    line(in, "used_memory_dataset_perc:%.2f%%", (double)dataset * 100 / (double)beyond);
    line(in, "allocator_allocated:%zu", m.used);
    line(in, "allocator_active:%zu", m.active);
    line(in, "allocator_resident:%zu", m.resident);
    line(in, "total_system_memory:%llu", (unsigned long long)total);
    line(in, "total_system_memory_human:%s", human(h, total));
    static const char *const lua[] = {"used_memory_lua",          "used_memory_vm_eval",  "used_memory_scripts_eval",
                                      "number_of_cached_scripts", "number_of_functions",  "number_of_libraries",
                                      "used_memory_vm_functions", "used_memory_vm_total", "used_memory_functions",
                                      "used_memory_scripts"};
    for (size_t i = 0; i < sizeof lua / sizeof *lua; i++) line(in, "%s:0", lua[i]);
    line(in, "maxmemory:%lld", (long long)srv->config->maxmemory);
    line(in, "maxmemory_human:%s", human(h, (uint64_t)srv->config->maxmemory));
    line(in, "maxmemory_policy:%s", config_text(srv->config, "maxmemory-policy", policy, sizeof policy));
    line(in, "allocator_frag_ratio:%.2f", (double)m.active / (double)(m.used ? m.used : 1));
    line(in, "allocator_frag_bytes:%zu", m.active > m.used ? m.active - m.used : 0);
    line(in, "allocator_rss_ratio:%.2f", (double)m.resident / (double)(m.active ? m.active : 1));
    line(in, "allocator_rss_bytes:%lld", (long long)m.resident - (long long)m.active);
    line(in, "rss_overhead_ratio:%.2f", (double)rss / (double)(m.resident ? m.resident : 1));
    line(in, "rss_overhead_bytes:%lld", (long long)rss - (long long)m.resident);
    line(in, "mem_fragmentation_ratio:%.2f", (double)rss / (double)(m.used ? m.used : 1));
    line(in, "mem_fragmentation_bytes:%lld", (long long)rss - (long long)m.used);
    line(in, "mem_not_counted_for_evict:%zu", replicas_memory(in->w));
    line(in, "mem_replication_backlog:0");
    line(in, "mem_total_replication_buffers:%zu", replicas_memory(in->w));
    line(in, "mem_clients_slaves:0");
    line(in, "mem_clients_normal:%zu", clients);
    line(in, "mem_cluster_links:0");
    line(in, "mem_aof_buffer:0");
    line(in, "mem_allocator:demikv");
    line(in, "active_defrag_running:0");
    line(in, "lazyfree_pending_objects:%zu", lazyfree_pending(srv));
    line(in, "lazyfreed_objects:%llu", (unsigned long long)lazyfree_freed(srv));
}

static void info_persistence(struct info *in)
{
    struct server *srv = in->srv;
    line(in, "loading:0");
    line(in, "async_loading:0");
    line(in, "current_cow_peak:0");
    line(in, "current_cow_size:0");
    line(in, "current_cow_size_age:0");
    line(in, "current_fork_perc:0.00");
    line(in, "current_save_keys_processed:0");
    line(in, "current_save_keys_total:0");
    line(in, "rdb_changes_since_last_save:%lld", (long long)srv->dirty);
    line(in, "rdb_bgsave_in_progress:0");
    line(in, "rdb_last_save_time:%lld", (long long)(srv->start_ms / 1000));
    line(in, "rdb_last_bgsave_status:ok");
    line(in, "rdb_last_bgsave_time_sec:-1");
    line(in, "rdb_current_bgsave_time_sec:-1");
    line(in, "rdb_saves:0");
    line(in, "rdb_last_cow_size:0");
    line(in, "rdb_last_load_keys_expired:0");
    line(in, "rdb_last_load_keys_loaded:0");
    line(in, "aof_enabled:0");
    line(in, "aof_rewrite_in_progress:0");
    line(in, "aof_rewrite_scheduled:0");
    line(in, "aof_last_rewrite_time_sec:-1");
    line(in, "aof_current_rewrite_time_sec:-1");
    line(in, "aof_last_bgrewrite_status:ok");
    line(in, "aof_rewrites:0");
    line(in, "aof_rewrites_consecutive_failures:0");
    line(in, "aof_last_write_status:ok");
    line(in, "aof_last_cow_size:0");
    line(in, "module_fork_in_progress:0");
    line(in, "module_fork_last_cow_size:0");
}

static uint64_t mean_rate(const struct server *srv, int i)
{
    uint64_t sum = 0;
    for (int k = 0; k < 16; k++) sum += srv->rate[i].samples[k];
    return sum / 16;
}

static void info_stats(struct info *in)
{
    struct server *srv = in->srv;
    const struct worker_stats sum = worker_stats_sum(in->srv), *s = &sum;
    line(in, "total_connections_received:%llu", (unsigned long long)s->connections);
    line(in, "total_commands_processed:%llu", (unsigned long long)s->commands);
    line(in, "instantaneous_ops_per_sec:%llu", (unsigned long long)mean_rate(srv, 0));
    line(in, "total_net_input_bytes:%llu", (unsigned long long)s->net_in);
    line(in, "total_net_output_bytes:%llu", (unsigned long long)s->net_out);
    line(in, "total_net_repl_input_bytes:0");
    line(in, "total_net_repl_output_bytes:0");
    line(in, "instantaneous_input_kbps:%.2f", (double)mean_rate(srv, 1) / 1024);
    line(in, "instantaneous_output_kbps:%.2f", (double)mean_rate(srv, 2) / 1024);
    line(in, "instantaneous_input_repl_kbps:0.00");
    line(in, "instantaneous_output_repl_kbps:0.00");
    line(in, "rejected_connections:%llu", (unsigned long long)s->rejected_conn);
    line(in, "sync_full:%llu", (unsigned long long)replicas_full_syncs(in->w));
    line(in, "sync_partial_ok:0");
    line(in, "sync_partial_err:0");
    line(in, "expired_keys:%llu", (unsigned long long)s->expired);
    line(in, "expired_stale_perc:%.2f", s->expired_stale_perc * 100);
    line(in, "expired_time_cap_reached_count:%llu", (unsigned long long)s->expired_time_cap_reached);
    line(in, "expire_cycle_cpu_milliseconds:%llu", (unsigned long long)(s->expire_cycle_ns / NSEC_PER_MSEC));
    line(in, "evicted_keys:%llu", (unsigned long long)s->evicted);
    line(in, "evicted_clients:0");
    uint64_t over_now, over = evict_over_ns(in->w, &over_now);
    line(in, "total_eviction_exceeded_time:%llu", (unsigned long long)(over / NSEC_PER_MSEC));
    line(in, "current_eviction_exceeded_time:%llu", (unsigned long long)(over_now / NSEC_PER_MSEC));
    line(in, "keyspace_hits:%llu", (unsigned long long)s->hits);
    line(in, "keyspace_misses:%llu", (unsigned long long)s->misses);
    line(in, "pubsub_channels:%zu", pubsub_channel_count(srv));
    line(in, "pubsub_patterns:%zu", pubsub_pattern_count(srv));
    line(in, "pubsubshard_channels:0");
    line(in, "latest_fork_usec:0");
    line(in, "total_forks:0");
    line(in, "migrate_cached_sockets:0");
    line(in, "slave_expires_tracked_keys:0");
    line(in, "active_defrag_hits:0");
    line(in, "active_defrag_misses:0");
    line(in, "active_defrag_key_hits:0");
    line(in, "active_defrag_key_misses:0");
    line(in, "total_active_defrag_time:0");
    line(in, "current_active_defrag_time:0");
    line(in, "tracking_total_keys:0");
    line(in, "tracking_total_items:0");
    line(in, "tracking_total_prefixes:0");
    line(in, "unexpected_error_replies:0");
    line(in, "total_error_replies:%llu", (unsigned long long)s->errors);
    line(in, "dump_payload_sanitizations:0");
    line(in, "total_reads_processed:%llu", (unsigned long long)s->reads);
    line(in, "total_writes_processed:%llu", (unsigned long long)s->writes);
    line(in, "io_threaded_reads_processed:0");
    line(in, "io_threaded_writes_processed:0");
    line(in, "reply_buffer_shrinks:0");
    line(in, "reply_buffer_expands:0");
    line(in, "client_query_buffer_limit_disconnections:%llu", (unsigned long long)s->query_limit_closed);
    line(in, "client_output_buffer_limit_disconnections:%llu", (unsigned long long)s->output_limit_closed);
}

/* What it said of itself (REPLCONF), or the address it came from without its port, which is the connection's. */
static void replica_line(struct info *in, size_t i, const struct client *cl)
{
    const char *ip = cl->replica_ip ? cl->replica_ip : cl->peer, *colon = cl->replica_ip ? NULL : strrchr(ip, ':');
    int n = colon ? (int)(colon - ip) : (int)strlen(ip);
    line(in, "slave%zu:ip=%.*s,port=%d,state=online,offset=0,lag=0", i, n, ip, cl->replica_port);
}

static void info_replication(struct info *in)
{
    line(in, "role:master");
    line(in, "connected_slaves:%zu", replicas_count(in->w));
    for (size_t i = 0; i < replicas_count(in->w); i++) replica_line(in, i, replicas_at(in->w, i));
    line(in, "master_failover_state:no-failover");
    line(in, "master_replid:%s", in->srv->run_id);
    line(in, "master_replid2:0000000000000000000000000000000000000000");
    line(in, "master_repl_offset:0");
    line(in, "second_repl_offset:-1");
    line(in, "repl_backlog_active:0");
    line(in, "repl_backlog_size:%lld", (long long)in->srv->config->repl_backlog_size);
    line(in, "repl_backlog_first_byte_offset:0");
    line(in, "repl_backlog_histlen:0");
}

static void cpu_lines(struct info *in, const char *suffix, const struct rusage *ru)
{
    line(in, "used_cpu_sys%s:%ld.%06ld", suffix, (long)ru->ru_stime.tv_sec, (long)ru->ru_stime.tv_usec);
    line(in, "used_cpu_user%s:%ld.%06ld", suffix, (long)ru->ru_utime.tv_sec, (long)ru->ru_utime.tv_usec);
}

static void info_cpu(struct info *in)
{
    struct rusage self, children, thread;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
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
        line(in,
             "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%"
             "llu",
             command_at(i)->full_name, (unsigned long long)s->calls, (unsigned long long)us,
             s->calls ? (double)us / (double)s->calls : 0.0, (unsigned long long)s->rejected,
             (unsigned long long)s->failed);
    }
}

static void error_line(void *arg, const char *code, uint64_t count)
{
    line(arg, "errorstat_%s:count=%llu", code, (unsigned long long)count);
}

static void info_errorstats(struct info *in) { errorstats_each(in->srv, error_line, in); }

static void info_latencystats(struct info *in)
{
    const struct config *cfg = in->srv->config;
    if (!cfg->latency_tracking) return;
    for (unsigned i = 0; i < command_count(); i++) {
        const uint32_t *h = worker_command_stats_sum(in->srv, i).histogram;
        if (!histogram_count(h)) continue;
        char text[512];
        size_t n = 0;
        for (unsigned k = 0; k < cfg->latency_tracking_info_percentile_count && n < sizeof text - 64; k++) {
            double p = cfg->latency_tracking_info_percentiles[k];
            n += (size_t)snprintf(text + n, sizeof text - n, "%sp%.17g=%.3f", k ? "," : "", p,
                                  (double)ticks_to_ns(&in->w->ticks, histogram_percentile(h, p)) / 1000);
        }
        line(in, "latency_percentiles_usec_%s:%s", command_at(i)->full_name, n ? text : "");
    }
}

static void info_cluster(struct info *in) { line(in, "cluster_enabled:0"); }

static void info_keyspace(struct info *in)
{
    for (int i = 0; i < in->srv->db_count; i++) {
        struct db *db = &in->srv->dbs[i];
        if (!db_size(db)) continue;
        line(in, "db%d:keys=%zu,expires=%zu,avg_ttl=%lld", i, db_size(db), db_expires(db), (long long)db->avg_ttl_ms);
    }
}

static void counter_line(void *arg, const char *name, uint64_t value)
{
    char field[96];
    snprintf(field, sizeof field, "%s", name);
    for (char *p = field; *p; p++)
        if (*p == '.' || *p == '-') *p = '_';
    line(arg, "demi_%s:%llu", field, (unsigned long long)value);
}

static void info_demikernel(struct info *in)
{
    line(in, "demi_version:%s", demi_version());
    line(in, "demi_libos:%s", demi_libos_name());
    line(in, "demi_batches:%llu", (unsigned long long)worker_stats_sum(in->srv).batches);
    demi_counters(counter_line, in);
}

/* --- choosing ----------------------------------------------------------------------------------------------------- */

static const struct section {
    const char *name, *title;
    void (*write)(struct info *in);
    bool by_default;
} sections[] = {
    {"server", "Server", info_server, true},
    {"clients", "Clients", info_clients, true},
    {"memory", "Memory", info_memory, true},
    {"persistence", "Persistence", info_persistence, true},
    {"stats", "Stats", info_stats, true},
    {"replication", "Replication", info_replication, true},
    {"cpu", "CPU", info_cpu, true},
    {"modules", "Modules", info_modules, true},
    {"commandstats", "Commandstats", info_commandstats, false},
    {"errorstats", "Errorstats", info_errorstats, true},
    {"latencystats", "Latencystats", info_latencystats, false},
    {"cluster", "Cluster", info_cluster, true},
    {"keyspace", "Keyspace", info_keyspace, true},
    {"demikernel", "Demikernel", info_demikernel, true},
};
#define SECTION_COUNT (sizeof sections / sizeof *sections)

struct text_sink {
    char *out;
    size_t size;
};

static void take_text(void *arg, struct bytes name, struct bytes value)
{
    struct text_sink *s = arg;
    snprintf(s->out, s->size, "%.*s", (int)value.n, value.p);
}

static const char *config_text(const struct config *cfg, const char *name, char *out, size_t size)
{
    struct text_sink sink = {out, size};
    struct bytes pattern = bytes_of_str(name);
    out[0] = 0;
    conf_get(cfg, &pattern, 1, take_text, &sink);
    return out;
}

void info_write(struct worker *w, struct reply *text, const struct bytes *names, int count)
{
    struct info in = {w, w->srv, text, demi_mem_used()};
    bool wanted[SECTION_COUNT] = {false};
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        if (count == 0) wanted[i] = sections[i].by_default;
        for (int k = 0; k < count; k++) {
            bool all = bytes_is_word(names[k], "all") || bytes_is_word(names[k], "everything");
            bool dflt = bytes_is_word(names[k], "default") && sections[i].by_default;
            if (all || dflt || bytes_is_word(names[k], sections[i].name)) wanted[i] = true;
        }
    }
    bool first = true;
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        if (!wanted[i]) continue;
        if (!first) reply_raw(text, BYTES("\r\n"));
        first = false;
        line(&in, "# %s", sections[i].title);
        sections[i].write(&in);
    }
}

void cmd_info(struct call *c)
{
    struct reply text;
    reply_init(&text, 2);
    info_write(c->w, &text, c->argv + 1, c->argc - 1);
    call_text(c, &text);
}
