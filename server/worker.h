/* SPDX-License-Identifier: MIT
 *
 * One core's part of the server: its loop, its clients, its buffers and statistics. Another core is another thread with
 * its own runtime and its own struct worker on the same keyspace slices (ARCHITECTURE.md section 11).
 */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include "alloc/base/list.h"
#include "alloc/base/rng.h"
#include "server/acl/selector.h"
#include "demi/ext.h"
#include "server/conf/store.h"
#include "server/ds/table.h"
#include "server/exec/call.h"
#include "server/exec/effects.h"
#include "server/defrag.h"
#include "server/expire_cycle.h"
#include "server/exec/request.h"
#include "server/net/endpoint.h"
#include "server/observe/ticks.h"
#include "server/resp/reply.h"

struct server;
struct client;
struct batch;
struct replicas;
struct full_copy;
struct blocked_worker;
struct evict;

struct command_stats {
    uint64_t calls, ticks, rejected, failed;
    uint32_t *histogram; /* of ticks, server/observe/latency.h; NULL until the first sample */
};

enum notes_changes { NOTES_LOG = 1, NOTES_HISTORY = 2 }; /* there is a log, a history */

struct worker_stats {
    uint64_t commands, connections, rejected_conn, hits, misses, expired, evicted, errors;
    uint64_t net_in, net_out, repl_in, repl_out; /* repl_*: of replicas and the primary, counted in the others, too */
    uint64_t unexpected_errors, protocol_errors, unblocked, reads, writes;
    uint64_t acl_denied[ACL_DENIED_CHANNEL + 1]; /* by enum acl_denied */
    uint64_t batches, turns, loop_ns;            /* loop_ns: of turns, without sleep; worker_see_loop() */
    uint64_t served_ns;                          /* of turns while the data are walked, without tasks and waits */
    uint64_t expired_time_cap_reached, expire_cycle_ns;
    uint64_t output_limit_closed, query_limit_closed, evicted_clients;
    uint64_t over_ns, over_since_ns; /* above maxmemory: finished times together; since when, 0: not now */
    uint64_t cron_ns;
    uint64_t defrag_hits, defrag_misses, defrag_key_hits, defrag_key_misses;
    uint64_t defrag_ns;                         /* from the beginning of cycles to their ends */
    uint64_t turn_ticks_max, turn_commands_max; /* of one turn, without the wait */
    uint64_t commands_before;                   /* this turn, that is */
    double expired_stale_perc;
    size_t peak_clients;
};

