/* SPDX-License-Identifier: MIT
 *
 * What memory is used for: the one sum behind INFO memory, MEMORY STATS and MEMORY DOCTOR.
 *
 *     used = startup + clients + replicas + tables + expiries + tracking + AOF buffer + scripts + functions + data
 *            '------------------------------------- overhead ------------------------------------'
 *
 * A client's part is what is there for it alone. A value that a reply lends to a device is data, however many clients
 * it is on its way to; a buffer that was handed to a device and freed is a client's until the device lets go of it.
 */
#ifndef SERVER_OBSERVE_MEMORY_USE_H
#define SERVER_OBSERVE_MEMORY_USE_H

#include <stddef.h>

struct db;
struct reply;
struct worker;

struct memory_use {
    size_t used, peak, startup;
    size_t active, resident; /* of the heap: in pages that hold anything; of those, backed by memory */
    size_t rss;              /* of the process */
    size_t clients_normal;
    size_t clients_slaves; /* clients that are replicas, with the snapshots and effects that they have still to read */
    size_t clients, replicas; /* how many of either */
    size_t backlog;           /* of replication, as far as repl-backlog-size goes */
    size_t tables;            /* of all databases */
    size_t expires;           /* of all databases: when keys expire */
    size_t tracking;          /* names of keys that clients keep in caches of their own */
    size_t aof_buffer;        /* what is to be appended to the file */
    size_t scripts;           /* EVAL's scripts, and the cache of them, without the states of Lua */
    size_t scripts_cached;    /* how many */
    size_t functions;         /* libraries, without the states of Lua */
    size_t keys;
    size_t overhead, dataset;
    size_t beyond; /* used since the start; at least 1, since percentages are of it */
};

/* used: demi_mem_used() before the text that is to show it took any. */
void memory_use_measure(struct memory_use *m, struct worker *w, size_t used);
size_t memory_use_tables(const struct db *db);
/* An expiry stands in its key's entry: eight bytes of each that has one. */
size_t memory_use_expires(const struct db *db);
/* MEMORY DOCTOR's report of it. */
void memory_doctor(struct reply *text, const struct memory_use *m);
/* a / b, as the fields that end in _ratio have it. */
static inline double memory_use_ratio(size_t a, size_t b) { return (double)a / (double)(b ? b : 1); }

#endif
