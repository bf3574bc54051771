/* SPDX-License-Identifier: MIT
 *
 * What a set key holds, whichever encoding it has: an intset as long as every member is an integer and there are not
 * too many (set-max-intset-entries), a listpack as long as they are few and short (set-max-listpack-entries,
 * set-max-listpack-value), a hash table from then on. A set never goes back.
 *
 * A struct set is a view: changing the set changes the view, and set_store() puts it back into the entry it came from.
 * Members handed out stay valid until the next change; integers lie in the buffer that was given.
 */
#ifndef SERVER_TYPES_SET_H
#define SERVER_TYPES_SET_H

#include "server/conf/config.h"
#include "server/db/entry.h"
#include "server/ds/dict.h"
#include "server/ds/intset.h"
#include "server/ds/listpack.h"
#include "server/ds/number.h"

struct set {
    enum obj_encoding enc; /* ENC_INTSET, ENC_LISTPACK or ENC_HT */
    void *p;
};

/* What turns intsets and listpacks into something else, and how hash tables hash. */
struct set_rules {
    size_t intset_max, listpack_max, value_max;
    uint64_t seed;
};
static inline struct set_rules set_rules(const struct config *cfg, uint64_t seed)
{
    return (struct set_rules){(size_t)cfg->set_max_intset_entries, (size_t)cfg->set_max_listpack_entries,
                              (size_t)cfg->set_max_listpack_value, seed};
}

/* Empty; the encoding that suits the first member and the count of those that are about to be added. */
struct set set_new(struct bytes first, size_t count, const struct set_rules *rules);
struct set set_new_intset(void);
struct set set_new_listpack(void);
static inline struct set set_of(const struct entry *e) { return (struct set){e->enc, entry_slot_ptr(e)}; }
static inline void set_store(struct entry *e, const struct set *s)
{
    if (e->enc != s->enc || entry_slot_ptr(e) != s->p) entry_set_value(e, s->enc, s->p);
}
static inline struct value set_value(const struct set *s)
{
    return (struct value){.type = OBJ_SET, .enc = s->enc, .p = s->p};
}
static inline void set_free(struct set *s) { value_free(set_value(s)); }

static inline size_t set_count(const struct set *s)
{
    return s->enc == ENC_HT ? dict_count(s->p) : s->enc == ENC_INTSET ? intset_count(s->p) : lp_count(s->p);
}
/* So many members are about to be added: more than the encoding holds make it a hash table first, even where some of
 * them are there already. */
void set_expect(struct set *s, size_t count, const struct set_rules *rules);
bool set_has(const struct set *s, struct bytes member);
/* True: the member is new. It must not lie in the set itself. */
bool set_add(struct set *s, struct bytes member, const struct set_rules *rules);
/* True: it was there. */
bool set_remove(struct set *s, struct bytes member);
/* A member of a set that is not empty, all equally likely. */
struct bytes set_random(const struct set *s, struct rng *rng, char buf[NUMBER_I64_SIZE]);

/* False: a member is no integer, or they are too many for an intset, and nothing was changed. */
bool set_to_intset(struct set *s, const struct set_rules *rules);

/* Each member once: an intset's in ascending order, a listpack's in the order in which they were added, a table's in
 * none. The set must not change between init and fini. */
struct set_iter {
    struct bytes member; /* the current one; an integer's lies in buf */
    /* private */
    const struct set *set;
    size_t index;
    const unsigned char *at;
    struct dict_iter it;
    char buf[NUMBER_I64_SIZE];
};
void set_iter_init(struct set_iter *it, const struct set *s);
bool set_iter_next(struct set_iter *it);
void set_iter_fini(struct set_iter *it);

#endif
