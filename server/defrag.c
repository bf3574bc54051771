/* SPDX-License-Identifier: MIT
 *
 * Active defragmentation. One cycle:
 *
 *     choose      the heap names, one size class after the other, slabs that are to be emptied (alloc/heap_defrag.c)
 *     walk        all databases, bucket by bucket: what lies in such a slab is moved, and who points to it is told. A
 *                 large collection is put aside by its name, and gone through in steps between two buckets
 *     give back   free blocks between used ones go back to the system; the slabs that could not be emptied are ordinary
 *                 ones again
 *
 * Nothing of it is remembered by address from one slice to the next, so commands may do what they like in between: the
 * place in a table is the number of a bucket, that in a large collection a number under a name. What moves away from
 * under that is found by the next cycle.
 *
 * Whoever holds addresses across turns is left alone: a blob that is lent (to a reply, to a save) and what a device has
 * not sent; and while somebody looks at old values (server/db/walk.h), all large collections, which he may be in the
 * middle of. Streams' groups and consumers stay where they are, too.
 *
 * The share of time is Redis's: from active-defrag-cycle-min to -max as fragmentation goes from -threshold-lower to
 * -upper. It is handed out in slices after the replies, as expiry's is, none longer than DEFRAG_SLICE_NS. A cycle that
 * moved nothing is followed by a rest: what is left is not ours to move.
 */
#include "server/defrag.h"

#include <string.h>

#include "server/db/db.h"
#include "server/db/entry.h"
#include "server/ds/dict.h"
#include "server/ds/quicklist.h"
#include "server/ds/xstream.h"
#include "server/ds/ztree.h"
#include "server/observe/latency.h"
#include "server/server.h"
#include "server/worker.h"

#define REST_NS         (10 * (uint64_t)1000000000)
#define WORK_A_LOOK     256 /* at the clock: some 20 us of objects that stay, 50 of small ones that move */
#define BUCKETS_A_LOOK  64  /* or steps through something large */
#define WORK_OF_A_MOVE  8   /* an object that stays is 1 */
#define WORK_A_BUCKET   512 /* from there on what is not small is put aside */
#define ELEMENTS_SMALL  64
#define ELEMENTS_A_STEP 1000 /* however many active-defrag-max-scan-fields allows */
#define NODES_A_STEP    16   /* of a list or a stream */
#define CHUNKS_A_SLICE  4

/* --- one value ---------------------------------------------------------------------------------------------------- */

static void move_block(struct defrag *d, struct entry *e)
{
    void *moved = mem_move(&d->moves, entry_ptr(e));
    if (moved) entry_set_ptr(e, moved);
}

static void move_blob(struct defrag *d, struct entry *e)
{
    if (!blob_is_lent(entry_ptr(e))) move_block(d, e);
}

static void move_dict_struct(struct defrag *d, struct entry *e)
{
    const struct dict *old = entry_ptr(e);
    struct dict *moved = mem_move(&d->moves, entry_ptr(e));
    if (!moved) return;
    table_moved(&moved->t, &old->t);
    entry_set_ptr(e, moved);
}

static void move_ztree_struct(struct defrag *d, struct entry *e)
{
    const struct ztree *old = entry_ptr(e);
    struct ztree *moved = mem_move(&d->moves, entry_ptr(e));
    if (!moved) return;
    table_moved(&moved->t, &old->t);
    entry_set_ptr(e, moved);
}

static bool is_large_kind(const struct entry *e)
{
    return e->enc == ENC_QUICKLIST || e->enc == ENC_HT || e->enc == ENC_SKIPLIST || e->enc == ENC_STREAM;
}

/* A step through a large collection. False: that was its end. */
static bool step_through(struct defrag *d, struct entry *e)
{
    switch (e->enc) {
    case ENC_QUICKLIST: d->at = quicklist_relocate(entry_ptr(e), d->at, NODES_A_STEP, &d->moves); return d->at != 0;
    case ENC_HT: d->at = dict_relocate(entry_ptr(e), d->at, &d->moves); return d->at != 0;
    case ENC_SKIPLIST: d->at = ztree_relocate(entry_ptr(e), d->at, &d->moves); return d->at != 0;
    case ENC_STREAM: return xstream_relocate(entry_ptr(e), &d->node, NODES_A_STEP, &d->moves);
    default: return false; /* another value has come there */
    }
}

static void start_at_its_beginning(struct defrag *d)
{
    d->at = 0;
    d->node = (struct btree_key){0, 0};
}

