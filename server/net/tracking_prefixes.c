/* SPDX-License-Identifier: MIT
 *
 *   names:   prefix --> its members (clients), what changed since the last turn
 *   lengths: how long prefixes are, each once: of a key's name so many beginnings are looked up, and not all prefixes
 *            compared
 *
 * Whether prefixes overlap is seen from their order: what begins with a prefix lies right behind it.
 */
#include "server/net/tracking_prefixes.h"

#include <stdlib.h>
#include <string.h>

#include "server/mem.h"
#include "server/server.h"
#include "server/worker.h"

#define MANY_BYTES ((size_t)1 << 20)

struct prefix {
    struct list members;  /* struct prefix_member.by_prefix */
    struct table changed; /* of struct changed_key * */
    struct list dirty;    /* in prefixes.dirty while there are some */
    uint32_t n;
    char name[];
};

struct prefix_member {
    struct list by_prefix;
    struct client *cl;
    struct prefix *prefix;
};

struct changed_key {
    uint64_t by; /* who changed it last */
    uint32_t n;
    char name[];
};

struct prefix_length {
    uint32_t n;
    size_t prefixes;
};

struct prefixes {
    struct table names;
    struct list dirty;
    size_t noted_bytes;
    uint64_t seed;
    struct prefix_length *lengths; /* ascending */
    size_t length_count, length_room;
};

static struct bytes name_of_prefix(const void *entry)
{
    const struct prefix *p = entry;
    return bytes_of(p->name, p->n);
}
static struct bytes name_of_changed(const void *entry)
{
    const struct changed_key *k = entry;
    return bytes_of(k->name, k->n);
}
static const struct table_ops prefix_ops = {.key = name_of_prefix}, changed_ops = {.key = name_of_changed};

struct bytes prefix_name(const struct prefix_member *m) { return name_of_prefix(m->prefix); }
size_t prefixes_count(const struct tracking *t) { return t->prefixes ? table_count(&t->prefixes->names) : 0; }
bool prefixes_are_many(const struct tracking *t) { return t->prefixes->noted_bytes > MANY_BYTES; }

/* --- order -------------------------------------------------------------------------------------------------------- */

static int compare_names(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static bool begins_with(struct bytes s, struct bytes prefix)
{
    return s.n >= prefix.n && (!prefix.n || memcmp(s.p, prefix.p, prefix.n) == 0);
}

struct ordered {
    struct bytes name;
    size_t index;  /* in what was given; SIZE_MAX: one it has */
    size_t parent; /* the nearest before it that it begins with; SIZE_MAX: none */
};

static int compare_ordered(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    return compare_names(x->name, y->name);
}

/* The smallest index of what begins with another, or that another begins with; SIZE_MAX: there is none. */
static size_t first_overlapping(struct ordered *v, size_t count)
{
    size_t first = SIZE_MAX;
    qsort(v, count, sizeof *v, compare_ordered);
    for (size_t i = 0; i < count; i++) {
        size_t at = i ? i - 1 : SIZE_MAX;
        while (at != SIZE_MAX && !begins_with(v[i].name, v[at].name)) at = v[at].parent;
        v[i].parent = at;
        if (at == SIZE_MAX) continue;
        if (v[i].index < first) first = v[i].index;
        /* Those further up overlap with each other, and have been looked at. */
        if (v[at].index < first) first = v[at].index;
    }
    return first;
}

static bool overlap(struct bytes a, struct bytes b) { return a.n < b.n ? begins_with(b, a) : begins_with(a, b); }

bool prefixes_overlap(const struct client *cl, const struct bytes *prefixes, size_t count, struct prefix_overlap *out)
{
    const struct tracking_client *tc = cl->tracking;
    size_t old = tc ? tc->prefix_count : 0;
    if (!count) return false;
    struct ordered *v = mem_alloc((old + count) * sizeof *v);
    for (size_t i = 0; i < old; i++) v[i] = (struct ordered){.name = prefix_name(tc->prefixes[i]), .index = SIZE_MAX};
    for (size_t i = 0; i < count; i++) v[old + i] = (struct ordered){.name = prefixes[i], .index = i};
    size_t at = first_overlapping(v, old + count);
    mem_free(v);
    if (at == SIZE_MAX) return false;
    *out = (struct prefix_overlap){.at = at};
    for (size_t i = 0; i < old && !out->with_old; i++) {
        out->old = prefix_name(tc->prefixes[i]);
        out->with_old = overlap(out->old, prefixes[at]);
    }
    if (out->with_old) return true;
    out->at2 = at + 1;
    while (out->at2 < count && !overlap(prefixes[at], prefixes[out->at2])) out->at2++;
    ASSERT(out->at2 < count);
    return true;
}

/* --- lengths ------------------------------------------------------------------------------------------------------ */

static size_t length_place(const struct prefixes *ps, size_t n)
{
    size_t from = 0, to = ps->length_count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (ps->lengths[middle].n < n) from = middle + 1;
        else to = middle;
    }
    return from;
}

