/* SPDX-License-Identifier: MIT
 *
 * Listening sockets and the connections they bring.
 */
#ifndef SERVER_NET_LISTEN_H
#define SERVER_NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "server/net/endpoint.h"

struct config;
struct server;
struct worker;

enum { LISTEN_TEXT_SIZE = 320, LISTENERS_MAX = 132 };

enum listen_kind { LISTEN_TCP, LISTEN_TLS, LISTEN_METRICS, LISTEN_RDMA, LISTEN_UNIX, LISTEN_SHM, LISTEN_KINDS };

struct listen_socket {
    struct endpoint endpoint;
    int qd;
    enum listen_kind kind;
    bool is_open;
    bool is_wanted; /* by the configuration that listen_open() had last */
    bool accepts;
    struct sockaddr_storage addr;
    char text[LISTEN_TEXT_SIZE]; /* as the configuration names it */
};

/* Has a socket listen for each address of cfg: those that listen already are kept as they are, the others opened beside
 * those that cfg does not name. 0, or -errno: why is in the log, and *kind (of the socket that does not go) is "tcp",
 * "tls", "metrics", "rdma", "unix" or "shm". Either way nothing was closed: go on with another configuration, or end
 * with listen_settle(). */
int listen_open(struct server *srv, const struct config *cfg, const char **kind);
/* Closes what the last configuration that listen_open() had does not name. */
void listen_settle(struct server *srv);
void listen_close(struct server *srv);
bool listen_any(const struct server *srv, bool for_metrics); /* whether there is a listener: for them, or for clients */
int listen_accept(struct worker *w); /* starts the accepts of the listeners that have none yet */

#endif
