/* SPDX-License-Identifier: MIT
 *
 * Groups, consumers and what is pending. Names are found in the order of their bytes, which is the order in which they
 * are shown and saved.
 *
 * How far a group has come is counted where that is possible: an ID alone does not tell how many entries are before it,
 * once some of those in between were deleted.
 */
#include "server/ds/xstream_group.h"

#include "server/mem.h"

static int compare_group(const void *group, const void *name)
{
    return bytes_compare(stream_group_name(group), *(const struct bytes *)name);
}

static int compare_consumer(const void *consumer, const void *name)
{
    return bytes_compare(stream_consumer_name(consumer), *(const struct bytes *)name);
}

/* --- groups ------------------------------------------------------------------------------------------------------- */

struct stream_group *stream_group_find(const struct xstream *s, struct bytes name)
{
    return btree_find(&s->groups, btree_key_of_name(name), &name);
}

struct stream_group *stream_group_add(struct xstream *s, struct bytes name, struct stream_id last, int64_t read)
{
    s->groups.tie = compare_group;
    if (stream_group_find(s, name)) return NULL;
    struct stream_group *g = mem_alloc(sizeof *g + name.n);
    *g = (struct stream_group){.last = last, .read = read, .name_size = name.n};
    g->consumers.tie = compare_consumer;
    if (name.n) memcpy(g->name, name.p, name.n);
    btree_insert(&s->groups, btree_key_of_name(name), &name, g);
    return g;
}

static void free_tree(struct btree *t, void (*each)(void *value))
{
    for (struct btree_pos p = btree_first(t); p.leaf; p = btree_next(p)) each(btree_slot(p)->value);
    btree_fini(t);
}

static void free_nack(void *nack) { mem_free_sized(nack, sizeof(struct stream_nack)); }

static void free_consumer(void *consumer)
{
    struct stream_consumer *c = consumer;
    btree_fini(&c->pending);
    mem_free(c);
}

static void free_group(void *group)
{
    struct stream_group *g = group;
    free_tree(&g->pending, free_nack);
    free_tree(&g->consumers, free_consumer);
    mem_free(g);
}

void stream_group_remove(struct xstream *s, struct stream_group *g)
{
    struct bytes name = stream_group_name(g);
    btree_remove(&s->groups, btree_key_of_name(name), &name);
    free_group(g);
}

void stream_groups_free(struct xstream *s) { free_tree(&s->groups, free_group); }

/* --- consumers ---------------------------------------------------------------------------------------------------- */

struct stream_consumer *stream_consumer_find(const struct stream_group *g, struct bytes name)
{
    return btree_find(&g->consumers, btree_key_of_name(name), &name);
}

struct stream_consumer *stream_consumer_add(struct stream_group *g, struct bytes name, int64_t now_ms)
{
    if (stream_consumer_find(g, name)) return NULL;
    struct stream_consumer *c = mem_alloc(sizeof *c + name.n);
    *c = (struct stream_consumer){.seen_ms = now_ms, .active_ms = STREAM_NEVER_ACTIVE, .name_size = name.n};
    if (name.n) memcpy(c->name, name.p, name.n);
    btree_insert(&g->consumers, btree_key_of_name(name), &name, c);
    return c;
}

void stream_consumer_remove(struct stream_group *g, struct stream_consumer *c)
{
    for (struct btree_pos p = btree_first(&c->pending); p.leaf; p = btree_next(p)) {
        btree_remove(&g->pending, btree_slot(p)->key, NULL);
        free_nack(btree_slot(p)->value);
    }
    struct bytes name = stream_consumer_name(c);
    btree_remove(&g->consumers, btree_key_of_name(name), &name);
    free_consumer(c);
}

/* --- pending ------------------------------------------------------------------------------------------------------ */

struct stream_nack *stream_nack_add(struct stream_group *g, struct stream_id id, int64_t now_ms)
{
    struct stream_nack *n = mem_alloc(sizeof *n);
    *n = (struct stream_nack){.delivered_ms = now_ms, .deliveries = 1};
    if (likely(btree_insert(&g->pending, stream_id_key(id), NULL, n))) return n;
    free_nack(n);
    return NULL;
}

void stream_nack_give(struct stream_nack *n, struct stream_id id, struct stream_consumer *c)
{
    if (n->consumer == c) return;
    if (n->consumer) btree_remove(&n->consumer->pending, stream_id_key(id), NULL);
    n->consumer = c;
    bool new = btree_insert(&c->pending, stream_id_key(id), NULL, n);
    ASSERT(new);
}

