/* SPDX-License-Identifier: MIT
 *
 * Expiry: set and removed, found on access, and looked for in the background.
 *
 * There is no second table of volatile keys: the table's mark says which entries have an expiry, and a walk over marks
 * touches no entry without one. The background walk goes on from where it stopped. One step looks at about 20 volatile
 * keys (more with active-expire-effort) or 400 buckets, and steps follow each other as long as more than 10 % of what a
 * step saw was expired (less with more effort), within the budget of time: Redis's cycle, which keeps the share of dead
 * keys near that bound at little cost when few expire.
 */
#include "alloc/base/clock.h"
#include "demi/ext.h"
#include "server/db/keyspace.h"

#define KEYS_A_STEP   20
#define BUCKETS_A_KEY 20
#define STALE_PERCENT 10 /* acceptable share of dead keys, effort 1 */
#define RESIZE_BATCH  64 /* buckets moved between two looks at the clock */
#define STEPS_A_CLOCK 4

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
        return own;
    }
    struct place p = keyspace_find(c, db, key);
    ASSERT(p.slot.bucket && table_slot_entry(p.slot) == own);
    own = entry_reshape_expire(own, expire_ms);
    table_replace_slot(&p.slice->table, p.slot, own);
    keyspace_mark(&p.slice->table, p.slot, own);
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
    if (unlikely(s->preimage != NULL)) keyspace_tell_before(c, db, s, &key, e);
    table_delete_slot(&s->table, slot);
    if (e->type == OBJ_STREAM) keyspace_ready(c, db, s, &key, OBJ_STREAM);
    keyspace_after(c, db, s, &key, NOTIFY_EXPIRED, "expired");
    effect_del_expired(c, db, key.name);
    stat_expired(c, 1);
    keyspace_discard(c, e, c->cfg->lazyfree_lazy_expire);
}

struct entry *keyspace_see_past(struct call *c, struct db *db, struct place *p, bool write)
{
    switch (srv_expired_is(c, write)) {
    case EXPIRED_VALID: return table_slot_entry(p->slot);
    case EXPIRED_GONE:
        keyspace_expire(c, db, p->slice, p->slot);
        p->slot.bucket = NULL;
        return NULL;
    case EXPIRED_HIDDEN: break;
    }
    return NULL;
}

/* --- in the background ------------------------------------------------------------------------------------------ */

struct step {
    struct call *c;
    struct db *db;
    struct slice *slice;
    size_t seen, expired;
    int64_t ttl_sum;
    size_t ttl_count;
};

static void look(void *arg, struct table_slot s)
{
    struct step *st = arg;
    const struct entry *e = table_slot_entry(s);
    int64_t left = entry_expire(e) - st->c->now_ms;
    st->seen++;
    if (left < 0) {
        st->expired++;
        keyspace_expire(st->c, st->db, st->slice, s);
    } else if (left > 0 && left < INT64_MAX / 1024) {
        st->ttl_sum += left;
        st->ttl_count++;
    }
}

static void average(struct db *db, const struct step *st)
{
    if (!st->ttl_count) return;
    double now = (double)(st->ttl_sum / (int64_t)st->ttl_count);
    db->avg_ttl_ms = db->avg_ttl_ms == 0 ? now : db->avg_ttl_ms * 0.98 + now * 0.02;
}

/* One step. *rounds counts how often the walk came to the end of the last slice. */
static struct step look_at_some(struct call *c, struct db *db, size_t keys, unsigned *rounds)
{
    struct step st = {.c = c, .db = db};
    for (size_t buckets = keys * BUCKETS_A_KEY; buckets > 0 && st.seen < keys; buckets--) {
        st.slice = &db->slices[db->expire_slice];
        if (table_marked_count(&st.slice->table) > 0)
            db->expire_cursor = table_scan_marked(&st.slice->table, db->expire_cursor, look, &st);
        else db->expire_cursor = 0;
        if (db->expire_cursor != 0) continue;
        if (++db->expire_slice < db->slice_count) continue;
        db->expire_slice = 0;
        if (++*rounds >= 2) break;
    }
    average(db, &st);
    return st;
}

static size_t expire_some(struct call *c, struct db *db, nsec deadline)
{
    if (db_expires(db) == 0) {
        db->avg_ttl_ms = 0;
        return 0;
    }
    unsigned effort = c->cfg->active_expire_effort > 0 ? (unsigned)c->cfg->active_expire_effort - 1 : 0;
    size_t keys = KEYS_A_STEP + KEYS_A_STEP / 4 * effort, expired = 0;
    unsigned acceptable = effort < STALE_PERCENT ? STALE_PERCENT - effort : 0, rounds = 0;
    for (unsigned n = 1;; n++) {
        struct step st = look_at_some(c, db, keys, &rounds);
        expired += st.expired;
        /* A step that saw nothing was among buckets without volatile keys: on, but not around more than once. */
        if (st.seen > 0 && st.expired * 100 / st.seen <= acceptable) break;
        if (rounds >= 2 || db_expires(db) == 0) break;
        if (n % STEPS_A_CLOCK == 0 && demi_clock_ns() >= deadline) break;
    }
    return expired;
}

static void resize_some(struct db *db, nsec deadline)
{
    for (unsigned i = 0; i < db->slice_count; i++) {
        while (table_rehash_step(&db->slices[i].table, RESIZE_BATCH)) {
            if (demi_clock_ns() >= deadline) return;
        }
    }
}

size_t db_cron(struct call *c, struct db *db, uint64_t budget_ns)
{
    nsec deadline = demi_clock_ns() + budget_ns;
    size_t expired = srv_active_expire(c) ? expire_some(c, db, deadline) : 0;
    resize_some(db, deadline);
    return expired;
}