static void put_aside(struct defrag *d, const struct db *db, const struct entry *e)
{
    struct bytes name = entry_key(e);
    if (d->later_count == DEFRAG_LATER) return; /* the next cycle's */
    struct defrag_large *l = &d->later[d->later_count++];
    *l = (struct defrag_large){.dbid = db->id, .name = mem_alloc(name.n + !name.n), .n = name.n};
    if (name.n) memcpy(l->name, name.p, name.n);
    start_at_its_beginning(d);
}

static void move_large(struct defrag *d, const struct db *db, struct entry *e, size_t most)
{
    if (e->enc == ENC_HT) move_dict_struct(d, e);
    else if (e->enc == ENC_SKIPLIST) move_ztree_struct(d, e);
    else if (e->enc == ENC_QUICKLIST) move_block(d, e);
    if (value_elements(e) > most) {
        put_aside(d, db, e);
        return;
    }
    start_at_its_beginning(d); /* none of those put aside has begun */
    while (step_through(d, e)) {
    }
    start_at_its_beginning(d);
}

/* What has been looked at in this cycle. */
static uint64_t work_of(const struct defrag *d) { return d->moves.misses + d->moves.hits * WORK_OF_A_MOVE; }

/* --- one entry ---------------------------------------------------------------------------------------------------- */

struct defrag_visit {
    struct worker *w;
    struct defrag *d;
    const struct db *db;
    struct table *t;
    bool is_looked_at; /* by somebody who wants old values */
    uint64_t began;    /* work_of() */
};

static void visit(void *arg, struct table_slot slot)
{
    const struct defrag_visit *v = arg;
    struct defrag *d = v->d;
    struct entry *e = table_slot_entry(slot);
    uint64_t before = d->moves.hits;
    if (is_large_kind(e)) {
        if (v->is_looked_at) return;
        size_t most = (size_t)v->w->conf.cfg->active_defrag_max_scan_fields;
        if (most > ELEMENTS_A_STEP) most = ELEMENTS_A_STEP;
        if (work_of(d) - v->began > WORK_A_BUCKET && most > ELEMENTS_SMALL) most = ELEMENTS_SMALL;
        move_large(d, v->db, e, most);
    } else if (e->enc == ENC_RAW) {
        move_blob(d, e);
    } else if ((e->enc == ENC_LISTPACK && !entry_is_host(e)) || e->enc == ENC_INTSET) {
        move_block(d, e);
    }
    void *moved = mem_move(&d->moves, e);
    if (moved) table_replace_slot(v->t, slot, moved);
    *(d->moves.hits != before ? &v->w->stats.defrag_key_hits : &v->w->stats.defrag_key_misses) += 1;
}

/* --- the walk ----------------------------------------------------------------------------------------------------- */

static void forget_large(struct defrag *d)
{
    mem_free(d->later[--d->later_count].name);
    start_at_its_beginning(d);
}

static void walk_large(struct worker *w)
{
    struct defrag *d = &w->defrag;
    const struct defrag_large *l = &d->later[d->later_count - 1];
    struct db *db = &w->srv->dbs[l->dbid];
    struct key_ref key = key_ref_of(db, bytes_of(l->name, l->n));
    struct slice *s = db_slice(db, &key);
    struct entry *e = table_find(&s->table, key.hash, key.name);
    if (!e || s->preimage || !step_through(d, e)) forget_large(d);
}

/* The next bucket of the keyspace. False: that was the last one. */
static bool walk_bucket(struct worker *w)
{
    struct defrag *d = &w->defrag;
    if (d->dbid >= w->srv->db_count) return false;
    struct db *db = &w->srv->dbs[d->dbid];
    if (d->slice >= db->slice_count) {
        d->dbid++;
        d->slice = 0;
        return true;
    }
    struct slice *s = &db->slices[d->slice];
    struct defrag_visit v = {w, d, db, &s->table, s->preimage != NULL, work_of(d)};
    d->bucket = table_relocate(&s->table, d->bucket, visit, &v, &d->moves);
    if (!d->bucket) d->slice++;
    return true;
}

/* --- a cycle ------------------------------------------------------------------------------------------------------ */

static void begin_cycle(struct defrag *d)
{
    d->phase = DEFRAG_CHOOSE;
    d->size_class = 1;
    d->dbid = 0;
    d->slice = 0;
    d->bucket = 0;
    d->moves = (struct mem_moves){0, 0};
}

static void idle(struct worker *w)
{
    struct defrag *d = &w->defrag;
    if (d->percent) w->stats.defrag_ns += demi_clock_ns() - d->began_ns;
    d->phase = DEFRAG_IDLE;
    d->percent = 0;
    d->left_ns = 0;
    d->due_ns = UINT64_MAX;
}

