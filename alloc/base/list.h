/* SPDX-License-Identifier: MIT
 *
 * A doubly linked list whose links live in its members: putting in and taking out allocate nothing
 * and cost O(1).
 *
 *     head <-> first <-> ... <-> last <-> head        an empty head points at itself
 *
 * A link that is in no list points at itself too (list_init), so taking it out twice is harmless
 * and list_is_empty() on it answers "in no list". Nobody is owned by a list.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#ifndef container_of
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#endif

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_is_empty(const struct list *head) { return head->next == head; }

/* Puts `link` just before `at`. */
static inline void list_insert_before(struct list *at, struct list *link)
{
    link->prev = at->prev;
    link->next = at;
    at->prev->next = link;
    at->prev = link;
}

static inline void list_push_back(struct list *head, struct list *link) { list_insert_before(head, link); }
static inline void list_push_front(struct list *head, struct list *link) { list_insert_before(head->next, link); }

/* Takes a link out of whatever list it is in. */
static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* NULL: empty. */
static inline struct list *list_first(const struct list *head) { return list_is_empty(head) ? NULL : head->next; }
static inline struct list *list_last(const struct list *head) { return list_is_empty(head) ? NULL : head->prev; }
static inline struct list *list_pop_front(struct list *head)
{
    struct list *l = list_first(head);
    if (l) list_remove(l);
    return l;
}

/* Moves every member of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_is_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_entry(link, type, member) container_of(link, type, member)

/* `it` is a struct list *. The body of list_for_each() must not take `it` out; that of
 * list_for_each_safe() may. */
#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
#define list_for_each_safe(it, head)                                                                                   \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)

#endif
