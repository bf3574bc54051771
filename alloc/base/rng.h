/* SPDX-License-Identifier: MIT
 *
 * A seeded generator: xoshiro256** (Blackman and Vigna, 2018), its state filled by splitmix64.
 * Fast, good enough for sampling, jitter and simulation, reproducible from its seed; not for
 * secrets (those come from getrandom and SipHash).
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng { /* private */
    uint64_t s[4];
};

/* Any seed will do, 0 too. */
static inline void rng_seed(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

static inline uint64_t rng_rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

/* All 64 bits are equally good. */
static inline uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t out = rng_rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rng_rotl(s[3], 45);
    return out;
}

/* 0 to bound - 1, each equally likely (Lemire's multiply and reject); bound 0 gives 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t bound)
{
    unsigned __int128 m = (unsigned __int128)rng_u64(r) * bound;
    if ((uint64_t)m < bound) {
        uint64_t floor = -bound % bound;
        while ((uint64_t)m < floor) m = (unsigned __int128)rng_u64(r) * bound;
    }
    return (uint64_t)(m >> 64);
}

/* At least 0, below 1, in steps of 2^-53. */
static inline double rng_double(struct rng *r) { return (double)(rng_u64(r) >> 11) * 0x1p-53; }

#endif
