/* SPDX-License-Identifier: MIT
 *
 * LATENCY DOCTOR: each event's figures, then what may be done about them, in redis-server 7.2.4's words.
 *
 * What that says of fork() has no place here, since nothing forks; nor has its warning of huge pages: it is about their
 * copies while a child writes a file, and the heap asks the system for huge pages on purpose (alloc/region.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/conf/conf.h"
#include "server/observe/latency.h"
#include "server/resp/reply.h"
#include "server/server.h"

/* In the order of the report. */
enum advice {
    ADVISE_SLOWLOG_ENABLED,
    ADVISE_SLOWLOG_TUNING,
    ADVISE_SLOWLOG_INSPECT,
    ADVISE_SCHEDULER,
    ADVISE_LOCAL_DISK,
    ADVISE_SSD,
    ADVISE_DATA_WRITEBACK,
    ADVISE_DISK_CONTENTION,
    ADVISE_NO_APPENDFSYNC,
    ADVISE_RELAX_FSYNC_POLICY,
    ADVISE_WRITE_LOAD_INFO,
    ADVISE_HZ,
    ADVISE_LARGE_OBJECTS,
    ADVISE_MASS_EVICTION,
    ADVICE_COUNT
};

#define ADVICE(a) (1u << ADVISE_##a)
static_assert(ADVICE_COUNT <= 32, "a set of advices is an unsigned");

static const char *const advices[ADVICE_COUNT] = {
    [ADVISE_SLOWLOG_ENABLED] =
        "- There are latency issues with potentially slow commands you are using. Try to enable the Slow Log Redis "
        "feature using the command 'CONFIG SET slowlog-log-slower-than #'. If the Slow log is disabled Redis is "
        "not able to log slow commands execution for you.\n",
    [ADVISE_SLOWLOG_TUNING] =
        "- Your current Slow Log configuration only logs events that are slower than your configured latency "
        "monitor threshold. Please use 'CONFIG SET slowlog-log-slower-than #'.\n",
    [ADVISE_SLOWLOG_INSPECT] =
        "- Check your Slow Log to understand what are the commands you are running which are too slow to execute. "
        "Please check https://redis.io/commands/slowlog for more information.\n",
    [ADVISE_SCHEDULER] =
        "- The system is slow to execute Redis code paths not containing system calls. This usually means the "
        "system does not provide Redis CPU time to run for long periods. You should try to:\n"
        "  1) Lower the system load.\n"
        "  2) Use a computer / VM just for Redis if you are running other software in the same system.\n"
        "  3) Check if you have a \"noisy neighbour\" problem.\n"
        "  4) Check with 'redis-cli --intrinsic-latency 100' what is the intrinsic latency in your system.\n"
        "  5) Check if the problem is allocator-related by recompiling Redis with MALLOC=libc, if you are using "
        "Jemalloc. However this may create fragmentation problems.\n",
    [ADVISE_LOCAL_DISK] =
        "- It is strongly advised to use local disks for persistence, especially if you are using AOF. Remote disks "
        "provided by platform-as-a-service providers are known to be slow.\n",
    [ADVISE_SSD] =
        "- SSD disks are able to reduce fsync latency, and total time needed for snapshotting and AOF log rewriting "
        "(resulting in smaller memory usage). With extremely high write load SSD disks can be a good option. "
        "However Redis should perform reasonably with high load using normal disks. Use this advice as a last "
        "resort.\n",
    [ADVISE_DATA_WRITEBACK] =
        "- Mounting ext3/4 filesystems with data=writeback can provide a performance boost compared to "
        "data=ordered, however this mode of operation provides less guarantees, and sometimes it can happen that "
        "after a hard crash the AOF file will have a half-written command at the end and will require to be "
        "repaired before Redis restarts.\n",
    [ADVISE_DISK_CONTENTION] =
        "- Try to lower the disk contention. This is often caused by other disk intensive processes running in the "
        "same computer (including other Redis instances).\n",
    [ADVISE_NO_APPENDFSYNC] =
        "- Assuming from the point of view of data safety this is viable in your environment, you could try to "
        "enable the 'no-appendfsync-on-rewrite' option, so that fsync will not be performed while there is a child "
        "rewriting the AOF file or producing an RDB file (the moment where there is high disk contention).\n",
    [ADVISE_RELAX_FSYNC_POLICY] =
        "- Your fsync policy is set to 'always'. It is very hard to get good performances with such a setup, if "
        "possible try to relax the fsync policy to 'onesec'.\n",
    [ADVISE_WRITE_LOAD_INFO] =
        "- Latency during the AOF atomic rename operation or when the final difference is flushed to the AOF file "
        "at the end of the rewrite, sometimes is caused by very high write load, causing the AOF buffer to get very "
        "large. If possible try to send less commands to accomplish the same work, or use Lua scripts to group "
        "multiple operations into a single EVALSHA call.\n",
    [ADVISE_HZ] =
        "- In order to make the Redis keys expiring process more incremental, try to set the 'hz' configuration "
        "parameter to 100 using 'CONFIG SET hz 100'.\n",
    [ADVISE_LARGE_OBJECTS] =
        "- Deleting, expiring or evicting (because of maxmemory policy) large objects is a blocking operation. If "
        "you have very large objects that are often deleted, expired, or evicted, try to fragment those objects "
        "into multiple smaller objects.\n",
    [ADVISE_MASS_EVICTION] =
        "- Sudden changes to the 'maxmemory' setting via 'CONFIG SET', or allocation of large objects via sets or "
        "sorted sets intersections, STORE option of SORT, Redis Cluster large keys migrations (RESTORE command), "
        "may create sudden memory pressure forcing the server to block trying to evict keys. \n",
};

