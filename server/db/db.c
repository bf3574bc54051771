/* SPDX-License-Identifier: MIT
 *
 * The verbs on one key: look up, put, delete, move. What a hit costs beyond the table's look-up is one test for an
 * expiry, one for the second of last use, one counter; what SET over a string of the same size class costs is a copy.
 *
 * The order within a change is always the same: the table first, then those who watch, wait or count, with the key
 * still readable, then the old entry's memory.
 */
#include "server/db/db.h"

#include "server/db/keyspace.h"

/* --- look up ------------------------------------------------------------------------------------------------ */

bool db_is_expired(const struct call *c, const struct entry *e)
{
    return keyspace_past(c, e) && srv_expired_is(c, false) != EXPIRED_VALID;
}

static struct entry *missed(struct call *c, struct db *db, struct bytes key)
{
    stat_miss(c);
    keyspace_notify(c, db, NOTIFY_KEY_MISS, "keymiss", key);
    return NULL;
}

/* The live entry of a place, or NULL. */
static inline __attribute__((always_inline)) struct entry *live(struct call *c, struct db *db, struct place *p,
                                                                bool write)
{
    if (!p->slot.bucket) return NULL;
    struct entry *e = table_slot_entry(p->slot);
    if (likely(!keyspace_past(c, e))) return e;
    return keyspace_see_past(c, db, p, write);
}

struct entry *db_lookup_read(struct call *c, struct bytes key)
{
    struct place p = keyspace_find(c, c->db, key);
    struct entry *e = live(c, c->db, &p, false);
    if (unlikely(!e)) return missed(c, c->db, key);
    use_touch(c, e);
    stat_hit(c);
    return e;
}

struct entry *db_peek(struct call *c, struct bytes key)
{
    struct place p = keyspace_find(c, c->db, key);
    return live(c, c->db, &p, false);
}

struct entry *db_lookup_notouch(struct call *c, struct bytes key, bool quiet)
{
    struct entry *e = db_peek(c, key);
    if (e) stat_hit(c);
    else if (quiet) stat_miss(c);
    else return missed(c, c->db, key);
    return e;
}

struct entry *db_lookup_in(struct call *c, struct db *db, struct bytes key)
{
    struct place p = keyspace_find(c, db, key);
    struct entry *e = live(c, db, &p, true);
    if (e) use_touch(c, e);
    return e;
}

struct entry *db_lookup_write(struct call *c, struct bytes key) { return db_lookup_in(c, c->db, key); }

void db_look_ahead(struct call *c, struct db_ahead *a, const struct bytes *keys, int step, int left)
{
    struct db *db = c->db;
    a->count = a->next = 0;
    for (int i = 0; i < left && a->count < DB_AHEAD_MAX; i += step) {
        uint64_t hash = db_hash(db, keys[i]);
        table_prefetch_bucket(&db_slice(db, keys[i])->table, hash);
        a->hash[a->count++] = hash;
    }
    for (unsigned i = 0; i < a->count; i++)
        table_prefetch_entry(&db_slice(db, keys[i * (unsigned)step])->table, a->hash[i]);
}

/* --- put ------------------------------------------------------------------------------------------------------ */

static bool somebody_may_wait_for(enum obj_type type)
{
    return type == OBJ_LIST || type == OBJ_ZSET || type == OBJ_STREAM;
}

static void ready(struct call *c, struct db *db, struct bytes key, enum obj_type type)
{
    if (unlikely(db->blocked != NULL) && somebody_may_wait_for(type)) blocked_key_ready(c, db, key, type);
}

/* e takes the place of the entry there, which goes. */
static struct entry *supplant(struct call *c, struct db *db, struct place *p, struct bytes key, struct entry *e)
{
    struct entry *old = table_slot_entry(p->slot);
    e->lru = use_is_lfu(c->cfg) ? old->lru : use_clock(c);
    table_replace_slot(p->table, p->slot, e);
    keyspace_mark(p->table, p->slot, e);
    /* XREADGROUP learns that it is gone; a list or set that overwrites wakes nobody */
    if (old->type == OBJ_STREAM) ready(c, db, key, OBJ_STREAM);
    keyspace_discard(c, old, c->cfg->lazyfree_lazy_server_del);
    return e;
}