static void count_length(struct prefixes *ps, uint32_t n)
{
    size_t at = length_place(ps, n);
    if (at < ps->length_count && ps->lengths[at].n == n) {
        ps->lengths[at].prefixes++;
        return;
    }
    if (ps->length_count == ps->length_room) {
        ps->length_room = ps->length_room ? ps->length_room * 2 : 8;
        ps->lengths = mem_realloc(ps->lengths, ps->length_room * sizeof *ps->lengths);
    }
    memmove(&ps->lengths[at + 1], &ps->lengths[at], (ps->length_count - at) * sizeof *ps->lengths);
    ps->lengths[at] = (struct prefix_length){n, 1};
    ps->length_count++;
}

static void discount_length(struct prefixes *ps, uint32_t n)
{
    size_t at = length_place(ps, n);
    ASSERT(at < ps->length_count && ps->lengths[at].n == n);
    if (--ps->lengths[at].prefixes) return;
    ps->length_count--;
    memmove(&ps->lengths[at], &ps->lengths[at + 1], (ps->length_count - at) * sizeof *ps->lengths);
}

/* --- members ------------------------------------------------------------------------------------------------------ */

static struct prefix *prefix_of(struct prefixes *ps, struct bytes name)
{
    uint64_t hash = table_hash(&ps->names, name);
    struct prefix *p = table_find(&ps->names, hash, name);
    if (p) return p;
    p = mem_alloc(sizeof *p + name.n);
    list_init(&p->members);
    list_init(&p->dirty);
    table_init(&p->changed, &changed_ops, ps->seed);
    p->n = (uint32_t)name.n;
    if (name.n) memcpy(p->name, name.p, name.n);
    table_insert(&ps->names, hash, p);
    count_length(ps, p->n);
    return p;
}

static void free_changed(void *arg, void *entry)
{
    struct prefixes *ps = arg;
    ps->noted_bytes -= sizeof(struct changed_key) + ((struct changed_key *)entry)->n;
    mem_free(entry);
}

static void prefix_free(struct prefixes *ps, struct prefix *p)
{
    struct bytes name = name_of_prefix(p);
    table_delete(&ps->names, table_hash(&ps->names, name), name);
    discount_length(ps, p->n);
    list_remove(&p->dirty);
    table_fini(&p->changed, free_changed, ps);
    mem_free(p);
}

static int compare_members(const void *a, const void *b)
{
    return compare_names(prefix_name(*(struct prefix_member *const *)a),
                         prefix_name(*(struct prefix_member *const *)b));
}

static bool has(const struct tracking_client *tc, size_t sorted, struct bytes name)
{
    size_t from = 0, to = sorted;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = compare_names(prefix_name(tc->prefixes[middle]), name);
        if (order == 0) return true;
        if (order < 0) from = middle + 1;
        else to = middle;
    }
    return false;
}

void prefixes_add(struct tracking *t, struct client *cl, const struct bytes *prefixes, size_t count, uint64_t seed)
{
    struct tracking_client *tc = cl->tracking;
    struct prefixes *ps = t->prefixes;
    if (!ps) {
        ps = t->prefixes = mem_calloc(sizeof *ps);
        table_init(&ps->names, &prefix_ops, seed);
        list_init(&ps->dirty);
        ps->seed = seed;
    }
    size_t had = tc->prefix_count;
    tc->prefixes = mem_realloc(tc->prefixes, (had + count) * sizeof(struct prefix_member *));
    for (size_t i = 0; i < count; i++) {
        if (has(tc, had, prefixes[i])) continue; /* "" may come again */
        struct prefix_member *m = mem_alloc(sizeof *m);
        *m = (struct prefix_member){.cl = cl, .prefix = prefix_of(ps, prefixes[i])};
        list_push_back(&m->prefix->members, &m->by_prefix);
        tc->prefixes[tc->prefix_count++] = m;
        tc->prefix_bytes += sizeof *m + sizeof m + sizeof *m->prefix + m->prefix->n;
    }
    qsort(tc->prefixes, tc->prefix_count, sizeof(struct prefix_member *), compare_members);
}

void prefixes_remove(struct tracking *t, struct client *cl)
{
    struct tracking_client *tc = cl->tracking;
    struct prefixes *ps = t->prefixes;
    for (size_t i = 0; i < tc->prefix_count; i++) {
        struct prefix_member *m = tc->prefixes[i];
        struct prefix *p = m->prefix;
        list_remove(&m->by_prefix);
        mem_free(m);
        if (list_is_empty(&p->members)) prefix_free(ps, p);
    }
    mem_free(tc->prefixes);
    tc->prefixes = NULL;
    tc->prefix_count = tc->prefix_bytes = 0;
    if (!ps || table_count(&ps->names)) return;
    table_fini(&ps->names, NULL, NULL);
    mem_free(ps->lengths);
    mem_free(ps);
    t->prefixes = NULL;
}

