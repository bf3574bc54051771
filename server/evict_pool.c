/* SPDX-License-Identifier: MIT
 *
 * An array of numbers, sorted by score, says where each candidate lies, so that an insertion moves bytes and not keys.
 * Keys up to INLINE bytes are kept in their place, without an allocation; eviction runs when memory is short.
 *
 *   order: | worst ... best | free places ... |
 *          0             count              EVICT_POOL_SIZE
 */
#include "server/evict_pool.h"

#include <string.h>

#include "alloc/base/assert.h"
#include "server/mem.h"

#define INLINE 255 /* longer keys are rare */

struct candidate {
    uint64_t score;
    char *longer; /* the key when it does not fit */
    size_t n;
    int dbid;
    char text[INLINE];
};

struct evict_pool {
    unsigned count;
    uint8_t order[EVICT_POOL_SIZE];
    struct candidate candidates[EVICT_POOL_SIZE];
};
static_assert(EVICT_POOL_SIZE <= UINT8_MAX + 1, "an index of candidates fits into order[]");

struct evict_pool *evict_pool_new(void)
{
    struct evict_pool *p = mem_calloc(sizeof *p);
    for (unsigned i = 0; i < EVICT_POOL_SIZE; i++) p->order[i] = (uint8_t)i;
    return p;
}

void evict_pool_free(struct evict_pool *p)
{
    if (!p) return;
    for (unsigned i = 0; i < EVICT_POOL_SIZE; i++) mem_free(p->candidates[i].longer);
    mem_free(p);
}

void evict_pool_clear(struct evict_pool *p) { p->count = 0; }

bool evict_pool_wants(const struct evict_pool *p, uint64_t score)
{
    return p->count < EVICT_POOL_SIZE || score > p->candidates[p->order[0]].score;
}

/* The index of a candidate that is not in the order any more: a free one or the worst one's. */
static uint8_t make_room(struct evict_pool *p)
{
    if (p->count < EVICT_POOL_SIZE) return p->order[p->count++];
    uint8_t worst = p->order[0];
    memmove(p->order, p->order + 1, EVICT_POOL_SIZE - 1);
    return worst;
}

static void fill(struct candidate *at, uint64_t score, int dbid, struct bytes key)
{
    mem_free(at->longer);
    at->longer = key.n > INLINE ? mem_alloc(key.n) : NULL;
    if (key.n) memcpy(at->longer ? at->longer : at->text, key.p, key.n);
    at->n = key.n;
    at->score = score;
    at->dbid = dbid;
}

void evict_pool_offer(struct evict_pool *p, uint64_t score, int dbid, struct bytes key)
{
    if (!evict_pool_wants(p, score)) return;
    uint8_t index = make_room(p);
    fill(&p->candidates[index], score, dbid, key);
    unsigned i = p->count - 1;
    for (; i > 0 && p->candidates[p->order[i - 1]].score > score; i--) p->order[i] = p->order[i - 1];
    p->order[i] = index;
    DASSERT(p->count <= EVICT_POOL_SIZE);
}

bool evict_pool_take(struct evict_pool *p, struct evict_candidate *out)
{
    if (!p->count) return false;
    const struct candidate *best = &p->candidates[p->order[--p->count]];
    *out =
        (struct evict_candidate){best->score, best->dbid, bytes_of(best->longer ? best->longer : best->text, best->n)};
    return true;
}
