/* SPDX-License-Identifier: MIT
 *
 * TLS of the server: the contexts that the options tls-* describe. A change makes new ones beside those in use; what
 * has been read without an error is taken for connections to come, and connections that are there go on with what they
 * have.
 */
#ifndef SERVER_NET_TLS_H
#define SERVER_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "demi/tls.h"

struct config;
struct server;

struct tls_contexts {
    demi_tls_context_t *server, *client; /* client: for connections of our own */
};

struct server_tls {
    struct tls_contexts now, next; /* next: read, and not yet decided upon */
    bool is_to_go;                 /* neither will be needed */
};

/* Whether an option asks for TLS at all. */
bool tls_is_on(const struct config *cfg);
/* Reads what cfg names into srv->tls.next; with `only_missing`, where there is none yet. Of the configuration that is
 * in force already: drops next. 0, or -errno and why is in the log. */
int tls_read(struct server *srv, const struct config *cfg, bool only_missing);
/* What was read last is in force. */
void tls_settle(struct server *srv);
void tls_fini(struct server *srv);

/* An accepted connection. 0, or a positive errno. */
int tls_accept(struct server *srv, int qd);
/* One of ours to a primary (tls-replication). */
int tls_connect(struct server *srv, int qd);
/* Why the connection qd failed, into text: 1 in its handshake, 2 later; 0: it does not speak TLS, or did not fail by
 * it. */
int tls_failure(int qd, char *text, size_t size);

#endif
