/* SPDX-License-Identifier: MIT
 *
 * What a list key holds: a listpack while it is small, else a quicklist. A struct list_view is a view of either as a
 * quicklist: changing the list changes the view, and list_store() puts it back into the entry it came from, before
 * anybody else looks at that. Here is, too, a way to read one that leaves it as it is: the quicklist's own iterator
 * opens compressed nodes in place and compresses them again, a reader unpacks beside them.
 *
 * A listpack becomes a quicklist before the change that would take it over list-max-listpack-size, and a quicklist a
 * listpack again when it has shrunk to half of that, as in redis-server 7.2.4.
 */
#ifndef SERVER_TYPES_LIST_H
#define SERVER_TYPES_LIST_H

#include "server/conf/config.h"
#include "server/db/entry.h"
#include "server/ds/quicklist.h"

enum list_end { LIST_HEAD, LIST_TAIL };

/* Every list of a server points to one struct quicklist_options, which outlives them (struct server has it). It may
 * be all zero until the first list is made. */
struct quicklist *list_new(struct quicklist_options *shared, const struct config *cfg);
/* The same with Redis's own limits, whatever the configuration says: what SORT stores is built so. */
struct quicklist *list_new_usual(struct quicklist_options *shared, const struct config *cfg);
/* A list that was built at once, as the value it is from now on. */
struct value list_built(struct quicklist_options *shared, const struct config *cfg, struct quicklist *q);
static inline struct value list_unjudged(struct quicklist *q)
{
    return (struct value){.type = OBJ_LIST, .enc = ENC_QUICKLIST, .p = q};
}

struct list_view {
    struct quicklist *q; /* to be read and changed: own, or the key's */
    /* private */
    struct quicklist own; /* a listpack's, and its node */
    struct quicklist_node node;
};

static inline struct quicklist *list_open(struct list_view *l, const struct entry *e)
{
    if (e->enc == ENC_QUICKLIST) {
        l->q = entry_slot_ptr(e);
    } else {
        quicklist_view(&l->own, &l->node, entry_slot_ptr(e));
        l->q = &l->own;
    }
    return l->q;
}
/* Empty: a listpack that grows by list_grows(). Its first element will have so many bytes; 0: who knows. */
struct quicklist *list_open_new(struct list_view *l, size_t bytes);
/* Elements of so many bytes are about to be added. Returns l->q, which may have become another. */
struct quicklist *list_grows(struct quicklist_options *shared, const struct config *cfg, struct list_view *l,
                             size_t bytes, size_t count);
void list_shrank_to_one(struct quicklist_options *shared, const struct config *cfg, struct list_view *l); /* private */
/* Elements were taken out, or made smaller. */
static inline void list_shrank(struct quicklist_options *shared, const struct config *cfg, struct list_view *l)
{
    if (l->q != &l->own && l->q->nodes == 1) list_shrank_to_one(shared, cfg, l);
}
static inline struct value list_value(struct list_view *l)
{
    bool is_view = l->q == &l->own;
    return (struct value){.type = OBJ_LIST,
                          .enc = is_view ? ENC_LISTPACK : ENC_QUICKLIST,
                          .p = is_view ? (void *)quicklist_view_end(l->q, &l->node) : (void *)l->q};
}
/* After a change, a list that became empty included. */
static inline void list_store(struct entry *e, struct list_view *l)
{
    if (entry_slot_ptr(e) == l->q) return; /* a quicklist stays where it is */
    struct value v = list_value(l);
    if (e->enc != v.enc || entry_slot_ptr(e) != v.p) entry_set_value(e, v.enc, v.p);
}
/* The size from which on elements lie alone, for all lists from now on; 0: Redis's own. -EINVAL: over
 * QUICKLIST_PACKED_THRESHOLD_MAX. */
int list_set_packed_threshold(struct quicklist_options *shared, size_t size);

static inline size_t list_count(const struct entry *e)
{
    return e->enc == ENC_QUICKLIST ? quicklist_count(entry_slot_ptr(e)) : lp_count(entry_slot_ptr(e));
}

/* Element at either end; the list is not empty. Valid until the list changes. */
static inline struct lp_value list_peek(struct quicklist *q, enum list_end end)
{
    struct lp_value v = {{NULL, 0}, 0};
    if (end == LIST_HEAD) quicklist_head(q, &v);
    else quicklist_tail(q, &v);
    return v;
}
static inline void list_push(struct quicklist *q, enum list_end end, struct bytes s)
{
    if (end == LIST_HEAD) quicklist_push_head(q, s);
    else quicklist_push_tail(q, s);
}
static inline void list_drop(struct quicklist *q, enum list_end end)
{
    if (end == LIST_HEAD) quicklist_drop_head(q);
    else quicklist_drop_tail(q);
}

/* What is looked for, parsed once: elements that read like integers are kept as integers. */
struct list_needle {
    struct bytes s;
    bool is_int;
    int64_t i;
};
struct list_needle list_needle(struct bytes s);
static inline bool list_needle_is(const struct list_needle *n, struct lp_value v)
{
    if (lp_value_is_i64(v)) return n->is_int && n->i == v.i;
    return bytes_equal(v.s, n->s);
}

/* From an element on to either end. The list must not change between init and fini; a value is valid until the next. */
struct list_reader { /* private */
    const struct quicklist_node *node;
    const unsigned char *data;  /* its bytes, unpacked */
    const unsigned char *entry; /* the next element; NULL: at the node's end */
    unsigned char *scratch;     /* what data lies in when the node is compressed */
    bool backward;
};
/* index below the list's count, from the head. */
void list_reader_init(struct list_reader *r, const struct quicklist *q, size_t index, bool backward);
bool list_reader_next_node(struct list_reader *r); /* private */
void list_reader_fini(struct list_reader *r);

/* False: no more. */
static inline bool list_reader_next(struct list_reader *r, struct lp_value *out)
{
    while (unlikely(!r->entry))
        if (!list_reader_next_node(r)) return false;
    if (unlikely(r->node->plain)) {
        *out = (struct lp_value){.s = bytes_of(r->data, r->node->size)};
        r->entry = NULL;
        return true;
    }
    if (likely(!r->backward)) return lp_walk(&r->entry, out);
    *out = lp_get(r->entry);
    r->entry = lp_prev(r->data, r->entry);
    return true;
}

#endif
