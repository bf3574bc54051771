/* SPDX-License-Identifier: MIT
 *
 * The walk goes along the line on which the hashes of a table lie for a scan (server/ds/table_walk.c), and stamps with
 * its number what it has shown. Commands that come first show and stamp likewise, and what is born gets the stamp of
 * the walk that was the last to begin. So "shown already?" is a look at the entry, and takes no memory:
 *
 *        stamped                     not yet, but for what has changed
 *     |=====================|---------------o---------o-----------------|
 *     0                   place          shown by the command that      2^64
 *                                        changed it, or born since
 *
 * After a walk that comes to its end all entries have its stamp. One that ends early leaves two kinds behind, which the
 * next must not take for its own: it takes the next of STAMPS numbers, and when they run out, a walk that shows nothing
 * stamps them all (walks_tidy()).
 *
 * A part is what one database held at the beginning. It is known by its slices, which move to another database with
 * SWAPDB, and which become the walk's own when the database is flushed.
 *
 * Large collections are shown one after the other, before the walk goes on: first those that somebody waits for, then
 * those whose elements change (what is kept of them is written soon, and is little) and those that the walk came to.
 *
 * One that goes, since its key does or gets another value, becomes the walk's own, who frees it when it was shown.
 */
#include "server/db/walk.h"

#include "alloc/base/clock.h"
#include "alloc/base/list.h"
#include "server/db/elements.h"
#include "server/db/hooks.h"
#include "server/db/keyspace.h"
#include "server/mem.h"

#define BUCKETS_A_LOOK 5 /* at the clock */
#define STAMP_STEP     8u
#define STAMPS         (ENTRY_STAMP / STAMP_STEP + 1)
#define TIDY_OVER      8u /* stale walks */

/* Large: so many elements, or so many bytes in at least a few. Less is shown in half a millisecond, sooner than anybody
 * who waits for it would be let go. */
#define LARGE_ELEMENTS 8192u
#define LARGE_BYTES    ((size_t)1 << 20)
#define LARGE_SAMPLES  5u
#define WAITED_MAX     64u                /* that commands wait for; further ones wait until there is room */
#define STEP_BYTES     ((size_t)16 << 10) /* of elements, between looks at the clock */

struct walk_part {
    int db; /* the number it had */
    struct slice *slices;
    unsigned slice_count;
    unsigned at;     /* the slice the walk is in */
    uint64_t cursor; /* in its table, as table_scan()'s */
    size_t keys, expires;
    bool taken; /* its database was flushed, and its slices are ours */
};

/* A large collection that is to be shown. */
struct large {
    struct list link; /* in one of the walk's lists; the current one is in none */
    const struct walk_part *part;
    struct entry *e;
    bool by_element;
    bool is_ours;       /* e is in no table any more */
    bool is_waited_for; /* it is in `waited` */
    struct elements elements;
};

struct walk {
    struct preimage preimage;
    struct walks *ws; /* NULL: nothing changes meanwhile, and there is no stamp */
    struct db *dbs;
    int count;
    struct walk_reader reader;
    uint8_t stamp;
    bool whole;                /* all was shown */
    struct walk_part **now_in; /* by database, the part whose slices it holds; NULL: none that has something to show */
    struct walk_part *parts;
    int part_count, at;

    struct large *current;      /* that has begun; NULL: none has */
    struct list waited, behind; /* struct large: the next ones */
    unsigned waited_count, list_count, large_count;
    struct elements_reader elements;
    bool let_go;
};

/* --- showing ------------------------------------------------------------------------------------------------------ */

static bool is_shown(const struct walk *w, const struct entry *e)
{
    return w->ws && (e->flags & ENTRY_STAMP) == w->stamp;
}

static void stamp(const struct walk *w, struct entry *e)
{
    if (w->ws) e->flags = (uint8_t)((e->flags & ~(unsigned)ENTRY_STAMP) | w->stamp);
}

static void show(struct walk *w, const struct walk_part *p, struct entry *e)
{
    w->reader.entry(w->reader.arg, p->db, e);
    stamp(w, e);
}

static bool is_large(const struct walk *w, const struct entry *e)
{
    if (!w->reader.begin) return false;
    if (e->enc != ENC_HT && e->enc != ENC_SKIPLIST && e->enc != ENC_QUICKLIST && e->enc != ENC_STREAM) return false;
    return value_elements(e) > LARGE_ELEMENTS || entry_memory(e, LARGE_SAMPLES) > LARGE_BYTES;
}

