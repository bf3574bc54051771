/* SPDX-License-Identifier: MIT
 *
 * A sorted set by order: positions, spans of ranks, and what works on spans.
 */
#include "server/ds/ztree.h"

#include "server/ds/ztree_node.h"
#include "server/mem.h"

/* --- positions ------------------------------------------------------------------------------------ */

struct ztree_pos ztree_at(const struct ztree *z, size_t rank)
{
    const void *node = z->root;
    if (rank >= ztree_count(z)) return (struct ztree_pos){NULL, 0};
    for (unsigned h = z->height; h; h--) {
        const struct ztree_inner *inner = node;
        unsigned i = 0;
        while (rank >= inner->size[i]) rank -= inner->size[i++];
        node = inner->child[i];
    }
    return (struct ztree_pos){node, (unsigned)rank};
}

struct ztree_pos ztree_before(const struct ztree *z, double score, struct bytes member)
{
    struct zkey key = {score, member};
    size_t rank = ztree_count_before(z, zelem_is_before, &key);
    return rank ? ztree_at(z, rank - 1) : (struct ztree_pos){NULL, 0};
}

struct ztree_pos ztree_next(struct ztree_pos p)
{
    if (++p.index < p.leaf->count) return p;
    return (struct ztree_pos){p.leaf->next, 0};
}

struct ztree_pos ztree_prev(struct ztree_pos p)
{
    if (p.index) return (struct ztree_pos){p.leaf, p.index - 1};
    const struct ztree_leaf *prev = p.leaf->prev;
    return (struct ztree_pos){prev, prev ? prev->count - 1 : 0};
}

struct bytes ztree_get(struct ztree_pos p, double *score)
{
    const void *elem = p.leaf->elem[p.index];
    if (score) *score = zelem_score(elem);
    return zelem_member(elem);
}

/* --- spans ---------------------------------------------------------------------------------------- */

static bool score_is_below(double score, const void *elem, const void *key) { return score < *(const double *)key; }
static bool score_is_up_to(double score, const void *elem, const void *key) { return score <= *(const double *)key; }

static bool member_is_below(double score, const void *elem, const void *key)
{
    return bytes_compare(zelem_member(elem), *(const struct bytes *)key) < 0;
}

static bool member_is_up_to(double score, const void *elem, const void *key)
{
    return bytes_compare(zelem_member(elem), *(const struct bytes *)key) <= 0;
}

/* A range whose end lies before its start holds nothing. */
static struct ztree_span span_of(size_t start, size_t end)
{
    return (struct ztree_span){start, end > start ? end : start};
}

struct ztree_span ztree_score_span(const struct ztree *z, const struct ztree_score_range *r)
{
    size_t start = r->min_exclusive ? ztree_count_before(z, score_is_up_to, &r->min)
                                    : ztree_count_before(z, score_is_below, &r->min);
    size_t end = r->max_exclusive ? ztree_count_before(z, score_is_below, &r->max)
                                  : ztree_count_before(z, score_is_up_to, &r->max);
    return span_of(start, end);
}

static size_t lex_border(const struct ztree *z, enum ztree_lex kind, const struct bytes *bound, bool with_equal)
{
    if (kind == ZTREE_LEX_LOWEST) return 0;
    if (kind == ZTREE_LEX_HIGHEST) return ztree_count(z);
    return with_equal ? ztree_count_before(z, member_is_up_to, bound) : ztree_count_before(z, member_is_below, bound);
}

struct ztree_span ztree_lex_span(const struct ztree *z, const struct ztree_lex_range *r)
{
    return span_of(lex_border(z, r->min_kind, &r->min, r->min_kind == ZTREE_LEX_EXCLUSIVE),
                   lex_border(z, r->max_kind, &r->max, r->max_kind == ZTREE_LEX_INCLUSIVE));
}

size_t ztree_delete_span(struct ztree *z, struct ztree_span span, ztree_fn *fn, void *arg)
{
    size_t end = span.end < ztree_count(z) ? span.end : ztree_count(z), n = 0;
    for (; span.start + n < end; n++) {
        struct ztree_pos p = ztree_at(z, span.start);
        double score;
        struct bytes member = ztree_get(p, &score);
        if (fn) fn(arg, member, score);
        ztree_delete(z, member);
    }
    return n;
}

/* --- in no order ---------------------------------------------------------------------------------- */

struct ztree_visit {
    ztree_fn *fn;
    void *arg;
};

static void show(void *arg, struct table_slot s)
{
    const struct ztree_visit *scan = arg;
    const void *elem = table_slot_entry(s);
    scan->fn(scan->arg, zelem_member(elem), zelem_score(elem));
}

uint64_t ztree_scan(struct ztree *z, uint64_t cursor, ztree_fn *fn, void *arg)
{
    struct ztree_visit scan = {fn, arg};
    return table_scan(&z->t, cursor, show, &scan);
}
