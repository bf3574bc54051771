/* SPDX-License-Identifier: MIT
 *
 * What is shared by all cores (struct server) and what belongs to one (struct worker). The first version runs one
 * worker; a second one is another thread with its own runtime, clients, buffers and statistics, working on the same
 * keyspace slices.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <limits.h>
#include <signal.h>
#include <stdatomic.h>

#include "alloc/base/clock.h"
#include "alloc/base/list.h"
#include "alloc/base/rng.h"
#include "demi/ext.h"
#include "server/conf/config.h"
#include "server/conf/oom_score.h"
#include "server/acl/acl.h"
#include "server/conf/store.h"
#include "server/db/db.h"
#include "server/db/walk.h"
#include "server/ds/quicklist.h"
#include "server/journal/journal.h"
#include "server/migrate/migrate.h"
#include "server/net/client.h"
#include "server/net/listen.h"
#include "server/net/tls.h"
#include "server/outgoing.h"
#include "server/persist/aof.h"
#include "server/persist/persist.h"
#include "server/rdb/libraries.h"
#include "server/repl/failover.h"
#include "server/repl/history.h"
#include "server/version.h"
#include "server/worker.h"

struct pubsub;
struct slowlog;
struct latency;
struct lazyfree;
struct errorstats;
struct dial;
struct upstream;

#define SERVER_RATE_SAMPLES 16
enum server_rate { /* a second; turns of the loop, and the microseconds of one */
                   RATE_COMMANDS,
                   RATE_INPUT,
                   RATE_OUTPUT,
                   RATE_REPL_INPUT,
                   RATE_REPL_OUTPUT,
                   RATE_TURNS,
                   RATE_TURN_US,
                   RATE_COUNT
};

/* What makes the server's state a reason to look at each command more closely (server/exec/admit.h). */
enum server_unusual {
    SERVER_PAUSED = 1u << 0,        /* CLIENT PAUSE */
    SERVER_LOADING = 1u << 1,       /* the data are not all there yet */
    SERVER_DISK_ERROR = 1u << 2,    /* writes are refused, because saving failed */
    SERVER_AOF_ERROR = 1u << 3,     /* or because the log cannot be written */
    SERVER_SAVING = 1u << 4,        /* some commands may have to wait until a save has written what they change ... */
    SERVER_SAVE_FULL = 1u << 5,     /* ... or writes, until it takes less memory */
    SERVER_AOF_FULL = 1u << 6,      /* writes have to wait until more of the log is written */
    SERVER_BUSY_SCRIPT = 1u << 7,   /* a script runs for too long, and only some commands are served meanwhile ... */
    SERVER_BUSY_FUNCTION = 1u << 8, /* ... or a function */
    SERVER_FEW_REPLICAS = 1u << 10, /* writes are refused, because fewer than min-replicas-to-write acknowledge */
    SERVER_MIGRATING = 1u << 9,     /* some commands may have to wait until it is decided whether their keys are here */
    /* Of a replica (server/repl/role.h): */
    SERVER_READ_ONLY = 1u << 11,    /* writes are its primary's alone */
    SERVER_HISTORY_FULL = 1u << 14, /* writes wait a little, for the sake of a replica that catches up */
    SERVER_STALE = 1u << 12,        /* what it has may be old, and is not to be served */
    SERVER_LOADING_BESIDE =
        1u << 13, /* new data are loaded, and the old ones served meanwhile, but not to all commands */
    SERVER_BUSY = SERVER_BUSY_SCRIPT | SERVER_BUSY_FUNCTION,
};

enum standstill { STANDSTILL_FAILOVER = 1u << 0, STANDSTILL_SHUTDOWN = 1u << 1 };

struct server {
    const struct config *_Atomic config; /* the current one; a worker's own is w->conf.cfg */
    struct conf_store conf;
    struct oom_score oom_score;
    struct outgoing outgoing;
    struct db *dbs;
    int db_count;
    struct worker *workers;
    int worker_count;

    struct listen_socket listeners[LISTENERS_MAX];
    struct server_tls tls;
    struct metrics *metrics; /* server/metrics/metrics.h; NULL: nobody has come to scrape */