static const struct {
    const char *event;
    unsigned advices;
} remedies[] = {
    {"command", ADVICE(SLOWLOG_INSPECT) | ADVICE(LARGE_OBJECTS)},
    {"fast-command", ADVICE(SCHEDULER)},
    {"aof-write-pending-fsync", ADVICE(LOCAL_DISK) | ADVICE(DISK_CONTENTION) | ADVICE(SSD) | ADVICE(DATA_WRITEBACK)},
    {"aof-write-active-child", ADVICE(NO_APPENDFSYNC) | ADVICE(DATA_WRITEBACK) | ADVICE(SSD)},
    {"aof-write-alone", ADVICE(LOCAL_DISK) | ADVICE(DATA_WRITEBACK) | ADVICE(SSD)},
    {"aof-fsync-always", ADVICE(RELAX_FSYNC_POLICY)},
    {"aof-fstat", ADVICE(DISK_CONTENTION) | ADVICE(LOCAL_DISK)},
    {"rdb-unlink-temp-file", ADVICE(DISK_CONTENTION) | ADVICE(LOCAL_DISK)},
    {"aof-rewrite-diff-write", ADVICE(WRITE_LOAD_INFO) | ADVICE(DATA_WRITEBACK) | ADVICE(SSD) | ADVICE(LOCAL_DISK)},
    {"aof-rename", ADVICE(WRITE_LOAD_INFO) | ADVICE(DATA_WRITEBACK) | ADVICE(SSD) | ADVICE(LOCAL_DISK)},
    {"expire-cycle", ADVICE(HZ) | ADVICE(LARGE_OBJECTS)},
    {"eviction-del", ADVICE(LARGE_OBJECTS)},
    {"eviction-cycle", ADVICE(MASS_EVICTION)},
};

static unsigned advices_of(const struct latency_event *e, const struct config *cfg)
{
    struct bytes name = bytes_of_str(e->name);
    unsigned set = 0;
    for (size_t i = 0; i < sizeof remedies / sizeof *remedies; i++)
        if (bytes_equal(name, bytes_of_str(remedies[i].event))) set = remedies[i].advices;
    if (set & ADVICE(SLOWLOG_INSPECT)) {
        if (cfg->slowlog_log_slower_than < 0) set |= ADVICE(SLOWLOG_ENABLED);
        else if (cfg->slowlog_log_slower_than / 1000 > cfg->latency_monitor_threshold) set |= ADVICE(SLOWLOG_TUNING);
    }
    return set;
}

