/* SPDX-License-Identifier: MIT
 *
 * Who follows the writes: clients that sent SYNC. Each reads a snapshot, and from where that stands every effect, out
 * of blocks that all of them share (server/net/feed.h, server/journal/journal.h).
 */
#ifndef SERVER_REPLICAS_H
#define SERVER_REPLICAS_H

#include <stddef.h>
#include <stdint.h>

struct client;
struct journal;
struct snapshot;
struct worker;

struct replicas; /* server/repl/replicas.c */

/* A snapshot that others read and a new replica may read too; NULL: there is none, or too much has happened since. */
struct snapshot *replicas_share_snapshot(struct worker *w);
/* One that was just made; the reference passes. It is given up when nobody reads it. */
void replicas_keep_snapshot(struct worker *w, struct snapshot *s);
/* Bytes that a further snapshot may have: one may be as large as the data; while one is being read, all together stay
 * within client-output-buffer-limit replica. */
size_t replicas_snapshot_allowed(const struct worker *w);
/* Memory of the snapshots there are. */
size_t replicas_snapshot_bytes(const struct worker *w);

/* cl reads s, then the journal. No replies are sent to it any more. */
void replicas_attach(struct client *cl, struct snapshot *s);
/* The client goes away. */
void replicas_forget(struct client *cl);
void replicas_fini(struct worker *w);
/* PING every repl-ping-replica-period, so that a replica sees that the link is alive. */
void replicas_cron(struct worker *w);
/* The journal's hook: those who read it are flushed at the end of the turn, those too far behind are closed. */
void replicas_journal_appended(struct journal *j);

size_t replicas_count(const struct worker *w);
uint64_t replicas_full_syncs(const struct worker *w);
struct client *replicas_at(const struct worker *w, size_t i); /* oldest first */

#endif
