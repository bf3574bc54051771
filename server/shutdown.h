/* SPDX-License-Identifier: MIT
 *
 * Stopping: SHUTDOWN, SIGTERM, SIGINT.
 */
#ifndef SERVER_SHUTDOWN_H
#define SERVER_SHUTDOWN_H

#include <stdbool.h>

struct worker;
struct server;

/* Saves what has to be saved, and makes the loop end at the end of this turn. False: it could not be saved, and the
 * server goes on; the log says why. flags: enum shutdown_on_sig (server/conf/config.h). */
bool shutdown_begin(struct worker *w, unsigned flags);
/* SIGTERM or SIGINT has come. */
void shutdown_by_signal(struct worker *w);
/* A signal that has come and was not obeyed yet is forgotten. False: there is none. */
bool shutdown_abort(struct server *srv);
/* Installs the handlers. One process has one server. */
void shutdown_handle_signals(struct server *srv);

#endif
