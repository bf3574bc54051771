/* SPDX-License-Identifier: MIT
 *
 * Nothing is added up as it happens: whoever asks pays, by a walk over the clients. What the system has to be asked for
 * takes it up to half a millisecond, and is asked ten times a second at most, as redis-server does.
 */
#include "server/observe/memory_use.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "server/net/tracking.h"
#include "server/repl/replicas.h"
#include "server/script/scripts.h"
#include "server/server.h"
#include "server/worker.h"

static size_t process_resident(void)
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

static void measure_clients(struct memory_use *m, const struct worker *w)
{
    const struct output_held held = client_output_held(w);
    m->clients_slaves = replicas_count(w) ? replicas_memory(w) : 0;
    if (!held.unsent) m->clients_normal = held.memory; /* of who is gone */
    list_for_each(it, &w->clients)
    {
        const struct client *cl = list_entry(it, struct client, all);
        bool replica = cl->s.flags & SESSION_REPLICA;
        (*(replica ? &m->replicas : &m->clients))++;
        *(replica ? &m->clients_slaves : &m->clients_normal) += client_memory(cl, &held);
    }
}

size_t memory_use_tables(const struct db *db)
{
    size_t bytes = 0;
    for (unsigned k = 0; k < db->slice_count; k++) bytes += table_bytes(&db->slices[k].table);
    return bytes;
}

size_t memory_use_expires(const struct db *db) { return db_expires(db) * sizeof(int64_t); }

static void measure_scripts(struct memory_use *m, const struct server *srv)
{
    if (!srv->scripts) return;
    const struct scripts_memory s = scripts_memory(srv);
    m->scripts = s.eval_scripts;
    m->scripts_cached = s.cached;
    m->functions = s.functions;
}

#define SEEN_NS UINT64_C(100000000)

static void see(struct server *srv, uint64_t now_ns)
{
    struct demi_mem_stats heap;
    struct sysinfo si;
    if (now_ns < srv->memory_seen.until_ns) return;
    demi_mem_stats(&heap);
    srv->memory_seen.resident = heap.resident;
    srv->memory_seen.rss = process_resident();
    srv->memory_seen.system = sysinfo(&si) ? 0 : (uint64_t)si.totalram * si.mem_unit;
    srv->memory_seen.until_ns = now_ns + SEEN_NS;
}

void memory_use_measure(struct memory_use *m, struct worker *w, size_t used)
{
    struct server *srv = w->srv;
    struct demi_mem_stats heap;
    see(srv, w->turn_ns);
    demi_mem_counts(&heap);
    *m = (struct memory_use){.used = used, .startup = srv->startup_memory, .rss = srv->memory_seen.rss};
    m->peak = heap.peak > used ? heap.peak : used;
    m->active = heap.active;
    m->resident = srv->memory_seen.resident;
    /* What nobody touched yet is not active: what is active is resident, or it is swapped out. */
    if (m->active > m->resident) m->active = m->resident > used ? m->resident : used;
    if (m->resident < m->active) m->resident = m->active;
    measure_clients(m, w);
    for (int i = 0; i < srv->db_count; i++) {
        m->keys += db_size(&srv->dbs[i]);
        m->tables += memory_use_tables(&srv->dbs[i]);
        m->expires += memory_use_expires(&srv->dbs[i]);
    }
    measure_scripts(m, srv);
    /* What the last replica has left behind is backlog, as more is written. */
    m->backlog = replicas_backlog_memory(w) + (replicas_count(w) ? 0 : replicas_memory(w));
    m->aof_buffer = aof_unwritten(&srv->aof);
    m->tracking = tracking_figures(srv).bytes;
    m->overhead = m->startup + m->clients_normal + m->clients_slaves + m->tables + m->expires + m->tracking +
                  m->backlog + m->aof_buffer + m->scripts + m->functions;
    m->dataset = used > m->overhead ? used - m->overhead : 0;
    m->beyond = used > m->startup ? used - m->startup : 1;
}
