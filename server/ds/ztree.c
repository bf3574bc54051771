/* SPDX-License-Identifier: MIT
 *
 * Elements by member: the table and the tree (ztree_node.c) point to the same packed element (ztree_elem.h). Ranges are
 * in ztree_range.c.
 *
 * Why not a skip list: its towers cost 16 to 24 bytes a pointer with its span, 1.33 of them a member, and each step of
 * a search is a cache miss. The tree costs 9 (rising scores) to 11.7 bytes a member (random changes, 2026-11), and a
 * search of a million members reads three inner nodes and one leaf.
 */
#include "server/ds/ztree.h"

#include "server/ds/ztree_node.h"
#include "server/mem.h"

static const struct table_ops ops = {.key = zelem_member};

static void *elem_new(struct ztree *z, struct bytes member, double score)
{
    void *elem = mem_alloc(zelem_size(member.n, score));
    zelem_put(elem, member, score);
    z->elem_bytes += mem_size(elem);
    return elem;
}

static void elem_free(struct ztree *z, void *elem)
{
    z->elem_bytes -= mem_size(elem);
    mem_free(elem);
}

void ztree_init(struct ztree *z, uint64_t seed)
{
    table_init(&z->t, &ops, seed);
    table_set_fill(&z->t, TABLE_FILL_DENSE);
    z->elem_bytes = 0;
    z->watch = NULL;
    znode_init(z);
}

static void free_block(void *arg, void *elem) { mem_free(elem); }

void ztree_fini(struct ztree *z)
{
    DASSERT(!z->watch);
    znode_fini(z);
    table_fini(&z->t, free_block, NULL);
    z->elem_bytes = 0;
}

size_t ztree_bytes(const struct ztree *z) { return z->elem_bytes + z->node_bytes + table_bytes(&z->t); }
void ztree_expand(struct ztree *z, size_t n) { table_expand(&z->t, n); }

static struct table_slot member_find(const struct ztree *z, uint64_t hash, struct bytes member)
{
    return table_find_slot_by(&z->t, hash, member, zelem_member);
}

bool ztree_score(const struct ztree *z, struct bytes member, double *score)
{
    struct table_slot s = member_find(z, table_hash(&z->t, member), member);
    if (!s.bucket) return false;
    if (score) *score = zelem_score(table_slot_entry(s));
    return true;
}

/* Out of the way, and the hash computed again, so that who is not watched pays no more than the test. */
#define IF_WATCHED static __attribute__((noinline, cold)) void

/* A member is about to get another score (old NULL: to come). */
IF_WATCHED tell_member_changes(struct ztree *z, const void *old, struct bytes member, double score)
{
    struct element was = {.member = member, .value = BYTES("")}, now = was;
    if (old) was.score = zelem_score(old);
    now.score = score;
    z->watch->before(z->watch, table_hash(&z->t, member), old ? &was : NULL, &now);
}

IF_WATCHED tell_member_goes(struct ztree *z, const void *old)
{
    struct element was = {.member = zelem_member(old), .value = BYTES(""), .score = zelem_score(old)};
    z->watch->before(z->watch, table_hash(&z->t, was.member), &was, NULL);
}

/* Out of the tree, changed, and in again at another place. */
static void rescore(struct ztree *z, struct table_slot s, double score)
{
    void *elem = table_slot_entry(s);
    struct bytes member = zelem_member(elem);
    znode_remove(z, elem);
    size_t need = zelem_size(member.n, score), room = mem_size(elem);
    if (need <= room && need >= room / 2) {
        zelem_put(elem, member, score);
    } else {
        void *copy = elem_new(z, member, score);
        table_replace_slot(&z->t, s, copy);
        elem_free(z, elem);
        elem = copy;
    }
    znode_insert(z, elem);
}

bool ztree_set(struct ztree *z, struct bytes member, double score)
{
    uint64_t hash = table_hash(&z->t, member);
    struct table_slot s = member_find(z, hash, member);
    DASSERT(score == score);
    if (!s.bucket) {
        if (unlikely(z->watch != NULL)) tell_member_changes(z, NULL, member, score);
        void *elem = elem_new(z, member, score);
        table_insert(&z->t, hash, elem);
        znode_insert(z, elem);
        return true;
    }
    void *old = table_slot_entry(s);
    if (zscore_same_bits(zelem_score(old), score)) return false;
    if (unlikely(z->watch != NULL)) tell_member_changes(z, old, member, score);
    rescore(z, s, score);
    return false;
}

bool ztree_add(struct ztree *z, struct bytes member, double score, double *had)
{
    uint64_t hash = table_hash(&z->t, member);
    struct table_slot s = member_find(z, hash, member);
    DASSERT(score == score);
    if (s.bucket) {
        *had = zelem_score(table_slot_entry(s));
        return false;
    }
    if (unlikely(z->watch != NULL)) tell_member_changes(z, NULL, member, score);
    void *elem = elem_new(z, member, score);
    table_insert(&z->t, hash, elem);
    znode_insert(z, elem);
    return true;
}

bool ztree_delete(struct ztree *z, struct bytes member)
{
    struct table_slot s = member_find(z, table_hash(&z->t, member), member);
    if (!s.bucket) return false;
    if (unlikely(z->watch != NULL)) tell_member_goes(z, table_slot_entry(s));
    void *elem = table_delete_slot(&z->t, s);
    znode_remove(z, elem);
    elem_free(z, elem);
    return true;
}

bool ztree_rank(const struct ztree *z, struct bytes member, size_t *rank, double *score)
{
    struct zkey key = {.member = member};
    if (!ztree_score(z, member, &key.score)) return false;
    *rank = ztree_count_before(z, zelem_is_before, &key);
    if (score) *score = key.score;
    return true;
}

static void show_none(void *arg, struct table_slot s)
{
    (void)arg;
    (void)s;
}

/* The table follows. */
static void *move_element(struct ztree *z, void *elem, struct mem_moves *m)
{
    struct bytes member = zelem_member(elem);
    struct table_slot s = member_find(z, table_hash(&z->t, member), member);
    ASSERT(s.bucket && table_slot_entry(s) == elem);
    void *moved = mem_move(m, elem);
    if (!moved) return elem;
    table_replace_slot(&z->t, s, moved);
    return moved;
}

size_t ztree_relocate(struct ztree *z, size_t at, struct mem_moves *m)
{
    size_t buckets = z->t.bucket_count;
    DASSERT(!z->watch);
    if (at < buckets) {
        table_relocate(&z->t, at, show_none, NULL, m);
        return at + 1;
    }
    if (at - buckets >= ztree_count(z)) return 0;
    struct ztree_pos p = ztree_at(z, at - buckets);
    size_t rest = p.leaf->count - p.index;
    return znode_relocate(z, (struct ztree_leaf *)p.leaf, m, move_element) ? at + rest : 0;
}

void ztree_check(const struct ztree *z)
{
    size_t elem_bytes = 0;
    table_check(&z->t);
    znode_check(z);
    for (const struct ztree_leaf *leaf = z->first; leaf; leaf = leaf->next) {
        for (unsigned i = 0; i < leaf->count; i++) {
            struct bytes member = zelem_member(leaf->elem[i]);
            struct table_slot s = member_find(z, table_hash(&z->t, member), member);
            ASSERT(s.bucket != NULL);
            ASSERT(table_slot_entry(s) == leaf->elem[i]);
            elem_bytes += mem_size(leaf->elem[i]);
        }
    }
    ASSERT(elem_bytes == z->elem_bytes);
}
