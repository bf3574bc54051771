/* SPDX-License-Identifier: MIT
 *
 * A B+tree: the values are in leaves, which are linked; above them are inner nodes, whose kids each stand beside the
 * first slot of all that is below them.
 *
 *        +-----------------------+
 *        | low kid | low kid | … |        inner; low of the first kid is kept right, too: a merge makes it a separator
 *        +---|---------|---------+
 *            v         v
 *     +--------+   +--------+
 *     | slots  |<->| slots  |<-> …       leaves: the only one as large as need be, of CAP slots from then on
 *     +--------+   +--------+
 *
 * Why not a radix tree, as Redis has: keys of fixed size need none of its compression, and what is asked for is nearly
 * always the end (a new entry), the beginning (the oldest pending one) or a run from somewhere. Here the last leaf is
 * at hand, a run is an array, and a slot costs 24 bytes in place of a node of its own for each key (40 to 60 in Redis).
 *
 * What comes in behind all others fills leaves to the brim: a full last leaf is left as it is, and the next one begins.
 * Any other full node is halved. A node that is less than a quarter full is merged with a neighbour of the same parent
 * if both fit into three quarters of one.
 */
#include "server/ds/btree.h"

#include <string.h>

#include "server/mem.h"

#define CAP        31 /* slots of a leaf (768 bytes), kids of an inner node (1,000) */
#define CAP_FIRST  3
#define FEW        (CAP / 4)
#define MERGED_MAX (CAP * 3 / 4)
#define HEIGHT_MAX                                                                                                     \
    24 /* two neighbours have more than MERGED_MAX together: 11 each on average, and 11^24 is more than all */

struct btree_kid {
    struct btree_slot low; /* the first slot below; without tie its value may have been exchanged since */
    void *node;
};

struct btree_inner {
    uint16_t count;
    struct btree_kid kids[CAP];
};

/* The way down: step[0] is the leaf's parent. */
struct btree_path {
    struct btree_inner *inner[HEIGHT_MAX];
    unsigned at[HEIGHT_MAX];
};

static size_t leaf_size(unsigned cap) { return sizeof(struct btree_leaf) + cap * sizeof(struct btree_slot); }

struct btree_key btree_key_of_name(struct bytes name)
{
    char begin[16] = {0};
    if (name.n) memcpy(begin, name.p, name.n < sizeof begin ? name.n : sizeof begin);
    return (struct btree_key){load_be64(begin), load_be64(begin + 8)};
}

/* --- look up ------------------------------------------------------------------------------------------------------ */

/* Of a slot and what is sought. */
static inline int compare(const struct btree *t, const struct btree_slot *s, struct btree_key key, const void *whole)
{
    int order = btree_key_compare(s->key, key);
    return order == 0 && unlikely(t->tie != NULL) ? t->tie(s->value, whole) : order;
}

/* Slots of the leaf that are below the key. */
static unsigned below(const struct btree *t, const struct btree_leaf *leaf, struct btree_key key, const void *whole)
{
    unsigned from = 0, to = leaf->count;
    while (from < to) {
        unsigned mid = (from + to) / 2;
        if (compare(t, &leaf->slots[mid], key, whole) < 0) from = mid + 1;
        else to = mid;
    }
    return from;
}

/* The kid whose part of the order the key is in. */
static unsigned kid_of(const struct btree *t, const struct btree_inner *in, struct btree_key key, const void *whole)
{
    unsigned from = 1, to = in->count;
    while (from < to) {
        unsigned mid = (from + to) / 2;
        if (compare(t, &in->kids[mid].low, key, whole) <= 0) from = mid + 1;
        else to = mid;
    }
    return from - 1;
}

/* t is not empty; path may be NULL. */
static struct btree_leaf *leaf_of(const struct btree *t, struct btree_key key, const void *whole,
                                  struct btree_path *path)
{
    void *node = t->root;
    for (unsigned level = t->height; level > 0; level--) {
        struct btree_inner *in = node;
        unsigned at = kid_of(t, in, key, whole);
        if (path) path->inner[level - 1] = in, path->at[level - 1] = at;
        node = in->kids[at].node;
    }
    return node;
}

struct btree_pos btree_at_least(const struct btree *t, struct btree_key key, const void *whole)
{
    if (!t->count) return (struct btree_pos){0};
    struct btree_leaf *leaf = leaf_of(t, key, whole, NULL);
    unsigned at = below(t, leaf, key, whole);
    return at < leaf->count ? (struct btree_pos){leaf, at} : (struct btree_pos){leaf->next, 0};
}

