/* SPDX-License-Identifier: MIT
 *
 * The walk goes along the line on which the hashes of a table lie for a scan (server/ds/table_walk.c). Growing and
 * shrinking do not move a hash on that line, so "shown already?" is a comparison with the place the walk has reached:
 *
 *        shown                       not yet, but for those in `ahead`
 *     |=====================|---------------o---------o-----------------|
 *     0                   place          shown by the command that      2^64
 *                                        changed it, or born since
 *
 * A part is what one database held at the beginning. It is known by its slices, which move to another database with
 * SWAPDB, and which become the walk's own when the database is flushed.
 */
#include "server/db/walk.h"

#include "alloc/base/clock.h"
#include "alloc/base/list.h"
#include "server/db/hooks.h"
#include "server/db/keyspace.h"
#include "server/mem.h"

#define BUCKETS_A_LOOK 5 /* at the clock */

struct walk_part {
    int db; /* the number it had */
    struct slice *slices;
    unsigned slice_count;
    unsigned at;     /* the slice the walk is in */
    uint64_t cursor; /* in its table, as table_scan()'s */
    size_t keys, expires;
    bool taken;            /* its database was flushed, and its slices are ours */
    struct hash_set ahead; /* of the keys right of the cursor that must not be shown any more */
};

struct walk {
    struct preimage preimage;
    struct db *dbs;
    int count;
    walk_fn *fn;
    void *arg;
    struct walk_part **now_in; /* by database, the part whose slices it holds; NULL: none that has something to show */
    struct walk_part *parts;
    int part_count, at;
};

static uint64_t place_of(const struct walk_part *p) { return table_scan_place(p->cursor); }

static void show(struct walk *w, const struct walk_part *p, const struct entry *e) { w->fn(w->arg, p->db, e); }

/* --- commands, ahead of the walk ---------------------------------------------------------------------------------- */

static void before_change(struct preimage *pre, struct call *c, struct db *db, const struct key_ref *key,
                          const struct entry *e)
{
    struct walk *w = container_of(pre, struct walk, preimage);
    struct walk_part *p = w->now_in[db->id];
    if (!p) return;
    unsigned slice = db_slice_index(db, key);
    if (slice < p->at || (slice == p->at && table_scan_place(key->hash) < place_of(p))) return;
    if (hash_set_add(&p->ahead, key->hash) && e) show(w, p, e);
}

static bool before_whole(struct preimage *pre, struct call *c, struct db *db, struct db *with)
{
    struct walk *w = container_of(pre, struct walk, preimage);
    struct walk_part *p = w->now_in[db->id];
    if (with) {
        w->now_in[db->id] = w->now_in[with->id];
        w->now_in[with->id] = p;
        return false;
    }
    if (!p) return false;
    w->now_in[db->id] = NULL;
    p->taken = true;
    return true;
}

/* --- the walk ----------------------------------------------------------------------------------------------------- */

struct walk_step {
    struct walk *w;
    struct walk_part *p;
    uint64_t place;
};

static void visit(void *arg, struct table_slot slot)
{
    struct walk_step *s = arg;
    const struct entry *e = table_slot_entry(slot);
    uint64_t hash = table_hash(&s->p->slices[s->p->at].table, entry_key(e));
    if (table_scan_place(hash) < s->place || hash_set_has(&s->p->ahead, hash)) return;
    show(s->w, s->p, e);
}

/* Everything in the part has been shown. */
static void end_part(struct walk *w, struct walk_part *p, struct call *c)
{
    for (int i = 0; i < w->count; i++)
        if (w->now_in[i] == p) w->now_in[i] = NULL;
    hash_set_clear(&p->ahead, 0);
    if (p->taken) lazy_free_slices(c, p->slices, p->slice_count, p->keys);
    p->slices = NULL;
}

/* The table of the slice the part is in. */
static bool walk_table(struct walk *w, struct walk_part *p, uint64_t deadline_ns)
{
    struct table *t = &p->slices[p->at].table;
    for (unsigned n = 1;; n++) {
        struct walk_step s = {w, p, place_of(p)};
        p->cursor = table_scan(t, p->cursor, visit, &s);
        if (p->cursor == 0) return true;
        if (n % BUCKETS_A_LOOK == 0 && demi_clock_ns() >= deadline_ns) return false;
    }
}

bool walk_some(struct walk *w, struct call *c, uint64_t deadline_ns)
{
    for (; w->at < w->part_count; w->at++) {
        struct walk_part *p = &w->parts[w->at];
        for (; p->at < p->slice_count; p->at++)
            if (!walk_table(w, p, deadline_ns)) return false;
        end_part(w, p, c);
    }
    return true;
}

static void add_part(struct walk *w, struct db *db)
{
    size_t keys = db_size(db);
    if (keys == 0) return;
    struct walk_part *p = &w->parts[w->part_count++];
    *p = (struct walk_part){
        .db = db->id, .slices = db->slices, .slice_count = db->slice_count, .keys = keys, .expires = db_expires(db)};
    w->now_in[db->id] = p;
}

struct walk *walk_new(struct db *dbs, int count, walk_fn *fn, void *arg)
{
    struct walk *w = mem_calloc(sizeof *w);
    *w = (struct walk){.dbs = dbs, .count = count, .fn = fn, .arg = arg};
    w->preimage.before = before_change;
    w->preimage.whole = before_whole;
    w->now_in = mem_calloc((size_t)count * sizeof *w->now_in);
    w->parts = mem_calloc((size_t)count * sizeof *w->parts);
    for (int i = 0; i < count; i++) add_part(w, &dbs[i]);
    preimage_observe(dbs, count, &w->preimage);
    return w;
}

void walk_free(struct walk *w, struct call *c)
{
    preimage_forget(w->dbs, w->count, &w->preimage);
    for (int i = 0; i < w->part_count; i++)
        if (w->parts[i].slices) end_part(w, &w->parts[i], c);
    mem_free(w->parts);
    mem_free(w->now_in);
    mem_free(w);
}

static const struct walk_part *part_of(const struct walk *w, int db)
{
    for (int i = 0; i < w->part_count; i++)
        if (w->parts[i].db == db) return &w->parts[i];
    return NULL;
}

size_t walk_keys(const struct walk *w, int db) { return part_of(w, db) ? part_of(w, db)->keys : 0; }
size_t walk_expires(const struct walk *w, int db) { return part_of(w, db) ? part_of(w, db)->expires : 0; }

size_t walk_bytes(const struct walk *w)
{
    size_t sum = sizeof *w + (size_t)w->count * (sizeof *w->now_in + sizeof *w->parts);
    for (int i = 0; i < w->part_count; i++) sum += hash_set_bytes(&w->parts[i].ahead);
    return sum;
}
