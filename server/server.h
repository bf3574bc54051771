/* SPDX-License-Identifier: MIT
 *
 * What is shared by all cores (struct server) and what belongs to one (struct worker). The first version runs one
 * worker; a second one is another thread with its own runtime, clients, buffers and statistics, working on the same
 * keyspace slices.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <signal.h>
#include <stdatomic.h>

#include "alloc/base/clock.h"
#include "alloc/base/list.h"
#include "alloc/base/rng.h"
#include "demi/ext.h"
#include "server/call.h"
#include "server/client.h"
#include "server/conf/config.h"
#include "server/db/db.h"
#include "server/db/hooks.h"
#include "server/ds/quicklist.h"
#include "server/effects.h"
#include "server/ticks.h"

#define DEMIKV_VERSION    "0.1.0"
#define REDIS_VERSION     "7.2.4" /* what clients gate features on */
#define REDIS_VERSION_NUM 0x00070204

struct pubsub;
struct slowlog;
struct latency;
struct lazyfree;
struct batch;
struct replicas;

/* Receives every effect, in order: AOF, replication. Commands arrive deterministic, MULTI and EXEC around those that
 * belong together. */
struct effect_sink {
    struct list link;
    void (*effect)(struct effect_sink *s, int dbid, const struct bytes *argv, int argc);
};

struct command_stats {
    uint64_t calls, ticks, rejected, failed;
    uint32_t *histogram; /* of ticks, server/latency.h; NULL until the first sample */
};

struct worker_stats {
    uint64_t commands, connections, rejected_conn, hits, misses, expired, evicted, errors;
    uint64_t net_in, net_out, protocol_errors, unblocked, reads, writes;
    uint64_t batches, acl_denied_auth;
    uint64_t expired_time_cap_reached, expire_cycle_ns;
    uint64_t output_limit_closed, query_limit_closed;
    uint64_t over_ns, over_since_ns; /* above maxmemory: finished times together; since when, 0: not now */
    double expired_stale_perc;
    size_t peak_clients;
};

struct worker {
    struct server *srv;
    struct rng rng;
    struct list clients; /* struct client, all */
    size_t client_count, blocked_count, monitor_count;
    struct client **by_qd; /* queue descriptor - BASE_QD -> client; grows */
    size_t by_qd_size;
    struct client *ready, **ready_tail; /* with input to parse */
    struct client *flush;               /* with output to push */
    struct client *dying;               /* freed at the end of the turn */
    struct reply nowhere;               /* what CLIENT REPLY OFF swallows */
    struct batch *batch;                /* server/batch.c */
    struct call call;                   /* of the running command */
    struct effects effects;             /* of the running command, not handed over yet */
    int64_t now_ms;                     /* wall clock of this turn */
    int64_t now_us;
    uint64_t turn_ns; /* monotonic clock of this turn */
    struct worker_stats stats;
    struct command_stats *cmd_stats; /* by command->index */
    struct replicas *replicas;       /* server/replicas.c; NULL: there was none yet */
    struct blocked_worker *blocked;  /* server/blocked.c: deadlines, ready keys */
    struct evict *evict;
    bool evicting; /* eviction goes on in the next turn */
    demi_wake_t *wake;
    struct ticks_rate ticks;
    uint64_t slow_ticks; /* commands that take as long are looked at */
    uint64_t cron_runs;
    size_t events; /* completions of this turn, for INFO */
};

struct listener {
    int qd;
    bool is_unix;
    char text[128];
};

struct server {
    struct config *config;
    struct db *dbs;
    int db_count;
    struct worker *workers;
    int worker_count;

    struct listener listeners[24];
    int listener_count;

    struct list sinks; /* struct effect_sink */
    struct pubsub *pubsub;
    struct slowlog *slowlog;
    struct latency *latency;
    struct lazyfree *lazyfree;
    struct errorstats *errorstats;
    struct quicklist_options list_options; /* what every list points to; server/types/list.h fills it */

    _Atomic uint64_t next_client_id;
    int64_t dirty; /* changes since the last save */
    int64_t start_ms;
    uint64_t start_ns;
    char run_id[41];
    char executable[512];
    char config_file[512]; /* "" without one */
    char *exec_argv0;
    int pid;
    bool daemonized, supervised;

    int64_t pause_until_ms; /* CLIENT PAUSE */
    bool pause_writes_only;
    bool active_expire;            /* DEBUG SET-ACTIVE-EXPIRE */
    bool pause_cron;               /* DEBUG PAUSE-CRON */
    bool skip_checksum_validation; /* DEBUG SET-SKIP-CHECKSUM-VALIDATION */
    bool stopping;
    int exit_code;
    volatile sig_atomic_t signal; /* SIGTERM or SIGINT arrived */

    /* sampled by cron for INFO's instantaneous_* */
    struct {
        uint64_t last, samples[16];
        int64_t last_ms;
    } rate[3]; /* commands, input, output */
    unsigned rate_index;
    size_t peak_memory, startup_memory;
    uint64_t lru_clock;
    size_t slices;
};

/* server/worker.c: the loop. Returns when the server stops. */
int worker_run(struct worker *w);
int worker_init(struct worker *w, struct server *srv, uint64_t seed);
void worker_fini(struct worker *w);
/* Time as this turn sees it again, after something long (DEBUG SLEEP, a flush). */
void worker_update_time(struct worker *w);
/* Puts a client on the list of those with unparsed input. */
void worker_ready(struct worker *w, struct client *cl);
void worker_client_of_qd(struct worker *w, int qd, struct client *cl);

