/* SPDX-License-Identifier: MIT
 *
 * INFO memory.
 */
#include <stdio.h>

#include "server/conf/conf.h"
#include "server/lazyfree.h"
#include "server/evict.h"
#include "server/observe/info_section.h"
#include "server/observe/memory_use.h"
#include "server/repl/replicas.h"
#include "server/script/scripts.h"
#include "server/server.h"
#include "server/worker.h"

static void bytes_line(struct info *in, const char *name, uint64_t n)
{
    info_line(in, "%s:%llu", name, (unsigned long long)n);
}

/* 1536 -> "1.50K" */
static void human_line(struct info *in, const char *name, uint64_t n)
{
    static const char units[] = "BKMGTP";
    double v = (double)n;
    int u = 0;
    while (v >= 1024 && u < 5) {
        v /= 1024;
        u++;
    }
    if (u == 0) info_line(in, "%s_human:%lluB", name, (unsigned long long)n);
    else info_line(in, "%s_human:%.2f%c", name, v, units[u]);
}

static void both_lines(struct info *in, const char *name, uint64_t n)
{
    bytes_line(in, name, n);
    human_line(in, name, n);
}

/* How much larger a is than b. */
static void excess_lines(struct info *in, const char *name, size_t a, size_t b)
{
    info_line(in, "%s_ratio:%.2f", name, memory_use_ratio(a, b));
    info_line(in, "%s_bytes:%lld", name, (long long)a - (long long)b);
}

static void policy_line(void *arg, struct bytes name, struct bytes value)
{
    (void)name;
    info_line(arg, "maxmemory_policy:%.*s", (int)value.n, value.p);
}

static void script_lines(struct info *in)
{
    struct scripts_memory m = {0};
    if (in->srv->scripts) m = scripts_memory(in->srv);
    bytes_line(in, "used_memory_lua", m.eval_vm);
    bytes_line(in, "used_memory_vm_eval", m.eval_vm);
    human_line(in, "used_memory_lua", m.eval_vm);
    bytes_line(in, "used_memory_scripts_eval", m.eval_scripts);
    bytes_line(in, "number_of_cached_scripts", m.cached);
    bytes_line(in, "number_of_functions", m.function_count);
    bytes_line(in, "number_of_libraries", in->srv->libraries.count);
    bytes_line(in, "used_memory_vm_functions", m.function_vm);
    both_lines(in, "used_memory_vm_total", m.eval_vm + m.function_vm);
    bytes_line(in, "used_memory_functions", m.functions);
    both_lines(in, "used_memory_scripts", m.eval_scripts + m.functions);
}

void info_memory(struct info *in)
{
    struct server *srv = in->srv;
    struct memory_use m;
    memory_use_measure(&m, in->w, in->used);
    both_lines(in, "used_memory", m.used);
    both_lines(in, "used_memory_rss", m.rss);
    both_lines(in, "used_memory_peak", m.peak);
    info_line(in, "used_memory_peak_perc:%.2f%%", 100 * memory_use_ratio(m.used, m.peak));
    bytes_line(in, "used_memory_overhead", m.overhead);
    bytes_line(in, "used_memory_startup", m.startup);
    bytes_line(in, "used_memory_dataset", m.dataset);
    info_line(in, "used_memory_dataset_perc:%.2f%%", 100 * memory_use_ratio(m.dataset, m.beyond));
    bytes_line(in, "allocator_allocated", m.used);
    bytes_line(in, "allocator_active", m.active);
    bytes_line(in, "allocator_resident", m.resident);
    both_lines(in, "total_system_memory", srv->memory_seen.system);
    script_lines(in);
    both_lines(in, "maxmemory", (uint64_t)srv->config->maxmemory);
    struct bytes policy = BYTES("maxmemory-policy");
    conf_get(srv->config, &policy, 1, policy_line, in);
    info_line(in, "allocator_frag_ratio:%.2f", memory_use_ratio(m.active, m.used));
    bytes_line(in, "allocator_frag_bytes", m.active > m.used ? m.active - m.used : 0);
    excess_lines(in, "allocator_rss", m.resident, m.active);
    excess_lines(in, "rss_overhead", m.rss, m.resident);
    excess_lines(in, "mem_fragmentation", m.rss, m.used);
    bytes_line(in, "mem_not_counted_for_evict", evict_not_counted(srv));
    bytes_line(in, "mem_replication_backlog", m.backlog);
    bytes_line(in, "mem_total_replication_buffers", replicas_memory(in->w) + replicas_backlog_memory(in->w));
    bytes_line(in, "mem_clients_slaves", m.clients_slaves);
    bytes_line(in, "mem_clients_normal", m.clients_normal);
    bytes_line(in, "mem_cluster_links", 0);
    bytes_line(in, "mem_aof_buffer", m.aof_buffer);
    info_line(in, "mem_allocator:demikv");
    info_line(in, "active_defrag_running:%lld", (long long)in->w->defrag.percent);
    bytes_line(in, "lazyfree_pending_objects", lazyfree_pending(srv));
    bytes_line(in, "lazyfreed_objects", lazyfree_freed(srv));
}
