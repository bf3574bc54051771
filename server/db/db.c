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

static struct entry *missed(struct call *c, struct db *db, const struct key_ref *key)
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
    return keyspace_meet_expired(c, db, p, write);
}

const struct entry *db_lookup_read(struct call *c, const struct key_ref *key)
{
    struct place p = keyspace_find(c, c->db, key);
    struct entry *e = live(c, c->db, &p, false);
    if (unlikely(!e)) return missed(c, c->db, key);
    use_touch(c, e);
    stat_hit(c);
    return e;
}

const struct entry *db_peek(struct call *c, const struct key_ref *key)
{
    struct place p = keyspace_find(c, c->db, key);
    return live(c, c->db, &p, false);
}

const struct entry *db_lookup_notouch(struct call *c, const struct key_ref *key, bool quiet)
{
    const struct entry *e = db_peek(c, key);
    if (e) stat_hit(c);
    else if (quiet) stat_miss(c);
    else return missed(c, c->db, key);
    return e;
}

const struct entry *db_lookup_in(struct call *c, struct db *db, const struct key_ref *key)
{
    struct place p = keyspace_find(c, db, key);
    struct entry *e = live(c, db, &p, true);
    if (e) use_touch(c, e);
    return e;
}

struct entry *db_lookup_write(struct call *c, const struct key_ref *key)
{
    struct place p = keyspace_find(c, c->db, key);
    struct entry *e = live(c, c->db, &p, true);
    if (!e) return NULL;
    use_touch(c, e);
    keyspace_before(c, c->db, p.slice, key, e);
    return e;
}

struct entry *db_lookup_elements(struct call *c, const struct key_ref *key)
{
    struct place p = keyspace_find(c, c->db, key);
    struct entry *e = live(c, c->db, &p, true);
    if (!e) return NULL;
    use_touch(c, e);
    keyspace_before_elements(c, c->db, p.slice, key, e);
    return e;
}

bool db_edit_begin(struct call *c, const struct key_ref *key, struct db_edit *edit)
{
    struct place p = keyspace_find(c, c->db, key);
    struct entry *e = live(c, c->db, &p, true);
    edit->e = e;
    if (!e) return false;
    edit->slice = p.slice;
    edit->slot = p.slot;
    use_touch(c, e);
    keyspace_before_elements(c, c->db, p.slice, key, e);
    return true;
}

struct entry *db_lookup_update(struct call *c, const struct key_ref *key)
{
    struct place p = keyspace_find(c, c->db, key);
    struct entry *e = live(c, c->db, &p, true);
    if (unlikely(!e)) return missed(c, c->db, key);
    use_touch(c, e);
    stat_hit(c);
    keyspace_before(c, c->db, p.slice, key, e);
    return e;
}

void db_fetch(const struct db *db, const struct key_ref *keys, size_t n)
{
    ASSERT(n <= DB_AHEAD_MAX);
    const struct table_bucket *buckets[DB_AHEAD_MAX];
    for (size_t i = 0; i < n; i++) buckets[i] = db_prefetch_bucket(db, &keys[i]);
    for (size_t i = 0; i < n; i++) table_prefetch_entry(buckets[i], keys[i].hash);
}

size_t db_fetch_ahead(struct call *c, size_t i)
{
    size_t left = (size_t)c->key_count - i, n = left < DB_AHEAD_MAX ? left : DB_AHEAD_MAX;
    db_fetch(c->db, c->keys + i, n);
    return i + n;
}

/* --- put ------------------------------------------------------------------------------------------------------ */

