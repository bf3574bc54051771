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

/* The list at e, or for NULL a new one, which is put under key only with its first element: for list_pushed(). It is
 * ready for n more elements, each of which is then pushed. */
struct quicklist *list_to_push(struct call *c, struct entry *e, const struct bytes *elements, int n);
/* Elements were taken out of a list that is not empty. */
static inline void list_after_removal(struct call *c, struct quicklist *q)
{
    list_shrank(&c->srv->list_options, c->cfg, q);
}
/* n elements were pushed: puts a new list under key, and tells of it. */
void list_pushed(struct call *c, const struct key_ref *key, const struct entry *e, struct quicklist *q,
                 enum list_end end, int64_t n);

/* n elements were taken: an emptied key goes; tells of it. */
void list_popped(struct call *c, const struct key_ref *key, struct quicklist *q, enum list_end end, int64_t n);
/* Replies with an array of up to count (> 0) elements and takes them; returns how many. */
size_t list_pop_range(struct call *c, const struct key_ref *key, struct quicklist *q, enum list_end end,
                      uint64_t count);

#endif
