/* SPDX-License-Identifier: MIT
 *
 * Whom this server is a replica of: the link to its primary, from connecting to the stream of writes.
 *
 *     CONNECT --> CONNECTING --> HANDSHAKE --> TRANSFER --> CONNECTED
 *        ^             |             |   \__________|___________^   |        (+CONTINUE: no snapshot is needed)
 *        '-------------'-------------'--------------'---------------'        (any error, time-out, end of the link)
 *
 * While it is CONNECTED the link is a client (client->s.flags has SESSION_PRIMARY): what comes is parsed and executed
 * as from any other, but nothing is refused to it (ACL, read-only, maxmemory, loading) and nothing is replied.
 */
#ifndef SERVER_REPL_UPSTREAM_H
#define SERVER_REPL_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct server;
struct worker;

enum upstream_state {
    UPSTREAM_CONNECT,    /* to be tried again */
    UPSTREAM_CONNECTING, /* demi_connect() is outstanding */
    UPSTREAM_HANDSHAKE,  /* from PING to the answer to PSYNC */
    UPSTREAM_TRANSFER,   /* a snapshot comes, or is loaded */
    UPSTREAM_CONNECTED
};

struct upstream { /* srv->upstream; NULL: nobody's replica. What is shown of it; the rest is upstream.c's. */
    char *host;   /* as REPLICAOF was told */
    int port;
    enum upstream_state state;
    struct client *client; /* CONNECTED: the link; else NULL */
    int64_t down_ms;       /* since when it is not CONNECTED (wall clock) */
    int64_t io_ms;         /* when bytes last came over it */
    struct upstream_transfer {
        int64_t total; /* bytes; -1: not known before its end */
        int64_t read;
        int64_t io_ms;
    } transfer;        /* of UPSTREAM_TRANSFER */
    bool loads_beside; /* old data are served while it is loaded (async loading) */
    /* private */
    bool may_continue; /* its data are those of the history's id at its offset: it may ask to go on there */
};

/* At the start, with the configuration read and nothing loaded: `replicaof`, if there is one. */
void upstream_begin(struct worker *w);
/* At the end. */
void upstream_fini(struct worker *w);
/* Some times a second. */
void upstream_cron(struct worker *w);

/* REPLICAOF host port: it follows another from now on. What it was itself goes on to be known by its id. */
void upstream_set(struct worker *w, const char *host, int port);
/* REPLICAOF NO ONE: its own primary from now on, under a new id. Harmless when it is. */
void upstream_unset(struct worker *w);

#endif
