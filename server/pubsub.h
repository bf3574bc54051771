/* SPDX-License-Identifier: MIT
 *
 * What the PUBSUB command asks of server/pubsub.c; the rest of its interface is in server/server.h.
 */
#ifndef SERVER_PUBSUB_H
#define SERVER_PUBSUB_H

#include "alloc/base/bytes.h"

struct server;

/* Subscribers of a channel, patterns not counted. */
size_t pubsub_subscribers(struct server *srv, struct bytes name);
/* Every channel somebody is subscribed to by name. fn must not subscribe or unsubscribe. */
void pubsub_channels(struct server *srv, void (*fn)(void *arg, struct bytes name), void *arg);

#endif
