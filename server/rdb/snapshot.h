/* SPDX-License-Identifier: MIT
 *
 * All data of a server as RDB: written to a sink, read from a source; no files here. One go, on the caller's thread:
 * nothing else runs meanwhile.
 */
#ifndef SERVER_RDB_SNAPSHOT_H
#define SERVER_RDB_SNAPSHOT_H

#include "server/exec/call.h"
#include "server/rdb/sink.h"
#include "server/rdb/source.h"

/* Every database. Errors are the sink's. */
void rdb_write_snapshot(struct rdb_sink *s, struct call *c);

enum rdb_load_flag {
    RDB_LOAD_MERGE = 1, /* keys that are there already are replaced; otherwise they are an error */
};

struct rdb_loaded {
    uint64_t keys, expired, empty; /* expired: dead already, left out; empty: without elements, left out */
};

/* Adds what the source holds to the keyspace: no notifications, no effects, c->dirty stays. 0 or
 *   -EINVAL      no RDB data, or a version we do not know          -EEXIST  a key that is there already
 *   -EOPNOTSUPP  streams, modules, functions                       -ERANGE  more databases than we have
 *   -EBADMSG     malformed, cut short, or a wrong checksum         and what else the source fails with
 * s->why says it in words. What was read before the fault stays. */
int rdb_read_snapshot(struct rdb_source *s, struct call *c, unsigned flags, struct rdb_loaded *loaded);

#endif
