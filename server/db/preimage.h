/* SPDX-License-Identifier: MIT
 *
 * Who wants to see an entry as it is before it changes: a snapshot under way, which has to hand over the old value of
 * what it has not written yet. A slice has at most one such observer, and none costs a test of one pointer
 * (keyspace_before() in server/db/keyspace.h).
 *
 * One command tells of an entry once, before its first change, however often it changes it; the next command tells
 * again. Whoever needs it once only (a snapshot) remembers what he has.
 */
#ifndef SERVER_DB_PREIMAGE_H
#define SERVER_DB_PREIMAGE_H

#include <stddef.h>

#include "server/db/key_ref.h"

struct call;
struct db;
struct entry;

struct preimage {
    /* private, all zero at first: what the running command has told already */
    uint64_t serial;
    uint64_t *told; /* open addressing; 0: free */
    size_t told_count, told_cap;
    /* e is about to change or to go; NULL: the key is about to be born. Must not change the keyspace. */
    void (*before)(struct preimage *p, struct call *c, struct db *db, const struct key_ref *key, const struct entry *e);
    /* Everything in db is about to go (with NULL), or to be exchanged for what is in `with`. */
    void (*whole)(struct preimage *p, struct call *c, struct db *db, struct db *with);
};

/* p observes every slice of db from now on; NULL: nobody does. */
void preimage_observe(struct db *db, struct preimage *p);
/* Frees what p keeps; nobody may be observed by it any more. */
void preimage_fini(struct preimage *p);

#endif
