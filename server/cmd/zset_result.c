/* SPDX-License-Identifier: MIT
 *
 * Items and the members that had to be copied lie in chunks that are freed together.
 */
#include "server/cmd/zset_result.h"

#include <stdlib.h>

#include "server/mem.h"

#define CHUNK_BYTES 8000

struct zset_chunk {
    struct zset_chunk *next;
    size_t used, size;
    char data[];
};

static struct bytes item_key(const void *item) { return ((const struct zset_item *)item)->member; }
static const struct table_ops item_ops = {.key = item_key};

void zset_result_init(struct zset_result *r, bool indexed, uint64_t seed)
{
    *r = (struct zset_result){.indexed = indexed};
    if (indexed) table_init(&r->index, &item_ops, seed);
}

void zset_result_fini(struct zset_result *r)
{
    if (r->indexed) table_fini(&r->index, NULL, NULL);
    mem_free(r->items);
    while (r->chunks) {
        struct zset_chunk *next = r->chunks->next;
        mem_free(r->chunks);
        r->chunks = next;
    }
}

static void *member_take(struct zset_result *r, size_t n)
{
    struct zset_chunk *ch = r->chunks;
    n = (n + 7) & ~(size_t)7;
    if (!ch || ch->size - ch->used < n) {
        size_t size = n > CHUNK_BYTES ? n : CHUNK_BYTES;
        ch = mem_alloc(sizeof *ch + size);
        *ch = (struct zset_chunk){.next = r->chunks, .size = size};
        r->chunks = ch;
    }
    ch->used += n;
    return ch->data + ch->used - n;
}

static struct zset_item *add(struct zset_result *r, struct bytes member, bool lasting, double score)
{
    if (r->count == r->room) {
        r->room = r->room ? r->room * 2 : 32;
        r->items = mem_realloc(r->items, r->room * sizeof(struct zset_item *));
    }
    struct zset_item *item = member_take(r, sizeof *item);
    if (!lasting && member.n) {
        char *copy = member_take(r, member.n);
        memcpy(copy, member.p, member.n);
        member.p = copy;
    }
    *item = (struct zset_item){.score = score, .member = member};
    r->items[r->count++] = item;
    r->live++;
    return item;
}

struct zset_item *zset_result_add(struct zset_result *r, struct bytes member, bool lasting, double score)
{
    struct zset_item *item = add(r, member, lasting, score);
    if (r->indexed) table_insert(&r->index, table_hash(&r->index, member), item);
    return item;
}

struct zset_item *zset_result_find(const struct zset_result *r, struct bytes member)
{
    return table_find(&r->index, table_hash(&r->index, member), member);
}

struct zset_item *zset_result_find_or_add(struct zset_result *r, struct bytes member, bool lasting, double score,
                                          bool *added)
{
    uint64_t hash = table_hash(&r->index, member);
    struct zset_item *item = table_find(&r->index, hash, member);
    *added = !item;
    if (item) return item;
    item = add(r, member, lasting, score);
    table_insert(&r->index, hash, item);
    return item;
}

static int by_score_and_member(const void *a, const void *b)
{
    const struct zset_item *x = *(struct zset_item *const *)a, *y = *(struct zset_item *const *)b;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    return bytes_compare(x->member, y->member);
}

void zset_result_sort(struct zset_result *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        if (!r->items[i]->gone) r->items[kept++] = r->items[i];
    }
    r->count = kept;
    if (kept) qsort(r->items, kept, sizeof(struct zset_item *), by_score_and_member);
}
