/* SPDX-License-Identifier: MIT
 *
 * The nodes of a quicklist: their bounds, their compression, how they are linked, split and merged. Private to
 * quicklist.c and quicklist_node.c.
 *
 * A node is changed open: quicklist_node_open() and _close() around what reads or changes its data.
 */
#ifndef SERVER_DS_QUICKLIST_NODE_H
#define SERVER_DS_QUICKLIST_NODE_H

#include "server/ds/quicklist.h"

#define QUICKLIST_COUNT_MAX           65535 /* node->count's width */
#define QUICKLIST_SIZE_LIMIT_BY_COUNT 8192  /* bytes a node may grow to when its fill counts elements */
#define QUICKLIST_ENTRY_OVERHEAD      8     /* an entry's header and backlen, generously */

/* --- bounds -------------------------------------------------------------------------------- */

static inline size_t quicklist_size_limit(int fill)
{
    return fill < 0 ? (size_t)2048 << -fill : QUICKLIST_SIZE_LIMIT_BY_COUNT;
}

/* An element of n bytes has a node of its own. */
static inline bool quicklist_is_large(const struct quicklist *q, size_t n)
{
    if (q->single) return false;
    size_t threshold = q->options->packed_threshold;
    return threshold ? n >= threshold : n > quicklist_size_limit(q->fill);
}

/* An element of n bytes may join the node. */
static inline bool quicklist_node_accepts(const struct quicklist *q, const struct quicklist_node *node, size_t n)
{
    if (!node || node->plain || quicklist_is_large(q, n)) return false;
    if (q->single) return true;
    if (node->size + n + QUICKLIST_ENTRY_OVERHEAD > quicklist_size_limit(q->fill)) return false;
    return q->fill < 0 || node->count < (uint64_t)q->fill;
}

/* --- compression --------------------------------------------------------------------------- */

/* Makes a node readable and writable for a moment. */
void quicklist_node_open(struct quicklist_node *node);
void quicklist_node_close(struct quicklist_node *node);
/* Restores the compression invariant after `node` (may be NULL) was added or changed, or a node removed. */
void quicklist_settle(struct quicklist *q, struct quicklist_node *node);
/* The same when the change reached the neighbours of `node`: a split and the merges after it touch two on each side. */
void quicklist_settle_around(struct quicklist *q, struct quicklist_node *node);

/* --- life ---------------------------------------------------------------------------------- */

struct quicklist_node *quicklist_node_new(unsigned char *data, size_t size, size_t count, bool plain);
/* Of one element. */
struct quicklist_node *quicklist_node_of(const struct quicklist *q, struct bytes s);
struct quicklist_node *quicklist_node_dup(const struct quicklist_node *node);
void quicklist_node_free(struct quicklist_node *node);
/* after NULL: becomes the head. Counts the node's elements in. */
void quicklist_node_link(struct quicklist *q, struct quicklist_node *node, struct quicklist_node *after);
/* Out of the list, and freed. */
void quicklist_node_remove(struct quicklist *q, struct quicklist_node *node);
/* Moves it (server/mem.h); returns where it is. */
struct mem_moves;
struct quicklist_node *quicklist_node_relocate(struct quicklist *q, struct quicklist_node *node, struct mem_moves *m);

/* --- elements ------------------------------------------------------------------------------ */

/* The node's listpack was changed by `added` elements. */
static inline void quicklist_node_update(struct quicklist *q, struct quicklist_node *node, unsigned char *lp,
                                         long added)
{
    node->data = lp;
    node->size = lp_bytes(lp);
    node->count += (uint64_t)added;
    q->count += (uint64_t)added;
}

/* Deletes `count` elements of an open node from offset on; the node goes with its last. */
static inline void quicklist_node_delete(struct quicklist *q, struct quicklist_node *node, long offset, size_t count)
{
    if (node->plain || count >= node->count) quicklist_node_remove(q, node);
    else quicklist_node_update(q, node, lp_delete_range(node->data, offset, count), -(long)count);
}

/* Takes elements [at, end) of an open node into a new one linked behind it. at is not 0 and not the node's count. */
void quicklist_node_split(struct quicklist *q, struct quicklist_node *node, long at);
/* Gives the node center's elements are in afterwards. */
struct quicklist_node *quicklist_merge_around(struct quicklist *q, struct quicklist_node *center);

#endif
