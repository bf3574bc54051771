/* SPDX-License-Identifier: MIT
 *
 * What a hash key holds, whichever encoding it has: a listpack of fields and values as long as they are few and short
 * (hash-max-listpack-entries, hash-max-listpack-value), a hash table from then on. A hash never goes back.
 *
 * A struct hash is a view: changing the hash changes the view, and db_edit_store() puts it back into the entry it came
 * from. Fields and values handed out (struct lp_value: a string, or a small hash's integer) stay valid until the next
 * change.
 */
#ifndef SERVER_TYPES_HASH_H
#define SERVER_TYPES_HASH_H

#include "server/conf/config.h"
#include "server/db/entry.h"
#include "server/ds/dict.h"
#include "server/ds/listpack.h"

struct hash {
    enum obj_encoding enc; /* ENC_LISTPACK or ENC_HT */
    void *p;
};

/* What turns listpacks into hash tables, and how those hash. */
struct hash_rules {
    size_t entries_max, value_max;
    uint64_t seed;
};
static inline struct hash_rules hash_rules(const struct config *cfg, uint64_t seed)
{
    return (struct hash_rules){(size_t)cfg->hash_max_listpack_entries, (size_t)cfg->hash_max_listpack_value, seed};
}

struct hash hash_new(void); /* empty, a listpack */
static inline struct hash hash_of(const struct entry *e) { return (struct hash){e->enc, entry_ptr(e)}; }
static inline struct value hash_value(const struct hash *h)
{
    return (struct value){.type = OBJ_HASH, .enc = h->enc, .p = h->p};
}
static inline void hash_free(struct hash *h) { value_free(hash_value(h)); }

static inline size_t hash_count(const struct hash *h)
{
    return h->enc == ENC_HT ? dict_count(h->p) : lp_count(h->p) / 2;
}
bool hash_has(const struct hash *h, struct bytes field);
bool hash_get(const struct hash *h, struct bytes field, struct lp_value *value);
/* Fields and values that are about to be set: one that is too long for a listpack, more than a listpack may have, or
 * all of them together too long make it a hash table first, even where a later one replaces an earlier one. */
void hash_expect(struct hash *h, const struct bytes *args, int count, const struct hash_rules *rules);
/* True: the field is new. Neither may lie in the hash itself. */
bool hash_set(struct hash *h, struct bytes field, struct bytes value, const struct hash_rules *rules);
/* True: it was there. */
bool hash_remove(struct hash *h, struct bytes field);
/* A field of a hash that is not empty, all equally likely. value may be NULL. */
void hash_random(const struct hash *h, struct rng *rng, struct lp_value *field, struct lp_value *value);

/* Each field once: in the order in which they were added as long as it is a listpack, in none in a hash table. The
 * hash must not change between init and fini. */
struct hash_iter { /* private */
    bool is_table;
    const unsigned char *at;
    struct dict_iter it;
};
void hash_iter_init(struct hash_iter *it, const struct hash *h);
bool hash_iter_next(struct hash_iter *it, struct lp_value *field, struct lp_value *value);
void hash_iter_fini(struct hash_iter *it);

#endif
