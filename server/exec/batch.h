/* SPDX-License-Identifier: MIT
 *
 * The batch: parse, hash, prefetch, execute for every client on w->ready.
 */
#ifndef SERVER_EXEC_BATCH_H
#define SERVER_EXEC_BATCH_H

struct batch;
struct bytes;
struct session;
struct worker;

int batch_init(struct worker *w);
void batch_fini(struct worker *w);
void batch_run(struct worker *w);

/* A script that runs for too long, for a command of this batch: what comes behind that command is given back to its
 * clients, and another batch takes the place of this one until it is taken back. argv: of the command. */
struct batch *batch_put_aside(struct worker *w, const struct session *running, const struct bytes *argv);
void batch_take_back(struct worker *w, struct batch *b);

#endif
