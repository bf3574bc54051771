/* SPDX-License-Identifier: MIT
 *
 * What the files of server/db/ share: finding the place of a key, and what happens to a key whose time has come.
 * Everybody else uses the verbs of server/db/db.h.
 */
#ifndef SERVER_DB_KEYSPACE_H
#define SERVER_DB_KEYSPACE_H

#include "server/db/db.h"
#include "server/db/entry_build.h"
#include "server/db/hooks.h"
#include "server/db/use.h"

/* A key's place: its table, and its slot there if the key exists. */
struct place {
    struct table *table;
    uint64_t hash;
    struct table_slot slot; /* bucket NULL: no such key */
};

static inline __attribute__((always_inline)) struct bytes keyspace_key_of(const void *entry)
{
    return entry_key(entry);
}

static inline struct table *keyspace_table(const struct call *c, struct db *db, struct bytes key)
{
    struct slice *s = db_slice(db, key);
    DASSERT(c->held >> (s - db->slices) & 1);
    (void)c;
    return &s->table;
}

static inline __attribute__((always_inline)) struct place keyspace_find(const struct call *c, struct db *db,
                                                                        struct bytes key)
{
    struct place p;
    p.table = keyspace_table(c, db, key);
    p.hash = likely(key.p == c->key_hashed) && key.p && db == c->db ? c->key_hash : db_hash(db, key);
    p.slot = table_find_slot_by(p.table, p.hash, key, keyspace_key_of);
    return p;
}

static inline bool keyspace_past(const struct call *c, const struct entry *e)
{
    return unlikely(e->flags & ENTRY_EXPIRES) && c->now_ms > entry_expire(e);
}

/* Deletes the entry in the slot because its time has come, and tells everybody. */
void keyspace_expire(struct call *c, struct db *db, struct table *t, struct table_slot s);

/* The entry as the call is to see it; e is past its time: NULL unless time plays no part. May have deleted it. */
struct entry *keyspace_see_past(struct call *c, struct db *db, struct place *p, bool write);

static inline void keyspace_notify(struct call *c, struct db *db, enum notify_class cls, const char *event,
                                   struct bytes key)
{
    if (unlikely(c->cfg->notify_keyspace_events)) notify_event(c, cls, event, key, db->id);
}

/* The mark of the slot follows the expiry of its entry. */
static inline void keyspace_mark(struct table *t, struct table_slot s, const struct entry *e)
{
    if (e->flags & ENTRY_EXPIRES) table_mark(t, s);
    else table_unmark(t, s);
}

/* Frees an entry that is out of its table. Large values go to the helper thread when lazy. */
void keyspace_discard(struct call *c, struct entry *e, bool lazy);

#endif
