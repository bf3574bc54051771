/* SPDX-License-Identifier: MIT
 *
 * Who is interested in a key: clients that wait for it (BLPOP), clients that watch it (WATCH), clients that keep its
 * value in a cache of their own (CLIENT TRACKING). One map a slice, from a key's name to a list a kind, which exists
 * only while there is somebody: a slice nobody is interested in costs a test of one pointer.
 *
 *     slice.interest --> table: name --> interest_key: [WAIT]  link <-> link     in the order in which they came
 *          |                                           [WATCH] link <-> link
 *          `-----------> tracked (server/db/tracked.h): name --> numbers of clients
 *
 * A link belongs to whoever is interested and lies in his memory; the key is made with the first link and goes with the
 * last. The key need not exist in the keyspace. Interest is in a name of a database with a number: when databases
 * exchange their contents (SWAPDB) or are emptied, it stays where it is. Those who track are many, on many keys, and in
 * all databases alike: they are numbers in a set that the slices of the same keys share.
 */
#ifndef SERVER_DB_INTEREST_H
#define SERVER_DB_INTEREST_H

#include <stdbool.h>

#include "alloc/base/list.h"
#include "server/db/db.h"

enum interest_kind { INTEREST_WAIT, INTEREST_WATCH, INTEREST_KINDS };

struct interest_key {
    struct list links[INTEREST_KINDS]; /* struct interest_link.link */
    /* Free for the use of who serves the waiters: empty, and 0, when the key goes. */
    struct list ready;
    uint32_t until_gone;
    struct db *db;
    uint64_t hash;
    uint16_t slot;
    uint32_t size;
    char name[];
};

struct interest_link {
    struct list link;
    struct interest_key *key; /* NULL: in no list */
};

/* Adds l as the last of its kind. */
void interest_add(struct db *db, const struct key_ref *key, enum interest_kind kind, struct interest_link *l);
/* Takes l out, and the key with its last link. */
void interest_remove(struct interest_link *l);
/* NULL: nobody is interested in it. */
struct interest_key *interest_find(const struct db *db, const struct key_ref *key);
/* The name is valid as long as the key. */
struct key_ref interest_ref(const struct interest_key *k);
/* Every key of db somebody is interested in; fn may not add or remove. */
void interest_each(struct db *db, void (*fn)(void *arg, struct interest_key *k), void *arg);
bool interest_any(const struct db *db);

struct tracked;
/* From now on somebody may track keys: by_slice[i] is of slice i of each of the databases, and the caller's. Again:
 * with others in their place. */
void interest_track(struct db *dbs, int db_count, struct tracked *const *by_slice);
/* And from now on nobody. */
void interest_track_no_more(struct db *dbs, int db_count);

#endif
