/* SPDX-License-Identifier: MIT
 *
 * All data of a server as RDB: written to a sink, read from a source; no files here. Either in one go, on the caller's
 * thread, while nothing else runs; or entry by entry, as a walk (server/db/walk.h) shows them.
 */
#ifndef SERVER_RDB_SNAPSHOT_H
#define SERVER_RDB_SNAPSHOT_H

#include "server/exec/call.h"
#include "server/rdb/sink.h"
#include "server/rdb/source.h"

/* Piece by piece: what comes first; a hint of what comes, for each database that has keys; the entries, in any order;
 * the end. Errors are the sink's. */
struct rdb_writer { /* private */
    struct rdb_sink *s;
    int db;        /* -1: it says anew in which database the next pair is */
    bool lru, lfu; /* kinds of use that the policy reads */
};
enum rdb_kind {
    RDB_OF_SERVER, /* what says of whom and when it is, and nothing else yet */
    RDB_OF_ALL,    /* the libraries of functions, too */
    RDB_AOF_BASE,  /* the same as the base of an append-only file, which stands nowhere in the history */
};
void rdb_write_begin(struct rdb_writer *w, struct rdb_sink *s, const struct call *c, enum rdb_kind kind);
void rdb_write_sizes(struct rdb_writer *w, int db, size_t keys, size_t expires);
void rdb_write_pair(struct rdb_writer *w, const struct call *c, int db, const struct entry *e);
/* All of a pair but its value, for who writes that in steps (server/rdb/write.h). */
void rdb_write_key(struct rdb_writer *w, const struct call *c, int db, const struct entry *e);
/* The checksum is left out if the sink defers. */
void rdb_write_end(struct rdb_writer *w);

/* Every database. Errors are the sink's. */
void rdb_write_snapshot(struct rdb_sink *s, struct call *c);

enum rdb_load_flag {
    RDB_LOAD_MERGE = 1,        /* keys that are there already are replaced; otherwise they are an error */
    RDB_LOAD_KEEP_EXPIRED = 2, /* what comes behind it (an append-only file, a primary's stream) may know such keys */
};

#define RDB_LOT_MAX 16

/* Of which history the data are, and how far: what a server that was told it may ask for next. */
struct rdb_origin {
    char id[41];    /* "": it does not say */
    int64_t offset; /* -1: nor that */
    int64_t db;     /* selected in the stream; -1: none */
};

struct rdb_loader {
    struct db *dbs;              /* where keys go, as many as the server has; NULL: the server's */
    struct libraries *libraries; /* the same of functions */
    unsigned flags;              /* enum rdb_load_flag */
    /* Asked after a key, or a lot of keys, or another item: so many. False ends it with -ECANCELED. NULL: not asked. */
    bool (*go_on)(void *arg, size_t items);
    /* Told of keys that are dead already and left out, of a file that says of which history it is. NULL: not told. */
    void (*dead)(void *arg, int db, struct bytes key);
    void *arg;
    uint64_t bytes; /* how long it is; 0: not known */
    unsigned lot;   /* so many at most, 0: RDB_LOT_MAX; go_on may change it */
    /* set by reading */
    uint64_t keys, expired, empty; /* expired: dead already, left out; empty: without elements, left out */
    uint64_t used_mem;             /* of the server that wrote it, as it says; 0: it does not */
    struct rdb_origin origin;
    struct bytes fault_key; /* whose value has the fault, valid as long as the source; p NULL: it is in no value */
};

/* Adds what the source holds to the keyspace and to the libraries of functions: no notifications, no effects, c->dirty
 * stays. 0 or
 *   -EINVAL      no RDB data, or a version we do not know          -EEXIST  a key that is there already
 *   -EOPNOTSUPP  data of modules                                   -ERANGE  more databases than we have
 *   -EBADMSG     malformed, cut short, or a wrong checksum         -ECANCELED, and what else the source fails with
 * s->why says it in words. What was read before the fault stays. */
int rdb_read_snapshot(struct rdb_source *s, struct call *c, struct rdb_loader *l);
/* Will the checksum of what is read be compared? */
bool rdb_wants_checksum(const struct call *c);

#endif
