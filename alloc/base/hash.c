/* SPDX-License-Identifier: MIT
 *
 * SipHash-c-d after the paper's pseudo-code, and the long end of hash_bytes().
 *
 * A long text's end is read as the last 16, or the last 256, of its bytes and may overlap what went before: with the
 * length hashed too, no two texts give the same words. The products of a block do not wait for each other.
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

uint64_t siphash24(const void *p, size_t n, const uint8_t key[16])
{
    uint64_t k0 = load_u64(key), k1 = load_u64(key + 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    const uint8_t *s = p;
    const uint8_t *end = n ? s + (n & ~(size_t)7) : s;
    for (; s != end; s += 8) {
        uint64_t m = load_u64(s);
        v[3] ^= m;
        sip_rounds(v, 2);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)n << 56;
    for (size_t i = 0; i < (n & 7); i++) last |= (uint64_t)s[i] << (8 * i);
    v[3] ^= last;
    sip_rounds(v, 2);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- the key of hash_bytes() -------------------------------------------------------------------------------------- */

struct hash_key hash_key;

void hash_key_set(const uint8_t secret[16])
{
    uint64_t *w = (uint64_t *)&hash_key;
    for (uint64_t i = 0; i < sizeof hash_key / sizeof *w; i++) w[i] = siphash24(&i, sizeof i, secret);
    hash_key.point[1] &= UINT64_MAX >> 1;
}

__attribute__((constructor)) static void set_fixed_key(void)
{
    static const uint8_t fixed[16] = "not secret: test";
    hash_key_set(fixed);
}

/* --- the long end ------------------------------------------------------------------------------------------------- */

typedef unsigned __int128 u128;

static inline u128 nh(const char *s, size_t n, const uint64_t *k)
{
    u128 sum = 0;
    for (size_t i = 0; i < n; i += 16) sum += (u128)(load_u64(s + i) + k[i / 8]) * (load_u64(s + i + 8) + k[i / 8 + 1]);
    return sum;
}

/* 17 to HASH_BLOCK bytes. */
static inline u128 block(const char *s, size_t n)
{
    size_t whole = (n - 1) & ~(size_t)15;
    return nh(s, whole, hash_key.words) + nh(s + n - 16, 16, hash_key.words + whole / 8);
}

#define PRIME ((((u128)1 << 127)) - 1)

static inline u128 fold_127(u128 x) { return (x & PRIME) + (x >> 127); }

/* y * point modulo 2^127 - 1, both below 2^127. The product has 254 bits: top * 2^128 + low, and 2^128 is 2. */
static u128 times_point(u128 y)
{
    uint64_t y0 = (uint64_t)y, y1 = (uint64_t)(y >> 64), p0 = hash_key.point[0], p1 = hash_key.point[1];
    u128 low = (u128)y0 * p0, middle = (u128)y0 * p1, other = (u128)y1 * p0, top = (u128)y1 * p1;
    middle += low >> 64;       /* below 2^127 + 2^64 */
    u128 sum = middle + other; /* below 2^128: each is below 2^127 + 2^64 - 2^65 */
    top += sum >> 64;
    low = sum << 64 | (uint64_t)low;
    return fold_127(fold_127(fold_127(low) + (top << 1)));
}

/* More than HASH_BLOCK bytes. */
static u128 many_blocks(const char *s, size_t n)
{
    u128 y = 0;
    for (; n > HASH_BLOCK; n -= HASH_BLOCK, s += HASH_BLOCK)
        y = fold_127(times_point(y) + fold_127(nh(s, HASH_BLOCK, hash_key.words)));
    s = s + n - HASH_BLOCK;
    y = fold_127(times_point(y) + fold_127(nh(s, HASH_BLOCK, hash_key.words)));
    return y == PRIME ? 0 : y;
}

uint64_t hash_bytes_long(const void *p, size_t n, uint64_t seed)
{
    const char *s = p;
    u128 sum = n <= HASH_BLOCK ? block(s, n) : many_blocks(s, n);
    sum += (u128)n * hash_key.length;
    return hash_fold((uint64_t)sum ^ hash_key.low ^ seed, (uint64_t)(sum >> 64) ^ hash_key.by_length[HASH_SHORT + 1]);
}
