/* SPDX-License-Identifier: MIT
 *
 * The writer of append-only files, for their other parts: the task that brings the journal to the disk. What it knows
 * is in struct aof (aof.h).
 */
#ifndef SERVER_PERSIST_AOF_WRITER_H
#define SERVER_PERSIST_AOF_WRITER_H

#include <stdbool.h>

struct server;
struct worker;

/* Reads the journal from now on, and writes into a->qd, or (-1) into the next increment when that is named. 0 or
 * -errno. */
int aof_writer_run(struct worker *w);
/* Ends it when all is written and synced, or that failed (false). */
bool aof_writer_end(struct worker *w);
/* A rewrite on a device has failed, on which the log has relied: where commands wait for it that is an error. */
void aof_writer_fail(struct server *srv, int err);
/* A base was written after a sync had failed. */
void aof_writer_is_good_again(struct server *srv);
/* Replies that wait for the disk and need not any more, as far as it is and the configuration wants it, go out. */
void aof_writer_release(struct server *srv);
/* -errno of a write or a sync; 0: fine. */
void aof_writer_set_error(struct server *srv, int err);
/* Some times a second. */
void aof_writer_cron(struct server *srv);

#endif