struct btree_pos btree_at_most(const struct btree *t, struct btree_key key, const void *whole)
{
    if (!t->count) return (struct btree_pos){0};
    const struct btree_slot *end = &t->last->slots[t->last->count - 1];
    if (compare(t, end, key, whole) <= 0) return btree_last(t);
    struct btree_leaf *leaf = leaf_of(t, key, whole, NULL);
    unsigned at = below(t, leaf, key, whole);
    if (at < leaf->count && compare(t, &leaf->slots[at], key, whole) == 0) return (struct btree_pos){leaf, at};
    /* The leaf begins at or before the key, but for the first one. */
    return at ? (struct btree_pos){leaf, at - 1} : (struct btree_pos){0};
}

void *btree_find(const struct btree *t, struct btree_key key, const void *whole)
{
    if (!t->count) return NULL;
    struct btree_leaf *leaf = leaf_of(t, key, whole, NULL);
    unsigned at = below(t, leaf, key, whole);
    if (at == leaf->count || compare(t, &leaf->slots[at], key, whole) != 0) return NULL;
    return leaf->slots[at].value;
}

/* --- insert ------------------------------------------------------------------------------------------------------- */

/* From level `level` on: the first slot below has become another. */
static void new_low(const struct btree *t, struct btree_path *path, unsigned level, const struct btree_slot *low)
{
    for (; level < t->height; level++) {
        path->inner[level]->kids[path->at[level]].low = *low;
        if (path->at[level] != 0) return;
    }
}

static struct btree_leaf *new_leaf(struct btree *t, struct btree_leaf *prev)
{
    struct btree_leaf *leaf = mem_alloc(leaf_size(CAP));
    *leaf = (struct btree_leaf){.prev = prev, .next = prev->next, .cap = CAP};
    if (prev->next) prev->next->prev = leaf;
    else t->last = leaf;
    prev->next = leaf;
    t->leaves++;
    return leaf;
}

static struct btree_inner *new_inner(struct btree *t)
{
    struct btree_inner *in = mem_alloc(sizeof *in);
    in->count = 0;
    t->inners++;
    return in;
}

static void put_kid(struct btree_inner *in, unsigned at, struct btree_kid kid)
{
    DASSERT(in->count < CAP && at <= in->count);
    memmove(&in->kids[at + 1], &in->kids[at], (in->count - at) * sizeof *in->kids);
    in->kids[at] = kid;
    in->count++;
}

/* Puts the kid behind path->at[level], at that level and, where nodes are full, above. */
static void add_kid(struct btree *t, struct btree_path *path, unsigned level, struct btree_kid kid)
{
    for (; level < t->height; level++) {
        struct btree_inner *in = path->inner[level];
        unsigned at = path->at[level] + 1;
        if (in->count < CAP) {
            put_kid(in, at, kid);
            return;
        }
        struct btree_inner *right = new_inner(t);
        unsigned keep = at == CAP ? CAP : CAP / 2 + 1; /* at the end: as the leaves are */
        right->count = (uint16_t)(CAP - keep);
        memcpy(right->kids, &in->kids[keep], right->count * sizeof *in->kids);
        in->count = (uint16_t)keep;
        if (at <= keep && keep < CAP) put_kid(in, at, kid);
        else put_kid(right, at - keep, kid);
        kid = (struct btree_kid){right->kids[0].low, right};
    }
    ASSERT(t->height < HEIGHT_MAX);
    struct btree_inner *root = new_inner(t);
    /* What stands first below the old root. */
    struct btree_slot low = t->first->slots[0];
    put_kid(root, 0, (struct btree_kid){low, t->root});
    put_kid(root, 1, kid);
    t->root = root;
    t->height++;
}

static void put_slot(struct btree_leaf *leaf, unsigned at, struct btree_slot slot)
{
    DASSERT(leaf->count < leaf->cap && at <= leaf->count);
    memmove(&leaf->slots[at + 1], &leaf->slots[at], (leaf->count - at) * sizeof *leaf->slots);
    leaf->slots[at] = slot;
    leaf->count++;
}

/* The only leaf, to have more room. */
static struct btree_leaf *grow(struct btree *t)
{
    struct btree_leaf *leaf = t->root;
    unsigned cap = leaf->cap * 2u + 1;
    if (cap > CAP) cap = CAP;
    leaf = mem_realloc(leaf, leaf_size(cap));
    leaf->cap = (uint16_t)cap;
    t->root = t->first = t->last = leaf;
    return leaf;
}

/* Into a full leaf of CAP slots, at `at`. */
static void split(struct btree *t, struct btree_path *path, struct btree_leaf *leaf, unsigned at,
                  struct btree_slot slot)
{
    bool at_end = at == leaf->count && !leaf->next;
    unsigned keep = at_end ? CAP : CAP / 2 + 1;
    struct btree_leaf *right = new_leaf(t, leaf);
    right->count = (uint16_t)(CAP - keep);
    memcpy(right->slots, &leaf->slots[keep], right->count * sizeof *leaf->slots);
    leaf->count = (uint16_t)keep;
    if (at <= keep && !at_end) put_slot(leaf, at, slot);
    else put_slot(right, at - keep, slot);
    if (at == 0) new_low(t, path, 0, &leaf->slots[0]);
    add_kid(t, path, 0, (struct btree_kid){right->slots[0], right});
}

