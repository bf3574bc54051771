/* SPDX-License-Identifier: MIT
 *
 * A set of keyed 64-bit hashes, for "has this key been dealt with already?". Two keys with equal hashes count as one;
 * with the keyspace's keyed hash that is chance, 2^-64 a pair.
 */
#ifndef SERVER_DB_HASH_SET_H
#define SERVER_DB_HASH_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_set { /* private but for count; all zero is empty */
    uint64_t *v;  /* open addressing; 0: free */
    size_t count, cap;
};

bool hash_set_add(struct hash_set *s, uint64_t hash); /* false: it was in already */
/* Empties it; room for more than `keep` is given back. */
void hash_set_clear(struct hash_set *s, size_t keep);

#endif
