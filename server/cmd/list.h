/* SPDX-License-Identifier: MIT
 *
 * Steps the list commands share (server/cmd/list*.c).
 */
#ifndef SERVER_CMD_LIST_H
#define SERVER_CMD_LIST_H

#include "server/exec/call.h"
#include "server/server.h"
#include "server/types/list.h"

/* LEFT or RIGHT; false: a syntax error was replied. */
bool list_parse_end(struct call *c, struct bytes arg, enum list_end *out);

void list_reply_value(struct call *c, struct lp_value v);
/* An array of count elements from index on, from there to the tail or (backward) to the head. They must be there. */
void list_reply_range(struct call *c, const struct quicklist *q, size_t index, size_t count, bool backward);

/* Gets an open list ready for n more elements, each of which is then pushed. */
struct quicklist *list_to_push(struct call *c, struct list_view *l, const struct bytes *elements, int n);
/* Opens the list at e, or for NULL a new one, which is put under key only with its first element, by list_pushed(). */
static inline struct quicklist *list_open_to_push(struct call *c, struct list_view *l, const struct entry *e,
                                                  const struct bytes *elements, int n)
{
    if (likely(e != NULL)) list_open(l, e);
    else list_open_new(l, n == 1 ? elements[0].n : 0);
    return list_to_push(c, l, elements, n);
}
/* Elements were taken out of a list that is not empty. Stores it. */
static inline void list_after_removal(struct call *c, struct entry *e, struct list_view *l)
{
    list_shrank(&c->srv->list_options, c->cfg, l);
    list_store(e, l);
}
/* n elements were pushed: stores the list, or puts a new one (e NULL) under key, and tells of it. */
void list_pushed(struct call *c, const struct key_ref *key, struct entry *e, struct list_view *l, enum list_end end,
                 int64_t n);

/* Elements were taken: stores the list, or an emptied key goes, which it returns. The entry is looked at as it goes, so
 * what is empty is stored as well. */
bool list_store_or_delete(struct call *c, const struct key_ref *key, struct entry *e, struct list_view *l);
/* n elements were taken: stores the list, or an emptied key goes; tells of it. */
void list_popped(struct call *c, const struct key_ref *key, struct entry *e, struct list_view *l, enum list_end end,
                 int64_t n);
/* Replies with an array of up to count (> 0) elements and takes them; returns how many. */
size_t list_pop_range(struct call *c, const struct key_ref *key, struct entry *e, enum list_end end, uint64_t count);

#endif
