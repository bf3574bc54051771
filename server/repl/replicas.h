/* SPDX-License-Identifier: MIT
 *
 * Who follows the writes: clients that sent SYNC. Each reads a snapshot, and from where that stands every effect, out
 * of blocks that all of them share (server/net/feed.h, server/journal/journal.h).
 */
#ifndef SERVER_REPLICAS_H
#define SERVER_REPLICAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct journal;
struct snapshot;
struct worker;

struct replicas; /* server/repl/replicas.c */

/* cl gets a snapshot and then the journal; no replies any more. The snapshot is one that others read or that is in the
 * making, unless too much has happened since it stood; else a new one, now, or as soon as the one in the making is
 * whole. False: it would take more memory than it may (one may be as large as the data; while one is being read, all
 * together stay within client-output-buffer-limit replica). Where that shows only later, cl gets the error then. */
bool replicas_attach(struct client *cl);
/* The copy of s has come to its end, with 0 or -errno: those who wait get it, or the error. */
void replicas_copy_ended(struct worker *w, struct snapshot *s, int err);
/* Memory of snapshots and of effects that somebody has not read yet. Not the data's: who is over maxmemory cannot evict
 * it, and evicting would make more of it. */
size_t replicas_memory(const struct worker *w);
/* The client goes away. */
void replicas_forget(struct client *cl);
void replicas_fini(struct worker *w);
/* min-replicas-to-write: those that follow by SYNC acknowledge nothing, so that none of them counts. */
void replicas_take_config(struct worker *w);
/* PING every repl-ping-replica-period, so that a replica sees that the link is alive. */
void replicas_cron(struct worker *w);
/* The hook of the history: those who read it are flushed at the end of the turn, those too far behind are closed. */
void replicas_history_appended(struct journal *j);

#ifdef DEMI_DEBUG
void replicas_check(const struct worker *w);
#endif

size_t replicas_count(const struct worker *w);
uint64_t replicas_full_syncs(const struct worker *w);
struct client *replicas_at(const struct worker *w, size_t i); /* oldest first */

#endif
