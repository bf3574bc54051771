/* SPDX-License-Identifier: MIT
 *
 * Sockets for connections of ours to other servers, whoever makes them: from bind-source-addr, marked with
 * socket-mark-id.
 */
#ifndef SERVER_OUTGOING_H
#define SERVER_OUTGOING_H

#include <stdbool.h>
#include <sys/socket.h>

struct config;
struct server;

struct outgoing {                    /* private */
    struct sockaddr_storage from[2]; /* one a family at most */
    unsigned from_count;
    bool bind_was_told, mark_was_told;
};

/* At the start and by CONFIG SET. A bind-source-addr that is no address (names are not looked up: that may take long)
 * is told in the log, and connections come from wherever the system likes. */
void outgoing_take_config(struct server *srv, const struct config *cfg);
/* A socket for demi_connect() to `to`. 0 or -errno. What cannot be had of address and mark is told in the log, once,
 * and left out. */
int outgoing_socket(struct server *srv, const struct sockaddr *to, int *qd);
/* The mark alone, for a socket that listens; its connections inherit it. Nothing to do for unix sockets. */
void outgoing_mark(struct server *srv, int qd);

#endif
