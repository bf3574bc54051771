/* SPDX-License-Identifier: MIT
 *
 * The keyspace and its verbs. Every change to a key goes through the functions below and nowhere else, because what
 * must know of changes hangs there: WATCH, blocked clients, client tracking, notifications, the count of changes since
 * the last save, the snapshot's pre-image.
 *
 * A keyspace is divided into slices (groups of the 16,384 hash slots), so that more cores can later work on one
 * keyspace, each holding the slices of the keys its command declared. With one core there is one slice, no slot is
 * computed and nothing is locked. Debug builds use several slices and assert that a command touches only keys of slices
 * it holds.
 *
 *   struct db (one of `databases`) -> slices[] -> struct table of struct entry *
 *
 * How a write handler goes:
 *     const struct key_ref *key = call_key(c, 1);     // the key at argv[1], hashed when the request was parsed
 *     struct entry *e = db_lookup_write(c, key);      // NULL: not there (or just expired)
 *     if (e && call_wrong_type(c, e, OBJ_HASH)) return;
 *     … change the value in place, or db_put_*(), or db_delete() …
 *     db_changed(c, key, NOTIFY_HASH, "hset");        // once per key that changed: dirties, WATCH, notification
 *
 * Only db_lookup_write(), db_lookup_elements(), db_edit_begin() and the verbs that change give an entry that may be
 * written to: they have told the observer of the slice (server/db/preimage.h) of its old value. Every other look-up
 * gives a const one.
 */
#ifndef SERVER_DB_H
#define SERVER_DB_H

#include "server/exec/call.h"
#include "server/db/entry.h"
#include "server/db/key_ref.h"
#include "server/db/slot.h"
#include "server/ds/table.h"

struct client;
struct dict;
struct interest;
struct preimage;

/* What belongs to the keys of one slice. The table comes first: a place in it is a place in the slice. */
struct slice {
    struct table table;        /* of struct entry *; marked: the entry has an expiry */
    struct interest *interest; /* server/db/interest.h; NULL: nobody waits for, watches or tracks a key here */
    struct preimage *preimage; /* server/db/preimage.h; NULL: nobody wants old values */
    uint8_t stamp;             /* ENTRY_STAMP of what comes in */
};

#define DB_SLICES_MAX 64 /* one bit each in c->held */

struct db {
    int id;
    unsigned slice_count;
    struct slice *slices;
    uint64_t hash_seed;
    double avg_ttl_ms;
    size_t expire_at; /* where active expiry goes on */
    unsigned expire_slice;
    struct dict *own_expires; /* server/db/own_expires.h; NULL but on a writable replica */
};

/* --- look up ------------------------------------------------------------------------------------------------ */

/* To read: an expired key is deleted and counts as missing; counts a hit or miss, touches the LRU clock. */
const struct entry *db_lookup_read(struct call *c, const struct key_ref *key);
/* The same without counting or touching: DEBUG, MEMORY USAGE, SORT's patterns. */
const struct entry *db_peek(struct call *c, const struct key_ref *key);
/* Counting but not touching: TYPE, TTL, EXISTS, OBJECT. quiet: no "keymiss" either. */
const struct entry *db_lookup_notouch(struct call *c, const struct key_ref *key, bool quiet);
/* To change: as read, without counting hits. Blobs that are lent are still shared: db_string_edit() copies. */
struct entry *db_lookup_write(struct call *c, const struct key_ref *key);
/* The same to add, change and remove elements of a set, one by one (server/types/), so that a snapshot under way need
 * not write all of it before. Its value is not exchanged for another, unless it is a small one that grows; what is done
 * to the key by the verbs below is announced there. Hashes and sorted sets: db_edit_begin(). */
struct entry *db_lookup_elements(struct call *c, const struct key_ref *key);
/* The same, counting as a read does: who reads, and leaves a trace (XREADGROUP). */
struct entry *db_lookup_update(struct call *c, const struct key_ref *key);
/* The same in another database (MOVE, COPY). */
const struct entry *db_lookup_in(struct call *c, struct db *db, const struct key_ref *key);

#define DB_AHEAD_MAX 16
/* Many keys: fetches the next few of the call's keys from its i-th on, so that their cache misses overlap, and returns
 * how far it came: for call_key_ahead() (server/exec/call.h). */
size_t db_fetch_ahead(struct call *c, size_t i);
/* The same for keys that no request named: n of them, up to DB_AHEAD_MAX. */
void db_fetch(const struct db *db, const struct key_ref *keys, size_t n);

/* The same entry to note something of its encoding, which is no change to anybody outside (PFCOUNT keeps what it
 * counted). */
static inline struct entry *db_to_reencode(const struct entry *e) { return (struct entry *)(uintptr_t)e; }
/* The same value in another encoding, which is no change either (SORT unpacks a sorted set); the old one is freed. What
 * was e's entry until now is elsewhere: returns it. */
