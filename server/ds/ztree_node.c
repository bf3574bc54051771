/* SPDX-License-Identifier: MIT
 *
 * Inserting: walk down; if the leaf is full, do one thing about it and walk again: move elements to a neighbour under
 * the same parent (so that leaves are 80 to 85 % full with random inserts, where splitting alone gives 69 %), or split
 * the lowest full node whose parent has room. At the ends of the order a split leaves the old node full: scores that
 * only rise, times for example, fill their leaves.
 *
 * Removing: a node that gets less than half full is merged with a neighbour if both together leave an eighth free.
 * Otherwise it stays as it is, even with one element: of two neighbours at least one is half full, which bounds the
 * height, and nothing oscillates.
 */
#include "server/ds/ztree_node.h"

#include "server/mem.h"

#define SHIFT_MIN 4 /* free places a neighbour must have to be given some */

struct ztree_step {
    struct ztree_inner *node;
    unsigned index; /* the child that was taken */
};

/* The way from the root to a leaf. */
struct ztree_path {
    struct ztree_step step[HEIGHT_MAX];
    unsigned depth;
    struct ztree_leaf *leaf;
    unsigned index;
};

/* --- nodes ---------------------------------------------------------------------------------------- */

static struct ztree_leaf *leaf_new(struct ztree *z)
{
    struct ztree_leaf *leaf = mem_alloc(sizeof *leaf);
    leaf->prev = leaf->next = NULL;
    leaf->count = 0;
    z->node_bytes += sizeof *leaf;
    return leaf;
}

static void leaf_free(struct ztree *z, struct ztree_leaf *leaf)
{
    if (leaf->prev) leaf->prev->next = leaf->next;
    if (leaf->next) leaf->next->prev = leaf->prev;
    if (z->first == leaf) z->first = leaf->next;
    if (z->last == leaf) z->last = leaf->prev;
    z->node_bytes -= sizeof *leaf;
    mem_free_sized(leaf, sizeof *leaf);
}

static struct ztree_inner *inner_new(struct ztree *z)
{
    struct ztree_inner *node = mem_alloc(sizeof *node);
    node->count = 0;
    z->node_bytes += sizeof *node;
    return node;
}

static void inner_free(struct ztree *z, struct ztree_inner *node)
{
    z->node_bytes -= sizeof *node;
    mem_free_sized(node, sizeof *node);
}

/* Moves n children from one place to another, in the same node or not; counts are the caller's. */
static void inner_move(struct ztree_inner *to, unsigned at, const struct ztree_inner *from, unsigned first, unsigned n)
{
    memmove(to->score + at, from->score + first, n * sizeof *to->score);
    memmove(to->least + at, from->least + first, n * sizeof *to->least);
    memmove(to->child + at, from->child + first, n * sizeof *to->child);
    memmove(to->size + at, from->size + first, n * sizeof *to->size);
}

static size_t inner_size(const struct ztree_inner *node)
{
    size_t n = 0;
    for (unsigned i = 0; i < node->count; i++) n += node->size[i];
    return n;
}

static void least_set(struct ztree_inner *node, unsigned i, void *elem)
{
    node->least[i] = elem;
    node->score[i] = zelem_score(elem);
}

static void inner_add(struct ztree_inner *node, unsigned at, void *child, void *least, size_t size)
{
    inner_move(node, at + 1, node, at, node->count - at);
    node->count++;
    node->child[at] = child;
    node->size[at] = size;
    least_set(node, at, least);
}

static void inner_drop(struct ztree_inner *node, unsigned at)
{
    node->count--;
    inner_move(node, at, node, at + 1, node->count - at);
}

static void path_find(const struct ztree *z, const struct zkey *key, struct ztree_path *p)
{
    void *node = z->root;
    p->depth = z->height;
    for (unsigned d = 0; d < p->depth; d++) {
        struct ztree_inner *inner = node;
        unsigned i = zinner_search(inner, zelem_is_before, key);
        /* an element that is a child's least is not before itself */
        if (i + 1 < inner->count && inner->score[i + 1] == key->score &&
            bytes_equal(zelem_member(inner->least[i + 1]), key->member))
            i++;
        p->step[d] = (struct ztree_step){inner, i};
        node = inner->child[i];
    }
    p->leaf = node;
    p->index = zleaf_search(p->leaf, zelem_is_before, key);
}

