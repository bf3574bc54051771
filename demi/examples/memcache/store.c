/* SPDX-License-Identifier: MIT
 *
 * See store.h. Items lie in memory that devices reach (demi_malloc), so that a value goes out as it lies; what is sent
 * stays until it is through even when the item goes. An item never changes once it is put: another one takes its place.
 */
#include "demi/examples/memcache/store.h"

#include "demi/examples/common.h"
#include <demi/ext.h>

static struct {
    struct item **buckets;
    size_t bucket_count; /* a power of two */
    struct item *newest, *oldest;
    uint64_t key0, key1;       /* of the hash, unknown to clients: nobody can aim at one bucket */
    uint64_t cas, flushed_cas; /* items up to flushed_cas are gone */
    int64_t flush_at;          /* 0: never */
    size_t filling;            /* bytes of items that are not put yet: clients that never end one hold no more */
    struct store_stats stats;
} store;

/* SipHash-1-3 (Aumasson, Bernstein: SipHash, 2012). */
static uint64_t rotate(uint64_t x, unsigned by) { return x << by | x >> (64 - by); }

static void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1], v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static uint64_t hash_of(const char *key, size_t size)
{
    uint64_t v[4] = {store.key0 ^ 0x736f6d6570736575, store.key1 ^ 0x646f72616e646f6d, store.key0 ^ 0x6c7967656e657261,
                     store.key1 ^ 0x7465646279746573};
    for (size_t at = 0;; at += 8) {
        uint64_t word = 0;
        size_t n = size - at < 8 ? size - at : 8;
        memcpy(&word, key + at, n);
        if (n < 8) word |= (uint64_t)(size & 0xff) << 56;
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
        if (n < 8) break;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void store_init(size_t limit)
{
    FILE *random = fopen("/dev/urandom", "rb");
    if (!random || fread(&store.key0, 8, 1, random) != 1 || fread(&store.key1, 8, 1, random) != 1) MUST(EIO);
    fclose(random);
    store.stats.limit = limit;
    for (store.bucket_count = 1024; store.bucket_count < limit / 256; store.bucket_count *= 2) {
    }
    store.buckets = calloc(store.bucket_count, sizeof *store.buckets);
    if (!store.buckets) MUST(ENOMEM);
}

static size_t size_of(const struct item *i) { return demi_good_size(sizeof *i + i->key_size + i->value_size + 2); }

int store_may_fill(void) { return store.filling < store.stats.limit / 4; }

struct item *item_new(const char *key, size_t key_size, size_t value_size, uint32_t flags, int64_t expires)
{
    struct item *i = demi_malloc(sizeof *i + key_size + value_size + 2);
    if (!i) return NULL;
    memset(i, 0, sizeof *i);
    i->hash = hash_of(key, key_size);
    i->expires = expires;
    i->flags = flags;
    i->key_size = (uint32_t)key_size;
    i->value_size = (uint32_t)value_size;
    memcpy(i->bytes, key, key_size);
    memcpy(item_value(i) + value_size, "\r\n", 2);
    store.filling += size_of(i);
    return i;
}

void item_drop(struct item *i)
{
    if (!i) return;
    if (!i->is_kept) store.filling -= size_of(i);
    demi_free(i);
}

static void unlink_age(struct item *i)
{
    *(i->newer ? &i->newer->older : &store.newest) = i->older;
    *(i->older ? &i->older->newer : &store.oldest) = i->newer;
}

static void link_newest(struct item *i)
{
    i->newer = NULL;
    i->older = store.newest;
    *(store.newest ? &store.newest->newer : &store.oldest) = i;
    store.newest = i;
}

void store_delete(struct item *i)
{
    struct item **at = &store.buckets[i->hash & (store.bucket_count - 1)];
    while (*at != i) at = &(*at)->next_in_bucket;
    *at = i->next_in_bucket;
    unlink_age(i);
    store.stats.items--;
    store.stats.bytes -= size_of(i);
    item_drop(i);
}

static void flush_if_due(int64_t now)
{
    if (!store.flush_at || now < store.flush_at) return;
    store.flushed_cas = store.cas;
    store.flush_at = 0;
}

static int is_over(const struct item *i, int64_t now)
{
    return i->cas <= store.flushed_cas || (i->expires && i->expires <= now);
}

struct item *store_find(const char *key, size_t key_size, int64_t now)
{
    uint64_t hash = hash_of(key, key_size);
    struct item *i = store.buckets[hash & (store.bucket_count - 1)];
    flush_if_due(now);
    while (i && (i->hash != hash || i->key_size != key_size || memcmp(i->bytes, key, key_size) != 0))
        i = i->next_in_bucket;
    if (!i) return NULL;
    if (is_over(i, now)) {
        store.stats.expired++;
        store_delete(i);
        return NULL;
    }
    unlink_age(i);
    link_newest(i);
    return i;
}

void store_put(struct item *i, int64_t now)
{
    struct item *before = store_find(i->bytes, i->key_size, now);
    struct item **bucket = &store.buckets[i->hash & (store.bucket_count - 1)];
    if (before) store_delete(before);
    i->cas = ++store.cas;
    i->next_in_bucket = *bucket;
    *bucket = i;
    i->is_kept = 1;
    store.filling -= size_of(i);
    link_newest(i);
    store.stats.items++;
    store.stats.items_total++;
    store.stats.bytes += size_of(i);
    while (store.stats.bytes > store.stats.limit && store.oldest != i) {
        if (is_over(store.oldest, now)) store.stats.expired++;
        else store.stats.evictions++;
        store_delete(store.oldest);
    }
}

void store_flush(int64_t at, int64_t now)
{
    store.flush_at = at;
    flush_if_due(now);
}

void store_stats(struct store_stats *out) { *out = store.stats; }
