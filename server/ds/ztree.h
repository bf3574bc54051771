/* SPDX-License-Identifier: MIT
 *
 * A sorted set of (score, member), ordered by score and then by the member's bytes: what OBJECT ENCODING calls
 * "skiplist". Members are found by a table (O(1)), order and ranks by a B+tree whose nodes count what is below them
 * (O(log n)).
 *
 * Ranks count from 0 at the lowest score. A range by score or lex is first turned into a span of ranks, [start, end);
 * everything that works on ranges works on spans. So ZRANGEBYSCORE is ztree_score_span(), ztree_at(start), ztree_next()
 * end - start times; ZCOUNT is end - start.
 *
 * Scores are never NaN. -0.0 equals 0.0 in order and keeps its sign. Members handed out stay valid, and positions too,
 * until the next change.
 */
#ifndef SERVER_DS_ZTREE_H
#define SERVER_DS_ZTREE_H

#include "server/ds/element.h"
#include "server/ds/table.h"

struct ztree_leaf;

struct ztree {      /* private; stays where it was initialised */
    struct table t; /* member -> element */
    void *root;     /* height 0: a leaf */
    unsigned height;
    struct ztree_leaf *first, *last;
    size_t elem_bytes, node_bytes;
    struct element_watch *watch; /* ztree_watch() */
};

void ztree_init(struct ztree *z, uint64_t seed);
void ztree_fini(struct ztree *z);

static inline size_t ztree_count(const struct ztree *z) { return z->t.count; }
/* Table, tree and elements, as the heap counts them, without the struct. */
size_t ztree_bytes(const struct ztree *z);
/* Makes room for n members in all. */
void ztree_expand(struct ztree *z, size_t n);

/* --- by member ------------------------------------------------------------------------------------ */

/* False: no such member. score may be NULL. */
bool ztree_score(const struct ztree *z, struct bytes member, double *score);
/* Adds, or gives another score. True: the member is new. The member must not lie in the tree itself. */
bool ztree_set(struct ztree *z, struct bytes member, double score);
/* Adds, or leaves as it is: false, and *had is the score that is there. */
bool ztree_add(struct ztree *z, struct bytes member, double score, double *had);
/* False: no such member. */
bool ztree_delete(struct ztree *z, struct bytes member);
/* False: no such member. score may be NULL. */
bool ztree_rank(const struct ztree *z, struct bytes member, size_t *rank, double *score);

/* From now on w is told of each member before it changes; NULL: nobody is. One at a time; none when it is freed. */
static inline void ztree_watch(struct ztree *z, struct element_watch *w)
{
    ASSERT(!w || !z->watch);
    z->watch = w;
}

/* Moves what the table's bucket `at` has in memory, then, `at` counting on, leaf after leaf with its nodes and members
 * (server/mem.h). Returns the next place, 0 at the end. Nobody watches it. */
struct mem_moves;
size_t ztree_relocate(struct ztree *z, size_t at, struct mem_moves *m);

/* --- by order ------------------------------------------------------------------------------------- */

/* A place between the ends; leaf is NULL beyond them. The fields are private. */
struct ztree_pos {
    const struct ztree_leaf *leaf;
    unsigned index;
};
static inline bool ztree_pos_is_end(struct ztree_pos p) { return p.leaf == NULL; }

/* The end if rank is too high. ztree_at(z, 0) is the lowest, ztree_at(z, ztree_count(z) - 1) the highest. */
struct ztree_pos ztree_at(const struct ztree *z, size_t rank);
/* The last one before where (score, member) stands or would stand; the end: there is none. */
struct ztree_pos ztree_before(const struct ztree *z, double score, struct bytes member);
/* p is not the end. */
struct ztree_pos ztree_next(struct ztree_pos p);
struct ztree_pos ztree_prev(struct ztree_pos p);
/* The member there; score may be NULL. */
struct bytes ztree_get(struct ztree_pos p, double *score);

struct ztree_span {
    size_t start, end; /* ranks; start == end: nothing */
};

struct ztree_score_range {
    double min, max;
    bool min_exclusive, max_exclusive;
};
struct ztree_span ztree_score_span(const struct ztree *z, const struct ztree_score_range *r);

/* Bounds as ZRANGEBYLEX has them. Means something only if all scores are equal. */
enum ztree_lex {
    ZTREE_LEX_LOWEST /* - */,
    ZTREE_LEX_INCLUSIVE /* [ */,
    ZTREE_LEX_EXCLUSIVE /* ( */,
    ZTREE_LEX_HIGHEST /* + */
};
struct ztree_lex_range {
    enum ztree_lex min_kind, max_kind;
    struct bytes min, max;
};
struct ztree_span ztree_lex_span(const struct ztree *z, const struct ztree_lex_range *r);

/* Deletes the members of a span (cut to what there is), lowest first; fn (may be NULL) sees each before it goes.
 * Returns how many. */
typedef void ztree_fn(void *arg, struct bytes member, double score);
size_t ztree_delete_span(struct ztree *z, struct ztree_span span, ztree_fn *fn, void *arg);

/* --- in no order ---------------------------------------------------------------------------------- */

/* As table_scan(); the callback changes nothing. */
uint64_t ztree_scan(struct ztree *z, uint64_t cursor, ztree_fn *fn, void *arg);

/* Asserts every invariant. */
void ztree_check(const struct ztree *z);

#endif