/* e is new at its place, unless a dead entry that was not ours to delete is still there. */
static struct entry *create(struct call *c, struct db *db, struct place *p, struct bytes key, struct entry *e)
{
    if (unlikely(p->slot.bucket != NULL)) {
        e = supplant(c, db, p, key, e);
        ready(c, db, key, e->type);
        return e;
    }
    e->lru = use_initial(c);
    p->slot = table_insert(p->table, p->hash, e);
    if (e->flags & ENTRY_EXPIRES) table_mark(p->table, p->slot);
    ready(c, db, key, e->type);
    keyspace_notify(c, db, NOTIFY_NEW, "new", key);
    return e;
}

static inline int64_t expiry_after(const struct entry *old, int64_t expire_ms, unsigned flags)
{
    return expire_ms < 0 && (flags & PUT_KEEP_TTL) ? entry_expire(old) : expire_ms;
}

struct entry *db_put_string(struct call *c, struct bytes key, struct bytes val, int64_t expire_ms, unsigned flags)
{
    struct db *db = c->db;
    struct place p = keyspace_find(c, db, key);
    struct entry *old = live(c, db, &p, true);
    if (!old) return create(c, db, &p, key, entry_new_string(key, val, expire_ms));

    int64_t expiry = expiry_after(old, expire_ms, flags);
    if (likely((expiry >= 0) == !!(old->flags & ENTRY_EXPIRES)) && likely(entry_overwrite_string(old, val))) {
        if (expire_ms >= 0) store_u64(old->body, (uint64_t)expire_ms);
        use_touch(c, old);
        return old;
    }
    return supplant(c, db, &p, key, entry_new_string(key, val, expiry));
}

struct entry *db_put_int(struct call *c, struct bytes key, int64_t v, unsigned flags)
{
    struct db *db = c->db;
    struct place p = keyspace_find(c, db, key);
    struct entry *old = live(c, db, &p, true);
    if (!old) return create(c, db, &p, key, entry_new_int(key, v, -1));

    int64_t expiry = expiry_after(old, -1, flags);
    if (old->enc == ENC_INT && (expiry >= 0) == !!(old->flags & ENTRY_EXPIRES)) {
        entry_set_int(old, v);
        use_touch(c, old);
        return old;
    }
    return supplant(c, db, &p, key, entry_new_int(key, v, expiry));
}

struct entry *db_put_value_in(struct call *c, struct db *db, struct bytes key, struct value v, int64_t expire_ms,
                              unsigned flags)
{
    struct place p = keyspace_find(c, db, key);
    struct entry *old = live(c, db, &p, true);
    if (!old) return create(c, db, &p, key, entry_new_value(key, v, expire_ms));
    struct entry *e = supplant(c, db, &p, key, entry_new_value(key, v, expiry_after(old, expire_ms, flags)));
    if (flags & PUT_AFRESH) {
        e->lru = use_initial(c);
        ready(c, db, key, e->type);
        keyspace_notify(c, db, NOTIFY_NEW, "new", key);
    }
    return e;
}

struct entry *db_put_value(struct call *c, struct bytes key, struct value v, int64_t expire_ms, unsigned flags)
{
    return db_put_value_in(c, c->db, key, v, expire_ms, flags);
}

/* --- edit ------------------------------------------------------------------------------------------------------- */

static struct place place_of(struct call *c, struct db *db, const struct entry *e)
{
    struct place p = keyspace_find(c, db, entry_key(e));
    ASSERT(p.slot.bucket && table_slot_entry(p.slot) == e);
    return p;
}

static struct blob *blob_to_edit(struct entry *e, size_t len)
{
    struct blob *b = entry_ptr(e);
    if (blob_is_lent(b)) { /* lent: ours from now on is a copy */
        struct blob *own = blob_new(b->len < len ? b->len : len, len);
        memcpy(own->data, b->data, own->len);
        blob_unref(b);
        b = own;
    }
    b = blob_grow(b, len);
    entry_set_ptr(e, b);
    return b;
}

