/* SPDX-License-Identifier: MIT
 *
 * Channels, patterns, sharded channels, and their subscribers. A sharded channel has nothing in common with the channel
 * of the same name, and no pattern matches it; in a server that is not part of a cluster that is all there is to it.
 */
#ifndef SERVER_PUBSUB_H
#define SERVER_PUBSUB_H

#include <stddef.h>

#include "alloc/base/bytes.h"

struct call;
struct client;
struct server;
struct worker;

enum pubsub_kind { PUBSUB_CHANNELS, PUBSUB_PATTERNS, PUBSUB_SHARDED, PUBSUB_KINDS };

int pubsub_init(struct server *srv);
void pubsub_fini(struct server *srv);
void pubsub_forget(struct client *cl);
/* Returns the number of receivers. What c's own client receives follows its reply (pushes.h). */
size_t pubsub_publish(struct call *c, struct bytes channel, struct bytes message);
size_t pubsub_publish_sharded(struct call *c, struct bytes channel, struct bytes message);

/* How many names of this kind a client, or anybody, is subscribed to. */
size_t pubsub_client_count(const struct client *cl, enum pubsub_kind kind);
/* What they take of a client's memory. */
size_t pubsub_client_memory(const struct client *cl);
size_t pubsub_count(const struct server *srv, enum pubsub_kind kind);
/* Subscribers by exactly this name. */
size_t pubsub_subscribers(struct server *srv, enum pubsub_kind kind, struct bytes name);
/* Every name of this kind that cl is subscribed to; fn as below. */
void pubsub_client_each(const struct client *cl, enum pubsub_kind kind, void (*fn)(void *arg, struct bytes name),
                        void *arg);
/* Every name of this kind that somebody is subscribed to. fn must not subscribe or unsubscribe. */
void pubsub_each(struct server *srv, enum pubsub_kind kind, void (*fn)(void *arg, struct bytes name), void *arg);

#endif
