/* SPDX-License-Identifier: MIT
 *
 * MONITOR: who sees every command.
 */
#ifndef SERVER_NET_MONITOR_H
#define SERVER_NET_MONITOR_H

#include "alloc/base/bytes.h"

struct client;
struct command;
struct db;
struct worker;

/* The client sees from now on what others do; no longer. Twice is once. */
void monitor_add(struct client *cl);
void monitor_remove(struct client *cl);

void monitor_feed(struct worker *w, const struct client *cl, const struct command *cmd, const struct bytes *argv,
                  int argc);
/* The command of a script. */
void monitor_feed_script(struct worker *w, const struct db *db, const struct command *cmd, const struct bytes *argv,
                         int argc);

#endif
