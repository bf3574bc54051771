/* SPDX-License-Identifier: MIT
 *
 * Hashes of bytes.
 *
 * hash_bytes() is for tables whose keys come from outside. Who names the keys and knows this source, but not the
 * process's key (struct hash_key), makes no more collisions than chance gives. All words k below are secret and
 * independent of each other:
 *
 *     P = (a + k1) * (b + k2)                  64 by 64 bits to 128; a and b cover the bytes
 *     h = fold((low(P) ^ k3) * (high(P) ^ kn)) the two halves of that product XORed; kn is another one for each length
 *
 * The first line is NH (Black, Halevi, Krawczyk, Krovetz and Rogaway, "UMAC", 1999, theorem 1): for any two different
 * inputs of one length, and any number D, P - P' = D for at most one key in 2^64. The theorem holds because the key is
 * added to every word before any product: there is no input, and no word of an input, that makes a factor known, let
 * alone 0 - as there is where a word is XORed with something public and then multiplied. Inputs of different lengths
 * meet with the same probability, since kn differs. So before the last step nobody makes two names meet, and what goes
 * into it depends on the key and cannot be chosen. The last step is no theorem (proven ones of 128 to 64 bits cost
 * three multiplications more, and were 18 instructions of the 837 of a GET, 2026-11): it folds two secret factors, each
 * bit of both reaching all bits of the result, and hash_test.c counts that names of many kinds meet under many keys as
 * random numbers do.
 *
 *     up to 16 bytes   the lines above
 *     up to 256        P is the sum of such products of 16 bytes each with words k of their own, and of length * k
 *     longer           P of each 256 bytes is a coefficient of a polynomial modulo 2^127 - 1 at a secret point
 *
 * Who can time single look-ups for long learns about the key, from any of the fast hashes. siphash24() is the one of
 * Aumasson and Bernstein (2012) for what must not be forged by such a one either (initial sequence numbers, SYN
 * cookies).
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"

uint64_t siphash24(const void *p, size_t n, const uint8_t key[16]);

/* --- bytes ------------------------------------------------------------------------------------------------------- */

#define HASH_SHORT 16  /* bytes hashed without a loop */
#define HASH_BLOCK 256 /* bytes that words[] has a number for */

/* Random numbers, the same for all hashes of the process. Only read once something has been hashed. */
struct hash_key {
    uint64_t words[HASH_BLOCK / 8];     /* added to the words of the input */
    uint64_t low;                       /* k3 */
    uint64_t by_length[HASH_SHORT + 2]; /* kn; the last one for all that is longer */
    uint64_t length;                    /* by which a length over HASH_SHORT is multiplied */
    uint64_t point[2];                  /* of the polynomial, the lower half first */
};
extern struct hash_key hash_key __attribute__((visibility("hidden"))); /* private */

/* What a server does before its first table, with 16 bytes that nobody else can know. Until then the key is a fixed
 * one, so that tests and simulations can be repeated. What was hashed before hashes differently afterwards. */
void hash_key_set(const uint8_t secret[16]);

/* More than HASH_SHORT bytes; called by hash_bytes(). */
uint64_t hash_bytes_long(const void *p, size_t n, uint64_t seed);

/* Odd words with as many ones as zeros in each byte pair; any such would do. */
#define HASH_K0 0x8b5ac3e91d4f2765u
#define HASH_K1 0xd1932e6fa54b78c3u
#define HASH_K2 0x63e91b8dc72d4fa9u
#define HASH_K3 0xa96b4c7d39e1578du

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* p may be NULL when n is 0. Same bytes, length, seed and key: same hash, within one build (it is not a format). The
 * seed tells tables apart; what keeps the hash secret is the key. */
static inline uint64_t hash_bytes(const void *p, size_t n, uint64_t seed)
{
    const char *s = p;
    uint64_t a, b;
    if (unlikely(n > HASH_SHORT)) return hash_bytes_long(p, n, seed);
    if (n >= 8) {
        a = load_u64(s);
        b = load_u64(s + n - 8);
    } else if (n >= 4) {
        a = load_u32(s);
        b = load_u32(s + n - 4);
    } else if (n > 0) { /* first, middle and last byte are all there are */
        a = (uint64_t)(uint8_t)s[0] << 16 | (uint64_t)(uint8_t)s[n >> 1] << 8 | (uint8_t)s[n - 1];
        b = 0;
    } else {
        a = b = 0;
    }
    const struct hash_key *k = &hash_key;
    unsigned __int128 product = (unsigned __int128)(a + k->words[0]) * (b + k->words[1]);
    return hash_fold((uint64_t)product ^ k->low ^ seed, (uint64_t)(product >> 64) ^ k->by_length[n]);
}

/* --- words ------------------------------------------------------------------------------------------------------- */

static inline uint64_t hash_finish(uint64_t h, uint64_t n) { return hash_fold(h ^ HASH_K0, n ^ HASH_K1); }

/* A word of ours (a count, an index): v is multiplied by nothing secret. */
static inline uint64_t hash_u64(uint64_t v, uint64_t seed)
{
    return hash_finish(hash_fold(v ^ HASH_K2, seed ^ HASH_K3) ^ v, 8);
}

/* Two words that may come from outside: neither factor is known to who does not know the seed. */
static inline uint64_t hash_pair(uint64_t a, uint64_t b, uint64_t seed)
{
    return hash_fold(a ^ seed, b ^ (seed << 32 | seed >> 32) ^ HASH_K0);
}

#endif
