/* SPDX-License-Identifier: MIT
 *
 * A cursor goes through the elements: along the line on which the hashes of a table lie for a scan
 * (server/ds/table_walk.c), or from a sorted set's highest member down, as a file has it. What lies behind it has been
 * shown, what lies ahead has not. A change of what lies behind it is no business of ours, unless it brings the element
 * (a member with another score) ahead of it again. Of each change ahead of it a note is taken, once, by which the
 * cursor leaves the element out when it comes there:
 *
 *        shown                   not yet, but for what changed
 *     |=====================|---------------o---------o-----------------|
 *                         cursor       noted: its old value was shown by the change, or it was not there
 *
 * So what lies ahead and is not noted is as it was. A note goes when the cursor passes it.
 *
 * Before its turn has come (elements_begin()) all of a collection lies ahead, and nothing can be shown: a note holds
 * the old value, and the turn begins with these.
 *
 * It ends when all that were there have been shown, which need not be where the cursor ends: new members with ever
 * lower scores do not keep it from that.
 *
 * The table may grow and shrink meanwhile. A step that begins left of the cursor (two buckets were merged) leaves out
 * what lies there.
 */
#include "server/db/elements.h"

#include "alloc/base/list.h"
#include "server/db/entry.h"
#include "server/ds/dict.h"
#include "server/ds/ztree.h"
#include "server/mem.h"

#define STEP_WEIGHT 8  /* bytes that a look at a bucket or an element counts for, however short it is */
#define NOTE_WEIGHT 16 /* that dropping a note counts for */

/* There may be a million, and most have no more than the member: the old value was shown. */
struct changed_element {
    size_t member_n;
    char data[]; /* member; what changed before the turn came has a struct old_value and the value behind it */
};

struct old_value {
    struct changed_element *next; /* to be shown */
    double score;
    size_t value_n;
};

/* --- whose elements ----------------------------------------------------------------------------------------------- */

static bool is_tree(const struct elements *x) { return x->e->enc == ENC_SKIPLIST; }

bool elements_can_show(const struct entry *e) { return e->enc == ENC_HT || e->enc == ENC_SKIPLIST; }

static void watch(const struct entry *e, struct element_watch *w)
{
    if (e->enc == ENC_SKIPLIST) ztree_watch(entry_ptr(e), w);
    else dict_watch(entry_ptr(e), w);
}

struct elements *elements_of(const struct entry *e)
{
    if (!elements_can_show(e)) return NULL;
    struct element_watch *w =
        e->enc == ENC_SKIPLIST ? ((struct ztree *)entry_ptr(e))->watch : ((struct dict *)entry_ptr(e))->watch;
    return w ? container_of(w, struct elements, watch) : NULL;
}

static const struct table *table_of(const struct elements *x)
{
    return is_tree(x) ? &((const struct ztree *)entry_ptr(x->e))->t : &((const struct dict *)entry_ptr(x->e))->t;
}

/* --- shown -------------------------------------------------------------------------------------------------------- */

#ifdef DEMI_DEBUG
static uint64_t sum_of(const struct element *el)
{
    uint64_t bits;
    memcpy(&bits, &el->score, sizeof bits);
    return hash_bytes(el->member.p, el->member.n, 1) * (hash_bytes(el->value.p, el->value.n, bits) | 1);
}

static void add_to_sum(void *arg, struct bytes member, struct bytes value)
{
    *(uint64_t *)arg += sum_of(&(struct element){.member = member, .value = value});
}

static uint64_t sum_of_all(const struct elements *x)
{
    uint64_t sum = 0, cursor = 0;
    if (!is_tree(x)) {
        struct dict_iter it;
        struct bytes member, value;
        dict_iter_init(&it, entry_ptr(x->e));
        while (dict_iter_next(&it, &member, &value)) add_to_sum(&sum, member, value);
        dict_iter_fini(&it);
        return sum;
    }
    struct element el = {.member = {NULL, 0}};
    for (struct ztree_pos p = ztree_at(entry_ptr(x->e), cursor); !ztree_pos_is_end(p); p = ztree_next(p)) {
        el.member = ztree_get(p, &el.score);
        sum += sum_of(&el);
    }
    return sum;
}
#endif

static void show_element(struct elements *x, const struct element *el)
{
    DASSERT(x->begun && x->shown < x->count);
    x->shown++;
#ifdef DEMI_DEBUG
    x->sum -= sum_of(el);
#endif
    x->reader->show(x->reader->arg, x->e, el);
}

