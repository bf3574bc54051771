/* SPDX-License-Identifier: MIT
 *
 * Clients that wait for a key or for the log, and what becomes of them.
 */
#ifndef SERVER_EXEC_BLOCKED_H
#define SERVER_EXEC_BLOCKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct worker;

int blocked_init(struct worker *w);
void blocked_fini(struct worker *w);
void blocked_serve(struct worker *w); /* runs what became ready; cheap when nothing did */
/* One of those that a function answers is asked for its reply. */
void blocked_answer(struct client *cl);
bool blocked_any_ready(const struct worker *w);
/* Keys that somebody waits for; on_nokey: until they are gone, too. */
size_t blocked_key_count(const struct worker *w, bool on_nokey);
/* The log has come further, or there is none any more: who waits for it is looked at when the turn that follows does
 * (blocked_look_at_log()). From anywhere. */
void blocked_log_moved(struct worker *w);
void blocked_look_at_log(struct worker *w); /* while w->log_moved, and no command runs */
void blocked_forget(struct client *cl);     /* the client goes away */
/* ROLE: this server is another's replica now. */
enum unblock_reason { UNBLOCK_TIMEOUT, UNBLOCK_ERROR, UNBLOCK_ROLE };
bool blocked_unblock(struct client *cl, enum unblock_reason why); /* false: was not blocked */
int64_t blocked_next_deadline(const struct worker *w);            /* ms, 0: none */
void blocked_timeouts(struct worker *w);
size_t blocked_timed_count(const struct worker *w); /* those with a deadline */
#ifdef DEMI_DEBUG
void blocked_check(const struct worker *w);
#endif

#endif
