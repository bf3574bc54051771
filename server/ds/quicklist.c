/* SPDX-License-Identifier: MIT
 *
 * A doubly linked list of nodes, each a listpack (or one plain element).
 *
 *   head -> [lp] <-> [lp] <-> [lzf] <-> [lzf] <-> [lp] <-> [lp] <- tail        compress depth 2
 *
 * Where elements go, when nodes split and when neighbours merge follows Redis 7.2, because DUMP shows it: an element
 * goes into a node when node size + its length + 8 stays within the limit; the middle of a full node is split there;
 * after a split, neighbours that fit together are merged.
 *
 * Compression invariant: a node further than `depth` from both ends is compressed unless it is in use by the iterator,
 * or too small, or does not shrink; the others never are. settle() restores it after every change, in O(depth).
 *
 * A compressed node's data is its LZF size (4 bytes) and the LZF bytes; node->size stays that of the raw bytes.
 */
#include "server/ds/quicklist.h"

#include "server/ds/lzf.h"
#include "server/mem.h"

#define COUNT_MAX           65535 /* node->count's width */
#define DEPTH_MAX           32767
#define SIZE_LIMIT_BY_COUNT 8192 /* bytes a node may grow to when its fill counts elements */
#define ENTRY_OVERHEAD      8    /* an entry's header and backlen, generously */
#define MERGE_SAVES         LP_EMPTY_SIZE
#define COMPRESS_SIZE_MIN   48
#define COMPRESS_GAIN_MIN   8
#define LZF_HEADER          4

/* ---- policy ---- */

static size_t size_limit_of(int fill) { return fill < 0 ? (size_t)2048 << -fill : SIZE_LIMIT_BY_COUNT; }
static size_t size_limit(const struct quicklist *q) { return size_limit_of(q->fill); }

static bool is_large(const struct quicklist *q, size_t n)
{
    if (q->single) return false;
    size_t threshold = q->options->packed_threshold;
    return threshold ? n >= threshold : n > size_limit(q);
}

/* An element of n bytes may join the node. */
static bool node_accepts(const struct quicklist *q, const struct quicklist_node *node, size_t n)
{
    if (!node || node->plain || is_large(q, n)) return false;
    if (q->single) return true;
    if (node->size + n + ENTRY_OVERHEAD > size_limit(q)) return false;
    return q->fill < 0 || node->count < (uint64_t)q->fill;
}

static bool nodes_may_merge(const struct quicklist *q, const struct quicklist_node *a, const struct quicklist_node *b)
{
    if (!a || !b || a->plain || b->plain) return false;
    if (a->size + b->size - MERGE_SAVES > size_limit(q)) return false;
    return q->fill < 0 || a->count + b->count <= (uint64_t)q->fill;
}

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

/* Makes a node readable and writable for a moment; node_close() ends it. */
static void node_open(struct quicklist_node *node)
{
    if (!node->compressed) return;
    node_decompress(node);
    node->in_use = 1;
}

static void node_close(struct quicklist_node *node)
{
    if (node->in_use) node_compress(node);
}

/* Restores the compression invariant after `node` (may be NULL) was added or changed, or a node removed. */
static void settle(struct quicklist *q, struct quicklist_node *node)
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

/* The same when the change reached the neighbours of `node`: a split and the merges after it touch two on each side. */
static void settle_around(struct quicklist *q, struct quicklist_node *node)
{
    if (q->depth == 0) return;
    for (int i = 0; i < 2 && node->prev; i++) node = node->prev;
    for (int i = 0; i < 5 && node; i++, node = node->next) settle(q, node);
}

/* ---- nodes ---- */

static struct quicklist_node *node_new(unsigned char *data, size_t size, size_t count, bool plain)
{
    struct quicklist_node *node = mem_alloc(sizeof *node);
    *node = (struct quicklist_node){.data = data, .size = size, .count = count, .plain = plain};
    return node;
}

static struct quicklist_node *node_of_listpack(unsigned char *lp)
{
    return node_new(lp, lp_bytes(lp), lp_count(lp), false);
}

/* A node of one element. */
static struct quicklist_node *node_of(const struct quicklist *q, struct bytes s)
{
    if (!is_large(q, s.n)) return node_of_listpack(lp_append(lp_new(s.n + 2 * LP_EMPTY_SIZE), s));
    unsigned char *data = mem_alloc(s.n);
    return node_new(memcpy(data, s.p, s.n), s.n, 1, true);
}