    struct list sinks;         /* struct effect_sink */
    struct journal journal;    /* of what was done here, for the log */
    struct history history;    /* for replicas */
    struct upstream *upstream; /* server/repl/upstream.h; NULL: it is nobody's replica */
    bool began_void;    /* there were no data at the start, and nobody has said since that this is as it should be */
    struct dial *dials; /* to reach one, those that were called off and have not ended among them */
    struct pubsub *pubsub;
    struct tracking *tracking; /* server/net/tracking.h; NULL: no client tracks keys */
    struct slowlog *slowlog;
    struct latency *latency;
    struct lazyfree *lazyfree;
    struct errorstats *errorstats;
    struct quicklist_options list_options; /* what every list points to; server/types/list.h fills it */

    _Atomic uint64_t next_client_id;
    int64_t dirty; /* changes since the last save */
    struct walks walks;
    struct persist persist;
    struct libraries libraries; /* of functions */
    struct aof aof;
    int64_t start_ms;
    uint64_t start_ns;
    char run_id[41];
    char executable[PATH_MAX];
    char config_file[PATH_MAX]; /* "" without one */
    char *exec_argv0, **exec_argv;
    bool restarts; /* DEBUG RESTART: by the end of the loop */
    int64_t restart_delay_ms;
    cpu_set_t start_cpus; /* that the process had at its start */
    int pid;
    bool daemonized, supervised, stops_when_ready;
    struct {
        uint64_t period_us, next_us; /* 0: nobody waits for a sign of life */
    } watchdog;                      /* systemd's */
    bool in_a_process;               /* not in the simulator: it may have threads, and locks on files that others see */

    struct acl acl;
    struct scripts *scripts;   /* server/script/scripts.h */
    bool scripts_deny_nothing; /* DEBUG SET-DISABLE-DENY-SCRIPTS */
    /* What a request's flags (enum cmd_flag) come to: a program's own word counts if it gives one. NULL: its row's. */
    uint32_t (*script_flags)(const struct server *srv, const struct request *r);

    unsigned unusual;              /* enum server_unusual: 0 nearly always */
    _Atomic uint64_t missing_told; /* a bit for each name of server/command/missing.h that somebody wanted */
    _Atomic uint32_t lacks_told;   /* a bit for each enum command_lacks of which a command was refused */
    int64_t pause_until_ms;        /* CLIENT PAUSE */
    bool pause_writes_only;
    unsigned
        stands_still; /* enum standstill: writes wait, since nothing may come into the history (worker_stand_still()) */
    struct failover failover;
    struct {
        int64_t until_ms;          /* it waits so long for replicas; 0: nobody wants it to stop */
        unsigned flags;            /* enum shutdown_on_sig */
        volatile sig_atomic_t by;  /* the signal that began it; 0: none did, or it is over */
    } leaving;                     /* server/shutdown.c */
    bool active_expire;            /* DEBUG SET-ACTIVE-EXPIRE */
    bool pause_cron;               /* DEBUG PAUSE-CRON */
    bool skip_checksum_validation; /* DEBUG SET-SKIP-CHECKSUM-VALIDATION */
    bool stopping;
    int exit_code;
    volatile sig_atomic_t signal; /* SIGTERM or SIGINT arrived */

    /* sampled by cron for INFO's instantaneous_* */
    struct {
        uint64_t last, last_base, samples[SERVER_RATE_SAMPLES];
    } rate[RATE_COUNT];
    unsigned rate_index;
    size_t peak_memory, startup_memory;
    struct {
        uint64_t until_ns; /* as turn_ns; 0: nothing yet */
        size_t resident, rss;
        uint64_t system; /* the machine's memory */
    } memory_seen;       /* of the system: memory_use.c */
#ifdef DEMI_DEBUG
    struct check_observer *check_observer; /* server/exec/check_waist.h */
#endif
    size_t slices;
};

/* Clients that write wait; and nothing expires, is evicted or comes into the history. */
static inline bool server_is_paused(const struct server *srv) { return srv->pause_until_ms || srv->stands_still; }

#endif