static void tell_event(struct reply *text, const struct latency_event *e, size_t number, int64_t now_s)
{
    int64_t count = (int64_t)e->count, sum = 0, deviations = 0;
    for (size_t i = 0; i < e->count; i++) sum += latency_event_sample(e, i).ms;
    int64_t mean = sum / count;
    for (size_t i = 0; i < e->count; i++) {
        int64_t off = latency_event_sample(e, i).ms - mean;
        deviations += off < 0 ? -off : off;
    }
    int64_t period_s = now_s - latency_event_sample(e, 0).time_s;
    if (period_s <= 0) period_s = 1;
    char line[256];
    int n = snprintf(line, sizeof line,
                     "%zu. %s: %" PRId64 " latency spikes (average %" PRId64 "ms, mean deviation %" PRId64
                     "ms, period %.2f sec). Worst all time event %" PRId64 "ms.\n",
                     number, e->name, count, mean, deviations / count, (double)period_s / (double)count, e->worst_ms);
    reply_raw(text, bytes_of(line, (size_t)n));
}

/* Some hold only while the configuration is what they advise against. */
static bool is_told(enum advice a, unsigned set, const struct server *srv)
{
    if (!(set & 1u << a)) return false;
    if (a == ADVISE_RELAX_FSYNC_POLICY) return aof_is_always(srv);
    if (a == ADVISE_HZ) return srv->config->hz < 100;
    return true;
}

/* The advice up to its '#', microseconds of slowlog-log-slower-than that show what the monitor shows, and the rest. */
static void tell_threshold(struct reply *text, const char *advice, const struct server *srv)
{
    char number[32];
    size_t before = strcspn(advice, "#");
    int n = snprintf(number, sizeof number, "%lld", (long long)srv->config->latency_monitor_threshold * 1000);
    reply_raw(text, bytes_of(advice, before));
    reply_raw(text, bytes_of(number, (size_t)n));
    reply_raw(text, bytes_of_str(advice + before + 1));
}

static void tell_advices(struct reply *text, unsigned set, const struct server *srv)
{
    reply_raw(text, BYTES("\nI have a few advices for you:\n\n"));
    for (enum advice a = 0; a < ADVICE_COUNT; a++) {
        if (!is_told(a, set, srv)) continue;
        if (a == ADVISE_SLOWLOG_ENABLED || a == ADVISE_SLOWLOG_TUNING) {
            tell_threshold(text, advices[a], srv);
        } else {
            reply_raw(text, bytes_of_str(advices[a]));
        }
    }
}

void latency_doctor(struct reply *text, const struct server *srv)
{
    size_t count = latency_event_count(srv);
    if (!count && !srv->config->latency_monitor_threshold) {
        reply_raw(text, BYTES("I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis "
                              "instance. You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in "
                              "order to enable it. If we weren't in a deep space mission I'd suggest to take a look "
                              "at https://redis.io/topics/latency-monitor.\n"));
        return;
    }
    if (!count) {
        reply_raw(text, BYTES("Dave, no latency spike was observed during the lifetime of this Redis instance, not "
                              "in the slightest bit. I honestly think you ought to sit down calmly, take a stress "
                              "pill, and think things over.\n"));
        return;
    }
    reply_raw(text, BYTES("Dave, I have observed latency spikes in this Redis instance. You don't mind talking "
                          "about it, do you Dave?\n"
                          "\n"));
    unsigned set = 0;
    for (size_t i = 0; i < count; i++) {
        tell_event(text, latency_event_at(srv, i), i + 1, demi_wall_us() / 1000000);
        set |= advices_of(latency_event_at(srv, i), srv->config);
    }
    if (set) tell_advices(text, set, srv);
    else
        reply_raw(text, BYTES("\n"
                              "While there are latency events logged, I'm not able to suggest any easy fix. Please "
                              "use the Redis community to get some help, providing this report in your help "
                              "request.\n"));
}
