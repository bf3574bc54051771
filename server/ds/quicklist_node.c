/* SPDX-License-Identifier: MIT
 *
 * Compression invariant: a node further than `depth` from both ends is compressed unless it is in use by the iterator,
 * or too small, or does not shrink; the others never are. quicklist_settle() restores it in O(depth) after a change.
 *
 * A compressed node's data is its LZF size (4 bytes) and the LZF bytes; node->size stays that of the raw bytes.
 */
#include "server/ds/quicklist_node.h"

#include "server/ds/lzf.h"
#include "server/mem.h"

#define MERGE_SAVES       LP_EMPTY_SIZE
#define COMPRESS_SIZE_MIN 48
#define COMPRESS_GAIN_MIN 8
#define LZF_HEADER        4

/* ---- compression ---- */

static void node_compress(struct quicklist_node *node)
{
    node->in_use = 0;
    if (node->compressed || node->size < COMPRESS_SIZE_MIN) return;
    size_t size_max = node->size - COMPRESS_GAIN_MIN;
    unsigned char *data = mem_alloc(LZF_HEADER + size_max);
    size_t size = lzf_compress(node->data, node->size, data + LZF_HEADER, size_max);
    if (size == 0) {
        mem_free(data);
        return;
    }
    store_u32(data, (uint32_t)size);
    mem_free(node->data);
    node->data = mem_realloc(data, LZF_HEADER + size);
    node->compressed = 1;
}

static unsigned char *node_decompressed(const struct quicklist_node *node)
{
    unsigned char *raw = mem_alloc(node->size);
    size_t size = lzf_decompress(node->data + LZF_HEADER, load_u32(node->data), raw, node->size);
    ASSERT(size == node->size);
    return raw;
}

static void node_decompress(struct quicklist_node *node)
{
    node->in_use = 0;
    if (!node->compressed) return;
    unsigned char *raw = node_decompressed(node);
    mem_free(node->data);
    node->data = raw;
    node->compressed = 0;
}

void quicklist_node_open(struct quicklist_node *node)
{
    if (!node->compressed) return;
    node_decompress(node);
    node->in_use = 1;
}

void quicklist_node_close(struct quicklist_node *node)
{
    if (node->in_use) node_compress(node);
}

void quicklist_settle(struct quicklist *q, struct quicklist_node *node)
{
    if (q->depth == 0 || q->nodes == 0) return;
    struct quicklist_node *front = q->head, *back = q->tail;
    bool node_is_outer = false;
    for (unsigned i = 0; i < q->depth; i++) {
        node_decompress(front);
        node_decompress(back);
        node_is_outer |= front == node || back == node;
        if (front == back || front->next == back) return;
        front = front->next;
        back = back->prev;
    }
    if (node && !node_is_outer) node_compress(node);
    node_compress(front);
    node_compress(back);
}

void quicklist_settle_around(struct quicklist *q, struct quicklist_node *node)
{
    if (q->depth == 0) return;
    for (int i = 0; i < 2 && node->prev; i++) node = node->prev;
    for (int i = 0; i < 5 && node; i++, node = node->next) quicklist_settle(q, node);
}

/* ---- nodes ---- */

struct quicklist_node *quicklist_node_new(unsigned char *data, size_t size, size_t count, bool plain)
{
    struct quicklist_node *node = mem_alloc(sizeof *node);
    *node = (struct quicklist_node){.data = data, .size = size, .count = count, .plain = plain};
    return node;
}

static struct quicklist_node *node_of_listpack(unsigned char *lp)
{
    return quicklist_node_new(lp, lp_bytes(lp), lp_count(lp), false);
}

struct quicklist_node *quicklist_node_of(const struct quicklist *q, struct bytes s)
{
    if (!quicklist_is_large(q, s.n)) return node_of_listpack(lp_append(lp_new(s.n + 2 * LP_EMPTY_SIZE), s));
    unsigned char *data = mem_alloc(s.n);
    return quicklist_node_new(memcpy(data, s.p, s.n), s.n, 1, true);
}

