/* SPDX-License-Identifier: MIT
 *
 * Listening sockets and the connections they bring.
 */
#ifndef SERVER_NET_LISTEN_H
#define SERVER_NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "server/net/endpoint.h"

struct server;
struct worker;

struct listener {
    struct endpoint endpoint;
    int qd;
    bool is_unix;
    char text[128];
};

int listen_open(struct server *srv, char *err, size_t size);
void listen_close(struct server *srv);
int listen_accept(struct worker *w); /* starts the accepts of all listeners */

#endif
