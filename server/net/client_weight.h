/* SPDX-License-Identifier: MIT
 *
 * maxmemory-clients: what clients weigh together is bounded, and when it is too much the largest go.
 *
 * A client's weight is its memory: input, arguments, queue, subscriptions, and its output, of which what is unsent
 * counts byte by byte, as for client-output-buffer-limit. It is found anew at the end of each turn in which the client
 * did or got something, ten times a second at least, and where its output takes memory within a command. Clients of
 * about the same weight are in one class; the classes are gone through from the heaviest, as in redis-server. Replicas
 * weigh nothing here, and who has CLIENT NO-EVICT is not closed.
 *
 * Without the option no client is weighed (CLIENT_WEIGHED), and nothing costs anything.
 */
#ifndef SERVER_NET_CLIENT_WEIGHT_H
#define SERVER_NET_CLIENT_WEIGHT_H

#include <stdbool.h>
#include <stddef.h>

struct client;
struct worker;

/* The bound may have changed: all clients are weighed, or none any more. Who is closed for it is so with the next one
 * that is weighed: whose command changed it, most likely, when that has replied. */
void client_weights_take_config(struct worker *w);
void client_weights_fini(struct worker *w);
void client_weight_begin(struct client *cl);  /* it is new */
void client_weight_forget(struct client *cl); /* it goes */
/* Finds its weight; too much in all: the heaviest are closed. Only for who is weighed. */
void client_weigh(struct client *cl);
/* The same for its output, which is to become so large, while a command runs: false if that alone is too much, and it
 * was closed. */
bool client_weight_allows(struct client *cl, size_t output);
/* A line for each class of weights, in redis-server's words, and their length; 0: nobody is weighed. */
size_t client_weights_describe(const struct worker *w, char *out, size_t size);

#endif
