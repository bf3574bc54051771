/* SPDX-License-Identifier: MIT
 *
 * A database as a whole: made, walked, emptied, exchanged.
 *
 * A cursor of SCAN is the table's cursor (its low 48 bits; a table would need 2^48 buckets to need more) with the
 * number of the slice above it, so that with one slice it is the table's own.
 */
#include <errno.h>

#include "server/db/interest.h"
#include "server/db/keyspace.h"
#include "server/mem.h"

#define CURSOR_SLICE_SHIFT 48
#define RANDOM_TRIES       100

static struct bytes key_of(const void *entry) { return entry_key(entry); }
static const struct table_ops entry_ops = {.key = key_of};

/* --- made --------------------------------------------------------------------------------------------------------- */

static struct slice *slices_new(unsigned count, uint64_t seed)
{
    struct slice *s = mem_alloc(count * sizeof *s);
    for (unsigned i = 0; i < count; i++) {
        table_init(&s[i].table, &entry_ops, seed);
        s[i].interest = NULL;
        s[i].preimage = NULL;
        s[i].stamp = 0;
    }
    return s;
}

static void free_entry(void *arg, void *entry)
{
    (void)arg;
    entry_free(entry);
}

void db_slices_free(struct slice *slices, unsigned count)
{
    for (unsigned i = 0; i < count; i++) table_fini(&slices[i].table, free_entry, NULL);
    mem_free_sized(slices, count * sizeof *slices);
}

int db_init(struct db *db, int id, unsigned slice_count, uint64_t seed)
{
    if (slice_count == 0 || slice_count > DB_SLICES_MAX) return -EINVAL;
    *db = (struct db){.id = id, .slice_count = slice_count, .hash_seed = seed, .slices = slices_new(slice_count, seed)};
    return 0;
}

void db_fini(struct db *db)
{
    db_slices_free(db->slices, db->slice_count);
    db->slices = NULL;
    own_expires_end(db);
}

/* --- counted and walked ------------------------------------------------------------------------------------------- */

size_t db_size(const struct db *db)
{
    size_t n = 0;
    for (unsigned i = 0; i < db->slice_count; i++) n += table_count(&db->slices[i].table);
    return n;
}

size_t db_expires(const struct db *db)
{
    size_t n = 0;
    for (unsigned i = 0; i < db->slice_count; i++) n += table_marked_count(&db->slices[i].table);
    return n;
}

struct visit {
    void (*fn)(void *arg, const struct entry *e);
    void *arg;
};

static void visit_slot(void *arg, struct table_slot s)
{
    struct visit *v = arg;
    v->fn(v->arg, table_slot_entry(s));
}

uint64_t db_scan(struct db *db, uint64_t cursor, void (*fn)(void *arg, const struct entry *e), void *arg)
{
    struct visit v = {fn, arg};
    uint64_t slice = cursor >> CURSOR_SLICE_SHIFT, in_slice = cursor & (((uint64_t)1 << CURSOR_SLICE_SHIFT) - 1);
    if (slice >= db->slice_count) return 0; /* nobody was given such a cursor */
    in_slice = table_scan(&db->slices[slice].table, in_slice, visit_slot, &v);
    if (in_slice == 0 && ++slice == db->slice_count) return 0;
    return slice << CURSOR_SLICE_SHIFT | in_slice;
}

void db_each(struct db *db, void (*fn)(void *arg, const struct entry *e), void *arg)
{
    for (unsigned i = 0; i < db->slice_count; i++) {
        struct table_iter it;
        struct entry *e;
        table_iter_init(&it, &db->slices[i].table);
        while ((e = table_iter_next(&it)) != NULL) fn(arg, e);
        table_iter_fini(&it);
    }
}

/* A slice, each as likely as it has entries; NULL when nothing is there. */
static struct slice *random_slice(struct db *db, struct rng *rng, size_t (*count)(const struct table *))
{
    size_t total = 0;
    for (unsigned i = 0; i < db->slice_count; i++) total += count(&db->slices[i].table);
    if (total == 0) return NULL;
    size_t n = rng_below(rng, total);
    unsigned i = 0;
    while (n >= count(&db->slices[i].table)) n -= count(&db->slices[i++].table);
    return &db->slices[i];
}

