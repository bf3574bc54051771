/* SPDX-License-Identifier: MIT
 *
 * Channels, patterns and their subscribers.
 */
#ifndef SERVER_PUBSUB_H
#define SERVER_PUBSUB_H

#include <stddef.h>

#include "alloc/base/bytes.h"

struct call;
struct client;
struct server;
struct worker;

int pubsub_init(struct server *srv);
void pubsub_fini(struct server *srv);
void pubsub_forget(struct client *cl);
/* Returns the number of receivers. What c's own client receives follows its reply (pushes.h). */
size_t pubsub_publish(struct call *c, struct bytes channel, struct bytes message);
size_t pubsub_client_channels(const struct client *cl), pubsub_client_patterns(const struct client *cl);
size_t pubsub_channel_count(const struct server *srv), pubsub_pattern_count(const struct server *srv);

/* Subscribers of a channel, patterns not counted. */
size_t pubsub_subscribers(struct server *srv, struct bytes name);
/* Every channel somebody is subscribed to by name. fn must not subscribe or unsubscribe. */
void pubsub_channels(struct server *srv, void (*fn)(void *arg, struct bytes name), void *arg);

#endif
