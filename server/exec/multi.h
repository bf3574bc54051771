/* SPDX-License-Identifier: MIT
 *
 * A transaction: the commands a session has queued since MULTI, and the keys it watches.
 */
#ifndef SERVER_EXEC_MULTI_H
#define SERVER_EXEC_MULTI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/exec/request.h"

struct call;
struct session;

/* --- the queue ---------------------------------------------------------------------------------------------------- */

/* Keeps a copy; nothing when it is doomed already. flags: the row's, or what they come to (srv->script_flags). */
void multi_queue(struct session *s, const struct request *r, uint32_t flags);
const struct request *multi_at(const struct session *s, size_t i);
size_t multi_count(const struct session *s);
bool multi_writes(const struct session *s);        /* a queued command writes */
bool multi_changes(const struct session *s);       /* the same without those that only may replicate */
bool multi_needs_data(const struct session *s);    /* one may not run while the data are loaded */
bool multi_needs_fresh(const struct session *s);   /* one may not run on a replica that has lost its primary */
bool multi_replaces_data(const struct session *s); /* one may not run while others are loaded beside the data */
bool multi_needs_memory(const struct session *s);  /* one is refused over maxmemory */
uint64_t multi_held(const struct session *s);      /* the slices of all of them together */
size_t multi_memory(const struct session *s);
/* The queue is run now, for the command with these words; and who asks which that is: NULL, none. */
void multi_begin_exec(struct session *s, const struct bytes *argv);
const struct bytes *multi_exec_argv(const struct session *s);
/* The transaction is over: the queue goes, the keys are watched no longer. */
void multi_end(struct session *s);
/* The session goes: the same, and nothing is kept. */
void multi_free(struct session *s);

/* --- watched keys (server/exec/watch.c) --------------------------------------------------------------------------- */

void watch_key(struct call *c, const struct key_ref *key);
void watch_forget(struct session *s);
size_t watch_count(const struct session *s); /* for tests */
size_t watch_memory(const struct session *s);
/* One of them was alive when it was watched, and its time has come since. */
bool watch_any_expired(struct call *c);

#endif
