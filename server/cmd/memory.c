/* SPDX-License-Identifier: MIT
 *
 * MEMORY STATS, DOCTOR, PURGE, MALLOC-STATS, HELP; MEMORY USAGE is with the keys (object.c).
 */
#include <stdio.h>
#include <string.h>

#include "server/command/handlers.h"
#include "server/mem.h"
#include "server/observe/memory_use.h"
#include "server/server.h"
#include "server/worker.h"

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
    reply_bulk_str(out, name);
    reply_map(out, 3);
    number(out, "overhead.hashtable.main", memory_use_tables(db));
    number(out, "overhead.hashtable.expires", memory_use_expires(db));
    number(out, "overhead.hashtable.slot-to-keys", 0);
}

/* How much larger a is than b. */
static void excess(struct reply *out, const char *name, const char *bytes, size_t a, size_t b)
{
    ratio(out, name, memory_use_ratio(a, b));
    reply_bulk_str(out, bytes);
    reply_int(out, (int64_t)a - (int64_t)b);
}

void cmd_memory_stats(struct call *c)
{
    struct memory_use m;
    memory_use_measure(&m, c->w, demi_mem_used());
    size_t dbs = 0;
    for (int i = 0; i < c->srv->db_count; i++) dbs += db_size(&c->srv->dbs[i]) > 0;
    struct reply *out = c->out;
    reply_map(out, 27 + dbs);
    number(out, "peak.allocated", m.peak);
    number(out, "total.allocated", m.used);
    number(out, "startup.allocated", m.startup);
    number(out, "replication.backlog", m.backlog);
    number(out, "clients.slaves", m.clients_slaves);
    number(out, "clients.normal", m.clients_normal);
    number(out, "cluster.links", 0);
    number(out, "aof.buffer", m.aof_buffer);
    number(out, "lua.caches", m.scripts);
    number(out, "functions.caches", m.functions);
    for (int i = 0; i < c->srv->db_count; i++)
        if (db_size(&c->srv->dbs[i])) db_overhead(out, &c->srv->dbs[i]);
    number(out, "overhead.total", m.overhead);
    number(out, "keys.count", m.keys);
    number(out, "keys.bytes-per-key", m.keys ? m.beyond / m.keys : 0);
    number(out, "dataset.bytes", m.dataset);
    ratio(out, "dataset.percentage", 100 * memory_use_ratio(m.dataset, m.beyond));
    ratio(out, "peak.percentage", 100 * memory_use_ratio(m.used, m.peak));
    number(out, "allocator.allocated", m.used);
    number(out, "allocator.active", m.active);
    number(out, "allocator.resident", m.resident);
    excess(out, "allocator-fragmentation.ratio", "allocator-fragmentation.bytes", m.active, m.used);
    excess(out, "allocator-rss.ratio", "allocator-rss.bytes", m.resident, m.active);
    excess(out, "rss-overhead.ratio", "rss-overhead.bytes", m.rss, m.resident);
    excess(out, "fragmentation", "fragmentation.bytes", m.rss, m.used);
}

void cmd_memory_doctor(struct call *c)
{
    struct memory_use m;
    memory_use_measure(&m, c->w, demi_mem_used());
    struct reply text;
    reply_init(&text, 2);
    memory_doctor(&text, &m);
    call_text(c, &text);
}

void cmd_memory_purge(struct call *c)
{
    demi_mem_purge();
    call_ok(c);
}

/* A line for each size of which there is something; what is not full is free for objects of that size alone. */
static size_t put_classes(char *text, size_t room)
{
    struct demi_mem_class all[DEMI_MEM_CLASSES];
    demi_mem_class_stats(all);
    size_t n = 0;
    for (unsigned i = 1; i <= DEMI_MEM_CLASSES && n < room; i++) {
        const struct demi_mem_class *k = &all[i % DEMI_MEM_CLASSES]; /* what is larger comes last */
        if (!k->blocks) continue;
        char size[24] = "larger";
        if (k->size) snprintf(size, sizeof size, "%zu", k->size);
        n += (size_t)snprintf(text + n, room - n, "%8s %8zu %12zu %12zu %14zu %5.1f\n", size, k->blocks, k->objects,
                              k->places, k->bytes, 100.0 * (double)k->objects / (double)k->places);
    }
    return n < room ? n : room - 1;
}

void cmd_memory_malloc_stats(struct call *c)
{
    struct demi_mem_stats m;
    demi_mem_stats(&m);
    char text[DEMI_MEM_CLASSES * 80 + 800];
    int n = snprintf(text, sizeof text,
                     "___ Begin demikv statistics ___\n"
                     "in live objects: %zu\nin slabs and larger blocks in use: %zu (%.2f times as much)\n"
                     "backed by memory: %zu\nhighest use: %zu\n"
                     "objects held by devices: %zu, freed ones among them: %zu bytes\n\n"
                     "%8s %8s %12s %12s %14s %5s\n",
                     m.used, m.active, m.used ? (double)m.active / (double)m.used : 1.0, m.resident, m.peak, m.pinned,
                     m.held, "size", "slabs", "objects", "places", "bytes", "% full");
    size_t all = (size_t)n + put_classes(text + n, sizeof text - (size_t)n - 64);
    all += (size_t)snprintf(text + all, sizeof text - all, "--- End demikv statistics ---\n");
    reply_verbatim(c->out, bytes_of(text, all), "txt");
}

void cmd_memory_help(struct call *c)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
        NULL,
    };
    call_help(c, lines);
}