/* --- what changes ------------------------------------------------------------------------------------------------- */

static void note(struct prefixes *ps, struct prefix *p, const struct key_ref *key, uint64_t by)
{
    struct changed_key *k = table_find(&p->changed, key->hash, key->name);
    if (k) {
        k->by = by;
        return;
    }
    k = mem_alloc(sizeof *k + key->name.n);
    k->by = by;
    k->n = (uint32_t)key->name.n;
    if (k->n) memcpy(k->name, key->name.p, k->n);
    table_insert(&p->changed, key->hash, k);
    ps->noted_bytes += sizeof *k + k->n;
    if (table_count(&p->changed) == 1) list_push_back(&ps->dirty, &p->dirty);
}

void prefixes_note(struct tracking *t, struct worker *w, const struct key_ref *key, uint64_t by)
{
    struct prefixes *ps = t->prefixes;
    w->before_end = true;
    for (size_t i = 0; i < ps->length_count && ps->lengths[i].n <= key->name.n; i++) {
        struct bytes name = bytes_of(key->name.p, ps->lengths[i].n);
        struct prefix *p = table_find(&ps->names, table_hash(&ps->names, name), name);
        if (p) note(ps, p, key, by);
    }
}

/* --- told --------------------------------------------------------------------------------------------------------- */

static int compare_changed(const void *a, const void *b)
{
    return compare_names(name_of_changed(*(struct changed_key *const *)a),
                         name_of_changed(*(struct changed_key *const *)b));
}

static struct changed_key **take_changed(struct prefix *p, size_t *count)
{
    size_t n = 0;
    struct changed_key **v = mem_alloc(table_count(&p->changed) * sizeof(struct changed_key *));
    struct table_iter it;
    table_iter_init(&it, &p->changed);
    for (struct changed_key *k; (k = table_iter_next(&it));) v[n++] = k;
    table_iter_fini(&it);
    qsort(v, n, sizeof(struct changed_key *), compare_changed);
    *count = n;
    return v;
}

/* But for what `but` changed itself. */
static size_t write_names(struct reply *text, struct changed_key *const *v, size_t count, uint64_t but)
{
    size_t told = 0;
    for (size_t i = 0; i < count; i++) told += !but || v[i]->by != but;
    if (!told) return 0;
    reply_array(text, told);
    for (size_t i = 0; i < count; i++)
        if (!but || v[i]->by != but) reply_bulk(text, name_of_changed(v[i]));
    return told;
}

static void tell_members(struct worker *w, struct prefix *p, const struct client *running)
{
    size_t count;
    struct changed_key **v = take_changed(p, &count);
    struct reply all, own;
    reply_init(&all, 2);
    reply_init(&own, 2);
    write_names(&all, v, count, 0);
    list_for_each(it, &p->members)
    {
        struct client *cl = list_entry(it, struct prefix_member, by_prefix)->cl;
        const struct reply *names = &all;
        if (cl->flags & CLIENT_CLOSE_NOW) continue;
        if (cl->tracking->flags & TRACKING_NOLOOP) {
            reply_reset(&own);
            if (!write_names(&own, v, count, cl->id)) continue;
            names = &own;
        }
        struct reply *out = tracking_message(w, cl, running);
        if (out) reply_append(out, names);
    }
    reply_fini(&all);
    reply_fini(&own);
    mem_free(v);
}

static int compare_prefixes(const void *a, const void *b)
{
    return compare_names(name_of_prefix(*(struct prefix *const *)a), name_of_prefix(*(struct prefix *const *)b));
}

void prefixes_broadcast(struct worker *w, struct tracking *t, const struct client *running)
{
    struct prefixes *ps = t->prefixes;
    size_t count = 0, n = 0;
    if (!ps) return;
    list_for_each(it, &ps->dirty) count++;
    if (!count) return;
    struct prefix **v = mem_alloc(count * sizeof(struct prefix *));
    list_for_each(it, &ps->dirty) v[n++] = list_entry(it, struct prefix, dirty);
    qsort(v, n, sizeof(struct prefix *), compare_prefixes);
    for (size_t i = 0; i < n; i++) {
        tell_members(w, v[i], running);
        list_remove(&v[i]->dirty);
        table_fini(&v[i]->changed, free_changed, ps);
        table_init(&v[i]->changed, &changed_ops, ps->seed);
    }
    mem_free(v);
}
