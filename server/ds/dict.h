/* SPDX-License-Identifier: MIT
 *
 * A map or a set of byte strings on table.h: what OBJECT ENCODING calls "hashtable". One allocation an element:
 *
 *     map: field length, value length, field, value        set: member, or its length and it (dict.c)
 *
 * A length is 1 byte up to 252, else 3, 5 or 9. A 16-byte field with a 16-byte value takes 34 bytes and its share of
 * the table (12), a 16-byte member 16 and that share. A value that is replaced by one of about the same size is
 * overwritten in place.
 *
 * struct bytes handed out stay valid until the next change of the dict; what is passed in must not lie in the dict
 * itself.
 */
#ifndef SERVER_DS_DICT_H
#define SERVER_DS_DICT_H

#include "server/ds/element.h"
#include "server/ds/table.h"

struct dict { /* private; stays where it was initialised */
    struct table t;
    size_t entry_bytes;
    struct element_watch *watch; /* dict_watch() */
};

void dict_init_map(struct dict *d, uint64_t seed);
void dict_init_set(struct dict *d, uint64_t seed);
void dict_fini(struct dict *d);

static inline size_t dict_count(const struct dict *d) { return d->t.count; }
bool dict_is_map(const struct dict *d);
/* Table and elements, as the heap counts them, without the struct. */
size_t dict_bytes(const struct dict *d);
/* Makes room for n elements in all. */
void dict_expand(struct dict *d, size_t n);

bool dict_has(const struct dict *d, struct bytes field);
/* *value is written when found. Maps only. */
bool dict_get(const struct dict *d, struct bytes field, struct bytes *value);
/* True: the field is new. Maps only. */
bool dict_set(struct dict *d, struct bytes field, struct bytes value);
/* True: the member is new. Sets only. */
bool dict_add(struct dict *d, struct bytes member);
/* True: it was there. field may lie in the dict. */
bool dict_delete(struct dict *d, struct bytes field);

/* From now on w is told of each element before it changes; NULL: nobody is. One at a time; none when it is freed. */
static inline void dict_watch(struct dict *d, struct element_watch *w)
{
    ASSERT(!w || !d->watch);
    d->watch = w;
}

/* An element, all equally likely. value (may be NULL) is empty for a set. False: the dict is empty. */
bool dict_random(const struct dict *d, struct rng *rng, struct bytes *field, struct bytes *value);

/* As table_scan(). The callback may delete the element it is shown and nothing else. */
typedef void dict_scan_fn(void *arg, struct bytes field, struct bytes value);
uint64_t dict_scan(struct dict *d, uint64_t cursor, dict_scan_fn *fn, void *arg);

/* Each element once, in no order; between init and fini elements may be deleted, not added. */
struct dict_iter { /* private */
    struct table_iter it;
    struct dict *d;
};
void dict_iter_init(struct dict_iter *it, struct dict *d);
/* False: no more. value may be NULL. */
bool dict_iter_next(struct dict_iter *it, struct bytes *field, struct bytes *value);
void dict_iter_fini(struct dict_iter *it);

/* As table_relocate(), its elements included; nobody watches it. */
size_t dict_relocate(struct dict *d, size_t at, struct mem_moves *m);

/* Asserts every invariant. */
void dict_check(const struct dict *d);

#endif