static size_t count_all(const struct table *t) { return table_count(t); }
static size_t count_marked(const struct table *t) { return table_marked_count(t); }

const struct entry *db_random(struct call *c)
{
    struct rng rng;
    rng_seed(&rng, call_random(c));
    for (unsigned tries = 0;;) {
        struct slice *slice = random_slice(c->db, &rng, count_all);
        if (!slice) return NULL;
        struct table_slot s = table_random(&slice->table, &rng);
        const struct entry *e = table_slot_entry(s);
        if (likely(!keyspace_past(c, e))) return e;
        switch (srv_expired_is(c, false)) {
        case EXPIRED_VALID: return e;
        case EXPIRED_GONE: keyspace_expire(c, c->db, slice, s); break;
        case EXPIRED_HIDDEN: /* they may all be dead, and must stay: one of them then, as Redis does */
            if (++tries == RANDOM_TRIES) return e;
            break;
        }
    }
}

const struct entry *db_sample(struct db *db, struct rng *rng, bool volatile_only)
{
    struct slice *slice = random_slice(db, rng, volatile_only ? count_marked : count_all);
    if (!slice) return NULL;
    struct table_slot s = volatile_only ? table_random_marked(&slice->table, rng) : table_random(&slice->table, rng);
    return s.bucket ? table_slot_entry(s) : NULL;
}

/* --- emptied, exchanged ------------------------------------------------------------------------------------------- */

/* Interest and observer are those of the database and not of what it holds; the stamp is the same everywhere. */
static void keep_audience(struct db *db, struct slice *old)
{
    for (unsigned i = 0; i < db->slice_count; i++) {
        struct slice *now = &db->slices[i];
        struct interest *interest = now->interest;
        struct preimage *preimage = now->preimage;
        now->interest = old[i].interest;
        now->preimage = old[i].preimage;
        now->stamp = old[i].stamp;
        old[i].interest = interest;
        old[i].preimage = preimage;
    }
}

/* True: the slices are an observer's, once they are no more the database's. */
static bool tell_whole(struct call *c, struct db *db, struct db *with)
{
#ifdef DEMI_DEBUG
    c->befores++;
#endif
    bool taken = preimage_tell_whole(c, db, with);
    if (interest_any(db)) watch_touch_all(c, db, with);
    return taken;
}

size_t db_flush(struct call *c, struct db *db, bool async)
{
    size_t keys = db_size(db);
    bool taken = tell_whole(c, db, NULL);
    struct slice *old = db->slices;
    db->slices = slices_new(db->slice_count, db->hash_seed);
    keep_audience(db, old);
    db->avg_ttl_ms = 0;
    db->expire_at = 0;
    db->expire_slice = 0;
    own_expires_clear(db);
    if (interest_any(db)) blocked_swap(c->w, db, db);
    if (taken) return keys;
    if (async && keys > 0) lazy_free_slices(c, old, db->slice_count, keys);
    else db_slices_free(old, db->slice_count);
    return keys;
}

#define SWAP(x, y)                                                                                                     \
    do {                                                                                                               \
        __typeof__(x) tmp_ = (x);                                                                                      \
        (x) = (y);                                                                                                     \
        (y) = tmp_;                                                                                                    \
    } while (0)

void db_swap(struct call *c, struct db *a, struct db *b)
{
    if (a == b) return;
    ASSERT(a->slice_count == b->slice_count && a->hash_seed == b->hash_seed);
    tell_whole(c, a, b);
    if (interest_any(b)) watch_touch_all(c, b, a);
    SWAP(a->slices, b->slices);
    SWAP(a->avg_ttl_ms, b->avg_ttl_ms);
    SWAP(a->expire_at, b->expire_at);
    SWAP(a->expire_slice, b->expire_slice);
    SWAP(a->own_expires, b->own_expires);
    keep_audience(a, b->slices);
    if (interest_any(a) || interest_any(b)) blocked_swap(c->w, a, b);
}