/* --- large ones --------------------------------------------------------------------------------------------------- */

static struct large *find_list(const struct list *in, const struct entry *e)
{
    for (struct list *l = in->next; l != in; l = l->next)
        if (container_of(l, struct large, link)->e == e) return container_of(l, struct large, link);
    return NULL;
}

/* NULL: e is none that is to be shown in steps, as far as the walk knows. */
static struct large *large_of(const struct walk *w, const struct entry *e)
{
    if (w->large_count == 0) return NULL;
    if (elements_can_show(e)) {
        struct elements *x = elements_of(e);
        return x ? container_of(x, struct large, elements) : NULL;
    }
    if (w->list_count == 0) return NULL;
    if (w->current && w->current->e == e) return w->current;
    struct large *l = find_list(&w->waited, e);
    return l ? l : find_list(&w->behind, e);
}

static struct large *line_up(struct walk *w, const struct walk_part *p, struct entry *e)
{
    struct large *l = mem_alloc(sizeof *l);
    *l = (struct large){.part = p, .e = e, .by_element = elements_can_show(e)};
    list_push_back(&w->behind, &l->link);
    w->large_count++;
    w->list_count += !l->by_element;
    if (l->by_element) elements_init(&l->elements, e, &w->elements);
    return l;
}

/* It was shown, or the walk ends. */
static void forget(struct walk *w, struct large *l, struct call *c)
{
    if (w->current == l) w->current = NULL;
    list_remove(&l->link);
    w->large_count--;
    w->list_count -= !l->by_element;
    w->waited_count -= l->is_waited_for;
    w->let_go = true;
    if (l->by_element) elements_fini(&l->elements);
    if (l->is_ours) keyspace_discard(c, l->e, true);
    mem_free(l);
}

static void begin_large(struct walk *w, struct large *l)
{
    size_t count = l->by_element ? elements_count(&l->elements) : value_elements(l->e);
    w->reader.begin(w->reader.arg, l->part->db, l->e, count);
    if (l->by_element) elements_begin(&l->elements);
}

static bool show_some(struct walk *w, struct large *l, size_t bytes)
{
    return l->by_element ? elements_some(&l->elements, bytes) : w->reader.more(w->reader.arg);
}

static void end_large(struct walk *w, struct large *l, struct call *c)
{
    w->reader.end(w->reader.arg, l->e);
    stamp(w, l->e);
    forget(w, l, c);
}

static struct large *take_next(struct walk *w)
{
    struct list *next = list_pop_front(&w->waited);
    if (!next) next = list_pop_front(&w->behind);
    if (!next) return NULL;
    struct large *l = container_of(next, struct large, link);
    w->waited_count -= l->is_waited_for;
    l->is_waited_for = false;
    return l;
}

/* True: it is complete. */
static bool show_large(struct walk *w, struct call *c, uint64_t deadline_ns)
{
    struct large *l = w->current;
    bool all;
    if (!l) begin_large(w, l = w->current = take_next(w));
    do all = show_some(w, l, STEP_BYTES);
    while (!all && demi_clock_ns() < deadline_ns && !w->reader.is_full(w->reader.arg));
    if (all) end_large(w, l, c);
    return all;
}

/* It is about to change as a whole. */
static void show_at_once(struct walk *w, struct large *l, struct call *c)
{
    if (l != w->current && !l->by_element) {
        show(w, l->part, l->e);
        forget(w, l, c);
        return;
    }
    if (l != w->current) begin_large(w, l);
    while (!show_some(w, l, SIZE_MAX)) {
    }
    end_large(w, l, c);
}

/* --- commands, ahead of the walk ---------------------------------------------------------------------------------- */

static void before_change(struct preimage *pre, struct call *c, struct db *db, const struct key_ref *key,
                          struct entry *e)
{
    struct walk *w = container_of(pre, struct walk, preimage);
    struct walk_part *p = w->now_in[db->id];
    (void)key;
    if (!p || !e || is_shown(w, e)) return;
    struct large *l = large_of(w, e);
    if (l) show_at_once(w, l, c);
    else show(w, p, e);
}

static bool elements_change(struct preimage *pre, struct db *db, struct entry *e)
{
    struct walk *w = container_of(pre, struct walk, preimage);
    struct walk_part *p = w->now_in[db->id];
    if (!p || is_shown(w, e)) return true;
    struct large *l = large_of(w, e);
    if (l) return l->by_element;
    if (!elements_can_show(e) || !is_large(w, e)) return false;
    line_up(w, p, e);
    return true;
}