/* --- notes -------------------------------------------------------------------------------------------------------- */

static struct bytes changed_member(const void *entry)
{
    const struct changed_element *n = entry;
    return bytes_of(n->data, n->member_n);
}

static const struct table_ops changed_ops = {.key = changed_member};

static void count_bytes(struct elements *x)
{
    size_t bytes = x->changed_bytes + table_bytes(&x->changed) + x->member_cap;
    x->reader->bytes += bytes - x->counted_bytes;
    x->counted_bytes = bytes;
}

/* It lies at no particular address. */
static struct old_value old_value_of(const struct changed_element *n)
{
    struct old_value v;
    memcpy(&v, n->data + n->member_n, sizeof v);
    return v;
}

static void set_old_value(struct changed_element *n, const struct old_value *v)
{
    memcpy(n->data + n->member_n, v, sizeof *v);
}

static void append_old(struct elements *x, struct changed_element *n, const struct element *old)
{
    set_old_value(n, &(struct old_value){.score = old->score, .value_n = old->value.n});
    if (old->value.n) memcpy(n->data + n->member_n + sizeof(struct old_value), old->value.p, old->value.n);
    if (x->last) {
        struct old_value before = old_value_of(x->last);
        before.next = n;
        set_old_value(x->last, &before);
    } else {
        x->first = n;
    }
    x->last = n;
}

/* old: what is to be shown of it; NULL: nothing. */
static void take_note(struct elements *x, uint64_t hash, struct bytes member, const struct element *old)
{
    size_t old_n = old ? sizeof(struct old_value) + old->value.n : 0;
    struct changed_element *n = mem_alloc(sizeof *n + member.n + old_n);
    n->member_n = member.n;
    if (member.n) memcpy(n->data, member.p, member.n);
    if (old) append_old(x, n, old);
    table_insert(&x->changed, hash, n);
    x->changed_bytes += mem_size(n);
    count_bytes(x);
    x->reader->kept(x->reader->arg);
}

static void free_note(void *arg, void *entry)
{
    struct elements *x = arg;
    x->changed_bytes -= mem_size(entry);
    mem_free(entry);
}

/* The cursor comes to the element. */
static bool drop_note(struct elements *x, struct bytes member)
{
    if (likely(!table_count(&x->changed))) return false;
    struct changed_element *n = table_delete(&x->changed, table_hash(&x->changed, member), member);
    if (!n) return false;
    free_note(x, n);
    return true;
}

/* --- the cursor --------------------------------------------------------------------------------------------------- */

static bool is_passed_member(const struct elements *x, const struct element *el)
{
    if (!x->passed_any) return false;
    if (el->score != x->score) return el->score > x->score;
    return bytes_compare(el->member, bytes_of(x->member, x->member_n)) >= 0;
}

static bool is_ahead(const struct elements *x, uint64_t hash, const struct element *el)
{
    if (!el || x->passed_all) return false;
    if (!x->begun) return true;
    if (is_tree(x)) return !is_passed_member(x, el);
    return table_scan_place(hash) >= table_scan_place(x->cursor);
}

static void before(struct element_watch *watch, uint64_t hash, const struct element *old, const struct element *now)
{
    struct elements *x = container_of(watch, struct elements, watch);
    struct bytes member = old ? old->member : now->member;
    bool is = is_ahead(x, hash, old);
    if (!is && !is_ahead(x, hash, now)) return;
    if (table_find(&x->changed, hash, member)) return;
    if (is && x->begun) show_element(x, old);
    take_note(x, hash, member, is && !x->begun ? old : NULL);
}

/* --- in steps ----------------------------------------------------------------------------------------------------- */

static size_t weight_of(const struct element *el) { return el->member.n + el->value.n + STEP_WEIGHT; }

/* What changed before the turn came; false: some is left. */
static bool some_changed(struct elements *x, size_t *left)
{
    while (x->first) {
        const struct changed_element *n = x->first;
        const struct old_value v = old_value_of(n);
        const struct element el = {.member = changed_member(n),
                                   .value = bytes_of(n->data + n->member_n + sizeof v, v.value_n),
                                   .score = v.score};
        if (*left == 0) return false;
        show_element(x, &el);
        *left -= weight_of(&el) < *left ? weight_of(&el) : *left;
        x->first = v.next;
    }
    return true;
}

