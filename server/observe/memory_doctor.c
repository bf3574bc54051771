/* SPDX-License-Identifier: MIT
 *
 * MEMORY DOCTOR: redis-server 7.2.4's eight questions, with its limits and in its words, since there are programs that
 * look for these.
 */
#include "server/observe/memory_use.h"

#include <stdbool.h>
#include <stdio.h>

#include "server/resp/reply.h"

#define MB (UINT64_C(1) << 20)

#define LITTLE_BYTES       (5 * MB)  /* used by less: there is nothing to tell */
#define EXCESS_BYTES       (10 * MB) /* less than that is not worth a word, whatever the ratio */
#define TOTAL_RATIO        1.4
#define ALLOCATOR_RATIO    1.1
#define CLIENT_BYTES       (UINT64_C(200) << 10)
#define REPLICAS_BYTES     (10 * MB)
#define MANY_SCRIPTS_COUNT 1000

/* a is larger than b by more than the ratio and by more than EXCESS_BYTES. */
static bool exceeds(size_t a, size_t b, double ratio)
{
    return a > b && a - b > EXCESS_BYTES && memory_use_ratio(a, b) > ratio;
}

static bool big_peak(const struct memory_use *m) { return memory_use_ratio(m->peak, m->used) > 1.5; }
static bool high_total(const struct memory_use *m) { return exceeds(m->rss, m->used, TOTAL_RATIO); }
static bool high_fragmentation(const struct memory_use *m) { return exceeds(m->active, m->used, ALLOCATOR_RATIO); }
static bool high_allocator_rss(const struct memory_use *m) { return exceeds(m->resident, m->active, ALLOCATOR_RATIO); }
static bool high_process_rss(const struct memory_use *m) { return exceeds(m->rss, m->resident, ALLOCATOR_RATIO); }
static bool big_replicas(const struct memory_use *m) { return m->replicas && m->clients_slaves > REPLICAS_BYTES; }
static bool big_clients(const struct memory_use *m)
{
    return m->clients && m->clients_normal / m->clients > CLIENT_BYTES;
}
static bool many_scripts(const struct memory_use *m) { return m->scripts_cached > MANY_SCRIPTS_COUNT; }

/* In the order of the report. */
static const struct {
    bool (*holds)(const struct memory_use *m);
    const char *text;
} issues[] = {
    {big_peak,
     " * Peak memory: In the past this instance used more than 150% the memory that is currently using. The "
     "allocator is normally not able to release memory after a peak, so you can expect to see a big fragmentation "
     "ratio, however this is actually harmless and is only due to the memory peak, and if the Redis instance "
     "Resident Set Size (RSS) is currently bigger than expected, the memory will be used as soon as you fill the "
     "Redis instance with more data. If the memory peak was only occasional and you want to try to reclaim "
     "memory, please try the MEMORY PURGE command, otherwise the only other option is to shutdown and restart the "
     "instance."},
    {high_total,
     " * High total RSS: This instance has a memory fragmentation and RSS overhead greater than 1.4 (this means "
     "that the Resident Set Size of the Redis process is much larger than the sum of the logical allocations "
     "Redis performed). This problem is usually due either to a large peak memory (check if there is a peak "
     "memory entry above in the report) or may result from a workload that causes the allocator to fragment "
     "memory a lot. If the problem is a large peak memory, then there is no issue. Otherwise, make sure you are "
     "using the Jemalloc allocator and not the default libc malloc. Note: The currently used allocator is "
     "\"demikv\"."},
    {high_fragmentation,
     " * High allocator fragmentation: This instance has an allocator external fragmentation greater than 1.1. "
     "This problem is usually due either to a large peak memory (check if there is a peak memory entry above in "
     "the report) or may result from a workload that causes the allocator to fragment memory a lot. You can try "
     "enabling 'activedefrag' config option."},
    {high_allocator_rss,
     " * High allocator RSS overhead: This instance has an RSS memory overhead is greater than 1.1 (this means "
     "that the Resident Set Size of the allocator is much larger than the sum what the allocator actually holds). "
     "This problem is usually due to a large peak memory (check if there is a peak memory entry above in the "
     "report), you can try the MEMORY PURGE command to reclaim it."},
    {high_process_rss,
     " * High process RSS overhead: This instance has non-allocator RSS memory overhead is greater than 1.1 (this "
     "means that the Resident Set Size of the Redis process is much larger than the RSS the allocator holds). "
     "This problem may be due to Lua scripts or Modules."},
    {big_replicas,
     " * Big replica buffers: The replica output buffers in this instance are greater than 10MB for each replica "
     "(on average). This likely means that there is some replica instance that is struggling receiving data, "
     "either because it is too slow or because of networking issues. As a result, data piles on the master output "
     "buffers. Please try to identify what replica is not receiving data correctly and why. You can use the INFO "
     "output in order to check the replicas delays and the CLIENT LIST command to check the output buffers of "
     "each replica."},
    {big_clients,
     " * Big client buffers: The clients output buffers in this instance are greater than 200K per client (on "
     "average). This may result from different causes, like Pub/Sub clients subscribed to channels bot not "
     "receiving data fast enough, so that data piles on the Redis instance output buffer, or clients sending "
     "commands with large replies or very large sequences of commands in the same pipeline. Please use the CLIENT "
     "LIST command in order to investigate the issue if it causes problems in your instance, or to understand "
     "better why certain clients are using a big amount of memory."},
    {many_scripts,
     " * Many scripts: There seem to be many cached scripts in this instance (more than 1000). This may be because "
     "scripts are generated and `EVAL`ed, instead of being parameterized (with KEYS and ARGV), `SCRIPT LOAD`ed "
     "and `EVALSHA`ed. Unless `SCRIPT FLUSH` is called periodically, the scripts' caches may end up consuming "
     "most of your memory."},
};

void memory_doctor(struct reply *text, const struct memory_use *m)
{
    if (m->used < LITTLE_BYTES) {
        reply_raw(
            text,
            BYTES("Hi Sam, this instance is empty or is using very little memory, my issues detector can't be used in "
                  "these conditions. Please, leave for your mission on Earth and fill it with some data. The new Sam "
                  "and I will be back to our programming as soon as I finished rebooting.\n"));
        return;
    }
    size_t count = 0;
    for (size_t i = 0; i < sizeof issues / sizeof *issues; i++) {
        if (!issues[i].holds(m)) continue;
        if (!count++)
            reply_raw(text, BYTES("Sam, I detected a few issues in this Redis instance memory implants:\n\n"));
        reply_raw(text, bytes_of_str(issues[i].text));
        reply_raw(text, BYTES("\n\n"));
    }
    if (count) reply_raw(text, BYTES("I'm here to keep you safe, Sam. I want to help you.\n"));
    else
        reply_raw(
            text,
            BYTES("Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this "
                  "base.\n"));
}
