/* SPDX-License-Identifier: MIT
 *
 * The best candidates for eviction seen so far. Each round of sampling adds what it saw and takes the best one, so that
 * a few samples a round add up: a key seen once among better ones waits here for its turn. Keys are copied; they may
 * change or go in the meantime, which the taker must check.
 */
#ifndef SERVER_EVICT_POOL_H
#define SERVER_EVICT_POOL_H

#include <stdbool.h>

#include "alloc/base/bytes.h"

#define EVICT_POOL_SIZE 16

struct evict_pool;

struct evict_candidate {
    uint64_t score; /* higher: rather this one */
    int dbid;
    struct bytes key; /* the pool's: until the next offer */
};

struct evict_pool *evict_pool_new(void);
void evict_pool_free(struct evict_pool *p);
void evict_pool_clear(struct evict_pool *p);
/* Whether it would be kept: it is better than the worst, or there is room. */
bool evict_pool_wants(const struct evict_pool *p, uint64_t score);
/* Keeps a copy, in place of the worst if need be. */
void evict_pool_offer(struct evict_pool *p, uint64_t score, int dbid, struct bytes key);
/* The best one, which is not in the pool any more. False: the pool is empty. */
bool evict_pool_take(struct evict_pool *p, struct evict_candidate *out);

#endif