/* The node below step[depth - 1] has a new first element. */
static void path_fix_least(struct ztree_path *p, unsigned depth, void *elem)
{
    while (depth--) {
        least_set(p->step[depth].node, p->step[depth].index, elem);
        if (p->step[depth].index) return;
    }
}

/* --- making room ---------------------------------------------------------------------------------- */

/* Hands half of a neighbour's free places over to it. */
static bool leaf_shift(struct ztree_path *p)
{
    if (p->depth == 0) return false;
    struct ztree_inner *parent = p->step[p->depth - 1].node;
    unsigned i = p->step[p->depth - 1].index;
    struct ztree_leaf *leaf = p->leaf;
    struct ztree_leaf *left = i ? parent->child[i - 1] : NULL;
    struct ztree_leaf *right = i + 1 < parent->count ? parent->child[i + 1] : NULL;
    if (left && left->count + SHIFT_MIN <= LEAF_MAX) {
        unsigned n = (LEAF_MAX - left->count) / 2;
        memcpy(left->elem + left->count, leaf->elem, n * sizeof(void *));
        memmove(leaf->elem, leaf->elem + n, (leaf->count - n) * sizeof(void *));
        left->count += n;
        leaf->count -= n;
        parent->size[i - 1] += n;
        parent->size[i] -= n;
        least_set(parent, i, leaf->elem[0]);
        return true;
    }
    if (right && right->count + SHIFT_MIN <= LEAF_MAX) {
        unsigned n = (LEAF_MAX - right->count) / 2;
        memmove(right->elem + n, right->elem, right->count * sizeof(void *));
        memcpy(right->elem, leaf->elem + leaf->count - n, n * sizeof(void *));
        right->count += n;
        leaf->count -= n;
        parent->size[i + 1] += n;
        parent->size[i] -= n;
        least_set(parent, i + 1, right->elem[0]);
        return true;
    }
    return false;
}

/* Where to cut a full node: in the middle, or at the end of the order at which the new element stands. */
static unsigned cut_of(unsigned count, bool at_start, bool at_end)
{
    if (at_end) return count - 1;
    return at_start ? 1 : count / 2;
}

static struct ztree_leaf *leaf_split(struct ztree *z, struct ztree_leaf *leaf, unsigned cut)
{
    struct ztree_leaf *right = leaf_new(z);
    right->count = leaf->count - cut;
    memcpy(right->elem, leaf->elem + cut, right->count * sizeof(void *));
    leaf->count = cut;
    right->prev = leaf;
    right->next = leaf->next;
    if (leaf->next) leaf->next->prev = right;
    leaf->next = right;
    if (z->last == leaf) z->last = right;
    return right;
}

static struct ztree_inner *inner_split(struct ztree *z, struct ztree_inner *node, unsigned cut)
{
    struct ztree_inner *right = inner_new(z);
    right->count = node->count - cut;
    inner_move(right, 0, node, cut, right->count);
    node->count = cut;
    return right;
}

static void root_raise(struct ztree *z, void *least)
{
    struct ztree_inner *root = inner_new(z);
    inner_add(root, 0, z->root, least, z->height ? inner_size(z->root) : ((struct ztree_leaf *)z->root)->count);
    z->root = root;
    z->height++;
    ASSERT(z->height < HEIGHT_MAX);
}

/* Splits the lowest node of the path whose parent has room. The path is not valid afterwards. */
static void path_split(struct ztree *z, struct ztree_path *p)
{
    bool at_start = p->leaf == z->first && p->index == 0;
    bool at_end = p->leaf == z->last && p->index == p->leaf->count;
    unsigned d = p->depth;
    while (d && p->step[d - 1].node->count == INNER_MAX) d--;
    if (d == 0) { /* the root itself is full: it becomes the only child of a new one, and is split there */
        root_raise(z, z->first->elem[0]);
        p->step[0] = (struct ztree_step){z->root, 0};
    }
    struct ztree_step *parent = d ? &p->step[d - 1] : &p->step[0];
    void *node = parent->node->child[parent->index], *right, *least;
    size_t moved;
    if (d == p->depth) {
        struct ztree_leaf *leaf = leaf_split(z, node, cut_of(LEAF_MAX, at_start, at_end));
        moved = leaf->count;
        least = leaf->elem[0];
        right = leaf;
    } else {
        struct ztree_inner *inner = inner_split(z, node, cut_of(INNER_MAX, at_start, at_end));
        moved = inner_size(inner);
        least = inner->least[0];
        right = inner;
    }
    parent->node->size[parent->index] -= moved;
    inner_add(parent->node, parent->index + 1, right, least, moved);
}

