/* SPDX-License-Identifier: MIT
 *
 * The B+tree under a sorted set. Private to ztree.
 *
 * Elements are pointers in leaves of 512 bytes, linked in order. An inner node has for each child its lowest element
 * (and that one's score, so that most comparisons stay inside the node) and the number of elements below it, from which
 * ranks come.
 *
 *                     inner   score[] least[] child[] size[]
 *                             /          |            \
 *        leaf <-------> leaf <-------> leaf  …        all at the same depth
 *
 * Invariants (ztree_check): sizes are sums, least is the first element below, no node but a leaf at the root is empty,
 * inner roots have two children, links run through all leaves in order.
 */
#ifndef SERVER_DS_ZTREE_NODE_H
#define SERVER_DS_ZTREE_NODE_H

#include "server/ds/ztree.h"
#include "server/ds/ztree_elem.h"

#define LEAF_MAX   61
#define INNER_MAX  27 /* 872 bytes; a million elements need three levels */
#define HEIGHT_MAX 24

struct ztree_leaf {
    struct ztree_leaf *prev, *next;
    unsigned count;
    void *elem[LEAF_MAX];
};

struct ztree_inner {
    unsigned count;
    double score[INNER_MAX];
    void *least[INNER_MAX];
    void *child[INNER_MAX];
    size_t size[INNER_MAX];
};

static_assert(sizeof(struct ztree_leaf) == 512, "a leaf fills its size class");

/* Where an element stands or would stand. */
struct zkey {
    double score;
    struct bytes member;
};

/* Is an element (score is its own) before key? True for a first part of the elements and false for the rest. */
typedef bool zbefore_fn(double score, const void *elem, const void *key);

static inline bool zelem_is_before(double score, const void *elem, const void *key)
{
    const struct zkey *k = key;
    if (score != k->score) return score < k->score;
    return bytes_compare(zelem_member(elem), k->member) < 0;
}

/* How many of a leaf's elements are before key. */
static inline __attribute__((always_inline)) unsigned zleaf_search(const struct ztree_leaf *leaf, zbefore_fn *before,
                                                                   const void *key)
{
    unsigned low = 0, high = leaf->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (before(zelem_score(leaf->elem[middle]), leaf->elem[middle], key)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The child in which the border lies: the last one whose least element is before key, or the first. */
static inline __attribute__((always_inline)) unsigned zinner_search(const struct ztree_inner *node, zbefore_fn *before,
                                                                    const void *key)
{
    unsigned low = 1, high = node->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (before(node->score[middle], node->least[middle], key)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}

/* How many elements of the tree are before key. */
static inline __attribute__((always_inline)) size_t ztree_count_before(const struct ztree *z, zbefore_fn *before,
                                                                       const void *key)
{
    const void *node = z->root;
    size_t rank = 0;
    for (unsigned h = z->height; h; h--) {
        const struct ztree_inner *inner = node;
        unsigned i = zinner_search(inner, before, key);
        for (unsigned k = 0; k < i; k++) rank += inner->size[k];
        node = inner->child[i];
    }
    return rank + zleaf_search(node, before, key);
}

/* ztree_node.c: the tree alone, without the table. */
void znode_init(struct ztree *z);
void znode_fini(struct ztree *z); /* elements stay */
void znode_insert(struct ztree *z, void *elem);
void znode_remove(struct ztree *z, const void *elem); /* must be there */
/* Moves the leaf, and nodes above it that begin with it, and each of its elements by `move`, which returns where it is
 * now. Returns the next leaf. */
struct mem_moves;
struct ztree_leaf *znode_relocate(struct ztree *z, struct ztree_leaf *leaf, struct mem_moves *m,
                                  void *(*move)(struct ztree *z, void *elem, struct mem_moves *m));
void znode_check(const struct ztree *z);

#endif
