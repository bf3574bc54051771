/* SPDX-License-Identifier: MIT
 *
 * The batch: parse, hash, prefetch, execute for every client on w->ready.
 */
#ifndef SERVER_EXEC_BATCH_H
#define SERVER_EXEC_BATCH_H

struct worker;

int batch_init(struct worker *w);
void batch_fini(struct worker *w);
void batch_run(struct worker *w);

#endif
