/* SPDX-License-Identifier: MIT
 *
 * Messages that a command sends to its own client: PUBLISH to a channel it is subscribed to, keyspace events of what it
 * did, keys of its own cache that it changed (tracking.h). They follow the whole reply, that of EXEC too, as in
 * redis-server 7.2; messages to others go out at once.
 */
#ifndef SERVER_PUSHES_H
#define SERVER_PUSHES_H

#include "server/resp/reply.h"

struct call;
struct client;
struct worker;

void pushes_init(struct worker *w);
void pushes_fini(struct worker *w);
/* Where a message to cl is written. running: whose command is being run, or NULL. */
struct reply *pushes_output(struct worker *w, struct client *cl, const struct client *running);
/* The command of cl has replied: what it sent to itself follows. */
void pushes_deliver(struct worker *w, struct client *cl);

#endif