struct table_step {
    struct elements *x;
    const struct table *t;
    bool all; /* the bucket begins at the cursor */
    size_t *left;
};

static void visit(void *arg, struct bytes member, struct bytes value)
{
    struct table_step *s = arg;
    struct element el = {.member = member, .value = value};
    *s->left -= weight_of(&el) < *s->left ? weight_of(&el) : *s->left;
    if (!s->all && !is_ahead(s->x, table_hash(s->t, member), &el)) return;
    if (!drop_note(s->x, member)) show_element(s->x, &el);
}

static bool some_of_table(struct elements *x, size_t *left)
{
    struct dict *d = entry_ptr(x->e);
    struct table_step s = {.x = x, .t = table_of(x), .left = left};
    do {
        if (*left == 0) return false;
        s.all = x->cursor == table_index(s.t, x->cursor);
        *left -= STEP_WEIGHT < *left ? STEP_WEIGHT : *left;
        x->cursor = dict_scan(d, x->cursor, visit, &s);
    } while (x->cursor);
    return true;
}

/* Whatever lies above it was passed, and it was. */
static void remember(struct elements *x, const struct element *el)
{
    x->passed_any = true;
    x->score = el->score;
    x->member_n = el->member.n;
    if (x->member_n > x->member_cap) {
        x->member_cap = demi_good_size(x->member_n);
        mem_free(x->member);
        x->member = mem_alloc(x->member_cap);
    }
    if (x->member_n) memcpy(x->member, el->member.p, x->member_n);
}

static bool some_of_tree(struct elements *x, size_t *left)
{
    const struct ztree *z = entry_ptr(x->e);
    struct element el = {.value = BYTES("")};
    struct ztree_pos p =
        x->passed_any ? ztree_before(z, x->score, bytes_of(x->member, x->member_n)) : ztree_at(z, ztree_count(z) - 1);
    for (; !ztree_pos_is_end(p); p = ztree_prev(p)) {
        if (*left == 0) {
            remember(x, &el);
            return false;
        }
        el.member = ztree_get(p, &el.score);
        if (!drop_note(x, el.member)) show_element(x, &el);
        *left -= weight_of(&el) < *left ? weight_of(&el) : *left;
    }
    return true;
}

/* False: some are left. */
static bool show_some_elements(struct elements *x, size_t *left)
{
    if (!some_changed(x, left) || *left == 0) return false;
    bool passed = x->shown == x->count || (is_tree(x) ? some_of_tree(x, left) : some_of_table(x, left));
    if (!passed && x->shown < x->count) return false;
    ASSERT(x->shown == x->count);
    DASSERT(x->sum == 0);
    x->passed_all = true;
    x->cursor = 0;
    return true;
}

static void drop_slot(void *arg, struct table_slot s)
{
    struct elements *x = arg;
    free_note(x, table_delete_slot(&x->changed, s));
}

/* Notes that the cursor did not come to: a member that was taken out, or that has passed it. There may be a hundred
 * thousand. */
static bool drop_some_notes(struct elements *x, size_t *left)
{
    while (table_count(&x->changed)) {
        size_t before = table_count(&x->changed);
        if (*left == 0) return false;
        x->cursor = table_scan(&x->changed, x->cursor, drop_slot, x);
        size_t weight = STEP_WEIGHT + (before - table_count(&x->changed)) * NOTE_WEIGHT;
        *left -= weight < *left ? weight : *left;
    }
    return true;
}

bool elements_some(struct elements *x, size_t bytes)
{
    ASSERT(x->begun && bytes > 0);
    size_t left = bytes;
    bool all = (x->passed_all || show_some_elements(x, &left)) && drop_some_notes(x, &left);
    count_bytes(x);
    return all;
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

void elements_init(struct elements *x, struct entry *e, struct elements_reader *r)
{
    ASSERT(elements_can_show(e));
    *x = (struct elements){.watch.before = before, .reader = r, .e = e, .count = value_elements(e)};
    table_init(&x->changed, &changed_ops, table_of(x)->seed);
#ifdef DEMI_DEBUG
    x->sum = sum_of_all(x);
#endif
    watch(e, &x->watch);
    count_bytes(x);
}

void elements_begin(struct elements *x)
{
    ASSERT(!x->begun);
    x->begun = true;
}

void elements_fini(struct elements *x)
{
    watch(x->e, NULL);
    x->reader->bytes -= x->counted_bytes;
    table_fini(&x->changed, free_note, x);
    mem_free(x->member);
}
