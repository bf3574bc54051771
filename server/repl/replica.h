/* SPDX-License-Identifier: MIT
 *
 * One replica, as we know it: what it said of itself (REPLCONF), how far it has come, what it has acknowledged. A
 * connection that says the first such thing is no replica yet; SYNC or PSYNC makes it one (server/repl/replicas.h).
 *
 *     WAITS ----> RECEIVES ----> ONLINE         (+CONTINUE: at once ONLINE)
 *     |           a file         the stream
 *     for a payload, or for the end of one that has a mark: INFO shows both as redis-server does
 */
#ifndef SERVER_REPL_REPLICA_H
#define SERVER_REPL_REPLICA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

struct client;

#define REPLICA_IP_MAX 256 /* redis-server's bound */

enum replica_capa {
    REPLICA_CAPA_EOF = 1u << 0,    /* takes a payload whose length nobody knows */
    REPLICA_CAPA_PSYNC2 = 1u << 1, /* takes another id from +CONTINUE */
};

enum replica_wants { /* REPLCONF rdb-filter-only: what is left out of the payload */
                     REPLICA_WANTS_NO_DATA = 1u << 0,
                     REPLICA_WANTS_NO_FUNCTIONS = 1u << 1,
};

enum replica_state { REPLICA_WAITS, REPLICA_RECEIVES, REPLICA_ONLINE };

struct replica { /* client->replica; NULL: it has said nothing of the kind */
    int port;    /* where it says it listens; 0: it did not say */
    char *ip;    /* NULL: as the connection */
    unsigned capa, wants;
    bool has_version; /* it said which it is: it reads what we write at our newest */
    bool rdb_only;    /* it wants the payload and not the stream */

    enum replica_state state;
    bool by_psync;      /* it gets a status line, and acknowledges */
    int64_t asked_ms;   /* when it asked for the snapshot it waits for */
    int64_t ack_ms;     /* when it was last heard of; 0: never */
    int64_t ack_offset; /* the greatest it has acknowledged */
    int64_t aof_offset; /* of that, what is in its log on its disk (FACK) */
    uint64_t taken;     /* of what it was sent, when that was last looked at, and since when it is no more */
    int64_t taken_ms;
    bool catches_up; /* since it asked for everything */
    int64_t slow_ms; /* others have waited for it, in all */
};

struct replica *replica_of(struct client *cl); /* made if there is none */
void replica_free(struct client *cl);          /* harmless without one */
void replica_set_ip(struct replica *r, struct bytes ip);
/* The highest RDB version it takes. */
int replica_rdb_version(const struct replica *r, int newest);
/* Its address as INFO and ROLE show it: what it said, or where it came from, without a port. Into out, cut to size. */
void replica_address(const struct client *cl, char *out, size_t size);
const char *replica_state_word(const struct replica *r); /* INFO's */
/* REPLCONF ACK: only growing values count. */
void replica_acknowledge(struct replica *r, int64_t offset, int64_t aof_offset, int64_t now_ms);
/* Seconds since it was heard of, once it is online. */
int64_t replica_lag_s(const struct replica *r, int64_t now_ms);

#endif
