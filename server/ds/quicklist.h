/* SPDX-License-Identifier: MIT
 *
 * A list of listpacks, for the list type. Elements are packed into nodes of bounded size; an element over the packed
 * threshold gets a plain node (its bytes alone). With a compress depth of d, all but d nodes at each end are kept
 * LZF-compressed while nobody reads them.
 *
 * Values handed out point into the list: they are valid until its next change or the iterator's next step.
 * Indexes may be negative: -1 is the last element.
 */
#ifndef SERVER_DS_QUICKLIST_H
#define SERVER_DS_QUICKLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"
#include "server/ds/listpack.h"

/* Owned by the server, outlives every list. fill and compress_depth are taken at quicklist_new(), the threshold at
 * every use. */
struct quicklist_options {
    /* list-max-listpack-size: -1 ... -5: 4, 8, 16, 32, 64 KB a node; positive: elements a node */
    int fill;
    int compress_depth; /* list-compress-depth; 0: off */
    /* elements of this size and over are plain; 0: those over the fill's size limit */
    size_t packed_threshold;
};
#define QUICKLIST_PACKED_THRESHOLD     ((size_t)1 << 30)
#define QUICKLIST_PACKED_THRESHOLD_MAX (((size_t)1 << 32) - (1 << 20)) /* what DEBUG may set */

/* Shown for RDB, DEBUG and memory accounts; change nothing in it. */
struct quicklist_node {
    struct quicklist_node *prev, *next;
    unsigned char *data; /* listpack, plain bytes, or compressed form: read it by quicklist_node_raw() */
    uint64_t size : 44;  /* uncompressed bytes */
    uint64_t count : 16; /* elements */
    uint64_t plain : 1;
    uint64_t compressed : 1;
    uint64_t in_use : 1;   /* uncompressed for an iterator, to be compressed again */
    uint64_t borrowed : 1; /* the struct is somebody else's: quicklist_view() */
};

struct quicklist {
    struct quicklist_node *head, *tail;
    const struct quicklist_options *options;
    uint64_t count; /* elements */
    uint32_t nodes;
    int16_t fill;
    uint16_t depth : 15;
    uint16_t single : 1; /* all of it in one listpack, however long: quicklist_view() */
};

struct quicklist *quicklist_new(const struct quicklist_options *options);
/* A listpack, which may be empty, as a list of one node, where everything goes whatever the limits say: in q and node,
 * the caller's memory, which need no fini. The listpack is in quicklist_view_end()'s hands after a change: its address
 * is what that returns, for a list that became empty as well. */
static inline void quicklist_view(struct quicklist *q, struct quicklist_node *node, unsigned char *lp)
{
    size_t count = lp_count(lp);
    ASSERT(count <= UINT16_MAX);
    *node = (struct quicklist_node){.data = lp, .size = lp_bytes(lp), .count = count, .borrowed = 1};
    *q = (struct quicklist){.head = node, .tail = node, .count = count, .nodes = 1, .fill = -1, .single = 1};
}
unsigned char *quicklist_view_end_other(struct quicklist *q, struct quicklist_node *node); /* private */
static inline unsigned char *quicklist_view_end(struct quicklist *q, struct quicklist_node *node)
{
    return likely(q->head == node) ? node->data : quicklist_view_end_other(q, node);
}
/* The listpack of a list of one packed node; the list is freed. */
unsigned char *quicklist_take_listpack(struct quicklist *q);
/* So many elements of so many bytes, laid into one listpack, exceed the limit of a node; with half, half of it. */
bool quicklist_exceeds(const struct quicklist_options *options, size_t bytes, size_t count, bool half);
void quicklist_free(struct quicklist *q);
struct quicklist *quicklist_dup(const struct quicklist *q);

static inline size_t quicklist_count(const struct quicklist *q) { return q->count; }
/* Allocated memory: list, nodes and their data. O(nodes). */
size_t quicklist_bytes(const struct quicklist *q);

void quicklist_push_head(struct quicklist *q, struct bytes s);
void quicklist_push_tail(struct quicklist *q, struct bytes s);
/* Peek, then drop: the value is valid until the drop. false / no effect when the list is empty. */
bool quicklist_head(struct quicklist *q, struct lp_value *out);
bool quicklist_tail(struct quicklist *q, struct lp_value *out);
void quicklist_drop_head(struct quicklist *q);
void quicklist_drop_tail(struct quicklist *q);

/* false: no such index. Replacing and deleting at an index cost a walk over the nodes. */
bool quicklist_replace_at(struct quicklist *q, long index, struct bytes s);
/* Deletes up to count elements from index on; returns how many. */
size_t quicklist_delete_range(struct quicklist *q, long index, size_t count);

/* Iterator. init, next until false, fini (always: it compresses again what was opened). The list may be changed
 * meanwhile only through the iterator. Its fields are private. */
struct quicklist_iter {
    struct quicklist *q;
    struct quicklist_node *node;
    unsigned char *entry; /* current element; NULL in a plain node */
    int32_t offset;       /* its index in the node; negative: counted from the end */
    bool backward;
    bool at_element; /* current element valid; otherwise (node, offset) is where next() looks */
    bool ended;
};
/* The first next() gives the element at index, or false when there is none. */
void quicklist_iter_init(struct quicklist_iter *it, struct quicklist *q, long index, bool backward);
bool quicklist_iter_next(struct quicklist_iter *it, struct lp_value *out);
/* Delete the element last given; the next next() gives the one after it in the direction of travel. */
void quicklist_iter_delete(struct quicklist_iter *it);
/* Replace it, or insert beside it; after these only fini may follow. */
void quicklist_iter_replace(struct quicklist_iter *it, struct bytes s);
void quicklist_iter_insert_before(struct quicklist_iter *it, struct bytes s);
void quicklist_iter_insert_after(struct quicklist_iter *it, struct bytes s);
void quicklist_iter_fini(struct quicklist_iter *it);

/* Moves up to `count` nodes from number `at` on (server/mem.h). Returns the next one's number, 0 at the end; of a very
 * long list only the ends are reached. No iterator is at it. */
struct mem_moves;
size_t quicklist_relocate(struct quicklist *q, size_t at, size_t count, struct mem_moves *m);

/* For loading: append a node as it is. lp / data become the list's (from mem_alloc). An empty listpack is freed and
 * left out. */
void quicklist_append_listpack(struct quicklist *q, unsigned char *lp);
void quicklist_append_plain(struct quicklist *q, unsigned char *data, size_t size);
/* The node's uncompressed bytes (node->size of them): its own memory, or *scratch, which the caller frees with
 * mem_free() (set to NULL when not needed). */
const unsigned char *quicklist_node_raw(const struct quicklist_node *node, unsigned char **scratch);
/* The compressed form, when node->compressed: *size bytes of LZF. */
const void *quicklist_node_lzf(const struct quicklist_node *node, size_t *size);

#endif