/* The node's listpack was changed by `added` elements. */
static void node_update(struct quicklist *q, struct quicklist_node *node, unsigned char *lp, long added)
{
    node->data = lp;
    node->size = lp_bytes(lp);
    node->count += (uint64_t)added;
    q->count += (uint64_t)added;
}

/* after NULL: becomes the head. Counts the node's elements in. */
static void node_link(struct quicklist *q, struct quicklist_node *node, struct quicklist_node *after)
{
    node->prev = after;
    node->next = after ? after->next : q->head;
    if (node->prev) node->prev->next = node;
    else q->head = node;
    if (node->next) node->next->prev = node;
    else q->tail = node;
    q->nodes++;
    q->count += node->count;
    settle(q, node);
}

static void node_unlink(struct quicklist *q, struct quicklist_node *node)
{
    if (node->prev) node->prev->next = node->next;
    else q->head = node->next;
    if (node->next) node->next->prev = node->prev;
    else q->tail = node->prev;
    q->nodes--;
    q->count -= node->count;
    settle(q, NULL);
}

static void node_free(struct quicklist_node *node)
{
    mem_free(node->data);
    if (!node->borrowed) mem_free_sized(node, sizeof *node);
}

static void node_remove(struct quicklist *q, struct quicklist_node *node)
{
    node_unlink(q, node);
    node_free(node);
}

/* ---- the list ---- */

static int clamp(int v, int low, int high) { return v < low ? low : v > high ? high : v; }

/* A fill of 0 counts as 1: a node has at least one element. */
static int fill_of(const struct quicklist_options *options)
{
    return options->fill ? clamp(options->fill, -5, INT16_MAX) : 1;
}

struct quicklist *quicklist_new(const struct quicklist_options *options)
{
    struct quicklist *q = mem_alloc(sizeof *q);
    *q = (struct quicklist){.options = options};
    q->fill = (int16_t)fill_of(q->options);
    q->depth = (uint16_t)clamp(q->options->compress_depth, 0, DEPTH_MAX) & DEPTH_MAX;
    return q;
}

void quicklist_view(struct quicklist *q, struct quicklist_node *node, unsigned char *lp)
{
    size_t count = lp_count(lp);
    ASSERT(count <= COUNT_MAX);
    *node = (struct quicklist_node){.data = lp, .size = lp_bytes(lp), .count = count, .borrowed = 1};
    *q = (struct quicklist){.head = node, .tail = node, .count = count, .nodes = 1, .fill = -1, .single = 1};
}

/* A list that was empty for a moment has a node of its own. */
unsigned char *quicklist_view_end(struct quicklist *q, struct quicklist_node *node)
{
    struct quicklist_node *now = q->head;
    DASSERT(q->single && q->nodes <= 1);
    if (likely(now == node)) return now->data;
    *node = now ? *now : (struct quicklist_node){.data = lp_new(0), .size = LP_EMPTY_SIZE};
    node->borrowed = 1;
    q->head = q->tail = node;
    q->nodes = 1;
    if (now) mem_free_sized(now, sizeof *now);
    return node->data;
}

unsigned char *quicklist_take_listpack(struct quicklist *q)
{
    struct quicklist_node *node = q->head;
    ASSERT(q->nodes == 1 && !node->plain && !node->compressed && !node->borrowed);
    unsigned char *lp = node->data;
    mem_free_sized(node, sizeof *node);
    mem_free_sized(q, sizeof *q);
    return lp;
}

bool quicklist_exceeds(const struct quicklist_options *options, size_t bytes, size_t count, bool half)
{
    int fill = fill_of(options);
    if (fill < 0) return bytes > size_limit_of(fill) / (half ? 2 : 1);
    return count > (size_t)fill / (half ? 2 : 1) || bytes > SIZE_LIMIT_BY_COUNT;
}

void quicklist_free(struct quicklist *q)
{
    struct quicklist_node *node = q->head;
    while (node) {
        struct quicklist_node *next = node->next;
        node_free(node);
        node = next;
    }
    mem_free_sized(q, sizeof *q);
}

static size_t node_data_size(const struct quicklist_node *node)
{
    return node->compressed ? LZF_HEADER + (size_t)load_u32(node->data) : node->size;
}

struct quicklist *quicklist_dup(const struct quicklist *q)
{
    struct quicklist *copy = mem_alloc(sizeof *copy);
    *copy = *q;
    copy->head = copy->tail = NULL;
    for (const struct quicklist_node *from = q->head; from; from = from->next) {
        struct quicklist_node *node = mem_alloc(sizeof *node);
        *node = *from;
        size_t size = node_data_size(from);
        node->data = memcpy(mem_alloc(size), from->data, size);
        node->in_use = 0;
        node->next = NULL;
        node->prev = copy->tail;
        if (copy->tail) copy->tail->next = node;
        else copy->head = node;
        copy->tail = node;
    }
    return copy;
}