const struct entry *db_reencode(struct call *c, const struct key_ref *key, const struct entry *e, enum obj_encoding enc,
                                void *p);

/* --- elements of hashes and sorted sets ------------------------------------------------------------------------- */

/* A hash or sorted set while its elements change. Its small ones lie in the entry, so that it moves when they grow, and
 * with it all that a view of them (server/types/) pointed at. Hence there is one name for the entry, here, and one for
 * the value, in the view, and db_edit_store() puts both right:
 *
 *     struct db_edit edit;
 *     if (!db_edit_begin(c, key, &edit)) ...           // not there
 *     if (call_wrong_type(c, edit.e, OBJ_HASH)) return;
 *     struct hash h = hash_of(edit.e);
 *     ... change h through the doors of its type, and run no other verb meanwhile ...
 *     db_edit_store(&edit, h.enc, &h.p);               // h and edit.e are what is in the keyspace now
 *
 * What changed nothing needs no store. */
struct db_edit {
    struct entry *e;
    /* private */
    struct slice *slice;
    struct table_slot slot;
};
/* As db_lookup_elements(). False: there is none, and e is NULL. */
bool db_edit_begin(struct call *c, const struct key_ref *key, struct db_edit *edit);
void db_edit_store_other(struct db_edit *edit, enum obj_encoding enc, void **p);
static inline void db_edit_store(struct db_edit *edit, enum obj_encoding enc, void **p)
{
    const struct entry *e = edit->e;
    DASSERT(table_slot_entry(edit->slot) == e);
    if (likely(entry_ptr(e) == *p && e->enc == enc) && !entry_is_loose(e)) return;
    db_edit_store_other(edit, enc, p);
}

/* --- put ------------------------------------------------------------------------------------------------------ */

enum put_flag {
    PUT_KEEP_TTL = 1, /* otherwise an expiry that was there is gone */
    /* as if what was there had been deleted first: event "new", fresh LRU and LFU (COPY and RESTORE with REPLACE) */
    PUT_AFRESH = 2,
};
/* Sets key to a string, whatever was there; the fastest path there is for SET. Numbers become ENC_INT by themselves.
 * expire_ms -1: none (or kept). Returns the entry. Does not call db_changed(). */
struct entry *db_put_string(struct call *c, const struct key_ref *key, struct bytes val, int64_t expire_ms,
                            unsigned flags);
struct entry *db_put_int(struct call *c, const struct key_ref *key, int64_t v, unsigned flags);
/* The same for a key that is not there (loading): NULL if it is, and nothing is done. */
struct entry *db_put_new_string(struct call *c, const struct key_ref *key, struct bytes val, int64_t expire_ms);
struct entry *db_put_new_int(struct call *c, const struct key_ref *key, int64_t v, int64_t expire_ms);
/* Sets key to a value whose ownership passes; what was there is freed. */
struct entry *db_put_value(struct call *c, const struct key_ref *key, struct value v, int64_t expire_ms,
                           unsigned flags);
struct entry *db_put_value_in(struct call *c, struct db *db, const struct key_ref *key, struct value v,
                              int64_t expire_ms, unsigned flags);
/* Makes a string's bytes writable with the given length (kept bytes, new ones zero) and marks it edited; returns
 * where they are; *e is updated because the entry may move. For APPEND, SETRANGE, SETBIT. */
char *db_string_edit(struct call *c, const struct key_ref *key, struct entry **e, size_t new_len);

/* --- delete and expire ---------------------------------------------------------------------------------------- */

/* Returns whether it was there. Does not call db_changed(): DEL, GETDEL, an emptied list do, with their event. lazy:
 * huge values are freed by the helper thread. */
bool db_delete(struct call *c, const struct key_ref *key);
bool db_delete_lazy(struct call *c, const struct key_ref *key);
/* Gives the entry another key or another database, with value and expiry; the copy costs the key alone. What was at
 * the new place is deleted. e is dead afterwards. Does not call db_changed(). */
void db_move(struct call *c, const struct key_ref *key, const struct entry *e, struct db *to,
             const struct key_ref *new_key);
/* expire_ms -1 removes it. The entry may move: returns its new place. */
struct entry *db_set_expire(struct call *c, const struct key_ref *key, const struct entry *e, int64_t expire_ms);
struct entry *db_set_expire_in(struct call *c, struct db *db, const struct key_ref *key, const struct entry *e,
                               int64_t expire_ms);

/* --- after a change --------------------------------------------------------------------------------------------- */

