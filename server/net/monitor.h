/* SPDX-License-Identifier: MIT
 *
 * MONITOR: who sees every command.
 */
#ifndef SERVER_NET_MONITOR_H
#define SERVER_NET_MONITOR_H

#include "alloc/base/bytes.h"

struct client;
struct command;
struct worker;

void monitor_feed(struct worker *w, const struct client *cl, const struct command *cmd, const struct bytes *argv,
                  int argc);

#endif
