/* SPDX-License-Identifier: MIT
 *
 * What the cache keeps: items by key, within a bound of memory; who was not asked for longest goes first.
 */
#ifndef DEMI_EXAMPLES_MEMCACHE_STORE_H
#define DEMI_EXAMPLES_MEMCACHE_STORE_H

#include <stddef.h>
#include <stdint.h>

#define KEY_MAX   250
#define VALUE_MAX 1048576

struct item {
    struct item *next_in_bucket;
    struct item *newer, *older; /* by when it was asked for last */
    uint64_t hash, cas;
    int64_t expires; /* seconds since 1970; 0: never */
    uint32_t flags;
    uint32_t key_size, value_size;
    int is_kept;  /* in the store, or still being filled */
    char bytes[]; /* the key, the value, and CR LF, as it goes out */
};

static inline char *item_value(struct item *i) { return i->bytes + i->key_size; }

struct store_stats {
    uint64_t items, items_total, bytes, limit, evictions, expired;
};

/* limit: bytes of items, at least some megabytes. */
void store_init(size_t limit);
/* Whether a client may begin one that comes in pieces: what is neither put nor dropped yet, and may never be, takes
 * less than a quarter of the limit. */
int store_may_fill(void);
/* One to be filled, and then put or dropped. NULL: no memory. */
struct item *item_new(const char *key, size_t key_size, size_t value_size, uint32_t flags, int64_t expires);
void item_drop(struct item *i);
/* NULL: it is not there, or it has expired. Valid until the next call that changes the store. */
struct item *store_find(const char *key, size_t key_size, int64_t now);
/* The item is the store's, in the place of one of its key; others may go. It gets a new cas. */
void store_put(struct item *i, int64_t now);
void store_delete(struct item *i);
/* All items there are now, or at that moment. */
void store_flush(int64_t at, int64_t now);
void store_stats(struct store_stats *out);

#endif