/* The entry as an EMBSTR or RAW of len bytes. */
static struct entry *with_length(struct entry *e, size_t len)
{
    if (len > ENTRY_EMBED_MAX) return entry_unembed(e, len, len + len / 2);
    if (e->enc == ENC_INT) return entry_int_to_embedded(e, len);
    return entry_resize_embedded(e, len);
}

char *db_string_edit(struct call *c, struct entry **ep, size_t new_len)
{
    struct entry *e = *ep;
    if (e->enc == ENC_RAW) return blob_to_edit(e, new_len)->data;
    if (e->enc == ENC_EMBSTR && new_len <= ENTRY_EMBED_MAX &&
        entry_round(entry_size(e) - e->vlen + new_len) == entry_alloc_size(e)) {
        e = entry_resize_embedded(e, new_len); /* stays where it is */
    } else {
        struct place p = place_of(c, c->db, e);
        e = with_length(e, new_len);
        table_replace_slot(p.table, p.slot, e);
        *ep = e;
    }
    if (e->enc == ENC_RAW) return ((struct blob *)entry_ptr(e))->data;
    e->flags |= ENTRY_EDITED;
    return entry_embedded(e);
}

/* --- delete ------------------------------------------------------------------------------------------------------ */

void keyspace_discard(struct call *c, struct entry *e, bool lazy)
{
    if (lazy && e->type != OBJ_STRING) lazy_free(c, entry_detach(e));
    else entry_free(e);
}

/* Out of the table; the entry is the caller's. */
static struct entry *pull(struct call *c, struct db *db, struct place *p)
{
    struct entry *e = table_delete_slot(p->table, p->slot);
    if (e->type == OBJ_STREAM) ready(c, db, entry_key(e), OBJ_STREAM);
    return e;
}

static bool delete (struct call *c, struct bytes key, bool lazy)
{
    struct place p = keyspace_find(c, c->db, key);
    if (!p.slot.bucket) return false;
    if (keyspace_past(c, table_slot_entry(p.slot)) && srv_expired_is(c, true) == EXPIRED_GONE) {
        keyspace_expire(c, c->db, p.table, p.slot);
        return false;
    }
    keyspace_discard(c, pull(c, c->db, &p), lazy);
    return true;
}

bool db_delete(struct call *c, struct bytes key) { return delete (c, key, c->cfg->lazyfree_lazy_server_del); }
bool db_delete_lazy(struct call *c, struct bytes key) { return delete (c, key, true); }

bool db_take(struct call *c, struct bytes key, struct value *out, int64_t *expire_ms)
{
    struct place p = keyspace_find(c, c->db, key);
    if (!live(c, c->db, &p, true)) return false;
    struct entry *e = pull(c, c->db, &p);
    *expire_ms = entry_expire(e);
    *out = entry_detach(e);
    return true;
}

void db_move(struct call *c, struct entry *e, struct db *to, struct bytes new_key)
{
    struct place target = keyspace_find(c, to, new_key);
    if (target.slot.bucket) {
        struct entry *there = pull(c, to, &target);
        ASSERT(there != e);
        keyspace_discard(c, there, c->cfg->lazyfree_lazy_server_del);
    }
    struct place p = place_of(c, c->db, e);
    e = entry_rekey(pull(c, c->db, &p), new_key);
    target.slot = table_insert(target.table, target.hash, e);
    if (e->flags & ENTRY_EXPIRES) table_mark(target.table, target.slot);
    ready(c, to, new_key, e->type);
    keyspace_notify(c, to, NOTIFY_NEW, "new", new_key);
}

/* --- after a change --------------------------------------------------------------------------------------------- */

void db_changed_in(struct call *c, struct db *db, struct bytes key, enum notify_class cls, const char *event)
{
    c->dirty++;
    if (unlikely(db->watched != NULL)) watch_touch(c, db, key);
    if (event) keyspace_notify(c, db, cls, event, key);
}

void db_changed(struct call *c, struct bytes key, enum notify_class cls, const char *event)
{
    db_changed_in(c, c->db, key, cls, event);
}

void db_notify(struct call *c, enum notify_class cls, const char *event, struct bytes key, int dbid)
{
    if (unlikely(c->cfg->notify_keyspace_events)) notify_event(c, cls, event, key, dbid);
}
