/* SPDX-License-Identifier: MIT
 *
 * Most keys are read by one client or a few, so one number lies in the entry, and more in an array that doubles. An
 * array that is full is gone through for clients who have gone, and grows only if it is still full to three quarters:
 * so it has room for at most three times as many as there are clients, however many come, read and go, and who comes
 * pays for a few of those who went. A number is found by halves; the last one, who reads a hot key again, at once.
 */
#include "server/db/tracked.h"

#include <stddef.h>

#include "server/mem.h"

#define ROOM_MIN 4u

static struct bytes name_of(const void *entry) { return tracked_key_name(entry); }
static const struct table_ops tracked_ops = {.key = name_of};

static size_t entry_bytes(const struct tracked_key *k)
{
    return offsetof(struct tracked_key, name) + k->size + k->room * sizeof *k->many;
}

struct tracked *tracked_new(uint64_t seed)
{
    struct tracked *t = mem_calloc(sizeof *t);
    table_init(&t->keys, &tracked_ops, seed);
    return t;
}

void tracked_key_drop(struct tracked_key *k)
{
    if (k->room) mem_free(k->many);
    k->count = k->room = 0;
    k->next = NULL;
}

static void free_key(void *arg, void *entry)
{
    (void)arg;
    tracked_key_drop(entry);
    mem_free(entry);
}

void tracked_free(struct tracked *t)
{
    table_fini(&t->keys, free_key, NULL);
    mem_free(t);
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

/* Where id is, or where it belongs. */
static uint32_t place_of_id(const uint64_t *ids, uint32_t count, uint64_t id)
{
    uint32_t from = 0, to = count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (ids[middle] < id) from = middle + 1;
        else to = middle;
    }
    return from;
}

static void drop_dead(struct tracked *t, struct tracked_key *k, bool (*lives)(void *arg, uint64_t id), void *arg)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < k->count; i++)
        if (lives(arg, k->many[i])) k->many[kept++] = k->many[i];
    t->items -= k->count - kept;
    k->count = kept;
}

static void make_room_for_one(struct tracked *t, struct tracked_key *k, bool (*lives)(void *arg, uint64_t id),
                              void *arg)
{
    if (!k->room) {
        uint64_t *ids = mem_alloc(ROOM_MIN * sizeof *ids);
        ids[0] = k->one;
        k->many = ids;
        k->room = ROOM_MIN;
        return;
    }
    drop_dead(t, k, lives, arg);
    if (k->count <= k->room / 4 * 3) return;
    k->room *= 2;
    k->many = mem_realloc(k->many, k->room * sizeof *k->many);
}

bool tracked_add(struct tracked *t, const struct key_ref *key, uint64_t client, bool (*lives)(void *arg, uint64_t id),
                 void *arg)
{
    struct tracked_key *k = table_find(&t->keys, key->hash, key->name);
    if (likely(k != NULL)) {
        const uint64_t *ids = tracked_key_clients(k);
        if (likely(ids[k->count - 1] == client)) return false;
        uint32_t at = place_of_id(ids, k->count, client);
        if (at < k->count && ids[at] == client) return false;
        t->bytes -= entry_bytes(k);
        if (!k->room || k->count == k->room) {
            make_room_for_one(t, k, lives, arg);
            at = place_of_id(k->many, k->count, client);
        }
        t->bytes += entry_bytes(k);
        memmove(&k->many[at + 1], &k->many[at], (k->count - at) * sizeof *ids);
        k->many[at] = client;
        k->count++;
        t->items++;
        return true;
    }
    k = mem_alloc(offsetof(struct tracked_key, name) + key->name.n);
    k->hash = key->hash;
    k->one = client;
    k->count = 1;
    k->room = 0;
    k->size = (uint32_t)key->name.n;
    if (key->name.n) memcpy(k->name, key->name.p, key->name.n);
    table_insert(&t->keys, k->hash, k);
    t->items++;
    t->bytes += entry_bytes(k);
    return true;
}

/* --- taken -------------------------------------------------------------------------------------------------------- */

static struct tracked_key *take(struct tracked *t, struct table_slot s)
{
    if (!s.bucket) return NULL;
    struct tracked_key *k = table_delete_slot(&t->keys, s);
    t->items -= k->count;
    t->bytes -= entry_bytes(k);
    return k;
}

struct tracked_key *tracked_take(struct tracked *t, const struct key_ref *key)
{
    return take(t, table_find_slot(&t->keys, key->hash, key->name));
}

struct tracked_key *tracked_take_any(struct tracked *t, struct rng *rng)
{
    return table_count(&t->keys) ? take(t, table_random(&t->keys, rng)) : NULL;
}

size_t tracked_bytes(const struct tracked *t) { return sizeof *t + t->bytes + table_bytes(&t->keys); }

#ifdef DEMI_DEBUG
void tracked_check(struct tracked *t)
{
    size_t items = 0, bytes = 0;
    struct table_iter it;
    table_check(&t->keys);
    table_iter_init(&it, &t->keys);
    for (struct tracked_key *k; (k = table_iter_next(&it));) {
        const uint64_t *ids = tracked_key_clients(k);
        ASSERT(k->count > 0 && (k->room ? k->count <= k->room : k->count == 1));
        for (uint32_t i = 1; i < k->count; i++) ASSERT(ids[i - 1] < ids[i]);
        items += k->count;
        bytes += entry_bytes(k);
    }
    table_iter_fini(&it);
    ASSERT(items == t->items && bytes == t->bytes);
}
#endif