/* e takes the place of the entry there, which goes. */
static struct entry *replace(struct call *c, struct db *db, struct place *p, const struct key_ref *key, struct entry *e)
{
    struct entry *old = table_slot_entry(p->slot);
    keyspace_assert_entry(e, key);
    DASSERT(old != e);
    e->lru = use_is_lfu(c->cfg) ? old->lru : use_clock(c);
    bool taken = keyspace_before_gone(c, db, p->slice, key, old);
    keyspace_stamp(p->slice, e);
    table_replace_slot(&p->slice->table, p->slot, e);
    keyspace_mark(&p->slice->table, p->slot, key->hash, e);
    /* XREADGROUP learns that it is gone; a list or set that overwrites wakes nobody. */
    if (old->type == OBJ_STREAM) keyspace_ready(c, db, p->slice, key, OBJ_STREAM);
    keyspace_discard(c, taken ? NULL : old, c->cfg->lazyfree_lazy_server_del);
    return e;
}

/* e is new at its place, unless a dead entry that was not ours to delete is still there. */
static struct entry *create(struct call *c, struct db *db, struct place *p, const struct key_ref *key, struct entry *e)
{
    if (unlikely(p->slot.bucket != NULL)) {
        e = replace(c, db, p, key, e);
        keyspace_ready(c, db, p->slice, key, e->type);
        return e;
    }
    keyspace_before(c, db, p->slice, key, NULL);
    keyspace_assert_entry(e, key);
    e->lru = use_initial(c);
    keyspace_stamp(p->slice, e);
    p->slot = table_insert(&p->slice->table, key->hash, e);
    if (e->flags & ENTRY_EXPIRES) {
        table_mark(&p->slice->table, p->slot, key->hash);
        keyspace_timed(c, db, key);
    }
    keyspace_ready(c, db, p->slice, key, e->type);
    keyspace_notify(c, db, NOTIFY_NEW, "new", key);
    return e;
}

static inline int64_t expiry_after(const struct entry *old, int64_t expire_ms, unsigned flags)
{
    return expire_ms < 0 && (flags & PUT_KEEP_TTL) ? entry_expire(old) : expire_ms;
}

struct entry *db_put_string(struct call *c, const struct key_ref *key, struct bytes val, int64_t expire_ms,
                            unsigned flags)
{
    struct db *db = c->db;
    struct place p = keyspace_find(c, db, key);
    struct entry *old = live(c, db, &p, true);
    if (!old) return create(c, db, &p, key, entry_new_string(key->name, val, expire_ms));

    int64_t expiry = expiry_after(old, expire_ms, flags);
    if (likely((expiry >= 0) == !!(old->flags & ENTRY_EXPIRES))) {
        keyspace_before_string(c, db, p.slice, key, old);
        if (likely(entry_overwrite_string(old, val))) {
            if (expire_ms >= 0) {
                store_u64(old->body, (uint64_t)expire_ms);
                keyspace_timed(c, db, key);
            }
            use_touch(c, old);
            return old;
        }
    }
    struct entry *e = replace(c, db, &p, key, entry_new_string(key->name, val, expiry));
    if (expire_ms >= 0) keyspace_timed(c, db, key);
    return e;
}

struct entry *db_put_int(struct call *c, const struct key_ref *key, int64_t v, unsigned flags)
{
    struct db *db = c->db;
    struct place p = keyspace_find(c, db, key);
    struct entry *old = live(c, db, &p, true);
    if (!old) return create(c, db, &p, key, entry_new_int(key->name, v, -1));

    int64_t expiry = expiry_after(old, -1, flags);
    if (old->enc == ENC_INT && (expiry >= 0) == !!(old->flags & ENTRY_EXPIRES)) {
        keyspace_before(c, db, p.slice, key, old);
        entry_set_int(old, v);
        use_touch(c, old);
        return old;
    }
    return replace(c, db, &p, key, entry_new_int(key->name, v, expiry));
}

struct entry *db_put_new_string(struct call *c, const struct key_ref *key, struct bytes val, int64_t expire_ms)
{
    struct place p = keyspace_find(c, c->db, key);
    return p.slot.bucket ? NULL : create(c, c->db, &p, key, entry_new_string(key->name, val, expire_ms));
}

