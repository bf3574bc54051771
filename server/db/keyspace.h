/* SPDX-License-Identifier: MIT
 *
 * What the files of server/db/ share: finding the place of a key, the two doors every change passes, and what happens
 * to a key whose time has come. Everybody else uses the verbs of server/db/db.h.
 *
 *     keyspace_before(entry)   the old value is still there: for the observer of the slice (server/db/preimage.h)
 *     ... the table and the entry change ...
 *     keyspace_after(event)    WATCH, tracking and keyspace events, with the key still readable; waiters are told by
 *                              keyspace_ready()
 *     ... the old entry's memory goes ...
 */
#ifndef SERVER_DB_KEYSPACE_H
#define SERVER_DB_KEYSPACE_H

#include "server/db/db.h"
#include "server/db/entry_build.h"
#include "server/db/hooks.h"
#include "server/db/own_expires.h"
#include "server/db/preimage.h"
#include "server/db/use.h"

/* A key's place: its slice, and its slot there if the key exists. */
struct place {
    struct slice *slice;
    struct table_slot slot; /* bucket NULL: no such key */
};

static inline __attribute__((always_inline)) struct bytes keyspace_key_of(const void *entry)
{
    return entry_key(entry);
}

static inline struct slice *keyspace_slice(const struct call *c, struct db *db, const struct key_ref *key)
{
    struct slice *s = db_slice(db, key);
    DASSERT(c->held >> (s - db->slices) & 1);
    (void)c;
    return s;
}

/* What a reference says of its name is true. */
static inline void keyspace_assert_key(const struct db *db, const struct key_ref *key)
{
    DASSERT(key->hash == db_hash(db, key->name));
    DASSERT(db->slice_count == 1 || key->slot == slot_of_key(key->name));
    (void)db, (void)key;
}

/* The entry is whole and its name is the key's. */
static inline void keyspace_assert_entry(const struct entry *e, const struct key_ref *key)
{
#ifdef DEMI_DEBUG
    entry_check(e);
#endif
    DASSERT(bytes_equal(entry_key(e), key->name));
    (void)e, (void)key;
}

static inline __attribute__((always_inline)) struct place keyspace_find(const struct call *c, struct db *db,
                                                                        const struct key_ref *key)
{
    struct place p;
    keyspace_assert_key(db, key);
    p.slice = keyspace_slice(c, db, key);
    p.slot = table_find_slot_by(&p.slice->table, key->hash, key->name, keyspace_key_of);
    if (p.slot.bucket) keyspace_assert_entry(table_slot_entry(p.slot), key);
    return p;
}

/* What comes into the slice now no walk under way is to show. */
static inline void keyspace_stamp(const struct slice *s, struct entry *e)
{
    e->flags = (uint8_t)((e->flags & ~(unsigned)ENTRY_STAMP) | s->stamp);
}

/* --- the doors ---------------------------------------------------------------------------------------------------- */

/* Out of line: tells s->preimage, once a command and entry. */
void keyspace_tell_before(struct call *c, struct db *db, struct slice *s, const struct key_ref *key, struct entry *e);

/* The same for a change of e's elements alone. */
void keyspace_tell_elements(struct call *c, struct db *db, struct slice *s, const struct key_ref *key, struct entry *e);

/* The same for one that goes; true: it is the observer's now. */
bool keyspace_tell_gone(struct call *c, struct db *db, struct slice *s, const struct key_ref *key, struct entry *e);

static inline void keyspace_announce(struct call *c, struct db *db, struct slice *s, const struct key_ref *key,
                                     struct entry *e)
{
#ifdef DEMI_DEBUG
    c->befores++;
    keyspace_assert_key(db, key);
    ASSERT(s == db_slice(db, key));
    /* Still in its table, or not there at all. */
    ASSERT(table_find(&s->table, key->hash, key->name) == e);
    if (e) keyspace_assert_entry(e, key);
#endif
    (void)c, (void)db, (void)s, (void)key, (void)e;
}

/* e (NULL: a key about to be born) is about to change. */
static inline void keyspace_before(struct call *c, struct db *db, struct slice *s, const struct key_ref *key,
                                   struct entry *e)
{
    keyspace_announce(c, db, s, key, e);
    if (unlikely(s->preimage != NULL)) keyspace_tell_before(c, db, s, key, e);
}

