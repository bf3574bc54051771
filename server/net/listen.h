/* SPDX-License-Identifier: MIT
 *
 * Listening sockets and the connections they bring.
 */
#ifndef SERVER_NET_LISTEN_H
#define SERVER_NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "server/net/endpoint.h"

struct config;
struct server;
struct worker;

struct listen_socket {
    struct endpoint endpoint;
    int qd;
    bool is_unix;
    char text[128];
};

/* 0, or -errno: why is in the log, and *kind (of the socket that does not go) is "tcp" or "unix". */
int listen_open(struct server *srv, const struct config *cfg, const char **kind);
void listen_close(struct server *srv);
int listen_accept(struct worker *w); /* starts the accepts of all listeners */

#endif
