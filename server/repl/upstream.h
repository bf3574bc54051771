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

#include "server/resp/reply.h"

struct dial;
struct client;
struct server;
struct worker;

/* The target of a FAILOVER has answered: it takes over, or refuses. */
typedef void upstream_handed_over(struct worker *w, bool accepted);

/* What our log has on the disk, as offsets in the stream: FACK. */
#define UPSTREAM_LOG_MARKS 8
struct upstream_log {
    struct {
        uint64_t in_log, in_stream;
    } marks[UPSTREAM_LOG_MARKS]; /* oldest first, none of them on the disk yet */
    unsigned count;
    uint64_t safe; /* of the stream */
};

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
    int64_t down_ms;       /* since when it is not CONNECTED any more (wall clock); 0: it never was */
    int64_t io_ms;         /* when bytes last came over it */
    struct upstream_transfer {
        int64_t total; /* bytes; -1: not known before its end */
        int64_t read;
        int64_t io_ms;
    } transfer;        /* of UPSTREAM_TRANSFER */
    bool loads_beside; /* old data are served while it is loaded (async loading) */
    /* private */
    bool may_continue; /* its data are those of the history's id at its offset: it may ask to go on there */
    int64_t stream_db; /* the database that the stream has selected where it stands; -1: it will say so */
    upstream_handed_over *hands_over; /* asked by FAILOVER to take over; who wants to know */
    struct dial *dial;                /* to get a link; NULL: there is one, or it is not time yet */
    uint64_t next_ns;                 /* when it is */
    unsigned log_tries;               /* to turn the log on again after a full synchronisation */
    uint64_t log_next_ns;
    /* the link */
    bool acknowledges;
    uint64_t heard_ns, acked_ns;
    uint64_t seen;    /* of its bytes, when the time was noted */
    uint64_t applied; /* of its bytes, that are in the history or held */
    char *held;       /* what of a transaction has come whose EXEC has not */
    size_t held_size, held_cap;
    struct upstream_log log;
};

/* At the start, with the configuration read and nothing loaded: `replicaof`, if there is one. */
void upstream_begin(struct worker *w);
/* At the end. */
void upstream_fini(struct worker *w);
/* Some times a second. */
void upstream_cron(struct worker *w);
/* The data of the start have been loaded: they may be of a history. */
void upstream_data_arrived(struct worker *w);

/* REPLICAOF host port: it follows another from now on. What it was itself goes on to be known by its id. */
void upstream_set(struct worker *w, const char *host, int port);
/* REPLICAOF NO ONE: its own primary from now on, under a new id. Harmless when it is. */
void upstream_unset(struct worker *w);
/* FAILOVER: as upstream_set(), and the other is asked to take over (PSYNC ... FAILOVER). fn hears of its answer, once;
 * not if somebody else changes the role before. */
void upstream_hand_over(struct worker *w, const char *host, int port, upstream_handed_over *fn);

/* --- the link, which is a client -----------------------------------------------------------------------------------*/

/* The attempt's connection is the link from now on. 0. */
int upstream_take_up(struct dial *a);
/* The attempt came to its end; 0: with a link. */
void upstream_dial_ended(struct worker *w, int err);
/* The client goes away. */
void upstream_lost(struct client *cl);
/* A command of the link was executed, or is queued by MULTI: the bytes from `start` to `end` of its input. */
void upstream_applied(struct client *cl, size_t start, size_t end);
/* It has sent what is no command. */
void upstream_protocol_error(struct client *cl, const char *text);
/* REPLCONF ACK, now: GETACK. */
void upstream_acknowledge(struct worker *w);
/* A command of the link replied with an error, which nobody is sent. ctx: the session. */
void upstream_error(void *ctx, struct bytes text);
/* The append-only file, which a full synchronisation has ended, begins anew, if there is to be one. */
void upstream_log_again(struct worker *w);

#endif