struct worker {
    struct server *srv;
    struct conf_reader conf; /* the configuration of this turn */
    struct rng rng;
    struct list clients; /* struct client, all */
    size_t client_count, blocked_count;
    struct table by_id;       /* the same clients (server/net/client.c) */
    struct client **monitors; /* those among them that monitor */
    size_t monitor_count, monitor_room;
    struct endpoints endpoints;         /* who waits for what the loop waits for */
    struct client *ready, **ready_tail; /* with input to parse */
    struct client *flush;               /* with output to push */
    struct client *dying;               /* freed at the end of the turn */
    bool before_end;                    /* there is something to do before it: who dies, changes to be broadcast */
    struct client *held;                /* with output that waits until the log is on the disk as far as they need */
    uint64_t durable;                   /* how far it is (an offset in the journal); UINT64_MAX: nobody waits */
    uint8_t notes_changes; /* enum notes_changes: clients remember how far somebody has to be (client->durable_at) */
    bool log_moved;        /* server/exec/blocked.h */
    uint64_t held_all, freed_all; /* outputs that have been held, and let go */
    uint64_t held_wanted;         /* as many, and the log's writer is told; UINT64_MAX: it does not wait for them */
    int64_t primary_log_ms;       /* when our disk's trouble may be told of again (server/exec/exec.c) */
    struct reply nowhere;         /* what CLIENT REPLY OFF swallows */
    struct reply pushes;          /* server/net/pushes.h */
    bool has_pushes;
    struct batch *batch;                      /* server/exec/batch.c */
    struct call call;                         /* of the running command */
    struct key_refs keys;                     /* of a request that came by no batch */
    struct key_ref late_keys[CALL_KEYS_LATE]; /* server/exec/call.h */
    unsigned late_at;
    struct effects effects; /* of the running command, not handed over yet */
    int64_t now_ms;         /* wall clock of this turn */
    int64_t now_us;
    uint64_t turn_ns; /* monotonic clock of this turn */
    struct worker_stats stats;
    uint64_t replayed;               /* commands of a log, which are not counted above */
    uint64_t waits;                  /* nor is a command that began to wait, or goes on waiting */
    struct command_stats *cmd_stats; /* by command->index */
    struct client_weights *weights;  /* server/net/client_weight.h; NULL: maxmemory-clients is 0 */
    struct replicas *replicas;       /* server/repl/replicas.c; NULL: there was none yet */
    struct full_copy *copy;          /* server/repl/full_copy.h; NULL: none walks the data */
    struct list copies;              /* those whose files are read now */
    struct migrations *migrations;   /* server/migrate/migrate.c; NULL: there was none yet */
    bool migrated;                   /* and one has come to its end */
    struct blocked_worker *blocked;  /* server/exec/blocked.c: deadlines, ready keys */
    struct evict *evict;
    bool evicting;  /* eviction goes on in the next turn */
    bool cut_short; /* this turn has had its time: what is left of its batch waits for the next */
    struct expire_cycle expire;
    struct defrag defrag;
    demi_wake_t *wake; /* other threads ring it */
    struct endpoint wake_endpoint;
    struct ticks_rate ticks;
    uint64_t slow_ticks; /* commands that take as long are looked at */
    uint64_t loop_seen_ns;
    uint64_t cron_runs;
    size_t events; /* completions of this turn, for INFO */
};

/* What one core asks of another: the one door for what crosses cores (messages of PUBLISH, lines for MONITOR, clients
 * to be killed). Whoever embeds it knows the rest from handle. */
struct worker_message {
    void (*handle)(struct worker *w, struct worker_message *m);
};
/* Has w handle m. With one worker that is a call; the caller keeps m. */
static inline void worker_post(struct worker *w, struct worker_message *m) { m->handle(w, m); }
/* Every worker of the server does. */
void worker_post_all(struct server *srv, struct worker_message *m);

/* The figures of all workers together. */
struct worker_stats worker_stats_sum(const struct server *srv);
/* The same of one command, by its index; the histogram is that of the first worker that has one. */
struct command_stats worker_command_stats_sum(const struct server *srv, unsigned index);

int worker_run(struct worker *w);
/* A turn while a script runs that a command of `running` (or NULL) called: who comes is served as far as the server's
 * state allows, replies go out, nobody waits; `running` is left alone, and so is the keyspace: no cron, no expiry, no
 * eviction. */
void worker_turn_in_script(struct worker *w, struct client *running, uint64_t wait_ns);
int worker_init(struct worker *w, struct server *srv, uint64_t seed);
void worker_fini(struct worker *w);
/* Time as this turn sees it again, after something long (DEBUG SLEEP, a flush). */
void worker_update_time(struct worker *w);
/* The configuration that is current now, and what this worker derives from it. At the start of a turn, and when a
 * command of this worker changed it; no pointer into the one it had is used afterwards. */
void worker_take_config(struct worker *w);
/* Brings stats.loop_ns up to date: the libOS measures it, whenever a turn begins and ends. */
void worker_see_loop(struct worker *w);
/* Puts a client on the list of those with unparsed input. */
void worker_ready(struct worker *w, struct client *cl);
/* Takes it off that list. */
void worker_not_ready(struct worker *w, struct client *cl);
/* Clients whose next command is held may try it again. */
void worker_let_go(struct worker *w);
/* Writes wait, and the history stands still, until all who wanted that let it go on. why: enum standstill. */
void worker_stand_still(struct worker *w, unsigned why);
void worker_go_on(struct worker *w, unsigned why);
/* The same before all others: it was served, and not to its end. */
void worker_ready_first(struct worker *w, struct client *cl);

#endif
