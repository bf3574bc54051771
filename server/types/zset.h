/* SPDX-License-Identifier: MIT
 *
 * What a sorted-set key holds, whichever encoding it has: a listpack of member, score, member, score, … in order while
 * it is small (zset-max-listpack-entries and -value), a tree from then on. A sorted set never goes back.
 *
 * A struct zset is a view: changing the sorted set changes the view, and db_edit_store() puts it back into the entry it
 * came from. Ranks count from 0 at the lowest score; ranges are turned into spans of ranks first (zset_order.c). Scores
 * are never NaN.
 */
#ifndef SERVER_TYPES_ZSET_H
#define SERVER_TYPES_ZSET_H

#include "server/conf/config.h"
#include "server/db/entry.h"
#include "server/ds/listpack.h"
#include "server/ds/ztree.h"

struct zset {
    enum obj_encoding enc; /* ENC_LISTPACK or ENC_SKIPLIST */
    void *p;
};

/* What turns listpacks into trees, and how those hash. */
struct zset_rules {
    size_t entries_max, value_max;
    uint64_t seed;
};
static inline struct zset_rules zset_rules(const struct config *cfg, uint64_t seed)
{
    return (struct zset_rules){(size_t)cfg->zset_max_listpack_entries, (size_t)cfg->zset_max_listpack_value, seed};
}

/* Empty, to hold about count members, one of them of so many bytes. (Which encoding it begins in shows in a score of
 * -0, which a listpack holds as 0.) */
struct zset zset_new(size_t count, size_t member_bytes, const struct zset_rules *rules);
/* So many members are about to be added, if all are new: past the limit it becomes a tree at once. */
void zset_expect(struct zset *z, size_t count, const struct zset_rules *rules);
static inline struct zset zset_of(const struct entry *e) { return (struct zset){e->enc, entry_ptr(e)}; }
static inline struct value zset_value(const struct zset *z)
{
    return (struct value){.type = OBJ_ZSET, .enc = z->enc, .p = z->p};
}
static inline void zset_free(struct zset *z) { value_free(zset_value(z)); }

static inline size_t zset_count(const struct zset *z)
{
    return z->enc == ENC_SKIPLIST ? ztree_count(z->p) : lp_count(z->p) / 2;
}

/* --- by member ------------------------------------------------------------------------------------------------ */

/* False: no such member. */
bool zset_score(const struct zset *z, struct bytes member, double *score);
/* True: the member is new. False: it is there and stays as it is, *had is its score. */
bool zset_add(struct zset *z, struct bytes member, double score, double *had, const struct zset_rules *rules);
/* The same for a member that is not there and comes after all others: for building. */
void zset_append(struct zset *z, struct bytes member, double score, const struct zset_rules *rules);
/* The member is there. */
void zset_rescore(struct zset *z, struct bytes member, double score);
/* False: no such member. */
bool zset_remove(struct zset *z, struct bytes member);
/* False: no such member. */
bool zset_rank(const struct zset *z, struct bytes member, size_t *rank);

/* --- by order (zset_order.c) ---------------------------------------------------------------------------------- */

struct ztree_span zset_score_span(const struct zset *z, const struct ztree_score_range *r);
/* reverse: looked for from the end. It comes to the same unless scores differ, which makes ranges by lex
 * meaningless; a listpack's are then what Redis finds. */
struct ztree_span zset_lex_span(const struct zset *z, const struct ztree_lex_range *r, bool reverse);
/* The span lies within the sorted set. */
void zset_delete_span(struct zset *z, struct ztree_span span);

/* The members of a span, which lies within the sorted set, from its start or (reverse) from its end. Nothing may
 * change meanwhile. */
struct zset_iter {
    /* the current one; valid until the next, or while nothing changes unless it lies in buf */
    struct bytes member;
    /* private */
    const struct zset *z;
    size_t left;
    bool reverse;
    const unsigned char *entry, *next_entry; /* ENC_LISTPACK */
    struct ztree_pos pos, next_pos;          /* ENC_SKIPLIST */
    char buf[NUMBER_I64_SIZE];
};
void zset_iter_init(struct zset_iter *it, const struct zset *z, struct ztree_span span, bool reverse);
bool zset_iter_next(struct zset_iter *it);
/* Both at once, for who wants the score of each. */
bool zset_iter_next_scored(struct zset_iter *it, double *score);
/* The current member's. */
double zset_iter_score(const struct zset_iter *it);

static inline struct ztree_span zset_whole(const struct zset *z) { return (struct ztree_span){0, zset_count(z)}; }

#endif