void quicklist_node_link(struct quicklist *q, struct quicklist_node *node, struct quicklist_node *after)
{
    node->prev = after;
    node->next = after ? after->next : q->head;
    if (node->prev) node->prev->next = node;
    else q->head = node;
    if (node->next) node->next->prev = node;
    else q->tail = node;
    q->nodes++;
    q->count += node->count;
    quicklist_settle(q, node);
}

static void node_unlink(struct quicklist *q, struct quicklist_node *node)
{
    if (node->prev) node->prev->next = node->next;
    else q->head = node->next;
    if (node->next) node->next->prev = node->prev;
    else q->tail = node->prev;
    q->nodes--;
    q->count -= node->count;
    quicklist_settle(q, NULL);
}

void quicklist_node_free(struct quicklist_node *node)
{
    mem_free(node->data);
    if (!node->borrowed) mem_free_sized(node, sizeof *node);
}

void quicklist_node_remove(struct quicklist *q, struct quicklist_node *node)
{
    node_unlink(q, node);
    quicklist_node_free(node);
}

static size_t node_data_size(const struct quicklist_node *node)
{
    return node->compressed ? LZF_HEADER + (size_t)load_u32(node->data) : node->size;
}

struct quicklist_node *quicklist_node_dup(const struct quicklist_node *from)
{
    struct quicklist_node *node = mem_alloc(sizeof *node);
    *node = *from;
    size_t size = node_data_size(from);
    node->data = memcpy(mem_alloc(size), from->data, size);
    node->in_use = 0;
    return node;
}

struct quicklist_node *quicklist_node_relocate(struct quicklist *q, struct quicklist_node *node, struct mem_moves *m)
{
    unsigned char *data = mem_move(m, node->data);
    if (data) node->data = data;
    struct quicklist_node *moved = mem_move(m, node);
    if (!moved) return node;
    if (moved->prev) moved->prev->next = moved;
    else q->head = moved;
    if (moved->next) moved->next->prev = moved;
    else q->tail = moved;
    return moved;
}

/* ---- splitting, merging ---- */

void quicklist_node_split(struct quicklist *q, struct quicklist_node *node, long at)
{
    size_t moved = node->count - (size_t)at;
    unsigned char *rest = lp_delete_range(lp_dup(node->data), 0, (size_t)at);
    quicklist_node_update(q, node, lp_delete_range(node->data, at, moved), -(long)moved);
    quicklist_node_link(q, node_of_listpack(rest), node);
}

static bool nodes_may_merge(const struct quicklist *q, const struct quicklist_node *a, const struct quicklist_node *b)
{
    if (!a || !b || a->plain || b->plain) return false;
    if (a->size + b->size - MERGE_SAVES > quicklist_size_limit(q->fill)) return false;
    return q->fill < 0 || a->count + b->count <= (uint64_t)q->fill;
}

/* b's elements go behind a's; b is gone. */
static void nodes_merge(struct quicklist *q, struct quicklist_node *a, struct quicklist_node *b)
{
    node_decompress(a);
    node_decompress(b);
    long moved = (long)b->count;
    quicklist_node_update(q, a, lp_merge(a->data, b->data), moved);
    b->data = NULL;
    quicklist_node_remove(q, b);
    quicklist_settle(q, a);
}

struct quicklist_node *quicklist_merge_around(struct quicklist *q, struct quicklist_node *center)
{
    struct quicklist_node *prev = center->prev, *next = center->next;
    if (prev && nodes_may_merge(q, prev->prev, prev)) nodes_merge(q, prev->prev, prev);
    if (next && nodes_may_merge(q, next, next->next)) nodes_merge(q, next, next->next);
    if (nodes_may_merge(q, center->prev, center)) {
        prev = center->prev;
        nodes_merge(q, prev, center);
        center = prev;
    }
    if (nodes_may_merge(q, center, center->next)) nodes_merge(q, center, center->next);
    return center;
}

const unsigned char *quicklist_node_raw(const struct quicklist_node *node, unsigned char **scratch)
{
    *scratch = node->compressed ? node_decompressed(node) : NULL;
    return *scratch ? *scratch : node->data;
}

const void *quicklist_node_lzf(const struct quicklist_node *node, size_t *size)
{
    ASSERT(node->compressed);
    *size = load_u32(node->data);
    return node->data + LZF_HEADER;
}
