/* SPDX-License-Identifier: MIT
 *
 * Sorted sets by member. Thresholds are redis-server 7.0.15's: a listpack that a new member would make too long is
 * converted before the member is added.
 */
#include "server/types/zset.h"

#include "server/mem.h"
#include "server/types/zset_listpack.h"

static struct ztree *new_tree(const struct zset_rules *rules, size_t room)
{
    struct ztree *t = mem_alloc(sizeof *t);
    ztree_init(t, rules->seed);
    if (room) ztree_expand(t, room);
    return t;
}

struct zset zset_new(size_t count, size_t member_bytes, const struct zset_rules *rules)
{
    if (count > rules->entries_max || member_bytes > rules->value_max)
        return (struct zset){ENC_SKIPLIST, new_tree(rules, count > 1 ? count : 0)};
    return (struct zset){ENC_LISTPACK, lp_new(0)};
}

static void convert(struct zset *z, const struct zset_rules *rules)
{
    unsigned char *lp = z->p;
    struct ztree *t = new_tree(rules, lp_count(lp) / 2 + 1);
    char buf[NUMBER_I64_SIZE];
    for (unsigned char *p = lp_first(lp); p; p = lp_next(lp, p)) {
        struct bytes member = lp_get_bytes(p, buf);
        p = lp_next(lp, p);
        ztree_set(t, member, zset_listpack_score(p));
    }
    lp_free(lp);
    *z = (struct zset){ENC_SKIPLIST, t};
}

void zset_expect(struct zset *z, size_t count, const struct zset_rules *rules)
{
    if (z->enc == ENC_LISTPACK && count > rules->entries_max) convert(z, rules);
}

/* --- in a listpack ------------------------------------------------------------------------------------------------ */

static unsigned char *member_find(const unsigned char *lp, struct bytes member)
{
    return lp_find(lp, lp_first(lp), member, 1);
}

static bool entry_is_after(const unsigned char *lp, const unsigned char *entry, struct bytes member, double score)
{
    char buf[NUMBER_I64_SIZE];
    double s = zset_listpack_score(lp_next(lp, entry));
    if (s != score) return s > score;
    return bytes_compare(lp_get_bytes(entry, buf), member) > 0;
}

/* Where the member goes: the first entry after it, NULL for the end. */
static unsigned char *place(const unsigned char *lp, struct bytes member, double score)
{
    unsigned char *p = lp_last(lp);
    if (!p || !entry_is_after(lp, lp_prev(lp, p), member, score)) return NULL;
    for (p = lp_first(lp); !entry_is_after(lp, p, member, score);) p = lp_next(lp, lp_next(lp, p));
    return p;
}

static unsigned char *insert(unsigned char *lp, unsigned char *before, struct bytes member, double score)
{
    char buf[NUMBER_DOUBLE_SIZE];
    struct bytes text = bytes_of(buf, number_format_stored_double(buf, score));
    if (!before) return lp_append_pair(lp, member, text);
    return lp_insert_pair_before(lp, before, member, text);
}

static bool fits(const struct zset *z, struct bytes member, const struct zset_rules *rules)
{
    return zset_count(z) < rules->entries_max && member.n <= rules->value_max && lp_fits(z->p, member.n);
}

/* --- public ------------------------------------------------------------------------------------------------------- */

bool zset_score(const struct zset *z, struct bytes member, double *score)
{
    if (z->enc == ENC_SKIPLIST) return ztree_score(z->p, member, score);
    const unsigned char *p = member_find(z->p, member);
    if (p) *score = zset_listpack_score(lp_next(z->p, p));
    return p != NULL;
}

bool zset_add(struct zset *z, struct bytes member, double score, double *had, const struct zset_rules *rules)
{
    if (z->enc == ENC_LISTPACK) {
        if (zset_score(z, member, had)) return false;
        if (fits(z, member, rules)) {
            z->p = insert(z->p, place(z->p, member, score), member, score);
            return true;
        }
        convert(z, rules);
    }
    return ztree_add(z->p, member, score, had);
}

void zset_append(struct zset *z, struct bytes member, double score, const struct zset_rules *rules)
{
    if (z->enc == ENC_LISTPACK && fits(z, member, rules)) {
        z->p = insert(z->p, NULL, member, score);
        return;
    }
    if (z->enc == ENC_LISTPACK) convert(z, rules);
    ztree_set(z->p, member, score);
}

void zset_rescore(struct zset *z, struct bytes member, double score)
{
    if (z->enc == ENC_SKIPLIST) {
        ztree_set(z->p, member, score);
        return;
    }
    unsigned char *p = member_find(z->p, member);
    ASSERT(p != NULL);
    unsigned char *lp = lp_delete_run(z->p, &p, 2);
    z->p = insert(lp, place(lp, member, score), member, score);
}

bool zset_remove(struct zset *z, struct bytes member)
{
    if (z->enc == ENC_SKIPLIST) return ztree_delete(z->p, member);
    unsigned char *p = member_find(z->p, member);
    if (!p) return false;
    z->p = lp_delete_run(z->p, &p, 2);
    return true;
}

bool zset_rank(const struct zset *z, struct bytes member, size_t *rank)
{
    if (z->enc == ENC_SKIPLIST) return ztree_rank(z->p, member, rank, NULL);
    size_t i = 0;
    for (const unsigned char *p = lp_first(z->p); p; p = lp_next(z->p, lp_next(z->p, p)), i++) {
        if (!lp_equal(p, member)) continue;
        *rank = i;
        return true;
    }
    return false;
}