size_t quicklist_bytes(const struct quicklist *q)
{
    size_t n = mem_size(q);
    for (const struct quicklist_node *node = q->head; node; node = node->next)
        n += mem_size(node) + mem_size(node->data);
    return n;
}

/* The outermost nodes are never compressed when depth > 0; with depth 0 none is. */
void quicklist_push_head(struct quicklist *q, struct bytes s)
{
    if (node_accepts(q, q->head, s.n)) node_update(q, q->head, lp_prepend(q->head->data, s), 1);
    else node_link(q, node_of(q, s), NULL);
}

void quicklist_push_tail(struct quicklist *q, struct bytes s)
{
    if (node_accepts(q, q->tail, s.n)) node_update(q, q->tail, lp_append(q->tail->data, s), 1);
    else node_link(q, node_of(q, s), q->tail);
}

static bool peek(const struct quicklist_node *node, bool last, struct lp_value *out)
{
    if (!node) return false;
    if (node->plain) *out = (struct lp_value){.s = bytes_of(node->data, node->size)};
    else *out = lp_get(last ? lp_last(node->data) : lp_first(node->data));
    return true;
}

bool quicklist_head(struct quicklist *q, struct lp_value *out) { return peek(q->head, false, out); }
bool quicklist_tail(struct quicklist *q, struct lp_value *out) { return peek(q->tail, true, out); }

/* Deletes `count` elements of an open node from offset on; the node goes with its last. */
static void node_delete(struct quicklist *q, struct quicklist_node *node, long offset, size_t count)
{
    if (node->plain || count >= node->count) node_remove(q, node);
    else node_update(q, node, lp_delete_range(node->data, offset, count), -(long)count);
}

void quicklist_drop_head(struct quicklist *q)
{
    if (q->head) node_delete(q, q->head, 0, 1);
}

void quicklist_drop_tail(struct quicklist *q)
{
    if (q->tail) node_delete(q, q->tail, -1, 1);
}

/* ---- finding ---- */

/* The node with the element, and its offset there, from the node's head for a positive index and from its tail for a
 * negative. */
static struct quicklist_node *find_node(const struct quicklist *q, long index, long *offset)
{
    bool backward = index < 0;
    uint64_t left = backward ? (uint64_t) - (index + 1) : (uint64_t)index; /* elements to pass from that end */
    if (left >= q->count) return NULL;
    if (left <= q->count / 2) {
        struct quicklist_node *node = backward ? q->tail : q->head;
        for (; left >= node->count; node = backward ? node->prev : node->next) left -= node->count;
        *offset = backward ? -(long)left - 1 : (long)left;
        return node;
    }
    left = q->count - 1 - left; /* the other end is nearer */
    struct quicklist_node *node = backward ? q->head : q->tail;
    for (; left >= node->count; node = backward ? node->next : node->prev) left -= node->count;
    *offset = backward ? (long)left - (long)node->count : (long)node->count - 1 - (long)left;
    return node;
}

size_t quicklist_delete_range(struct quicklist *q, long index, size_t count)
{
    long offset;
    struct quicklist_node *node = count ? find_node(q, index, &offset) : NULL;
    size_t deleted = 0;
    if (node && offset < 0) offset += (long)node->count;
    while (node && deleted < count) {
        struct quicklist_node *next = node->next;
        size_t here = node->count - (size_t)offset;
        if (here > count - deleted) here = count - deleted;
        bool whole = here == node->count;
        if (!whole) node_open(node);
        node_delete(q, node, offset, here);
        if (!whole) node_close(node);
        deleted += here;
        offset = 0;
        node = next;
    }
    return deleted;
}

bool quicklist_replace_at(struct quicklist *q, long index, struct bytes s)
{
    struct quicklist_iter it;
    struct lp_value v;
    quicklist_iter_init(&it, q, index, false);
    bool found = quicklist_iter_next(&it, &v);
    if (found) quicklist_iter_replace(&it, s);
    quicklist_iter_fini(&it);
    return found;
}

/* ---- splitting, merging, inserting ---- */

/* Takes elements [at, end) of an open node into a new one linked behind it. at is not 0 and not the node's count. */
static void node_split(struct quicklist *q, struct quicklist_node *node, long at)
{
    size_t moved = node->count - (size_t)at;
    unsigned char *rest = lp_delete_range(lp_dup(node->data), 0, (size_t)at);
    node_update(q, node, lp_delete_range(node->data, at, moved), -(long)moved);
    node_link(q, node_of_listpack(rest), node);
}

