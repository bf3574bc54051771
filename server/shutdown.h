/* SPDX-License-Identifier: MIT
 *
 * Stopping: SHUTDOWN, SIGTERM, SIGINT.
 */
#ifndef SERVER_SHUTDOWN_H
#define SERVER_SHUTDOWN_H

#include <stdbool.h>
#include <stdint.h>

struct worker;
struct server;

/* Replicas that have not acknowledged everything are waited for, unless it is to be now: SHUTDOWN_WAITS. Then what has
 * to be saved is, and the loop ends at the end of that turn: SHUTDOWN_GOES. SHUTDOWN_FAILS: it could not be saved, and
 * the server goes on; the log says why. flags: enum shutdown_on_sig (server/conf/config.h). */
enum shutdown_result { SHUTDOWN_GOES, SHUTDOWN_WAITS, SHUTDOWN_FAILS };
enum shutdown_result shutdown_begin(struct worker *w, unsigned flags);
/* Replicas are waited for. */
bool shutdown_is_awaited(const struct server *srv);
/* For how long yet; while they are. */
int64_t shutdown_left_ms(const struct worker *w);
/* Some times a second, and when a replica has acknowledged: whether that is over. */
void shutdown_look(struct worker *w);
/* SIGTERM or SIGINT has come. */
void shutdown_by_signal(struct worker *w);
/* One that was asked for and waits is forgotten. False: there is none. */
bool shutdown_abort(struct worker *w);
/* Installs the handlers. One process has one server. */
void shutdown_handle_signals(struct server *srv);

#endif
