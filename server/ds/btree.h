/* SPDX-License-Identifier: MIT
 *
 * An ordered map of 128-bit keys to pointers: a B+tree. What is longer than 128 bits (a name) goes in by its first 16
 * bytes, and a function tells equal beginnings apart.
 *
 * Who owns the values is the caller's business; the tree never looks into them but through `tie`.
 */
#ifndef SERVER_DS_BTREE_H
#define SERVER_DS_BTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"

struct btree_key {
    uint64_t hi, lo;
};

struct btree_slot {
    struct btree_key key;
    void *value;
};

struct btree_leaf { /* private but for the inline functions below */
    struct btree_leaf *prev, *next;
    uint16_t count, cap;
    struct btree_slot slots[];
};

/* Below, at or above 0 as the value's whole name is below, equal to or above `whole`. */
typedef int btree_tie(const void *value, const void *whole);

struct btree { /* all zero is empty; tie NULL: keys tell all there is to tell */
    void *root;
    struct btree_leaf *first, *last;
    size_t count;
    uint32_t leaves, inners; /* of full size: how many */
    uint32_t height;         /* 0: the root is a leaf */
    btree_tie *tie;
};

/* A place; leaf NULL: none. Good until the next change of the tree. */
struct btree_pos {
    struct btree_leaf *leaf;
    unsigned at;
};

/* Leaves the values alone. The tree is empty afterwards. */
void btree_fini(struct btree *t);
static inline size_t btree_count(const struct btree *t) { return t->count; }
/* Memory of the tree without its values. */
size_t btree_bytes(const struct btree *t);

/* `whole` is what t->tie compares with; trees without one ignore it. */
/* NULL: it is not there. */
void *btree_find(const struct btree *t, struct btree_key key, const void *whole);
/* False: it is there already, and nothing is done. value may not be NULL. */
bool btree_insert(struct btree *t, struct btree_key key, const void *whole, void *value);
/* The value that was there, or NULL. */
void *btree_remove(struct btree *t, struct btree_key key, const void *whole);

/* The first place at or behind the key, and the last at or before it. */
struct btree_pos btree_at_least(const struct btree *t, struct btree_key key, const void *whole);
struct btree_pos btree_at_most(const struct btree *t, struct btree_key key, const void *whole);

static inline struct btree_pos btree_first(const struct btree *t) { return (struct btree_pos){t->first, 0}; }
static inline struct btree_pos btree_last(const struct btree *t)
{
    return (struct btree_pos){t->last, t->last ? t->last->count - 1u : 0};
}
/* Its value may be exchanged for another, unless there is a tie. */
static inline struct btree_slot *btree_slot(struct btree_pos p)
{
    DASSERT(p.leaf && p.at < p.leaf->count);
    return &p.leaf->slots[p.at];
}
static inline struct btree_pos btree_next(struct btree_pos p)
{
    if (likely(p.at + 1 < p.leaf->count)) return (struct btree_pos){p.leaf, p.at + 1};
    return (struct btree_pos){p.leaf->next, 0};
}
static inline struct btree_pos btree_prev(struct btree_pos p)
{
    if (likely(p.at > 0)) return (struct btree_pos){p.leaf, p.at - 1};
    return (struct btree_pos){p.leaf->prev, p.leaf->prev ? p.leaf->prev->count - 1u : 0};
}

static inline int btree_key_compare(struct btree_key a, struct btree_key b)
{
    if (a.hi != b.hi) return a.hi < b.hi ? -1 : 1;
    return a.lo < b.lo ? -1 : a.lo > b.lo;
}

/* The order of names is that of their bytes, a beginning before what it begins. */
struct btree_key btree_key_of_name(struct bytes name);

#ifdef DEMI_DEBUG
/* Asserts everything that holds for each tree. */
void btree_check(const struct btree *t);
#endif

#endif
