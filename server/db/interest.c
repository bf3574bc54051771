/* SPDX-License-Identifier: MIT */
#include "server/db/interest.h"

#include "server/db/keyspace.h"
#include "server/mem.h"

struct interest {
    struct table keys;       /* of struct interest_key * */
    struct tracked *tracked; /* NULL: nobody tracks anything */
};

static struct bytes name_of(const void *entry)
{
    const struct interest_key *k = entry;
    return bytes_of(k->name, k->size);
}

static const struct table_ops interest_ops = {.key = name_of};

static struct interest_key *key_new(struct db *db, const struct key_ref *key)
{
    struct interest_key *k = mem_alloc(sizeof *k + key->name.n);
    for (int i = 0; i < INTEREST_KINDS; i++) list_init(&k->links[i]);
    list_init(&k->ready);
    k->until_gone = 0;
    k->db = db;
    k->hash = key->hash;
    k->slot = key->slot;
    k->size = (uint32_t)key->name.n;
    if (key->name.n) memcpy(k->name, key->name.p, key->name.n);
    return k;
}

static struct interest *interest_of(const struct db *db, struct slice *s)
{
    if (!s->interest) {
        s->interest = mem_calloc(sizeof *s->interest);
        table_init(&s->interest->keys, &interest_ops, db->hash_seed);
    }
    return s->interest;
}

static void free_if_unused(struct slice *s)
{
    if (table_count(&s->interest->keys) || s->interest->tracked) return;
    table_fini(&s->interest->keys, NULL, NULL);
    mem_free(s->interest);
    s->interest = NULL;
}

void interest_add(struct db *db, const struct key_ref *key, enum interest_kind kind, struct interest_link *l)
{
    struct slice *s = db_slice(db, key);
    interest_of(db, s);
    struct interest_key *k = table_find(&s->interest->keys, key->hash, key->name);
    if (!k) {
        k = key_new(db, key);
        table_insert(&s->interest->keys, k->hash, k);
    }
    l->key = k;
    list_push_back(&k->links[kind], &l->link);
}

static bool is_wanted(const struct interest_key *k)
{
    for (int i = 0; i < INTEREST_KINDS; i++)
        if (!list_is_empty(&k->links[i])) return true;
    return false;
}

void interest_remove(struct interest_link *l)
{
    struct interest_key *k = l->key;
    ASSERT(k != NULL);
    list_remove(&l->link);
    l->key = NULL;
    if (is_wanted(k)) return;
    DASSERT(k->until_gone == 0);
    list_remove(&k->ready);
    struct key_ref ref = interest_ref(k);
    struct slice *s = db_slice(k->db, &ref);
    void *gone = table_delete(&s->interest->keys, k->hash, ref.name);
    ASSERT(gone == k);
    mem_free(k);
    free_if_unused(s);
}

struct interest_key *interest_find(const struct db *db, const struct key_ref *key)
{
    const struct slice *s = db_slice(db, key);
    return s->interest ? table_find(&s->interest->keys, key->hash, key->name) : NULL;
}

struct key_ref interest_ref(const struct interest_key *k)
{
    return (struct key_ref){.name = bytes_of(k->name, k->size), .hash = k->hash, .slot = k->slot};
}

void interest_each(struct db *db, void (*fn)(void *arg, struct interest_key *k), void *arg)
{
    for (unsigned i = 0; i < db->slice_count; i++) {
        if (!db->slices[i].interest) continue;
        struct table_iter it;
        table_iter_init(&it, &db->slices[i].interest->keys);
        for (struct interest_key *k; (k = table_iter_next(&it));) fn(arg, k);
        table_iter_fini(&it);
    }
}

bool interest_any(const struct db *db)
{
    for (unsigned i = 0; i < db->slice_count; i++) {
        const struct interest *in = db->slices[i].interest;
        if (in && table_count(&in->keys)) return true;
    }
    return false;
}

/* --- tracking ----------------------------------------------------------------------------------------------------- */

void interest_track(struct db *dbs, int db_count, struct tracked *const *by_slice)
{
    for (int d = 0; d < db_count; d++)
        for (unsigned i = 0; i < dbs[d].slice_count; i++)
            interest_of(&dbs[d], &dbs[d].slices[i])->tracked = by_slice[i];
}

void interest_track_no_more(struct db *dbs, int db_count)
{
    for (int d = 0; d < db_count; d++) {
        for (unsigned i = 0; i < dbs[d].slice_count; i++) {
            struct slice *s = &dbs[d].slices[i];
            s->interest->tracked = NULL;
            free_if_unused(s);
        }
    }
}

/* --- a change ----------------------------------------------------------------------------------------------------- */

void keyspace_tell_interested(struct call *c, struct db *db, const struct slice *s, const struct key_ref *key,
                              enum notify_class cls)
{
    if (table_count(&s->interest->keys)) watch_touch(c, db, key);
    if (!s->interest->tracked) return;
    bool by_itself = cls == NOTIFY_EXPIRED || cls == NOTIFY_EVICTED;
    tracking_changed(c, s->interest->tracked, key, by_itself);
}
