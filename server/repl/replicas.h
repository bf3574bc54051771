/* SPDX-License-Identifier: MIT
 *
 * Who follows the writes: clients that sent SYNC. Each got the data as of one moment, and from then on every effect as
 * a request, with a SELECT where the database changes.
 */
#ifndef SERVER_REPLICAS_H
#define SERVER_REPLICAS_H

#include <stddef.h>
#include <stdint.h>

struct client;
struct worker;

struct replicas; /* server/repl/replicas.c */

/* The snapshot lies in cl->out; effects follow from here on. No replies are sent to cl any more. */
void replicas_attach(struct client *cl);
/* The client goes away. */
void replicas_forget(struct client *cl);
void replicas_fini(struct worker *w);
/* PING every repl-ping-replica-period, so that a replica sees that the link is alive. */
void replicas_cron(struct worker *w);

/* Bytes of snapshots that replicas have not taken yet. */
size_t replicas_unsent_snapshots(const struct worker *w);
size_t replicas_count(const struct worker *w);
uint64_t replicas_full_syncs(const struct worker *w);
struct client *replicas_at(const struct worker *w, size_t i); /* oldest first */

#endif
