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
 * What a node is, and how it is compressed, split and merged, is in quicklist_node.c.
 */
#include "server/ds/quicklist.h"

#include "server/ds/quicklist_node.h"
#include "server/mem.h"

#define DEPTH_MAX 32767

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

/* A list that was empty for a moment has a node of its own. */
unsigned char *quicklist_view_end_other(struct quicklist *q, struct quicklist_node *node)
{
    struct quicklist_node *now = q->head;
    DASSERT(q->single && q->nodes <= 1 && now != node);
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
    if (fill < 0) return bytes > quicklist_size_limit(fill) / (half ? 2 : 1);
    return count > (size_t)fill / (half ? 2 : 1) || bytes > QUICKLIST_SIZE_LIMIT_BY_COUNT;
}

void quicklist_free(struct quicklist *q)
{
    struct quicklist_node *node = q->head;
    while (node) {
        struct quicklist_node *next = node->next;
        quicklist_node_free(node);
        node = next;
    }
    mem_free_sized(q, sizeof *q);
}

struct quicklist *quicklist_dup(const struct quicklist *q)
{
    struct quicklist *copy = mem_alloc(sizeof *copy);
    *copy = *q;
    copy->head = copy->tail = NULL;
    for (const struct quicklist_node *from = q->head; from; from = from->next) {
        struct quicklist_node *node = quicklist_node_dup(from);
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
    if (quicklist_node_accepts(q, q->head, s.n)) quicklist_node_update(q, q->head, lp_prepend(q->head->data, s), 1);
    else quicklist_node_link(q, quicklist_node_of(q, s), NULL);
}

void quicklist_push_tail(struct quicklist *q, struct bytes s)
{
    if (quicklist_node_accepts(q, q->tail, s.n)) quicklist_node_update(q, q->tail, lp_append(q->tail->data, s), 1);
    else quicklist_node_link(q, quicklist_node_of(q, s), q->tail);
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

void quicklist_drop_head(struct quicklist *q)
{
    if (q->head) quicklist_node_delete(q, q->head, 0, 1);
}

void quicklist_drop_tail(struct quicklist *q)
{
    if (q->tail) quicklist_node_delete(q, q->tail, -1, 1);
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
        if (!whole) quicklist_node_open(node);
        quicklist_node_delete(q, node, offset, here);
        if (!whole) quicklist_node_close(node);
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

/* ---- inserting ---- */

/* Adds s at one end of a node that accepts it. */
static void node_add(struct quicklist *q, struct quicklist_node *node, struct bytes s, bool at_tail)
{
    quicklist_node_open(node);
    quicklist_node_update(q, node, at_tail ? lp_append(node->data, s) : lp_prepend(node->data, s), 1);
    quicklist_node_close(node);
}

/* Inserts s so that it stands before the element `offset` (0 ... count) of the open node; `after`: the pivot is the
 * one in front of it. Gives a node at the place that is still there; node itself may have been merged away. */
static struct quicklist_node *insert_at(struct quicklist *q, struct quicklist_node *node, long offset, struct bytes s,
                                        bool after)
{
    bool at_head = offset == 0 && !after, at_tail = offset == (long)node->count && after;
    if (quicklist_node_accepts(q, node, s.n)) {
        unsigned char *entry = lp_seek(node->data, offset);
        unsigned char *lp = entry ? lp_insert_before(node->data, entry, s, NULL) : lp_append(node->data, s);
        quicklist_node_update(q, node, lp, 1);
        return node;
    }
    if (at_tail && quicklist_node_accepts(q, node->next, s.n)) {
        node_add(q, node->next, s, false);
        return node;
    }
    if (at_head && quicklist_node_accepts(q, node->prev, s.n)) {
        node_add(q, node->prev, s, true);
        return node;
    }
    if (at_head || at_tail) {
        quicklist_node_link(q, quicklist_node_of(q, s), at_head ? node->prev : node);
        return node;
    }
    quicklist_node_split(q, node, offset);
    if (quicklist_is_large(q, s.n)) {
        quicklist_node_link(q, quicklist_node_of(q, s), node);
        return node;
    }
    /* The half without the pivot takes the element, as Redis does. */
    node_add(q, after ? node->next : node, s, !after);
    return quicklist_merge_around(q, after ? node : node->next);
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
    quicklist_node_close(left);
}

/* Stands the iterator on (node, offset); false: the node has no such element. */
static bool iter_land(struct quicklist_iter *it)
{
    struct quicklist_node *node = it->node;
    quicklist_node_open(node);
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
        quicklist_node_remove(q, node);
        return;
    }
    long offset = iter_offset(it);
    quicklist_node_update(q, node, lp_delete(node->data, &it->entry), -1);
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
    quicklist_settle_around(q, insert_at(q, it->node, iter_offset(it) + after, s, after));
    iter_end(it);
}

void quicklist_iter_insert_before(struct quicklist_iter *it, struct bytes s) { iter_insert(it, s, false); }
void quicklist_iter_insert_after(struct quicklist_iter *it, struct bytes s) { iter_insert(it, s, true); }

/* The element at offset of a packed node gives way to a plain node. */
static struct quicklist_node *replace_by_plain(struct quicklist *q, struct quicklist_node *node, long offset,
                                               struct bytes s)
{
    if (offset + 1 < (long)node->count) quicklist_node_split(q, node, offset + 1);
    struct quicklist_node *plain = quicklist_node_of(q, s);
    quicklist_node_link(q, plain, node);
    quicklist_node_open(node);
    quicklist_node_delete(q, node, -1, 1);
    return plain;
}

void quicklist_iter_replace(struct quicklist_iter *it, struct bytes s)
{
    struct quicklist *q = it->q;
    struct quicklist_node *node = it->node, *near = node;
    ASSERT(it->at_element);
    if (!node->plain && !quicklist_is_large(q, s.n)) {
        quicklist_node_update(q, node, lp_replace(node->data, &it->entry, s), 0);
        quicklist_settle(q, node);
        iter_end(it);
        return;
    }
    if (!node->plain) {
        near = replace_by_plain(q, node, iter_offset(it), s);
    } else {
        if (quicklist_is_large(q, s.n)) quicklist_node_link(q, quicklist_node_of(q, s), node);
        else insert_at(q, node, 1, s, true);
        near = node->next;
        quicklist_node_remove(q, node);
    }
    quicklist_settle_around(q, near);
    iter_end(it);
}

void quicklist_iter_fini(struct quicklist_iter *it)
{
    if (it->node) quicklist_node_close(it->node);
    iter_end(it);
}

/* ---- moving ---- */

#define SEEK_MAX 4096 /* nodes passed to come to one: under half a millisecond if each is a miss */

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
    for (; node && count; count--, at++) node = quicklist_node_relocate(q, node, m)->next;
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
    else if (count > QUICKLIST_COUNT_MAX) append_each(q, lp);
    else quicklist_node_link(q, quicklist_node_new(lp, lp_bytes(lp), count, false), q->tail);
}

void quicklist_append_plain(struct quicklist *q, unsigned char *data, size_t size)
{
    quicklist_node_link(q, quicklist_node_new(data, size, 1, true), q->tail);
}
