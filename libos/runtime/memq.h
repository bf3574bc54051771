/* SPDX-License-Identifier: MIT
 *
 * Queues without a device: a queue in memory, and the two ends of a pipe. One mechanism: what is
 * pushed on an end lands in the inbox of its peer, and a memory queue is its own peer.
 *
 * A pop takes the oldest array that was pushed, whole. Pushes complete at once; more than
 * MEMQ_WAITING_MAX arrays waiting is EBUSY. When one end of a pipe is closed or shut for writing,
 * the other pops what is left and then arrays of no bytes; a push to a closed end is EPIPE.
 */
#ifndef RUNTIME_MEMQ_H
#define RUNTIME_MEMQ_H

struct queue;
struct runtime;

#define MEMQ_WAITING_MAX 65536
#define MEMQ_NAME_MAX    255

int memq_new(struct runtime *rt, struct queue **out);
int memq_new_pipe(struct runtime *rt, struct queue *out[2]);
/* A pipe whose second end is found by a name, which is the first end's until that is closed. What is pushed before it
 * is opened waits there. -EEXIST. -ENOENT; -EBUSY: it has been opened. */
int memq_create_pipe(struct runtime *rt, const char *name, struct queue **out);
int memq_open_pipe(struct runtime *rt, const char *name, struct queue **out);

#endif
