/* SPDX-License-Identifier: MIT
 *
 * Who wants to see an entry as it is before it changes: a snapshot under way, which has to hand over the old value of
 * what it has not written yet. Without such an observer that costs a test of one pointer (keyspace_before() in
 * server/db/keyspace.h). Whoever observes does so in all databases of a server.
 *
 * One command tells of an entry once, before its first change, however often it changes it; the next command tells
 * again. Whoever knows himself what he has been told of (a snapshot stamps it) is told of every change.
 */
#ifndef SERVER_DB_PREIMAGE_H
#define SERVER_DB_PREIMAGE_H

#include <stdbool.h>

#include "server/db/hash_set.h"
#include "server/db/key_ref.h"

struct call;
struct db;
struct entry;

struct preimage {
    /* private, all zero at first */
    struct preimage *next;
    bool every;           /* set by the observer: he is told of every change */
    uint64_t serial;      /* of the command that told last */
    struct hash_set told; /* what it has told */
    /* e is about to change or to go; NULL: the key is about to be born. Must not change the keyspace. */
    void (*before)(struct preimage *p, struct call *c, struct db *db, const struct key_ref *key, struct entry *e);
    /* Elements of e are about to change, and nothing else of it: true if each of them tells the observer by itself
     * (server/ds/element.h), or he needs not know. NULL, or false: it is as any change. */
    bool (*elements)(struct preimage *p, struct db *db, struct entry *e);
    /* e leaves its table for good: true if it is to be the observer's, who frees it. NULL, or false: as any change. */
    bool (*gone)(struct preimage *p, struct db *db, struct entry *e);
    /* e is to stay as it is for now, if that can be (the observer is at it, and is not soon done). NULL: never. */
    bool (*holds)(struct preimage *p, const struct db *db, struct entry *e);
    /* Everything in db is about to be exchanged for what is in `with` (told once for both), or to go (with NULL): true
     * then, if the slices and what is in them are to be p's, who frees them. */
    bool (*whole)(struct preimage *p, struct call *c, struct db *db, struct db *with);
};

/* p observes every slice of all databases of a server from now on, until it is forgotten; what it keeps is freed. */
void preimage_observe(struct db *dbs, int count, struct preimage *p);
void preimage_forget(struct db *dbs, int count, struct preimage *p);
/* One of those that observe db holds e. */
bool preimage_holds(const struct db *db, struct entry *e);
/* Tells all that observe db. True: one of them takes what goes. */
bool preimage_tell_whole(struct call *c, struct db *db, struct db *with);

#endif