enum notify_class { /* notify-keyspace-events: K E g $ l s h z x e n t d m */
                    NOTIFY_KEYSPACE = 1,
                    NOTIFY_KEYEVENT = 2,
                    NOTIFY_GENERIC = 4,
                    NOTIFY_STRING = 8,
                    NOTIFY_LIST = 16,
                    NOTIFY_SET = 32,
                    NOTIFY_HASH = 64,
                    NOTIFY_ZSET = 128,
                    NOTIFY_EXPIRED = 256,
                    NOTIFY_EVICTED = 512,
                    NOTIFY_STREAM = 1024,
                    NOTIFY_KEY_MISS = 2048,
                    NOTIFY_MODULE = 8192,
                    NOTIFY_NEW = 16384,
};
/* Tells everybody that key changed: c->dirty += 1 (add more with c->dirty += n), WATCH, notification `event` (NULL:
 * none). */
void db_changed(struct call *c, const struct key_ref *key, enum notify_class cls, const char *event);
void db_changed_in(struct call *c, struct db *db, const struct key_ref *key, enum notify_class cls, const char *event);
/* The notification alone (e.g. a second event of the same command: "del" after "lpop"). */
void db_notify(struct call *c, enum notify_class cls, const char *event, const struct key_ref *key, int dbid);

/* The key's value has got something that somebody may wait for. (That it has come into being, or gone, the verbs
 * tell.) */
void db_ready(struct call *c, const struct key_ref *key, enum obj_type type);

/* --- the whole database --------------------------------------------------------------------------------------- */

size_t db_size(const struct db *db);
size_t db_expires(const struct db *db);
/* Empties it; async: values are freed by the helper thread. Returns the number of keys. Touches watched keys. */
size_t db_flush(struct call *c, struct db *db, bool async);
void db_swap(struct call *c, struct db *a, struct db *b);
/* A random live key, NULL when empty. */
const struct entry *db_random(struct call *c);
/* A random entry of db, dead or alive, for sampling by eviction; volatile_only: one with an expiry (NULL if none is
 * found soon). */
const struct entry *db_sample(struct db *db, struct rng *rng, bool volatile_only);
/* SCAN: calls fn for a few entries from cursor on (expired ones included: fn checks), returns the next cursor, 0 at
 * the end. */
uint64_t db_scan(struct db *db, uint64_t cursor, void (*fn)(void *arg, const struct entry *e), void *arg);
/* Every entry; fn must not change the keyspace. */
void db_each(struct db *db, void (*fn)(void *arg, const struct entry *e), void *arg);
bool db_is_expired(const struct call *c, const struct entry *e);
/* Seconds since the entry was used; its LFU counter as of now. */
int64_t db_idle_seconds(const struct call *c, const struct entry *e);
unsigned db_lfu_counter(const struct call *c, const struct entry *e);
/* RESTORE, loading: idle_s or freq, the one that the policy wants; -1: not given. */
void db_set_use(const struct call *c, struct entry *e, int64_t idle_s, int freq);

/* --- for the loop ------------------------------------------------------------------------------------------------ */

static inline uint64_t db_hash(const struct db *db, struct bytes key)
{
    return hash_bytes(key.p, key.n, db->hash_seed);
}
static inline struct key_ref key_ref_of(const struct db *db, struct bytes name)
{
    struct key_ref k = {.name = name, .hash = db_hash(db, name)};
    if (unlikely(db->slice_count > 1)) k.slot = (uint16_t)slot_of_key(name);
    return k;
}
static inline unsigned db_slice_index(const struct db *db, const struct key_ref *key)
{
    return likely(db->slice_count == 1) ? 0 : key->slot * db->slice_count / SLOT_COUNT;
}
static inline struct slice *db_slice(const struct db *db, const struct key_ref *key)
{
    return &db->slices[db_slice_index(db, key)];
}
/* Asks the memory for a key's bucket; table_prefetch_entry() then asks for what the bucket points at. */
static inline const struct table_bucket *db_prefetch_bucket(const struct db *db, const struct key_ref *key)
{
    return table_prefetch_bucket(&db_slice(db, key)->table, key->hash);
}
/* All databases of a server get the same seed: hashes computed ahead survive SWAPDB. 0 or -EINVAL. */
int db_init(struct db *db, int id, unsigned slice_count, uint64_t seed);
void db_fini(struct db *db);
/* What an asynchronous flush hands to the helper thread (lazy_free_slices() in hooks.h). */
void db_slices_free(struct slice *slices, unsigned count);
/* Looks at keys with an expiry, from where it stopped, and deletes the dead: until no more than an acceptable share of
 * those it saw last was dead (true) or the clock has passed the deadline (false). Adds up what it saw. */
bool db_expire_some(struct call *c, struct db *db, uint64_t deadline_ns, size_t *seen, size_t *expired);
/* That share, by active-expire-effort. */
unsigned db_expire_acceptable_percent(const struct config *cfg);
/* Makes room for so many keys, by up to so many buckets a slice: true: more is due. */
bool db_expand_some(struct db *db, size_t keys, unsigned buckets);
/* Moves buckets of tables that are to grow or shrink, until the deadline. */
void db_resize_some(struct db *db, uint64_t deadline_ns);

#endif
