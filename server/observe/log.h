/* SPDX-License-Identifier: MIT
 *
 * The server's log: one line an event, as redis-server writes it, to the configured file, to standard output, to
 * syslog, or to several of them.
 */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include "alloc/base/log.h"

struct server;
/* Once the configuration is read, and again never: syslog learns who we are. Lines before that go out under the
 * program's name. */
void server_log_open(struct server *srv);
/* Levels of alloc/base/log.h. Lines below the configured loglevel are dropped. */
void server_log(struct server *srv, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Text as it is, no head: the start-up banner. */
void server_log_raw(struct server *srv, const char *text);

#endif
