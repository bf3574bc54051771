/* SPDX-License-Identifier: MIT
 *
 * Names are drawn at random, as Redis does (expireSlaveKeys): a few in a row whose time has not come say that there is
 * little to do.
 */
#include "server/db/own_expires.h"

#include "demi/ext.h"
#include "server/db/keyspace.h"
#include "server/ds/dict.h"
#include "server/mem.h"

#define LIVING_MAX    3  /* of a cycle */
#define LOOKED_AT     2  /* with each name that comes */
#define NAMES_A_CLOCK 64 /* between two looks at it */

void own_expires_begin(struct db *db)
{
    if (db->own_expires) return;
    db->own_expires = mem_alloc(sizeof *db->own_expires);
    dict_init_set(db->own_expires, db->hash_seed);
}

void own_expires_end(struct db *db)
{
    if (!db->own_expires) return;
    dict_fini(db->own_expires);
    mem_free(db->own_expires);
    db->own_expires = NULL;
}

void own_expires_clear(struct db *db)
{
    if (!db->own_expires) return;
    own_expires_end(db);
    own_expires_begin(db);
}

size_t own_expires_count(const struct db *db) { return db->own_expires ? dict_count(db->own_expires) : 0; }

enum found { HAS_NO_TIME, IS_PAST, IS_ALIVE };

static enum found look_up(struct call *c, struct db *db, struct bytes name, struct key_ref *key, struct place *p)
{
    *key = key_ref_of(db, name);
    *p = keyspace_find(c, db, key);
    const struct entry *e = p->slot.bucket ? table_slot_entry(p->slot) : NULL;
    if (!e || !(e->flags & ENTRY_EXPIRES)) return HAS_NO_TIME;
    if (!keyspace_past(c, e)) return IS_ALIVE;
    return keyspace_is_held(db, p->slice, table_slot_entry(p->slot)) ? IS_ALIVE : IS_PAST; /* the next time */
}

/* Whether the call may look at keys that nobody named: it holds all slices. */
static bool holds_all(const struct call *c, const struct db *db)
{
    return db->slice_count == 1 || c->held == UINT64_MAX;
}

/* A name drawn: out if its key has no time any more. */
static void tidy(struct call *c, struct db *db, struct rng *rng)
{
    struct key_ref key;
    struct place p;
    struct bytes name;
    if (!dict_random(db->own_expires, rng, &name, NULL)) return;
    if (look_up(c, db, name, &key, &p) == HAS_NO_TIME) dict_delete(db->own_expires, name);
}

void own_expires_note(struct call *c, struct db *db, const struct key_ref *key)
{
    struct rng rng;
    ASSERT(db->own_expires);
    if (!srv_is_own_client(c) || !dict_add(db->own_expires, key->name) || !holds_all(c, db)) return;
    rng_seed(&rng, call_random(c));
    for (int i = 0; i < LOOKED_AT; i++) tidy(c, db, &rng);
}

void own_expires_some(struct call *c, uint64_t deadline_ns)
{
    struct db *db = c->db;
    struct rng rng;
    unsigned living = 0;
    struct bytes name;
    if (!own_expires_count(db)) return;
    rng_seed(&rng, call_random(c));
    for (unsigned n = 1; living <= LIVING_MAX && dict_random(db->own_expires, &rng, &name, NULL); n++) {
        struct key_ref key;
        struct place p;
        enum found found = look_up(c, db, name, &key, &p);
        living += found == IS_ALIVE;
        if (found == IS_PAST) keyspace_expire(c, db, p.slice, p.slot);
        if (found != IS_ALIVE) dict_delete(db->own_expires, name);
        if (n % NAMES_A_CLOCK == 0 && demi_clock_ns() >= deadline_ns) return;
    }
}