/* server/batch.c: parse, hash, prefetch, execute for every client on w->ready. */
int batch_init(struct worker *w);
void batch_fini(struct worker *w);
void batch_run(struct worker *w);

/* server/exec.c: one command of a client, with every check before it. */
enum exec_verdict {
    EXEC_DONE, /* replied, queued or blocked: the input is used up */
    EXEC_HOLD, /* not now (CLIENT PAUSE): the same input again later */
};
/* cmd NULL: not found by the batch; hash of the bytes at hashed (the first key), when that is not NULL. */
enum exec_verdict exec_command(struct worker *w, struct client *cl, const struct command *cmd, const struct bytes *argv,
                               int argc, uint64_t hash, const char *hashed);
/* Runs it: no checks; statistics, effects, served blockers. For EXEC and served blockers: in_exec, unblocking are
 * set in `how`. */
struct exec_how {
    bool in_exec, unblocking, deny_blocking;
    struct bytes ready_key; /* with unblocking */
};
/* Returns false when it blocked. */
bool exec_call(struct worker *w, struct client *cl, const struct command *cmd, const struct bytes *argv, int argc,
               struct exec_how how);
/* A command over the threshold of the slow log or the latency monitor. */
void exec_slow(struct worker *w, struct client *cl, const struct command *cmd, const struct bytes *argv, int argc,
               uint64_t ticks);
void exec_update_slow_ticks(struct worker *w); /* after those thresholds or the clock's calibration changed */
/* A call of the server's own, without a client (cron): for verbs that want one. */
struct call exec_internal(struct worker *w, struct db *db);
/* Looks the command up, subcommands too; NULL and the error text in err (size bytes) when there is none. */
const struct command *exec_lookup(const struct bytes *argv, int argc, char *err, size_t size);

/* server/blocked.c */
int blocked_init(struct worker *w);
void blocked_fini(struct worker *w);
void blocked_serve(struct worker *w); /* runs what became ready; cheap when nothing did */
bool blocked_any_ready(const struct worker *w);
void blocked_forget(struct client *cl); /* the client goes away */
enum unblock_reason { UNBLOCK_TIMEOUT, UNBLOCK_ERROR };
bool blocked_unblock(struct client *cl, enum unblock_reason why); /* false: was not blocked */
int64_t blocked_next_deadline(const struct worker *w);            /* ms, 0: none */
void blocked_timeouts(struct worker *w);
size_t blocked_timed_count(const struct worker *w); /* those with a deadline */

/* server/cmd/multi.c */
void multi_free(struct client *cl); /* discards the queue and unwatches */
void multi_queue(struct client *cl, const struct command *cmd, const struct bytes *argv, int argc);
bool multi_writes(const struct client *cl);       /* a queued command writes */
bool multi_needs_memory(const struct client *cl); /* one is refused over maxmemory */
size_t multi_count(const struct client *cl);
size_t multi_memory(const struct client *cl);
size_t multi_watched(const struct client *cl);

/* server/pubsub.c */
int pubsub_init(struct server *srv);
void pubsub_fini(struct server *srv);
void pubsub_forget(struct client *cl);
size_t pubsub_publish(struct worker *w, struct bytes channel, struct bytes message); /* receivers */
size_t pubsub_client_channels(const struct client *cl), pubsub_client_patterns(const struct client *cl);
size_t pubsub_channel_count(const struct server *srv), pubsub_pattern_count(const struct server *srv);

/* server/slowlog.c, server/latency.c, server/errorstats.c, server/monitor.c */
int slowlog_init(struct server *srv);
void slowlog_fini(struct server *srv);
void slowlog_push(struct server *srv, const struct client *cl, const struct command *cmd, const struct bytes *argv,
                  int argc, int64_t duration_us);
int latency_init(struct server *srv);
void latency_fini(struct server *srv);
void latency_sample(struct server *srv, const char *event, int64_t ms); /* kept when over the threshold */
void errorstats_count(struct server *srv, struct bytes error_text);     /* "WRONGTYPE Operation …" */
void errorstats_each(struct server *srv, void (*fn)(void *arg, const char *code, uint64_t count), void *arg);
void errorstats_reset(struct server *srv);
void errorstats_fini(struct server *srv);
void monitor_feed(struct worker *w, const struct client *cl, const struct command *cmd, const struct bytes *argv,
                  int argc);

/* server/lazyfree.c: a thread that frees what is large. */
int lazyfree_start(struct server *srv);
void lazyfree_stop(struct server *srv);
size_t lazyfree_pending(const struct server *srv);
uint64_t lazyfree_freed(const struct server *srv);
void lazyfree_reset(struct server *srv);

/* server/cron.c: ten times a second (hz). */
void cron_run(struct worker *w);

/* server/listen.c */
int listen_open(struct server *srv, char *err, size_t size);
void listen_close(struct server *srv);
int listen_accept(struct worker *w); /* starts the accepts of all listeners */
void listen_accepted(struct worker *w, const demi_qresult_t *qr);

/* server/cmd/info.c: the text of INFO for the given section names, into out. */
void info_write(struct worker *w, struct reply *text, const struct bytes *sections, int count);

#endif