void znode_insert(struct ztree *z, void *elem)
{
    struct zkey key = {zelem_score(elem), zelem_member(elem)};
    struct ztree_path p;
    path_find(z, &key, &p);
    while (p.leaf->count == LEAF_MAX) { /* at most once for each level */
        if (!leaf_shift(&p)) path_split(z, &p);
        path_find(z, &key, &p);
    }
    memmove(p.leaf->elem + p.index + 1, p.leaf->elem + p.index, (p.leaf->count - p.index) * sizeof(void *));
    p.leaf->elem[p.index] = elem;
    p.leaf->count++;
    for (unsigned d = 0; d < p.depth; d++) p.step[d].node->size[p.step[d].index]++;
    if (p.index == 0) path_fix_least(&p, p.depth, elem);
}

/* --- removing ------------------------------------------------------------------------------------- */

static unsigned node_count(const void *node, bool is_leaf)
{
    return is_leaf ? ((const struct ztree_leaf *)node)->count : ((const struct ztree_inner *)node)->count;
}

/* Child i + 1 moves into child i. */
static void children_join(struct ztree *z, struct ztree_inner *parent, unsigned i, bool leaves)
{
    if (leaves) {
        struct ztree_leaf *a = parent->child[i], *b = parent->child[i + 1];
        memcpy(a->elem + a->count, b->elem, b->count * sizeof(void *));
        a->count += b->count;
        leaf_free(z, b);
    } else {
        struct ztree_inner *a = parent->child[i], *b = parent->child[i + 1];
        inner_move(a, a->count, b, 0, b->count);
        a->count += b->count;
        inner_free(z, b);
    }
    parent->size[i] += parent->size[i + 1];
    inner_drop(parent, i + 1);
}

/* Child i has lost something: joins it with a neighbour if that is worth it. */
static void child_settle(struct ztree *z, struct ztree_inner *parent, unsigned i, bool leaves)
{
    unsigned max = leaves ? LEAF_MAX : INNER_MAX, limit = max - max / 8;
    unsigned mine = node_count(parent->child[i], leaves);
    if (mine >= max / 2) return;
    if (i && node_count(parent->child[i - 1], leaves) + mine <= limit) {
        children_join(z, parent, i - 1, leaves);
    } else if (i + 1 < parent->count && node_count(parent->child[i + 1], leaves) + mine <= limit) {
        children_join(z, parent, i, leaves);
    }
}

void znode_remove(struct ztree *z, const void *elem)
{
    struct zkey key = {zelem_score(elem), zelem_member(elem)};
    struct ztree_path p;
    path_find(z, &key, &p);
    ASSERT(p.index < p.leaf->count);
    ASSERT(p.leaf->elem[p.index] == elem);
    p.leaf->count--;
    memmove(p.leaf->elem + p.index, p.leaf->elem + p.index + 1, (p.leaf->count - p.index) * sizeof(void *));
    for (unsigned d = 0; d < p.depth; d++) p.step[d].node->size[p.step[d].index]--;
    if (p.index == 0 && p.leaf->count) path_fix_least(&p, p.depth, p.leaf->elem[0]);
    for (unsigned d = p.depth; d; d--) {
        struct ztree_inner *parent = p.step[d - 1].node;
        unsigned i = p.step[d - 1].index;
        bool leaves = d == p.depth;
        if (node_count(parent->child[i], leaves)) {
            child_settle(z, parent, i, leaves);
            continue;
        }
        if (leaves) {
            leaf_free(z, parent->child[i]);
        } else {
            inner_free(z, parent->child[i]);
        }
        inner_drop(parent, i);
        if (i == 0 && parent->count) path_fix_least(&p, d - 1, parent->least[0]);
    }
    while (z->height && ((struct ztree_inner *)z->root)->count == 1) {
        struct ztree_inner *old = z->root;
        z->root = old->child[0];
        z->height--;
        inner_free(z, old);
    }
}

/* --- moving --------------------------------------------------------------------------------------- */

/* From the root down, nodes that begin with the path's leaf; others with their own first. */
static void path_relocate(struct ztree *z, struct ztree_path *p, struct mem_moves *m)
{
    for (unsigned d = p->depth; d--;) {
        if (p->step[d].index) return;
        struct ztree_inner *moved = mem_move(m, p->step[d].node);
        if (!moved) continue;
        p->step[d].node = moved;
        if (d) p->step[d - 1].node->child[p->step[d - 1].index] = moved;
        else z->root = moved;
    }
}

