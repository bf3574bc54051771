/* SPDX-License-Identifier: MIT
 *
 * Lists as the configuration wants them, and reading without writing. A reader finds its first node from the nearer end
 * and holds one unpacked node at a time.
 */
#include "server/types/list.h"

#include <errno.h>

#include "server/mem.h"

#define USUAL_FILL     (-2)
#define SMALL_OVERHEAD 2 /* of an element of less than 64 bytes */

static void configure(struct quicklist_options *shared, const struct config *cfg)
{
    if (!shared->packed_threshold) shared->packed_threshold = QUICKLIST_PACKED_THRESHOLD;
    shared->fill = (int)cfg->list_max_listpack_size;
    shared->compress_depth = (int)cfg->list_compress_depth;
}

struct quicklist *list_new(struct quicklist_options *shared, const struct config *cfg)
{
    configure(shared, cfg);
    return quicklist_new(shared);
}

struct quicklist *list_new_usual(struct quicklist_options *shared, const struct config *cfg)
{
    struct quicklist *q = list_new(shared, cfg);
    q->fill = USUAL_FILL;
    q->depth = 0;
    return q;
}

struct quicklist *list_open_new(struct list_view *l, size_t bytes)
{
    quicklist_view(&l->own, &l->node, lp_new(bytes ? LP_EMPTY_SIZE + bytes + SMALL_OVERHEAD : 0));
    l->q = &l->own;
    return l->q;
}

struct quicklist *list_grows(struct quicklist_options *shared, const struct config *cfg, struct list_view *l,
                             size_t bytes, size_t count)
{
    struct quicklist *q = l->q;
    if (q != &l->own) return q;
    configure(shared, cfg);
    size_t has = q->head ? q->head->size : LP_EMPTY_SIZE;
    if (!quicklist_exceeds(shared, has + bytes, q->count + count, false)) return q;
    unsigned char *lp = quicklist_view_end(q, &l->node);
    l->q = quicklist_new(shared);
    quicklist_append_listpack(l->q, lp);
    return l->q;
}

/* half: of the limit. */
static bool fits_listpack(struct quicklist_options *shared, const struct config *cfg, const struct quicklist *q,
                          bool half)
{
    if (q->nodes != 1 || q->head->plain) return false;
    configure(shared, cfg);
    size_t bytes = shared->fill < 0 ? q->head->size : 0; /* a limit in elements is none in bytes here */
    return !quicklist_exceeds(shared, bytes, q->count, half);
}

void list_shrank_to_one(struct quicklist_options *shared, const struct config *cfg, struct list_view *l)
{
    if (!fits_listpack(shared, cfg, l->q, true)) return;
    quicklist_view(&l->own, &l->node, quicklist_take_listpack(l->q));
    l->q = &l->own;
}

struct value list_built(struct quicklist_options *shared, const struct config *cfg, struct quicklist *q)
{
    if (!fits_listpack(shared, cfg, q, false)) return list_unjudged(q);
    return (struct value){.type = OBJ_LIST, .enc = ENC_LISTPACK, .p = quicklist_take_listpack(q)};
}

int list_set_packed_threshold(struct quicklist_options *shared, size_t size)
{
    if (size > QUICKLIST_PACKED_THRESHOLD_MAX) return -EINVAL;
    shared->packed_threshold = size ? size : QUICKLIST_PACKED_THRESHOLD;
    return 0;
}

struct list_needle list_needle(struct bytes s)
{
    struct list_needle n = {.s = s};
    n.is_int = number_parse_i64(s, &n.i);
    return n;
}

/* Stands the reader on the element `offset` of a node, or on its last for -1. */
static void enter(struct list_reader *r, const struct quicklist_node *node, long offset)
{
    r->node = node;
    r->data = quicklist_node_raw(node, &r->scratch);
    r->entry = node->plain ? r->data : lp_seek(r->data, offset);
}

void list_reader_init(struct list_reader *r, const struct quicklist *q, size_t index, bool backward)
{
    *r = (struct list_reader){.backward = backward};
    const struct quicklist_node *node;
    size_t left;
    if (index <= q->count / 2) {
        for (node = q->head, left = index; left >= node->count; node = node->next) left -= node->count;
    } else {
        left = q->count - 1 - index; /* elements behind it */
        for (node = q->tail; left >= node->count; node = node->prev) left -= node->count;
        left = node->count - 1 - left;
    }
    enter(r, node, (long)left);
}

bool list_reader_next_node(struct list_reader *r)
{
    const struct quicklist_node *node = r->backward ? r->node->prev : r->node->next;
    if (!node) return false;
    mem_free(r->scratch);
    enter(r, node, r->backward ? -1 : 0);
    return true;
}

void list_reader_fini(struct list_reader *r)
{
    mem_free(r->scratch);
    r->scratch = NULL;
}
