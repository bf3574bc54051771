/* SPDX-License-Identifier: MIT
 *
 * Expiry: set and removed, found on access, and looked for in the background.
 *
 * There is no second table of volatile keys: the table's mark says which entries have an expiry, and a walk over marks
 * touches nothing else. The background walk goes on from where it stopped. One step looks at about 20 volatile keys
 * (more with active-expire-effort), and steps follow each other as long as more than 10 % of what a step saw was
 * expired (less with more effort), until the time is up: Redis's cycle, which keeps the share of dead keys near that
 * bound at little cost when few expire. When there is time for it is the business of server/expire_cycle.c.
 */
#include "alloc/base/clock.h"
#include "demi/ext.h"
#include "server/db/keyspace.h"

#define KEYS_A_STEP   20
#define WALKS_A_STEP  64 /* that may find nothing */
#define STALE_PERCENT 10 /* acceptable share of dead keys, effort 1 */
#define RESIZE_BATCH  64 /* buckets moved between two looks at the clock */

/* --- set -------------------------------------------------------------------------------------------------------- */

struct entry *db_set_expire_in(struct call *c, struct db *db, const struct key_ref *key, const struct entry *e,
                               int64_t expire_ms)
{
    bool has = e->flags & ENTRY_EXPIRES;
    if (!has && expire_ms < 0) return (struct entry *)e;
    struct entry *own = (struct entry *)e;
    keyspace_before(c, db, keyspace_slice(c, db, key), key, own);
    if (has && expire_ms >= 0) {
        store_u64(own->body, (uint64_t)expire_ms);
        keyspace_timed(c, db, key);
        return own;
    }
    struct place p = keyspace_find(c, db, key);
    ASSERT(p.slot.bucket && table_slot_entry(p.slot) == own);
    own = entry_reshape_expire(own, expire_ms);
    keyspace_stamp(p.slice, own);
    table_replace_slot(&p.slice->table, p.slot, own);
    keyspace_mark(&p.slice->table, p.slot, key->hash, own);
    if (expire_ms >= 0) keyspace_timed(c, db, key);
    return own;
}

struct entry *db_set_expire(struct call *c, const struct key_ref *key, const struct entry *e, int64_t expire_ms)
{
    return db_set_expire_in(c, c->db, key, e, expire_ms);
}

/* --- found on access -------------------------------------------------------------------------------------------- */

void keyspace_expire(struct call *c, struct db *db, struct slice *s, struct table_slot slot)
{
    struct entry *e = table_slot_entry(slot);
    struct key_ref key = {.name = entry_key(e)};
    /* Those who want to know it by its hash are rare. */
    if (unlikely(s->interest || s->preimage)) key = key_ref_of(db, key.name);
    bool taken = unlikely(s->preimage != NULL) && keyspace_tell_gone(c, db, s, &key, e);
    table_delete_slot(&s->table, slot);
    if (e->type == OBJ_STREAM) keyspace_ready(c, db, s, &key, OBJ_STREAM);
    keyspace_after(c, db, s, &key, NOTIFY_EXPIRED, "expired");
    effect_gone(c, db, key.name, c->cfg->lazyfree_lazy_expire);
    stat_expired(c, 1);
    keyspace_discard(c, taken ? NULL : e, c->cfg->lazyfree_lazy_expire);
}

struct entry *keyspace_meet_expired(struct call *c, struct db *db, struct place *p, bool write)
{
    switch (srv_expired_is(c, write)) {
    case EXPIRED_VALID: return table_slot_entry(p->slot);
    case EXPIRED_GONE:
        if (!write && unlikely(keyspace_is_held(db, p->slice, table_slot_entry(p->slot)))) break;
        keyspace_expire(c, db, p->slice, p->slot);
        p->slot.bucket = NULL;
        return NULL;
    case EXPIRED_HIDDEN: break;
    }
    return NULL;
}

/* --- in the background ------------------------------------------------------------------------------------------ */

struct expire_step {
    struct call *c;
    struct db *db;
    struct slice *slice;
    size_t seen, expired;
    int64_t ttl_sum;
    size_t ttl_count;
};

static void look(void *arg, struct table_slot s)
{
    struct expire_step *st = arg;
    const struct entry *e = table_slot_entry(s);
    int64_t left = entry_expire(e) - st->c->now_ms;
    st->seen++;
    if (left < 0 && unlikely(keyspace_is_held(st->db, st->slice, table_slot_entry(s))))
        return; /* the next time round */
    if (left < 0) {
        st->expired++;
        keyspace_expire(st->c, st->db, st->slice, s);
    } else if (left > 0 && left < INT64_MAX / 1024) {
        st->ttl_sum += left;
        st->ttl_count++;
    }
}

static void average(struct db *db, const struct expire_step *st)
{
    if (!st->ttl_count) return;
    double now = (double)(st->ttl_sum / (int64_t)st->ttl_count);
    db->avg_ttl_ms = db->avg_ttl_ms == 0 ? now : db->avg_ttl_ms * 0.98 + now * 0.02;
}

/* One step. *rounds counts how often the walk came to the end of the last slice. */
static struct expire_step look_at_some(struct call *c, struct db *db, size_t keys, unsigned *rounds)
{
    struct expire_step st = {.c = c, .db = db};
    for (size_t walks = keys + WALKS_A_STEP; walks > 0 && st.seen < keys; walks--) {
        st.slice = &db->slices[db->expire_slice];
        db->expire_at = table_walk_marked(&st.slice->table, db->expire_at, look, &st);
        if (db->expire_at != 0) continue;
        if (++db->expire_slice < db->slice_count) continue;
        db->expire_slice = 0;
        if (++*rounds >= 2) break;
    }
    average(db, &st);
    return st;
}

static unsigned effort_of(const struct config *cfg)
{
    return cfg->active_expire_effort > 1 ? (unsigned)cfg->active_expire_effort - 1 : 0;
}

unsigned db_expire_acceptable_percent(const struct config *cfg)
{
    unsigned effort = effort_of(cfg);
    return effort < STALE_PERCENT ? STALE_PERCENT - effort : 0;
}

bool db_expire_some(struct call *c, struct db *db, uint64_t deadline_ns, size_t *seen, size_t *expired)
{
    size_t keys = KEYS_A_STEP + KEYS_A_STEP / 4 * effort_of(c->cfg);
    unsigned acceptable = db_expire_acceptable_percent(c->cfg), rounds = 0;
    while (db_expires(db) > 0) {
        struct expire_step st = look_at_some(c, db, keys, &rounds);
        *seen += st.seen;
        *expired += st.expired;
        /* A step that saw nothing was where no volatile keys are: on, but not around more than once. */
        if (st.seen > 0 && st.expired * 100 / st.seen <= acceptable) return true;
        if (rounds >= 2) return true;
        if (demi_clock_ns() >= deadline_ns) return false;
    }
    db->avg_ttl_ms = 0;
    return true;
}

bool db_expand_some(struct db *db, size_t keys, unsigned buckets)
{
    bool due = false;
    for (unsigned i = 0; i < db->slice_count; i++)
        due |= table_expand_some(&db->slices[i].table, keys / db->slice_count, buckets);
    return due;
}

void db_resize_some(struct db *db, uint64_t deadline_ns)
{
    for (unsigned i = 0; i < db->slice_count; i++) {
        while (table_rehash_step(&db->slices[i].table, RESIZE_BATCH)) {
            if (demi_clock_ns() >= deadline_ns) return;
        }
    }
}