bool btree_insert(struct btree *t, struct btree_key key, const void *whole, void *value)
{
    struct btree_slot slot = {key, value};
    struct btree_path path;
    DASSERT(value);
    if (unlikely(!t->root)) {
        struct btree_leaf *leaf = mem_alloc(leaf_size(CAP_FIRST));
        *leaf = (struct btree_leaf){.count = 0, .cap = CAP_FIRST};
        t->root = t->first = t->last = leaf;
        t->leaves = 1;
    }
    struct btree_leaf *leaf = t->last;
    unsigned at = leaf->count;
    bool at_end = at == 0 || compare(t, &leaf->slots[at - 1], key, whole) < 0;
    if (likely(at_end) && at < leaf->cap) {
        leaf->slots[leaf->count++] = slot;
        t->count++;
        return true;
    }
    leaf = leaf_of(t, key, whole, &path);
    at = below(t, leaf, key, whole);
    if (at < leaf->count && compare(t, &leaf->slots[at], key, whole) == 0) return false;
    t->count++;
    if (leaf->count == leaf->cap && leaf->cap < CAP) leaf = grow(t);
    if (leaf->count == leaf->cap) {
        split(t, &path, leaf, at, slot);
        return true;
    }
    put_slot(leaf, at, slot);
    if (at == 0) new_low(t, &path, 0, &leaf->slots[0]);
    return true;
}

/* --- remove ------------------------------------------------------------------------------------------------------- */

static void drop_leaf(struct btree *t, struct btree_leaf *leaf)
{
    if (leaf->prev) leaf->prev->next = leaf->next;
    else t->first = leaf->next;
    if (leaf->next) leaf->next->prev = leaf->prev;
    else t->last = leaf->prev;
    mem_free_sized(leaf, leaf_size(leaf->cap));
    t->leaves--;
}

static void drop_inner(struct btree *t, struct btree_inner *in)
{
    mem_free_sized(in, sizeof *in);
    t->inners--;
}

static void cut_kid(struct btree_inner *in, unsigned at)
{
    in->count--;
    memmove(&in->kids[at], &in->kids[at + 1], (in->count - at) * sizeof *in->kids);
}

/* Of two kids of `in` that stand side by side, with how many things below each; is one enough for both? */
static bool few_enough(const struct btree_inner *in, unsigned left, unsigned (*things)(const void *node))
{
    return left + 1 < in->count && things(in->kids[left].node) + things(in->kids[left + 1].node) <= MERGED_MAX;
}

static unsigned things_of_leaf(const void *node) { return ((const struct btree_leaf *)node)->count; }
static unsigned things_of_inner(const void *node) { return ((const struct btree_inner *)node)->count; }

static void merge_leaves(struct btree *t, struct btree_inner *in, unsigned left)
{
    struct btree_leaf *a = in->kids[left].node, *b = in->kids[left + 1].node;
    memcpy(&a->slots[a->count], b->slots, b->count * sizeof *b->slots);
    a->count = (uint16_t)(a->count + b->count);
    drop_leaf(t, b);
    cut_kid(in, left + 1);
}

static void merge_inners(struct btree *t, struct btree_inner *in, unsigned left)
{
    struct btree_inner *a = in->kids[left].node, *b = in->kids[left + 1].node;
    memcpy(&a->kids[a->count], b->kids, b->count * sizeof *b->kids);
    a->count = (uint16_t)(a->count + b->count);
    drop_inner(t, b);
    cut_kid(in, left + 1);
}

/* The kid at path->at[level] has become smaller: merges it, and then whatever that made smaller above. */
static void tidy(struct btree *t, struct btree_path *path)
{
    for (unsigned level = 0; level < t->height; level++) {
        struct btree_inner *in = path->inner[level];
        unsigned at = path->at[level], left = at ? at - 1 : 0;
        unsigned (*things)(const void *) = level ? things_of_inner : things_of_leaf;
        if (things(in->kids[at].node) >= FEW) return;
        if (!few_enough(in, left, things)) left = at;
        if (!few_enough(in, left, things)) return;
        if (level) merge_inners(t, in, left);
        else merge_leaves(t, in, left);
    }
}