/* b's elements go behind a's; b is gone. */
static void nodes_merge(struct quicklist *q, struct quicklist_node *a, struct quicklist_node *b)
{
    node_decompress(a);
    node_decompress(b);
    long moved = (long)b->count;
    node_update(q, a, lp_merge(a->data, b->data), moved);
    b->data = NULL;
    node_remove(q, b);
    settle(q, a);
}

/* Gives the node center's elements are in afterwards. */
static struct quicklist_node *merge_around(struct quicklist *q, struct quicklist_node *center)
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

/* Adds s at one end of a node that accepts it. */
static void node_add(struct quicklist *q, struct quicklist_node *node, struct bytes s, bool at_tail)
{
    node_open(node);
    node_update(q, node, at_tail ? lp_append(node->data, s) : lp_prepend(node->data, s), 1);
    node_close(node);
}

/* Inserts s so that it stands before the element `offset` (0 ... count) of the open node; `after`: the pivot is the
 * one in front of it. Gives a node at the place that is still there; node itself may have been merged away. */
static struct quicklist_node *insert_at(struct quicklist *q, struct quicklist_node *node, long offset, struct bytes s,
                                        bool after)
{
    bool at_head = offset == 0 && !after, at_tail = offset == (long)node->count && after;
    if (node_accepts(q, node, s.n)) {
        unsigned char *entry = lp_seek(node->data, offset);
        unsigned char *lp = entry ? lp_insert_before(node->data, entry, s, NULL) : lp_append(node->data, s);
        node_update(q, node, lp, 1);
        return node;
    }
    if (at_tail && node_accepts(q, node->next, s.n)) {
        node_add(q, node->next, s, false);
        return node;
    }
    if (at_head && node_accepts(q, node->prev, s.n)) {
        node_add(q, node->prev, s, true);
        return node;
    }
    if (at_head || at_tail) {
        node_link(q, node_of(q, s), at_head ? node->prev : node);
        return node;
    }
    node_split(q, node, offset);
    if (is_large(q, s.n)) {
        node_link(q, node_of(q, s), node);
        return node;
    }
    /* The half without the pivot takes the element, as Redis does. */
    node_add(q, after ? node->next : node, s, !after);
    return merge_around(q, after ? node : node->next);
}

/* ---- iterator ---- */

void quicklist_iter_init(struct quicklist_iter *it, struct quicklist *q, long index, bool backward)
{
    long offset = 0;
    *it = (struct quicklist_iter){.q = q, .backward = backward};
    it->node = find_node(q, index, &offset);
    it->offset = (int32_t)offset;
    it->ended = !it->node;
}

static void iter_leave_node(struct quicklist_iter *it)
{
    struct quicklist_node *left = it->node;
    it->node = it->backward ? left->prev : left->next;
    it->offset = it->backward ? -1 : 0;
    it->at_element = false;
    it->entry = NULL;
    node_close(left);
}

/* Stands the iterator on (node, offset); false: the node has no such element. */
static bool iter_land(struct quicklist_iter *it)
{
    struct quicklist_node *node = it->node;
    node_open(node);
    if (node->plain) {
        if (it->offset != 0 && it->offset != -1) return false;
    } else {
        it->entry = lp_seek(node->data, it->offset);
        if (!it->entry) return false;
    }
    it->at_element = true;
    return true;
}

/* Moves inside the node; false: it ends there. */
static bool iter_step(struct quicklist_iter *it)
{
    if (it->node->plain) return false;
    unsigned char *entry = it->backward ? lp_prev(it->node->data, it->entry) : lp_next(it->node->data, it->entry);
    if (!entry) return false;
    it->entry = entry;
    it->offset += it->backward ? -1 : 1;
    return true;
}

bool quicklist_iter_next(struct quicklist_iter *it, struct lp_value *out)
{
    if (it->ended) return false;
    bool landed = it->at_element ? iter_step(it) : iter_land(it);
    while (!landed) {
        iter_leave_node(it);
        if (!it->node) {
            it->ended = true;
            return false;
        }
        landed = iter_land(it);
    }
    if (it->node->plain) *out = (struct lp_value){.s = bytes_of(it->node->data, it->node->size)};
    else *out = lp_get(it->entry);
    return true;
}

/* The element's offset from the node's head. */
static long iter_offset(const struct quicklist_iter *it)
{
    return it->offset < 0 ? it->offset + (long)it->node->count : it->offset;
}

