/* SPDX-License-Identifier: MIT
 *
 * Connections by addresses and ports (struct conn_table of tcp_layer.h).
 *
 *     tags    | 0 | h | 0 | h | h | 0 |     a power of two of slots, at most half of them in use; 0: empty
 *     slots   | . | c | . | c | c | . |     linear probing; a removal moves followers back, so there are no graves
 *
 * A probe looks at tags only, 16 to a cache line; the connection itself is touched when all 31 bits of its hash agree.
 * The hash is keyed by the stack's seed: a peer that chooses its addresses and ports cannot aim at one slot.
 */
#ifndef TCP_CONN_TABLE_H
#define TCP_CONN_TABLE_H

#include "alloc/base/hash.h"
#include "tcp/conn.h"

/* The ports as the first word of a received segment reads. */
static inline uint32_t conn_ports(uint16_t local, uint16_t remote) { return (uint32_t)remote << 16 | local; }

/* key: source and destination of a received IPv4 header in one word. Never 0. The fold alone would place
 * neighbouring ports at equal distances, which for one address in some 64 is a multiple of a small table's size: the
 * second product spreads all bits. */
static inline uint32_t conn_hash4(uint64_t seed, uint64_t key, uint32_t ports)
{
    uint64_t h = hash_pair(key, ports, seed);
    return (uint32_t)(h * HASH_K1 >> 32) | 0x80000000u;
}

static inline uint32_t conn_hash(uint64_t seed, const struct ip_addr *local, const struct ip_addr *remote,
                                 uint32_t ports)
{
    uint64_t key = (uint64_t)local->w[3] << 32 | remote->w[3];
    if (local->q[0] | remote->q[0])
        key = hash_pair(local->q[0], remote->q[0], seed) ^ hash_pair(local->q[1], remote->q[1], seed * HASH_K2);
    return conn_hash4(seed, key, ports);
}

static inline bool conn_matches(const struct conn *c, const struct ip_addr *local, const struct ip_addr *remote,
                                uint32_t ports)
{
    return c->ports == ports && addr_equal(&c->remote.addr, remote) && addr_equal(&c->local.addr, local);
}

static inline struct conn *conn_table_find(const struct conn_table *t, uint32_t hash, const struct ip_addr *local,
                                           const struct ip_addr *remote, uint32_t ports)
{
    for (uint32_t i = hash & t->mask;; i = (i + 1) & t->mask) { /* ends: half of the tags are 0 */
        uint32_t tag = t->tags[i];
        if (likely(tag == hash) && likely(conn_matches(t->slots[i], local, remote, ports))) return t->slots[i];
        if (!tag) return NULL;
    }
}

/* The same for IPv4: touches the first line of the connection only. It may give one with CF_V6, whose addresses end
 * alike. */
static inline struct conn *conn_table_find4(const struct conn_table *t, uint32_t hash, uint64_t key, uint32_t ports)
{
    for (uint32_t i = hash & t->mask;; i = (i + 1) & t->mask) {
        uint32_t tag = t->tags[i];
        if (likely(tag == hash)) {
            struct conn *c = t->slots[i];
            bool same = likely(c->remote.addr.w[3] == (uint32_t)key) && likely(c->local.addr.w[3] == key >> 32) &&
                        likely(c->ports == ports);
            if (same) return c;
        }
        if (unlikely(!tag)) return NULL;
    }
}

int conn_table_init(struct conn_table *t); /* -ENOMEM */
void conn_table_fini(struct conn_table *t);
/* c must not be there; hash is its own (conn_hash()). -ENOMEM: it could not grow. */
int conn_table_insert(struct conn_table *t, uint32_t hash, struct conn *c);
void conn_table_remove(struct conn_table *t, uint32_t hash, struct conn *c);
void conn_table_check(const struct conn_table *t);

#endif
