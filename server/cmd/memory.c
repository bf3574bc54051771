/* SPDX-License-Identifier: MIT
 *
 * MEMORY STATS, DOCTOR, PURGE, MALLOC-STATS, HELP; MEMORY USAGE is with the keys (object.c).
 */
#include <stdio.h>
#include <string.h>

#include "server/command/handlers.h"
#include "server/mem.h"
#include "server/server.h"
#include "server/worker.h"

struct overhead {
    size_t clients, tables, keys, total;
};

static struct overhead measure(struct call *c)
{
    struct overhead o = {.total = c->srv->startup_memory};
    list_for_each(it, &c->w->clients) o.clients += client_memory(list_entry(it, struct client, all));
    for (int i = 0; i < c->srv->db_count; i++) {
        struct db *db = &c->srv->dbs[i];
        o.keys += db_size(db);
        for (unsigned k = 0; k < db->slice_count; k++) o.tables += table_bytes(&db->slices[k].table);
    }
    o.total += o.clients + o.tables;
    return o;
}

static void number(struct reply *out, const char *name, size_t value)
{
    reply_bulk_str(out, name);
    reply_int(out, (int64_t)value);
}

static void ratio(struct reply *out, const char *name, double value)
{
    reply_bulk_str(out, name);
    reply_double(out, value);
}

static void db_overhead(struct reply *out, struct db *db)
{
    char name[32];
    snprintf(name, sizeof name, "db.%d", db->id);
    size_t bytes = 0;
    for (unsigned k = 0; k < db->slice_count; k++) bytes += table_bytes(&db->slices[k].table);
    reply_bulk_str(out, name);
    reply_map(out, 3);
    number(out, "overhead.hashtable.main", bytes);
    number(out, "overhead.hashtable.expires", 0);
    number(out, "overhead.hashtable.slot-to-keys", 0);
}

void cmd_memory_stats(struct call *c)
{
    struct demi_mem_stats m;
    demi_mem_stats(&m);
    struct overhead o = measure(c);
    if (o.total > m.used) o.total = m.used;
    size_t dataset = m.used - o.total, beyond = m.used > c->srv->startup_memory ? m.used - c->srv->startup_memory : 1;
    size_t dbs = 0;
    for (int i = 0; i < c->srv->db_count; i++) dbs += db_size(&c->srv->dbs[i]) > 0;
    struct reply *out = c->out;
    reply_map(out, 25 + dbs);
    number(out, "peak.allocated", m.peak > m.used ? m.peak : m.used);
    number(out, "total.allocated", m.used);
    number(out, "startup.allocated", c->srv->startup_memory);
    number(out, "replication.backlog", 0);
    number(out, "clients.slaves", 0);
    number(out, "clients.normal", o.clients);
    number(out, "cluster.links", 0);
    number(out, "aof.buffer", 0);
    number(out, "lua.caches", 0);
    number(out, "functions.caches", 0);
    for (int i = 0; i < c->srv->db_count; i++)
        if (db_size(&c->srv->dbs[i])) db_overhead(out, &c->srv->dbs[i]);
    number(out, "overhead.total", o.total);
    number(out, "keys.count", o.keys);
    number(out, "keys.bytes-per-key", o.keys ? beyond / o.keys : 0);
    number(out, "dataset.bytes", dataset);
    ratio(out, "dataset.percentage", (double)dataset * 100 / (double)beyond);
    ratio(out, "peak.percentage", (double)m.used * 100 / (double)(m.peak ? m.peak : 1));
    number(out, "allocator.allocated", m.used);
    number(out, "allocator.active", m.active);
    number(out, "allocator.resident", m.resident);
    ratio(out, "allocator-fragmentation.ratio", (double)m.active / (double)(m.used ? m.used : 1));
    number(out, "allocator-fragmentation.bytes", m.active > m.used ? m.active - m.used : 0);
    ratio(out, "allocator-rss.ratio", (double)m.resident / (double)(m.active ? m.active : 1));
    number(out, "allocator-rss.bytes", m.resident > m.active ? m.resident - m.active : 0);
    ratio(out, "fragmentation", (double)m.resident / (double)(m.used ? m.used : 1));
    number(out, "fragmentation.bytes", m.resident > m.used ? m.resident - m.used : 0);
}

void cmd_memory_doctor(struct call *c)
{
    struct demi_mem_stats m;
    demi_mem_stats(&m);
    struct overhead o = measure(c);
    char text[1024] = "";
    size_t n = 0;
    if (m.used < (5u << 20)) {
        n = (size_t)snprintf(text, sizeof text,
                             "Hi Sam, this instance is empty or is using very little memory, my "
                             "issue detector can't be used in these "
                             "conditions. Please, leave for your mission on Earth and fill it with "
                             "some data. The new Sam and I will be "
                             "back to our programming as soon as I finished rebooting.\n");
    } else {
        if (m.peak > m.used * 3 / 2)
            n += (size_t)snprintf(text + n, sizeof text - n,
                                  " * Peak memory: the highest use so far was more than 1.5 times "
                                  "what is used now. Memory given back by "
                                  "deleted data is reused before more is taken.\n");
        if (m.resident > m.used + m.used * 2 / 5 && m.resident - m.used > (10u << 20))
            n += (size_t)snprintf(text + n, sizeof text - n,
                                  " * Fragmentation: more than 1.4 times the memory in use is "
                                  "resident, mostly in partly filled pages.\n");
        if (c->w->client_count && o.clients / c->w->client_count > 200 * 1024)
            n += (size_t)snprintf(text + n, sizeof text - n,
                                  " * Client buffers: more than 200 KiB a client on average. Look "
                                  "for slow readers in CLIENT LIST.\n");
        if (n == 0)
            n = (size_t)snprintf(text, sizeof text, "Hi Sam, I can't find any memory issue in your instance.\n");
    }
    reply_verbatim(c->out, bytes_of(text, n), "txt");
}

void cmd_memory_purge(struct call *c)
{
    while (demi_mem_collect()) {
    }
    call_ok(c);
}

void cmd_memory_malloc_stats(struct call *c)
{
    struct demi_mem_stats m;
    demi_mem_stats(&m);
    char text[512];
    int n = snprintf(text, sizeof text,
                     "in live objects: %zu\nin pages that hold any: %zu\nbacked by memory: "
                     "%zu\nhighest use: %zu\n"
                     "objects held by devices: %zu\n",
                     m.used, m.active, m.resident, m.peak, m.pinned);
    reply_verbatim(c->out, bytes_of(text, (size_t)n), "txt");
}

void cmd_memory_help(struct call *c)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Look for memory problems and tell about them.",
        "MALLOC-STATS",
        "    Tell the allocator's figures.",
        "PURGE",
        "    Give memory that is free back to the system.",
        "STATS",
        "    Tell what memory is used for.",
        "USAGE <key> [SAMPLES <count>]",
        "    Tell how much memory a key and its value take. Of a nested value <count> elements are",
        "    looked at (default: 5, 0 means all).",
        NULL,
    };
    call_help(c, lines);
}