void quicklist_iter_delete(struct quicklist_iter *it)
{
    struct quicklist *q = it->q;
    struct quicklist_node *node = it->node;
    ASSERT(it->at_element);
    it->at_element = false;
    if (node->count == 1) {
        it->node = it->backward ? node->prev : node->next;
        it->offset = it->backward ? -1 : 0;
        it->ended = !it->node;
        node_remove(q, node);
        return;
    }
    long offset = iter_offset(it);
    node_update(q, node, lp_delete(node->data, &it->entry), -1);
    /* Forward: the next element has moved to this offset (perhaps beyond the end, then iter_land() fails and the
     * next node comes). Backward, counted from the end: the one before has it now too, but an offset from the head
     * must step. */
    if (it->backward) {
        if (it->offset >= 0) it->offset = (int32_t)(offset - (long)node->count - 1);
    } else if (it->offset < 0) {
        it->offset = (int32_t)offset;
    }
}

static void iter_end(struct quicklist_iter *it)
{
    it->at_element = false;
    it->ended = true;
    it->node = NULL;
}

static void iter_insert(struct quicklist_iter *it, struct bytes s, bool after)
{
    struct quicklist *q = it->q;
    ASSERT(it->at_element);
    settle_around(q, insert_at(q, it->node, iter_offset(it) + after, s, after));
    iter_end(it);
}

void quicklist_iter_insert_before(struct quicklist_iter *it, struct bytes s) { iter_insert(it, s, false); }
void quicklist_iter_insert_after(struct quicklist_iter *it, struct bytes s) { iter_insert(it, s, true); }

/* The element at offset of a packed node gives way to a plain node. */
static struct quicklist_node *replace_by_plain(struct quicklist *q, struct quicklist_node *node, long offset,
                                               struct bytes s)
{
    if (offset + 1 < (long)node->count) node_split(q, node, offset + 1);
    struct quicklist_node *plain = node_of(q, s);
    node_link(q, plain, node);
    node_open(node);
    node_delete(q, node, -1, 1);
    return plain;
}

void quicklist_iter_replace(struct quicklist_iter *it, struct bytes s)
{
    struct quicklist *q = it->q;
    struct quicklist_node *node = it->node, *near = node;
    ASSERT(it->at_element);
    if (!node->plain && !is_large(q, s.n)) {
        node_update(q, node, lp_replace(node->data, &it->entry, s), 0);
        settle(q, node);
        iter_end(it);
        return;
    }
    if (!node->plain) {
        near = replace_by_plain(q, node, iter_offset(it), s);
    } else {
        if (is_large(q, s.n)) node_link(q, node_of(q, s), node);
        else insert_at(q, node, 1, s, true);
        near = node->next;
        node_remove(q, node);
    }
    settle_around(q, near);
    iter_end(it);
}

void quicklist_iter_fini(struct quicklist_iter *it)
{
    if (it->node) node_close(it->node);
    iter_end(it);
}

/* ---- moving ---- */

#define SEEK_MAX 8192 /* nodes passed to come to one */

static struct quicklist_node *node_relocate(struct quicklist *q, struct quicklist_node *node, struct mem_moves *m)
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

size_t quicklist_relocate(struct quicklist *q, size_t at, size_t count, struct mem_moves *m)
{
    if (at >= SEEK_MAX && q->nodes - at > SEEK_MAX && at < q->nodes) at = q->nodes - SEEK_MAX;
    if (at >= q->nodes) return 0;
    struct quicklist_node *node = q->head;
    if (at < SEEK_MAX) {
        for (size_t i = 0; i < at; i++) node = node->next;
    } else {
        node = q->tail;
        for (size_t i = q->nodes - 1; i > at; i--) node = node->prev;
    }
    for (; node && count; count--, at++) node = node_relocate(q, node, m)->next;
    return node ? at : 0;
}

/* ---- whole nodes ---- */

static void append_each(struct quicklist *q, unsigned char *lp)
{
    char text[NUMBER_I64_SIZE];
    for (unsigned char *e = lp_first(lp); e; e = lp_next(lp, e)) quicklist_push_tail(q, lp_get_bytes(e, text));
    lp_free(lp);
}

void quicklist_append_listpack(struct quicklist *q, unsigned char *lp)
{
    size_t count = lp_count(lp);
    if (count == 0) lp_free(lp);
    else if (count > COUNT_MAX) append_each(q, lp);
    else node_link(q, node_new(lp, lp_bytes(lp), count, false), q->tail);
}

void quicklist_append_plain(struct quicklist *q, unsigned char *data, size_t size)
{
    node_link(q, node_new(data, size, 1, true), q->tail);
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
