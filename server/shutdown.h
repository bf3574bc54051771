/* SPDX-License-Identifier: MIT
 *
 * Stopping: SHUTDOWN, SIGTERM, SIGINT.
 */
#ifndef SERVER_SHUTDOWN_H
#define SERVER_SHUTDOWN_H

struct worker;
struct server;

/* Makes the loop end at the end of this turn. */
void shutdown_begin(struct worker *w, const char *why);
/* SIGTERM or SIGINT has come. */
void shutdown_by_signal(struct worker *w);
/* Installs the handlers. One process has one server. */
void shutdown_handle_signals(struct server *srv);

#endif