static struct ztree_leaf *leaf_relocate(struct ztree *z, struct ztree_path *p, struct mem_moves *m)
{
    struct ztree_leaf *leaf = mem_move(m, p->leaf);
    if (!leaf) return p->leaf;
    if (leaf->prev) leaf->prev->next = leaf;
    else z->first = leaf;
    if (leaf->next) leaf->next->prev = leaf;
    else z->last = leaf;
    if (p->depth) p->step[p->depth - 1].node->child[p->step[p->depth - 1].index] = leaf;
    else z->root = leaf;
    return leaf;
}

struct ztree_leaf *znode_relocate(struct ztree *z, struct ztree_leaf *leaf, struct mem_moves *m,
                                  void *(*move)(struct ztree *z, void *elem, struct mem_moves *m))
{
    struct ztree_path p;
    if (!leaf->count) return leaf->next;
    struct zkey first = {zelem_score(leaf->elem[0]), zelem_member(leaf->elem[0])};
    path_find(z, &first, &p);
    ASSERT(p.leaf == leaf && p.index == 0);
    path_relocate(z, &p, m);
    leaf = leaf_relocate(z, &p, m);
    for (unsigned i = 0; i < leaf->count; i++) leaf->elem[i] = move(z, leaf->elem[i], m);
    path_fix_least(&p, p.depth, leaf->elem[0]);
    return leaf->next;
}

/* --- life and check ------------------------------------------------------------------------------- */

void znode_init(struct ztree *z)
{
    z->node_bytes = 0;
    z->height = 0;
    z->root = z->first = z->last = leaf_new(z);
}

static void node_fini(struct ztree *z, void *node, unsigned height)
{
    if (!height) {
        z->node_bytes -= sizeof(struct ztree_leaf);
        mem_free_sized(node, sizeof(struct ztree_leaf));
        return;
    }
    struct ztree_inner *inner = node;
    for (unsigned i = 0; i < inner->count; i++) node_fini(z, inner->child[i], height - 1);
    inner_free(z, inner);
}

void znode_fini(struct ztree *z)
{
    node_fini(z, z->root, z->height);
    z->root = z->first = z->last = NULL;
}

struct ztree_order {
    const struct ztree_leaf *leaf; /* the next one to come */
    const void *last;              /* element */
    size_t node_bytes;
};

static size_t leaf_check(const struct ztree *z, const struct ztree_leaf *leaf, struct ztree_order *c)
{
    ASSERT(leaf == c->leaf);
    ASSERT(leaf->next ? leaf->next->prev == leaf : z->last == leaf);
    ASSERT(leaf->count <= LEAF_MAX);
    ASSERT(leaf->count || z->height == 0);
    for (unsigned i = 0; i < leaf->count; i++) {
        if (c->last) {
            struct zkey key = {zelem_score(leaf->elem[i]), zelem_member(leaf->elem[i])};
            ASSERT(zelem_is_before(zelem_score(c->last), c->last, &key));
        }
        c->last = leaf->elem[i];
    }
    c->leaf = leaf->next;
    c->node_bytes += sizeof *leaf;
    return leaf->count;
}

static size_t node_check(const struct ztree *z, const void *node, unsigned height, struct ztree_order *c)
{
    if (!height) return leaf_check(z, node, c);
    const struct ztree_inner *inner = node;
    size_t sum = 0;
    ASSERT(inner->count >= (node == z->root ? 2 : 1));
    ASSERT(inner->count <= INNER_MAX);
    for (unsigned i = 0; i < inner->count; i++) {
        const void *below = inner->child[i];
        for (unsigned h = height - 1; h; h--) below = ((const struct ztree_inner *)below)->child[0];
        ASSERT(inner->least[i] == ((const struct ztree_leaf *)below)->elem[0]);
        ASSERT(zscore_same_bits(inner->score[i], zelem_score(inner->least[i])));
        size_t size = node_check(z, inner->child[i], height - 1, c);
        ASSERT(inner->size[i] == size);
        sum += size;
    }
    c->node_bytes += sizeof *inner;
    return sum;
}

void znode_check(const struct ztree *z)
{
    struct ztree_order c = {.leaf = z->first};
    ASSERT(z->first->prev == NULL);
    size_t count = node_check(z, z->root, z->height, &c);
    ASSERT(count == z->t.count);
    ASSERT(c.leaf == NULL);
    ASSERT(c.node_bytes == z->node_bytes);
}