static bool before_whole(struct preimage *pre, struct call *c, struct db *db, struct db *with)
{
    struct walk *w = container_of(pre, struct walk, preimage);
    struct walk_part *p = w->now_in[db->id];
    (void)c;
    if (with) {
        w->now_in[db->id] = w->now_in[with->id];
        w->now_in[with->id] = p;
        return false;
    }
    if (!p) return false;
    w->now_in[db->id] = NULL;
    p->taken = true;
    w->let_go = true; /* what comes into the database is not what was waited for */
    return true;
}

static bool gone(struct preimage *pre, struct db *db, struct entry *e)
{
    struct walk *w = container_of(pre, struct walk, preimage);
    struct walk_part *p = w->now_in[db->id];
    if (!p || is_shown(w, e)) return false;
    struct large *l = large_of(w, e);
    if (!l && is_large(w, e)) l = line_up(w, p, e);
    if (!l) return false;
    l->is_ours = true;
    w->let_go = true; /* what its key holds now is not what was waited for */
    return true;
}

/* Somebody waits for it: it is one of the next. */
static void wait_for(struct walk *w, struct walk_part *p, struct entry *e)
{
    struct large *l = large_of(w, e);
    if (w->waited_count == WAITED_MAX || (l && (l == w->current || l->is_waited_for))) return;
    if (!l) l = line_up(w, p, e);
    list_remove(&l->link);
    list_push_back(&w->waited, &l->link);
    l->is_waited_for = true;
    w->waited_count++;
}

static bool holds(struct preimage *pre, const struct db *db, struct entry *e)
{
    struct walk *w = container_of(pre, struct walk, preimage);
    struct walk_part *p = w->now_in[db->id];
    if (!p || is_shown(w, e) || !is_large(w, e)) return false;
    wait_for(w, p, e);
    return true;
}

bool walk_holds(struct walk *w, const struct db *db, const struct key_ref *key, enum walk_change how)
{
    if (!w || !w->reader.begin || how == WALK_GOES) return false;
    struct entry *e = table_find(&db_slice(db, key)->table, key->hash, key->name);
    return e && !(how == WALK_ELEMENTS && elements_can_show(e)) && holds(&w->preimage, db, e);
}

bool walk_has_let_go(struct walk *w)
{
    bool has = w->let_go;
    w->let_go = false;
    return has;
}

/* --- the walk ----------------------------------------------------------------------------------------------------- */

struct walk_step {
    struct walk *w;
    struct walk_part *p;
};

static void visit(void *arg, struct table_slot slot)
{
    struct walk_step *s = arg;
    struct entry *e = table_slot_entry(slot);
    if (is_shown(s->w, e) || large_of(s->w, e)) return;
    if (is_large(s->w, e)) line_up(s->w, s->p, e);
    else show(s->w, s->p, e);
}

/* Everything in the part has been shown. */
static void end_part(struct walk *w, struct walk_part *p, struct call *c)
{
    for (int i = 0; i < w->count; i++)
        if (w->now_in[i] == p) w->now_in[i] = NULL;
    if (p->taken) lazy_free_slices(c, p->slices, p->slice_count, p->keys);
    p->slices = NULL;
}

enum scanned { SCAN_LATE, SCAN_LARGE, SCAN_END };

/* The table of the slice the part is in. */
static enum scanned scan_table(struct walk *w, struct walk_part *p, uint64_t deadline_ns)
{
    struct table *t = &p->slices[p->at].table;
    struct walk_step s = {w, p};
    for (unsigned n = 1;; n++) {
        p->cursor = table_scan(t, p->cursor, visit, &s);
        if (p->cursor == 0) return SCAN_END;
        if (w->large_count) return SCAN_LARGE;
        if (n % BUCKETS_A_LOOK == 0 && demi_clock_ns() >= deadline_ns) return SCAN_LATE;
    }
}

