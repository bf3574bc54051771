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
struct payload;
struct worker;

struct replicas; /* server/repl/replicas.c */

/* --- who comes and goes ------------------------------------------------------------------------------------------- */

/* A full synchronisation: cl gets a payload and then the history; no replies any more. The payload is one that is being
 * saved, unless too much has happened since it stood; else a new one, as soon as nothing else walks the data. */
void replicas_attach(struct client *cl);
/* A partial one: it goes on with the byte at `from`, which history_continues() allowed. */
void replicas_continue(struct client *cl, uint64_t from);
/* One that had asked for that gets everything. */
void replicas_count_refused(struct worker *w);
void replicas_reset_figures(struct worker *w); /* CONFIG RESETSTAT */
/* The client goes away. */
void replicas_forget(struct client *cl);
/* All of them are disconnected: what they followed is not what they will be told (a new id). They come back. */
void replicas_close_all(struct worker *w);
void replicas_fini(struct worker *w);

/* --- payloads, for who makes them and who sends them -------------------------------------------------------------- */

/* Its pieces come from now on: its readers are told in which form. */
void replicas_payload_flows(struct worker *w, struct payload *p);
void replicas_payload_grew(struct worker *w, const struct payload *p);
/* It came to its end, with 0 or -errno: then its readers are closed, and come back. */
void replicas_payload_ended(struct worker *w, struct payload *p, int err);
/* Its readers have taken so much that more may be put. If not, its maker is told when they have. */
bool replicas_have_room(const struct worker *w, struct payload *p);
/* cl has taken some of it; all of it. */
void replicas_payload_taken(struct client *cl);
void replicas_transferred(struct client *cl);

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
/* How many count for min-replicas-to-write. */
size_t replicas_good(const struct worker *w);

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