static void walk_ended(struct defrag *d)
{
    d->phase = DEFRAG_GIVE_BACK;
    if (d->moves.hits == 0) d->rest_until_ns = demi_clock_ns() + REST_NS;
}

/* What to do next; false: the cycle is over. */
static bool step(struct worker *w)
{
    struct defrag *d = &w->defrag;
    switch (d->phase) {
    case DEFRAG_CHOOSE:
        if (!demi_mem_defrag_begin(d->size_class) && ++d->size_class == DEMI_MEM_CLASSES) d->phase = DEFRAG_WALK;
        return true;
    case DEFRAG_WALK:
        if (d->later_count) walk_large(w);
        else if (!walk_bucket(w)) walk_ended(d);
        return true;
    case DEFRAG_GIVE_BACK: return demi_mem_defrag_end(CHUNKS_A_SLICE);
    case DEFRAG_LEAVE: return demi_mem_defrag_end(0);
    default: return false;
    }
}

void defrag_slice(struct worker *w)
{
    struct defrag *d = &w->defrag;
    uint64_t start = demi_clock_ns(), budget = d->left_ns < DEFRAG_SLICE_NS ? d->left_ns : DEFRAG_SLICE_NS, now = start;
    struct mem_moves before = d->moves;
    if (!d->percent) return;
    bool more = true;
    uint64_t seen = work_of(d);
    for (unsigned n = 1; more && now - start < budget; n++) {
        bool in_buckets = d->phase == DEFRAG_WALK && !d->later_count;
        more = step(w);
        if (in_buckets && work_of(d) - seen < WORK_A_LOOK && n % BUCKETS_A_LOOK) continue;
        now = demi_clock_ns();
        seen = work_of(d);
    }
    w->stats.defrag_hits += d->moves.hits - before.hits;
    w->stats.defrag_misses += d->moves.misses - before.misses;
    now = demi_clock_ns();
    uint64_t spent = now - start;
    latency_sample(w->srv, "active-defrag-cycle", (int64_t)(spent / NSEC_PER_MSEC));
    d->left_ns = spent < d->left_ns ? d->left_ns - spent : 0;
    d->due_ns = d->left_ns ? now + spent : UINT64_MAX; /* clients have as long */
    if (more) return;
    idle(w);
}

void defrag_stop(struct worker *w)
{
    struct defrag *d = &w->defrag;
    while (d->later_count) forget_large(d);
    while (d->phase != DEFRAG_IDLE && demi_mem_defrag_end(0)) {
    }
    idle(w);
}

/* 0: nothing is to be done. */
static int64_t percent_of_time(const struct config *cfg)
{
    size_t used = demi_mem_used(), active = demi_mem_active();
    if (active <= used || used == 0) return 0;
    double percent = (double)(active - used) * 100 / (double)used;
    double lower = (double)cfg->active_defrag_threshold_lower, upper = (double)cfg->active_defrag_threshold_upper;
    if (percent < lower || active - used < (size_t)cfg->active_defrag_ignore_bytes) return 0;
    double least = (double)cfg->active_defrag_cycle_min, most = (double)cfg->active_defrag_cycle_max;
    double share = upper > lower ? least + (percent - lower) * (most - least) / (upper - lower) : most;
    return (int64_t)(share < least ? least : share > most ? most : share);
}

void defrag_cron(struct worker *w)
{
    struct defrag *d = &w->defrag;
    const struct config *cfg = w->conf.cfg;
    bool may = cfg->activedefrag && !w->srv->persist.loading;
    if (!may) { /* what is left of a cycle is its end, in slices as the rest */
        d->rest_until_ns = 0;
        if (d->phase == DEFRAG_IDLE) return;
        while (d->later_count) forget_large(d);
        d->phase = DEFRAG_LEAVE;
    }
    int64_t percent = percent_of_time(cfg);
    if (d->phase == DEFRAG_IDLE) {
        if (!percent || w->turn_ns < d->rest_until_ns) return;
        d->began_ns = demi_clock_ns();
        begin_cycle(d);
    }
    if (percent > d->percent) d->percent = percent; /* it is not slowed by what it achieves */
    d->left_ns = (uint64_t)1000000000 / (uint64_t)cfg->hz * (uint64_t)d->percent / 100;
    d->due_ns = w->turn_ns;
}

uint64_t defrag_current_ns(const struct worker *w)
{
    return w->defrag.percent ? demi_clock_ns() - w->defrag.began_ns : 0;
}
