/* SPDX-License-Identifier: MIT
 *
 * Commands that took longer than slowlog-log-slower-than.
 */
#ifndef SERVER_OBSERVE_SLOWLOG_H
#define SERVER_OBSERVE_SLOWLOG_H

#include <stddef.h>
#include <stdint.h>
#include "alloc/base/bytes.h"

struct client;
struct command;
struct server;

int slowlog_init(struct server *srv);
void slowlog_fini(struct server *srv);
void slowlog_push(struct server *srv, const struct client *cl, const struct command *cmd, const struct bytes *argv,
                  int argc, int64_t duration_us);
size_t slowlog_length(const struct server *srv);

#endif