/* Bytes are about to be written over e's, if it is a string. */
static inline void keyspace_before_string(struct call *c, struct db *db, struct slice *s, const struct key_ref *key,
                                          struct entry *e)
{
    keyspace_announce(c, db, s, key, e);
    if (unlikely(s->preimage != NULL) && e->type == OBJ_STRING) keyspace_tell_before(c, db, s, key, e);
}

/* Elements of e are about to change, through the doors of its type, and nothing else of it. */
static inline void keyspace_before_elements(struct call *c, struct db *db, struct slice *s, const struct key_ref *key,
                                            struct entry *e)
{
    keyspace_announce(c, db, s, key, e);
    if (unlikely(s->preimage != NULL)) keyspace_tell_elements(c, db, s, key, e);
}

/* e is about to leave its table for good, since its key goes or gets another value. True: an observer frees it. */
static inline bool keyspace_before_gone(struct call *c, struct db *db, struct slice *s, const struct key_ref *key,
                                        struct entry *e)
{
    keyspace_announce(c, db, s, key, e);
    return unlikely(s->preimage != NULL) && keyspace_tell_gone(c, db, s, key, e);
}

static inline void keyspace_notify(struct call *c, struct db *db, enum notify_class cls, const char *event,
                                   const struct key_ref *key)
{
    if (unlikely(c->cfg->notify_keyspace_events)) notify_event(c, cls, event, key->name, db->id);
}

/* Out of line: s->interest is there. */
void keyspace_tell_interested(struct call *c, struct db *db, const struct slice *s, const struct key_ref *key,
                              enum notify_class cls);

/* The key has changed: watchers, trackers and the event's audience (event NULL: none) are told. */
static inline void keyspace_after(struct call *c, struct db *db, const struct slice *s, const struct key_ref *key,
                                  enum notify_class cls, const char *event)
{
    DASSERT(s >= db->slices && s < db->slices + db->slice_count);
    if (unlikely(s->interest != NULL)) keyspace_tell_interested(c, db, s, key, cls);
    if (event) keyspace_notify(c, db, cls, event, key);
}

/* The key has got a value of this type, or lost it: whoever waits for one may look. */
static inline void keyspace_ready(struct call *c, struct db *db, const struct slice *s, const struct key_ref *key,
                                  enum obj_type type)
{
    DASSERT(s >= db->slices && s < db->slices + db->slice_count);
    DASSERT(type < OBJ_TYPE_COUNT);
    if (likely(s->interest == NULL)) return;
    if (type == OBJ_LIST || type == OBJ_ZSET || type == OBJ_STREAM) blocked_key_ready(c, db, key, type);
}

/* A snapshot is at it: it must not change, if that can be. */
static inline bool keyspace_is_held(const struct db *db, const struct slice *s, struct entry *e)
{
    return unlikely(s->preimage != NULL) && e->type != OBJ_STRING && preimage_holds(db, e);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static inline bool keyspace_past(const struct call *c, const struct entry *e)
{
    return unlikely(e->flags & ENTRY_EXPIRES) && c->now_ms > entry_expire(e);
}

/* Deletes the entry in the slot because its time has come, and tells everybody. */
void keyspace_expire(struct call *c, struct db *db, struct slice *s, struct table_slot slot);

/* The entry as the call is to see it; e is past its time: NULL unless time plays no part. May have deleted it. */
struct entry *keyspace_meet_expired(struct call *c, struct db *db, struct place *p, bool write);

/* The mark of the slot follows the expiry of its entry. */
static inline void keyspace_mark(struct table *t, struct table_slot s, uint64_t hash, const struct entry *e)
{
    if (e->flags & ENTRY_EXPIRES) table_mark(t, s, hash);
    else table_unmark(t, s);
}

/* The key has got a time. */
static inline void keyspace_timed(struct call *c, struct db *db, const struct key_ref *key)
{
    if (unlikely(db->own_expires != NULL)) own_expires_note(c, db, key);
}

/* Frees an entry that is out of its table (NULL: an observer does). Large values go to the helper thread when lazy. */
void keyspace_discard(struct call *c, struct entry *e, bool lazy);

#endif