/* The leaf is empty: takes it out, and every inner node that has no other kid. */
static void remove_leaf(struct btree *t, struct btree_path *path, struct btree_leaf *leaf)
{
    drop_leaf(t, leaf);
    for (unsigned level = 0; level < t->height; level++) {
        struct btree_inner *in = path->inner[level];
        unsigned at = path->at[level];
        cut_kid(in, at);
        if (in->count) {
            if (at == 0) new_low(t, path, level + 1, &in->kids[0].low);
            return;
        }
        drop_inner(t, in);
    }
    *t = (struct btree){.tie = t->tie};
}

static void lower_root(struct btree *t)
{
    while (t->height && ((struct btree_inner *)t->root)->count == 1) {
        struct btree_inner *in = t->root;
        t->root = in->kids[0].node;
        t->height--;
        drop_inner(t, in);
    }
}

void *btree_remove(struct btree *t, struct btree_key key, const void *whole)
{
    struct btree_path path;
    if (!t->count) return NULL;
    struct btree_leaf *leaf = leaf_of(t, key, whole, &path);
    unsigned at = below(t, leaf, key, whole);
    if (at == leaf->count || compare(t, &leaf->slots[at], key, whole) != 0) return NULL;
    void *value = leaf->slots[at].value;
    leaf->count--;
    t->count--;
    memmove(&leaf->slots[at], &leaf->slots[at + 1], (leaf->count - at) * sizeof *leaf->slots);
    if (leaf->count == 0) {
        remove_leaf(t, &path, leaf);
    } else {
        if (at == 0) new_low(t, &path, 0, &leaf->slots[0]);
        if (leaf->count < FEW) tidy(t, &path);
    }
    lower_root(t);
    return value;
}

/* --- whole -------------------------------------------------------------------------------------------------------- */

void btree_fini(struct btree *t)
{
    struct btree_path path;
    unsigned level = t->height;
    if (level) path.inner[level - 1] = t->root, path.at[level - 1] = 0;
    /* Down to the parents of leaves, and up again when all kids are freed. */
    while (level && level <= t->height) {
        struct btree_inner *in = path.inner[level - 1];
        if (level == 1 || path.at[level - 1] == in->count) {
            drop_inner(t, in);
            level++;
            continue;
        }
        path.inner[level - 2] = in->kids[path.at[level - 1]++].node;
        path.at[level - 2] = 0;
        level--;
    }
    while (t->first) drop_leaf(t, t->first);
    *t = (struct btree){.tie = t->tie};
}

size_t btree_bytes(const struct btree *t)
{
    if (!t->root) return 0;
    unsigned cap = t->height ? CAP : t->first->cap;
    return t->leaves * demi_good_size(leaf_size(cap)) + t->inners * demi_good_size(sizeof(struct btree_inner));
}

#ifdef DEMI_DEBUG
static int compare_slots(const struct btree *t, const struct btree_slot *a, const struct btree_slot *b)
{
    int order = btree_key_compare(a->key, b->key);
    return order == 0 && t->tie && a->value != b->value ? 1 : order; /* equal beginnings: who asks knows their order */
}

static const struct btree_slot *first_below(const void *node, unsigned height)
{
    for (; height; height--) node = ((const struct btree_inner *)node)->kids[0].node;
    return &((const struct btree_leaf *)node)->slots[0];
}

void btree_check(const struct btree *t)
{
    size_t count = 0, leaves = 0;
    const struct btree_leaf *prev = NULL;
    for (const struct btree_leaf *leaf = t->first; leaf; prev = leaf, leaf = leaf->next, leaves++) {
        ASSERT(leaf->prev == prev);
        ASSERT(leaf->count > 0 && leaf->count <= leaf->cap);
        ASSERT(leaf->cap == CAP || t->height == 0);
        if (prev) ASSERT(t->tie || compare_slots(t, &prev->slots[prev->count - 1], &leaf->slots[0]) < 0);
        for (unsigned i = 1; i < leaf->count; i++)
            ASSERT(t->tie || compare_slots(t, &leaf->slots[i - 1], &leaf->slots[i]) < 0);
        count += leaf->count;
    }
    ASSERT(t->last == prev);
    ASSERT(t->count == count);
    ASSERT(t->leaves == leaves);
    ASSERT((t->root == NULL) == (count == 0));
    const void *node = t->root;
    for (unsigned height = t->height; height; height--) { /* the leftmost and the rightmost way down */
        const struct btree_inner *in = node;
        ASSERT(in->count > 0 && in->count <= CAP);
        for (unsigned i = 0; i < in->count; i++) {
            const struct btree_slot *low = first_below(in->kids[i].node, height - 1);
            ASSERT(btree_key_compare(low->key, in->kids[i].low.key) == 0);
            if (t->tie) ASSERT(low->value == in->kids[i].low.value);
        }
        node = in->kids[in->count - 1].node;
    }
}
#endif