struct entry *db_put_new_int(struct call *c, const struct key_ref *key, int64_t v, int64_t expire_ms)
{
    struct place p = keyspace_find(c, c->db, key);
    return p.slot.bucket ? NULL : create(c, c->db, &p, key, entry_new_int(key->name, v, expire_ms));
}

struct entry *db_put_value_in(struct call *c, struct db *db, const struct key_ref *key, struct value v,
                              int64_t expire_ms, unsigned flags)
{
    struct place p = keyspace_find(c, db, key);
    struct entry *old = live(c, db, &p, true);
    if (!old) return create(c, db, &p, key, entry_new_value(key->name, v, expire_ms));
    int64_t expiry = expiry_after(old, expire_ms, flags);
    struct entry *e = replace(c, db, &p, key, entry_new_value(key->name, v, expiry));
    if (expire_ms >= 0) keyspace_timed(c, db, key);
    if (flags & PUT_AFRESH) {
        e->lru = use_initial(c);
        keyspace_ready(c, db, p.slice, key, e->type);
        keyspace_notify(c, db, NOTIFY_NEW, "new", key);
    }
    return e;
}

struct entry *db_put_value(struct call *c, const struct key_ref *key, struct value v, int64_t expire_ms, unsigned flags)
{
    return db_put_value_in(c, c->db, key, v, expire_ms, flags);
}

/* --- edit ------------------------------------------------------------------------------------------------------- */

/* The place of e, which is the entry of key. */
static struct place place_of(struct call *c, struct db *db, const struct key_ref *key, const struct entry *e)
{
    struct place p = keyspace_find(c, db, key);
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
    bool grows = e->enc == ENC_INT || e->vlen; /* what was empty is made as large as it is, and once, most likely */
    if (len > ENTRY_EMBED_MAX) return entry_unembed(e, len, grows ? len + len / 2 : len);
    if (e->enc == ENC_INT) return entry_int_to_embedded(e, len);
    return entry_resize_embedded(e, len);
}

char *db_string_edit(struct call *c, const struct key_ref *key, struct entry **ep, size_t new_len)
{
    struct entry *e = *ep;
    if (e->enc == ENC_RAW) return blob_to_edit(e, new_len)->data;
    if (e->enc == ENC_EMBSTR && new_len <= ENTRY_EMBED_MAX &&
        entry_round(entry_size(e) - e->vlen + new_len) == entry_alloc_size(e)) {
        e = entry_resize_embedded(e, new_len); /* stays where it is */
    } else {
        struct place p = place_of(c, c->db, key, e);
        e = with_length(e, new_len);
        keyspace_stamp(p.slice, e);
        table_replace_slot(&p.slice->table, p.slot, e);
        *ep = e;
    }
    if (e->enc == ENC_RAW) return ((struct blob *)entry_ptr(e))->data;
    e->flags |= ENTRY_EDITED;
    return entry_embedded(e);
}

void db_edit_store_other(struct db_edit *edit, enum obj_encoding enc, void **p)
{
    struct entry *e = entry_adopt(edit->e, enc, *p);
    if (e != edit->e) table_replace_slot(&edit->slice->table, edit->slot, e);
    edit->e = e;
    *p = entry_ptr(e);
#ifdef DEMI_DEBUG
    entry_check(e);
#endif
}

const struct entry *db_reencode(struct call *c, const struct key_ref *key, const struct entry *e, enum obj_encoding enc,
                                void *p)
{
    struct place at = place_of(c, c->db, key, e);
    struct db_edit edit = {table_slot_entry(at.slot), at.slice, at.slot};
    if (!entry_is_host(e)) value_free((struct value){.type = e->type, .enc = e->enc, .p = entry_ptr(e)});
    db_edit_store_other(&edit, enc, &p);
    return edit.e;
}

/* --- delete ------------------------------------------------------------------------------------------------------ */