bool walk_some(struct walk *w, struct call *c, uint64_t deadline_ns)
{
    while (w->at < w->part_count || w->large_count) {
        if (w->large_count) {
            if (!show_large(w, c, deadline_ns) || demi_clock_ns() >= deadline_ns) return false;
            continue;
        }
        struct walk_part *p = &w->parts[w->at];
        if (p->at == p->slice_count) {
            end_part(w, p, c);
            w->at++;
            continue;
        }
        enum scanned how = scan_table(w, p, deadline_ns);
        if (how == SCAN_LATE) return false;
        if (how == SCAN_END) p->at++;
    }
    w->whole = true;
    return true;
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

static void add_part(struct walk *w, struct db *db)
{
    size_t keys = db_size(db);
    if (keys == 0) return;
    struct walk_part *p = &w->parts[w->part_count++];
    *p = (struct walk_part){
        .db = db->id, .slices = db->slices, .slice_count = db->slice_count, .keys = keys, .expires = db_expires(db)};
    w->now_in[db->id] = p;
}

/* With the stamp that the slices have. */
static struct walk *begin(struct walks *ws, struct db *dbs, int count, const struct walk_reader *r)
{
    struct walk *w = mem_calloc(sizeof *w);
    *w = (struct walk){.ws = ws, .dbs = dbs, .count = count, .reader = *r, .stamp = dbs[0].slices[0].stamp};
    w->preimage = (struct preimage){.every = true,
                                    .before = before_change,
                                    .elements = elements_change,
                                    .gone = gone,
                                    .holds = holds,
                                    .whole = before_whole};
    w->elements = (struct elements_reader){.show = r->element, .kept = r->kept, .arg = r->arg};
    list_init(&w->waited);
    list_init(&w->behind);
    w->now_in = mem_calloc((size_t)count * sizeof *w->now_in);
    w->parts = mem_calloc((size_t)count * sizeof *w->parts);
    for (int i = 0; i < count; i++) add_part(w, &dbs[i]);
    if (ws) preimage_observe(dbs, count, &w->preimage);
    return w;
}

static void end(struct walk *w, struct call *c)
{
    if (w->current) w->reader.abandon(w->reader.arg, w->current->e);
    if (w->current) forget(w, w->current, c);
    for (struct large *l; (l = take_next(w)) != NULL;) forget(w, l, c);
    if (w->ws) preimage_forget(w->dbs, w->count, &w->preimage);
    for (int i = 0; i < w->part_count; i++)
        if (w->parts[i].slices) end_part(w, &w->parts[i], c);
    mem_free(w->parts);
    mem_free(w->now_in);
    mem_free(w);
}

static void next_stamp(struct db *dbs, int count)
{
    uint8_t next = (uint8_t)((dbs[0].slices[0].stamp + STAMP_STEP) & ENTRY_STAMP);
    for (int i = 0; i < count; i++)
        for (unsigned k = 0; k < dbs[i].slice_count; k++) dbs[i].slices[k].stamp = next;
}

static void look_at_none(void *arg, int db, const struct entry *e) { (void)arg, (void)db, (void)e; }

/* Gives all entries the stamp that the slices have. */
static void tidy(struct walks *ws, struct db *dbs, int count, struct call *c, uint64_t deadline_ns)
{
    if (!ws->tidying) ws->tidying = begin(ws, dbs, count, &(struct walk_reader){.entry = look_at_none});
    if (!walk_some(ws->tidying, c, deadline_ns)) return;
    end(ws->tidying, c);
    ws->tidying = NULL;
    ws->stale = 0;
}

void walks_tidy(struct walks *ws, struct db *dbs, int count, struct call *c, uint64_t deadline_ns)
{
    if (ws->under_way || (ws->stale < TIDY_OVER && !ws->tidying)) return;
    tidy(ws, dbs, count, c, deadline_ns);
}

void walks_end_tidying(struct walks *ws, struct call *c)
{
    if (ws->tidying) end(ws->tidying, c);
    ws->tidying = NULL;
}

struct walk *walk_new(struct walks *ws, struct db *dbs, int count, struct call *c, const struct walk_reader *r)
{
    if (!ws) return begin(NULL, dbs, count, r);
    ASSERT(!ws->under_way);
    if (ws->stale + 2 >= STAMPS) tidy(ws, dbs, count, c, UINT64_MAX);
    walks_end_tidying(ws, c);
    next_stamp(dbs, count);
    return ws->under_way = begin(ws, dbs, count, r);
}

void walk_free(struct walk *w, struct call *c)
{
    struct walks *ws = w->ws;
    if (ws) {
        ASSERT(ws->under_way == w);
        ws->under_way = NULL;
        ws->stale = w->whole ? 0 : ws->stale + 1;
    }
    end(w, c);
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
    return sizeof *w + (size_t)w->count * (sizeof *w->now_in + sizeof *w->parts) +
           w->large_count * sizeof(struct large) + w->elements.bytes;
}
