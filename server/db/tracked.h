/* SPDX-License-Identifier: MIT
 *
 * Names of keys that clients have read and may keep in a cache of their own (CLIENT TRACKING): of each name, the
 * numbers of these clients. One set a slice, of all databases together, since what such a client is told is a name and
 * no database. A number may be that of a client who has gone: it costs room until the key changes or the room is
 * needed.
 *
 *     struct tracked --> table: name --> tracked_key: one number | an array of numbers in order
 *
 * A slice's interest points at it. Its fields are read by everybody, and changed here.
 */
#ifndef SERVER_DB_TRACKED_H
#define SERVER_DB_TRACKED_H

#include <stdbool.h>

#include "alloc/base/rng.h"
#include "server/db/key_ref.h"
#include "server/ds/table.h"

struct tracked {
    struct table keys;   /* of struct tracked_key * */
    size_t items, bytes; /* pairs of key and client; memory of the entries */
};

struct tracked_key {
    uint64_t hash;
    union {
        uint64_t one;             /* the only one */
        uint64_t *many;           /* ascending */
        struct tracked_key *next; /* taken, and without its numbers: free for the use of who has it */
    };
    uint32_t count, room; /* room 0: one */
    uint32_t size;
    char name[];
};

/* seed: that of the hashes in the references. */
struct tracked *tracked_new(uint64_t seed);
void tracked_free(struct tracked *t);
/* A client reads key. False: that was known. Where the numbers of a key have no more room, those are dropped for which
 * lives() says no. */
bool tracked_add(struct tracked *t, const struct key_ref *key, uint64_t client, bool (*lives)(void *arg, uint64_t id),
                 void *arg);
/* Takes a key out: it is the caller's, to be freed by mem_free() once its numbers were dropped. NULL: nobody reads it;
 * of the second, nothing is there. */
struct tracked_key *tracked_take(struct tracked *t, const struct key_ref *key);
struct tracked_key *tracked_take_any(struct tracked *t, struct rng *rng);
void tracked_key_drop(struct tracked_key *k); /* its numbers */

static inline const uint64_t *tracked_key_clients(const struct tracked_key *k) { return k->room ? k->many : &k->one; }
static inline struct bytes tracked_key_name(const struct tracked_key *k) { return bytes_of(k->name, k->size); }
size_t tracked_bytes(const struct tracked *t); /* all that it takes */

#ifdef DEMI_DEBUG
void tracked_check(struct tracked *t); /* walks all of it */
#endif

#endif
