/* SPDX-License-Identifier: MIT
 *
 * SipHash-c-d after the paper's pseudo-code, and the long end of hash_bytes().
 */
#include "alloc/base/hash.h"

static inline uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static inline void sip_rounds(uint64_t v[4], int count)
{
    for (int i = 0; i < count; i++) {
        v[0] += v[1];
        v[1] = rotl(v[1], 13);
        v[1] ^= v[0];
        v[0] = rotl(v[0], 32);
        v[2] += v[3];
        v[3] = rotl(v[3], 16);
        v[3] ^= v[2];
        v[0] += v[3];
        v[3] = rotl(v[3], 21);
        v[3] ^= v[0];
        v[2] += v[1];
        v[1] = rotl(v[1], 17);
        v[1] ^= v[2];
        v[2] = rotl(v[2], 32);
    }
}

static inline uint64_t siphash(const void *p, size_t n, const uint8_t key[16], int c, int d)
{
    uint64_t k0 = load_u64(key), k1 = load_u64(key + 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    const uint8_t *s = p;
    const uint8_t *end = n ? s + (n & ~(size_t)7) : s;
    for (; s != end; s += 8) {
        uint64_t m = load_u64(s);
        v[3] ^= m;
        sip_rounds(v, c);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)n << 56;
    for (size_t i = 0; i < (n & 7); i++) last |= (uint64_t)s[i] << (8 * i);
    v[3] ^= last;
    sip_rounds(v, c);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_rounds(v, d);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t siphash24(const void *p, size_t n, const uint8_t key[16]) { return siphash(p, n, key, 2, 4); }
uint64_t siphash12(const void *p, size_t n, const uint8_t key[16]) { return siphash(p, n, key, 1, 2); }

/* Two independent lanes keep two multipliers busy; the last 32 bytes are read from the end and may
 * overlap what went before. */
uint64_t hash_bytes_long(const void *p, size_t n, uint64_t seed)
{
    const char *s = p;
    uint64_t x = seed ^ HASH_K1, y = seed ^ HASH_K2;
    size_t left = n;
    for (; left > 32; left -= 32, s += 32) {
        x = hash_fold(load_u64(s) ^ HASH_K2, load_u64(s + 8) ^ x);
        y = hash_fold(load_u64(s + 16) ^ HASH_K0, load_u64(s + 24) ^ y);
    }
    s = s + left - 32;
    x = hash_fold(load_u64(s) ^ HASH_K3, load_u64(s + 8) ^ x);
    y = hash_fold(load_u64(s + 16) ^ HASH_K1, load_u64(s + 24) ^ y);
    return hash_finish(x ^ rotl(y, 29) ^ seed, n);
}
