/* SPDX-License-Identifier: MIT
 *
 * Hashes of bytes.
 *
 * hash_bytes() is for tables: about 4 ns for a short key. Seed it with a random number of the
 * process, so that nobody can prepare keys that collide; who may watch timing for hours should be
 * met with SipHash. siphash24() is the keyed one of Aumasson and Bernstein (2012) for what must not
 * be forged (initial sequence numbers, SYN cookies); siphash12() has fewer rounds, and is what
 * Redis keys its own tables with.
 *
 * hash_bytes(): two 64-bit words of input at a time are mixed with secrets and multiplied to 128
 * bits, whose halves are folded together. One such multiplication spreads each input bit over the
 * whole word, which is all a table needs.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

uint64_t siphash24(const void *p, size_t n, const uint8_t key[16]);
uint64_t siphash12(const void *p, size_t n, const uint8_t key[16]);

/* More than 32 bytes; called by hash_bytes(). */
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

static inline uint64_t hash_finish(uint64_t h, uint64_t n) { return hash_fold(h ^ HASH_K0, n ^ HASH_K1); }

/* A word. */
static inline uint64_t hash_u64(uint64_t v, uint64_t seed)
{
    return hash_finish(hash_fold(v ^ HASH_K2, seed ^ HASH_K3) ^ v, 8);
}

/* p may be NULL when n is 0. Same bytes, length and seed: same hash, within one build (it is not a
 * format). */
static inline uint64_t hash_bytes(const void *p, size_t n, uint64_t seed)
{
    const char *s = p;
    uint64_t a, b;
    seed ^= HASH_K3;
    if (n <= 16) {
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
        return hash_finish(hash_fold(a ^ HASH_K2, b ^ seed) ^ seed, n);
    }
    if (n <= 32) {
        uint64_t h = hash_fold(load_u64(s) ^ HASH_K2, load_u64(s + 8) ^ seed);
        h ^= hash_fold(load_u64(s + n - 16) ^ HASH_K0, load_u64(s + n - 8) ^ HASH_K1 ^ seed);
        return hash_finish(h ^ seed, n);
    }
    return hash_bytes_long(p, n, seed ^ HASH_K3);
}

#endif
