/* SPDX-License-Identifier: MIT
 *
 * Growing, putting in and taking out; looking up is inline. Growth moves all at once, by tags alone (no connection is
 * touched): about a millisecond for 100,000 connections, and so seldom that it was not worth spreading.
 */
#include "tcp/conn_table.h"

#include "alloc/heap.h"

#include <errno.h>

#define SLOTS_MIN 64

static int make(struct conn_table *t, uint32_t size)
{
    struct conn **slots = heap_alloc(size * sizeof *slots);
    uint32_t *tags = heap_calloc(size, sizeof *tags);
    if (!slots || !tags) {
        heap_free(slots);
        heap_free(tags);
        return -ENOMEM;
    }
    *t = (struct conn_table){.slots = slots, .tags = tags, .mask = size - 1};
    return 0;
}

static void put(struct conn_table *t, uint32_t tag, struct conn *c)
{
    uint32_t i = tag & t->mask;
    while (t->tags[i]) i = (i + 1) & t->mask;
    t->tags[i] = tag;
    t->slots[i] = c;
    t->count++;
}

static int table_grow(struct conn_table *t)
{
    struct conn_table bigger;
    if (t->mask >= UINT32_MAX / 2 / 2) return -ENOMEM; /* bit 31 of a tag says nothing */
    int err = make(&bigger, (t->mask + 1) * 2);
    if (err) return err;
    for (uint32_t i = 0; i <= t->mask; i++)
        if (t->tags[i]) put(&bigger, t->tags[i], t->slots[i]);
    conn_table_fini(t);
    *t = bigger;
    return 0;
}

int conn_table_init(struct conn_table *t) { return make(t, SLOTS_MIN); }

void conn_table_fini(struct conn_table *t)
{
    heap_free(t->slots);
    heap_free(t->tags);
    *t = (struct conn_table){0};
}

int conn_table_insert(struct conn_table *t, uint32_t hash, struct conn *c)
{
    DASSERT(!conn_table_find(t, hash, &c->local.addr, &c->remote.addr, c->ports));
    if (t->count >= (t->mask + 1) / 2) {
        int err = table_grow(t);
        if (err) return err;
    }
    put(t, hash, c);
    return 0;
}

void conn_table_remove(struct conn_table *t, uint32_t hash, struct conn *c)
{
    uint32_t i = hash & t->mask;
    while (t->tags[i] != hash || t->slots[i] != c) {
        ASSERT(t->tags[i]);
        i = (i + 1) & t->mask;
    }
    /* Who stands behind without a gap moves into the hole, unless its own first slot lies behind the hole. */
    for (uint32_t j = (i + 1) & t->mask; t->tags[j]; j = (j + 1) & t->mask) {
        uint32_t home = t->tags[j] & t->mask;
        if (((j - home) & t->mask) < ((j - i) & t->mask)) continue;
        t->tags[i] = t->tags[j];
        t->slots[i] = t->slots[j];
        i = j;
    }
    t->tags[i] = 0;
    t->count--;
}

void conn_table_check(const struct conn_table *t)
{
    uint32_t count = 0;
    ASSERT(t->count <= (t->mask + 1) / 2);
    for (uint32_t i = 0; i <= t->mask; i++) {
        if (!t->tags[i]) continue;
        const struct conn *c = t->slots[i];
        count++;
        ASSERT(conn_table_find(t, t->tags[i], &c->local.addr, &c->remote.addr, c->ports) == c);
    }
    ASSERT(count == t->count);
}