void stream_nack_remove(struct stream_group *g, struct stream_id id, struct stream_nack *n)
{
    btree_remove(&g->pending, stream_id_key(id), NULL);
    btree_remove(&n->consumer->pending, stream_id_key(id), NULL);
    free_nack(n);
}

/* --- how far ------------------------------------------------------------------------------------------------------ */

/* Was something deleted at or behind this ID? */
static bool has_tombstones(const struct xstream *s, struct stream_id from)
{
    if (!s->length || stream_id_is_zero(s->max_deleted)) return false;
    if (stream_id_compare(s->first, s->max_deleted) > 0) return false;
    return stream_id_compare(from, s->max_deleted) <= 0;
}

int64_t stream_entries_read(const struct xstream *s, struct stream_id id)
{
    int order = stream_id_compare(id, s->last);
    if (!s->added) return 0;
    if (order == 0 || (order < 0 && !s->length)) return (int64_t)s->added;
    if (order > 0) return STREAM_READ_UNKNOWN;
    if (!stream_id_is_zero(s->max_deleted) && stream_id_compare(s->max_deleted, s->first) >= 0)
        return STREAM_READ_UNKNOWN;
    int to_first = stream_id_compare(id, s->first);
    if (to_first > 0) return STREAM_READ_UNKNOWN;
    return (int64_t)(s->added - s->length + (to_first == 0));
}

void stream_group_passed(const struct xstream *s, struct stream_group *g, struct stream_id id)
{
    /* Around, as in Redis, if somebody has said that so many were read. */
    if (g->read != STREAM_READ_UNKNOWN && !has_tombstones(s, id)) g->read = (int64_t)((uint64_t)g->read + 1);
    else if (s->added) g->read = stream_entries_read(s, id);
    g->last = id;
}

bool stream_group_lag(const struct xstream *s, const struct stream_group *g, int64_t *lag)
{
    int64_t read = g->read;
    if (!s->added) {
        *lag = 0;
        return true;
    }
    if (read == STREAM_READ_UNKNOWN || has_tombstones(s, g->last)) read = stream_entries_read(s, g->last);
    if (read == STREAM_READ_UNKNOWN) return false;
    *lag = (int64_t)(s->added - (uint64_t)read);
    return true;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static void dup_consumer(struct stream_group *to, const struct stream_consumer *from)
{
    struct stream_consumer *c = stream_consumer_add(to, stream_consumer_name(from), from->seen_ms);
    c->active_ms = from->active_ms;
    for (struct btree_pos p = btree_first(&from->pending); p.leaf; p = btree_next(p)) {
        struct stream_id id = stream_id_of_key(btree_slot(p)->key);
        stream_nack_give(stream_nack_find(to, id), id, c);
    }
}

void stream_groups_dup(struct xstream *to, const struct xstream *from)
{
    for (struct btree_pos p = btree_first(&from->groups); p.leaf; p = btree_next(p)) {
        const struct stream_group *g = btree_slot(p)->value;
        struct stream_group *copy = stream_group_add(to, stream_group_name(g), g->last, g->read);
        for (struct btree_pos q = btree_first(&g->pending); q.leaf; q = btree_next(q)) {
            const struct stream_nack *was = btree_slot(q)->value;
            struct stream_nack *n = stream_nack_add(copy, stream_id_of_key(btree_slot(q)->key), was->delivered_ms);
            n->deliveries = was->deliveries;
        }
        for (struct btree_pos q = btree_first(&g->consumers); q.leaf; q = btree_next(q))
            dup_consumer(copy, btree_slot(q)->value);
    }
}

size_t stream_groups_bytes(const struct xstream *s)
{
    size_t n = btree_bytes(&s->groups);
    for (struct btree_pos p = btree_first(&s->groups); p.leaf; p = btree_next(p)) {
        const struct stream_group *g = btree_slot(p)->value;
        n += mem_size(g) + btree_bytes(&g->pending) + btree_bytes(&g->consumers);
        n += btree_count(&g->pending) * demi_good_size(sizeof(struct stream_nack));
        for (struct btree_pos q = btree_first(&g->consumers); q.leaf; q = btree_next(q)) {
            const struct stream_consumer *c = btree_slot(q)->value;
            n += mem_size(c) + btree_bytes(&c->pending);
        }
    }
    return n;
}

size_t stream_groups_work(const struct xstream *s)
{
    size_t n = btree_count(&s->groups);
    for (struct btree_pos p = btree_first(&s->groups); p.leaf; p = btree_next(p)) {
        const struct stream_group *g = btree_slot(p)->value;
        n += btree_count(&g->pending) + btree_count(&g->consumers);
    }
    return n;
}
