/* SPDX-License-Identifier: MIT
 *
 * Sorted sets by order. In a listpack a range is found by walking; a tree has its own ways (server/ds/ztree.h).
 */
#include "server/types/zset.h"

#include "server/types/zset_listpack.h"

/* --- spans -------------------------------------------------------------------------------------------------------- */

struct ztree_span zset_score_span(const struct zset *z, const struct ztree_score_range *r)
{
    if (z->enc == ENC_SKIPLIST) return ztree_score_span(z->p, r);
    struct ztree_span span = {0, 0};
    const unsigned char *lp = z->p;
    for (const unsigned char *p = lp_first(lp); p; p = lp_next(lp, p)) {
        p = lp_next(lp, p);
        double s = zset_listpack_score(p);
        if (r->max_exclusive ? s >= r->max : s > r->max) break;
        if (r->min_exclusive ? s <= r->min : s < r->min) span.start++;
        span.end++;
    }
    return span;
}

static bool is_below(struct bytes member, const struct ztree_lex_range *r)
{
    if (r->min_kind == ZTREE_LEX_LOWEST || r->min_kind == ZTREE_LEX_HIGHEST) return r->min_kind == ZTREE_LEX_HIGHEST;
    int order = bytes_compare(member, r->min);
    return r->min_kind == ZTREE_LEX_EXCLUSIVE ? order <= 0 : order < 0;
}

static bool is_above(struct bytes member, const struct ztree_lex_range *r)
{
    if (r->max_kind == ZTREE_LEX_LOWEST || r->max_kind == ZTREE_LEX_HIGHEST) return r->max_kind == ZTREE_LEX_LOWEST;
    int order = bytes_compare(member, r->max);
    return r->max_kind == ZTREE_LEX_EXCLUSIVE ? order >= 0 : order > 0;
}

/* The first and the last member alone say whether there can be anything. */
static bool may_hold(const unsigned char *lp, const struct ztree_lex_range *r)
{
    char buf[NUMBER_I64_SIZE];
    const unsigned char *last = lp_last(lp);
    return last && !is_below(lp_get_bytes(lp_prev(lp, last), buf), r) && !is_above(lp_get_bytes(lp_first(lp), buf), r);
}

static const unsigned char *member_before(const unsigned char *lp, const unsigned char *member)
{
    const unsigned char *score = lp_prev(lp, member);
    return score ? lp_prev(lp, score) : NULL;
}

static struct ztree_span lex_span_from_end(const unsigned char *lp, const struct ztree_lex_range *r)
{
    struct ztree_span span = {0, lp_count(lp) / 2};
    const unsigned char *p = lp_seek(lp, -2);
    char buf[NUMBER_I64_SIZE];
    for (; p && is_above(lp_get_bytes(p, buf), r); p = member_before(lp, p)) span.end--;
    span.start = span.end;
    for (; p && !is_below(lp_get_bytes(p, buf), r); p = member_before(lp, p)) span.start--;
    return span;
}

/* The range lies beside the whole: so Redis asks first, and where members have different scores (and so no order among
 * themselves) the answer shows. */
static bool tree_may_hold(const struct ztree *t, const struct ztree_lex_range *r)
{
    double score;
    if (ztree_count(t) == 0) return false;
    return !is_below(ztree_get(ztree_at(t, ztree_count(t) - 1), &score), r) &&
           !is_above(ztree_get(ztree_at(t, 0), &score), r);
}

struct ztree_span zset_lex_span(const struct zset *z, const struct ztree_lex_range *r, bool reverse)
{
    if (z->enc == ENC_SKIPLIST && !tree_may_hold(z->p, r)) return (struct ztree_span){0, 0};
    if (z->enc == ENC_SKIPLIST) return ztree_lex_span(z->p, r);
    struct ztree_span span = {0, 0};
    const unsigned char *lp = z->p, *p = lp_first(lp);
    char buf[NUMBER_I64_SIZE];
    if (!may_hold(lp, r)) return span;
    if (reverse) return lex_span_from_end(lp, r);
    for (; p && is_below(lp_get_bytes(p, buf), r); p = lp_next(lp, lp_next(lp, p))) span.start++;
    span.end = span.start;
    for (; p && !is_above(lp_get_bytes(p, buf), r); p = lp_next(lp, lp_next(lp, p))) span.end++;
    return span;
}

void zset_delete_span(struct zset *z, struct ztree_span span)
{
    size_t n = span.end - span.start;
    if (!n) return;
    if (z->enc == ENC_SKIPLIST) ztree_delete_span(z->p, span, NULL, NULL);
    else z->p = lp_delete_range(z->p, (long)span.start * 2, n * 2);
}

/* --- walks -------------------------------------------------------------------------------------------------------- */

void zset_iter_init(struct zset_iter *it, const struct zset *z, struct ztree_span span, bool reverse)
{
    size_t rank = reverse ? span.end - 1 : span.start;
    it->z = z;
    it->reverse = reverse;
    it->left = span.end - span.start;
    if (!it->left) return;
    if (z->enc == ENC_SKIPLIST) it->next_pos = ztree_at(z->p, rank);
    else it->next_entry = lp_seek(z->p, (long)rank * 2);
}

static void next_in_listpack(struct zset_iter *it)
{
    const unsigned char *lp = it->z->p;
    it->entry = it->next_entry;
    it->member = lp_get_bytes(it->entry, it->buf);
    if (!--it->left) return;
    it->next_entry = it->reverse ? lp_prev(lp, lp_prev(lp, it->entry)) : lp_next(lp, lp_next(lp, it->entry));
}

static void next_in_tree(struct zset_iter *it, double *score)
{
    it->pos = it->next_pos;
    it->member = ztree_get(it->pos, score);
    if (--it->left) it->next_pos = it->reverse ? ztree_prev(it->pos) : ztree_next(it->pos);
}

bool zset_iter_next(struct zset_iter *it)
{
    if (!it->left) return false;
    if (it->z->enc == ENC_LISTPACK) next_in_listpack(it);
    else next_in_tree(it, NULL);
    return true;
}

bool zset_iter_next_scored(struct zset_iter *it, double *score)
{
    if (!it->left) return false;
    if (it->z->enc == ENC_SKIPLIST) {
        next_in_tree(it, score);
        return true;
    }
    next_in_listpack(it);
    *score = zset_listpack_score(lp_next(it->z->p, it->entry));
    return true;
}

double zset_iter_score(const struct zset_iter *it)
{
    if (it->z->enc == ENC_LISTPACK) return zset_listpack_score(lp_next(it->z->p, it->entry));
    double score;
    ztree_get(it->pos, &score);
    return score;
}
