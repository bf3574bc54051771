/* SPDX-License-Identifier: MIT
 *
 * How recently or how often an entry was used: the 24 bits of entry->lru, which eviction, OBJECT IDLETIME and OBJECT
 * FREQ read.
 *
 *   LRU policies (and none)  seconds since the epoch, modulo 2^24
 *   LFU policies             minutes (16 bits) << 8 | logarithmic counter (8 bits), as Redis keeps them
 */
#ifndef SERVER_DB_USE_H
#define SERVER_DB_USE_H

#include "server/conf/config.h"
#include "server/db/db.h"

#define USE_CLOCK_MAX ((1u << 24) - 1)
#define USE_LFU_INIT  5 /* of new keys, so that they are not evicted at once */

static inline bool use_is_lfu(const struct config *cfg)
{
    return cfg->maxmemory_policy == MAXMEMORY_VOLATILE_LFU || cfg->maxmemory_policy == MAXMEMORY_ALLKEYS_LFU;
}

static inline uint32_t use_clock(const struct call *c)
{
    return (uint32_t)((uint64_t)c->now_ms / 1000) & USE_CLOCK_MAX;
}

void use_touch_lfu(struct call *c, struct entry *e);
uint32_t use_initial_lfu(const struct call *c);

/* The entry was used. The line is written only when the second changed. */
static inline void use_touch(struct call *c, struct entry *e)
{
    if (unlikely(c->no_touch)) return;
    if (unlikely(use_is_lfu(c->cfg))) {
        use_touch_lfu(c, e);
        return;
    }
    uint32_t now = use_clock(c);
    if (e->lru != now) e->lru = now;
}

/* Of an entry that is new. */
static inline uint32_t use_initial(const struct call *c)
{
    return unlikely(use_is_lfu(c->cfg)) ? use_initial_lfu(c) : use_clock(c);
}

#endif
