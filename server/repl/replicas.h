/* SPDX-License-Identifier: MIT
 *
 * Who follows the writes: clients that sent SYNC or PSYNC. Each reads a payload, and from where that stands every
 * effect, out of blocks that all of them share (server/net/feed.h, server/journal/journal.h).
 */
#ifndef SERVER_REPLICAS_H
#define SERVER_REPLICAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct journal;
struct worker;

struct replicas; /* server/repl/replicas.c */

/* --- who comes and goes ------------------------------------------------------------------------------------------- */

/* cl is one from now on: a full synchronisation (server/repl/full_sync.h), or a partial one. */
void replicas_add(struct client *cl, bool in_full);
/* It is one, and goes on with the byte at `from`, which history_continues() allowed. */
void replicas_continue(struct client *cl, uint64_t from);
/* One that had asked for that gets everything. */
void replicas_count_refused(struct worker *w);
void replicas_reset_figures(struct worker *w); /* CONFIG RESETSTAT */
/* It is closed, and the log says why. */
void replicas_close_silent(struct client *cl, const char *what);
/* The client goes away. */
void replicas_forget(struct client *cl);
/* All of them are disconnected: what they followed is not what they will be told (a new id). They come back. */
void replicas_close_all(struct worker *w);
void replicas_fini(struct worker *w);

/* --- how far they have come --------------------------------------------------------------------------------------- */

/* REPLCONF ACK offset [FACK offset]. */
void replicas_take_ack(struct client *cl, int64_t offset, int64_t aof_offset);
/* They are asked for it at the end of the turn. */
void replicas_want_acks(struct worker *w);
/* How many have acknowledged so much of the history, and how many have it in their logs on their disks. */
size_t replicas_acknowledged(const struct worker *w, uint64_t offset);
size_t replicas_logged(const struct worker *w, uint64_t offset);
/* All that follow have acknowledged the whole history. */
bool replicas_have_everything(const struct worker *w);
/* The one that says it listens there; NULL: there is none. */
const struct client *replicas_find(const struct worker *w, const char *host, int port);
/* How many count for min-replicas-to-write; whether they are enough is looked at when one comes, goes or acknowledges,
 * and by the cron, since their lag grows. */
size_t replicas_good(const struct worker *w);
void replicas_see_good(struct worker *w);

/* --- time --------------------------------------------------------------------------------------------------------- */

/* Options of replication may have changed. */
void replicas_take_config(struct worker *w);
/* PING every repl-ping-replica-period, newlines to those who wait, time-outs, the end of a backlog nobody reads. */
void replicas_cron(struct worker *w);
/* At the end of a turn, once there were replicas. */
void replicas_turn(struct worker *w);
/* When the loop has to wake for writers that wait for a replica; once there were replicas. UINT64_MAX: none does. */
uint64_t replicas_wakes_ns(const struct worker *w);
/* The hook of the history: those who read it are flushed at the end of the turn, those too far behind are closed. */
void replicas_history_appended(struct journal *j);

#ifdef DEMI_DEBUG
void replicas_check(const struct worker *w);
#endif

/* --- figures ------------------------------------------------------------------------------------------------------ */

size_t replicas_count(const struct worker *w);
struct client *replicas_at(const struct worker *w, size_t i); /* oldest first */
struct replicas_figures {
    uint64_t full, partial_ok, partial_err; /* synchronisations since the start, and those that could not be partial */
};
struct replicas_figures replicas_figures(const struct worker *w);
/* Memory of payloads and of effects that somebody has not read yet, beyond the backlog's. Not the data's: who is over
 * maxmemory cannot evict it, and evicting would make more of it. */
size_t replicas_memory(const struct worker *w);
/* The backlog's. */
size_t replicas_backlog_memory(const struct worker *w);

#endif