void keyspace_discard(struct call *c, struct entry *e, bool lazy)
{
    if (!e) return;
    if (lazy && e->type != OBJ_STRING && !entry_is_host(e)) lazy_free(c, entry_detach(e));
    else entry_free(e);
}

static struct entry *take_out(struct call *c, struct db *db, struct place *p, const struct key_ref *key)
{
    struct entry *e = table_delete_slot(&p->slice->table, p->slot);
    if (e->type == OBJ_STREAM) keyspace_ready(c, db, p->slice, key, OBJ_STREAM);
    return e;
}

/* Out of the table, into another; the entry is the caller's. */
static struct entry *pull(struct call *c, struct db *db, struct place *p, const struct key_ref *key)
{
    keyspace_before(c, db, p->slice, key, table_slot_entry(p->slot));
    return take_out(c, db, p, key);
}

/* For good. NULL: the entry is not for the caller to free. */
static struct entry *pull_for_good(struct call *c, struct db *db, struct place *p, const struct key_ref *key)
{
    bool taken = keyspace_before_gone(c, db, p->slice, key, table_slot_entry(p->slot));
    struct entry *e = take_out(c, db, p, key);
    return taken ? NULL : e;
}

static bool delete (struct call *c, const struct key_ref *key, bool lazy)
{
    struct place p = keyspace_find(c, c->db, key);
    if (!p.slot.bucket) return false;
    if (keyspace_past(c, table_slot_entry(p.slot)) && srv_expired_is(c, false) == EXPIRED_GONE) {
        keyspace_expire(c, c->db, p.slice, p.slot);
        return false;
    }
    keyspace_discard(c, pull_for_good(c, c->db, &p, key), lazy);
    return true;
}

bool db_delete(struct call *c, const struct key_ref *key) { return delete (c, key, c->cfg->lazyfree_lazy_server_del); }
bool db_delete_lazy(struct call *c, const struct key_ref *key) { return delete (c, key, true); }

void db_move(struct call *c, const struct key_ref *key, const struct entry *e, struct db *to,
             const struct key_ref *new_key)
{
    struct place target = keyspace_find(c, to, new_key);
    if (target.slot.bucket) {
        struct entry *there = pull_for_good(c, to, &target, new_key);
        ASSERT(there != e);
        keyspace_discard(c, there, c->cfg->lazyfree_lazy_server_del);
    } else {
        keyspace_before(c, to, target.slice, new_key, NULL);
    }
    struct place p = place_of(c, c->db, key, e);
    struct entry *moved = entry_rekey(pull(c, c->db, &p, key), new_key->name);
    keyspace_assert_entry(moved, new_key);
    keyspace_stamp(target.slice, moved);
    target.slot = table_insert(&target.slice->table, new_key->hash, moved);
    if (moved->flags & ENTRY_EXPIRES) {
        table_mark(&target.slice->table, target.slot, new_key->hash);
        keyspace_timed(c, to, new_key);
    }
    keyspace_ready(c, to, target.slice, new_key, moved->type);
    keyspace_notify(c, to, NOTIFY_NEW, "new", new_key);
}

/* --- after a change ----------------------------------------------------------------------------------------------- */

void db_changed_in(struct call *c, struct db *db, const struct key_ref *key, enum notify_class cls, const char *event)
{
    c->dirty++;
    keyspace_after(c, db, db_slice(db, key), key, cls, event);
}

void db_changed(struct call *c, const struct key_ref *key, enum notify_class cls, const char *event)
{
    db_changed_in(c, c->db, key, cls, event);
}

void db_notify(struct call *c, enum notify_class cls, const char *event, const struct key_ref *key, int dbid)
{
    if (unlikely(c->cfg->notify_keyspace_events)) notify_event(c, cls, event, key->name, dbid);
}

void db_ready(struct call *c, const struct key_ref *key, enum obj_type type)
{
    keyspace_ready(c, c->db, db_slice(c->db, key), key, type);
}
