/* SPDX-License-Identifier: MIT
 *
 * Counting, finding and combining bits, 32 bytes a step. A vector of four words is one AVX2 register or two of SSE2 or
 * NEON: the compiler chooses. Counting wants an instruction that baseline x86-64 lacks, so on that machine it is
 * compiled twice and chosen at run time.
 *
 * Ranges of bits are cut at byte borders: the two bytes at the ends are masked by hand, what is between is whole bytes.
 */
#include "server/ds/bits.h"

#include <string.h>

#include "alloc/base/assert.h"

#define STEP 32 /* bytes of a vector */
/* combining: what is written stays in the first-level cache until every string has been added to it */
#define CHUNK 4096

typedef uint64_t vec __attribute__((vector_size(STEP)));

/* --- count ----------------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) uint64_t count_words(const uint8_t *p, size_t n)
{
    uint64_t a = 0, b = 0, c = 0, d = 0, tail = 0;
    for (; n >= STEP; p += STEP, n -= STEP) {
        a += (uint64_t)__builtin_popcountll(load_u64(p));
        b += (uint64_t)__builtin_popcountll(load_u64(p + 8));
        c += (uint64_t)__builtin_popcountll(load_u64(p + 16));
        d += (uint64_t)__builtin_popcountll(load_u64(p + 24));
    }
    for (; n >= 8; p += 8, n -= 8) a += (uint64_t)__builtin_popcountll(load_u64(p));
    memcpy(&tail, p, n);
    return a + b + c + d + (uint64_t)__builtin_popcountll(tail);
}

#if defined(__x86_64__)
__attribute__((target("popcnt"))) static uint64_t count_popcnt(const uint8_t *p, size_t n) { return count_words(p, n); }
static uint64_t count_plain(const uint8_t *p, size_t n) { return count_words(p, n); }

static uint64_t count_bytes(const uint8_t *p, size_t n)
{
    return __builtin_cpu_supports("popcnt") ? count_popcnt(p, n) : count_plain(p, n);
}
#else
static uint64_t count_bytes(const uint8_t *p, size_t n) { return count_words(p, n); }
#endif

/* that bit and those behind it */
static uint8_t mask_from(uint64_t bit) { return (uint8_t)(0xff >> (bit & 7)); }
/* that bit and those before it */
static uint8_t mask_to(uint64_t bit) { return (uint8_t)(0xff << (7 - (bit & 7))); }

uint64_t bits_count(struct bytes s, uint64_t from, uint64_t to)
{
    DASSERT(from <= to && to / 8 < s.n);
    const uint8_t *p = (const uint8_t *)s.p;
    size_t first = from / 8, last = to / 8;
    if (first == last) return (uint64_t)__builtin_popcount(p[first] & mask_from(from) & mask_to(to));
    return (uint64_t)__builtin_popcount(p[first] & mask_from(from)) + count_bytes(p + first + 1, last - first - 1) +
           (uint64_t)__builtin_popcount(p[last] & mask_to(to));
}

/* --- find ------------------------------------------------------------------------------------------------------ */

/* Both searches look for a bit that is set in (bytes ^ flip). */
static int64_t find_in_byte(uint8_t byte, size_t index)
{
    return byte ? (int64_t)(index * 8) + __builtin_clz((unsigned)byte << 24) : -1;
}

static int64_t find_in_bytes(const uint8_t *p, size_t i, size_t end, uint64_t flip)
{
    for (; end - i >= STEP; i += STEP) {
        uint64_t differs = (load_u64(p + i) ^ flip) | (load_u64(p + i + 8) ^ flip) | (load_u64(p + i + 16) ^ flip) |
                           (load_u64(p + i + 24) ^ flip);
        if (differs) break;
    }
    for (; end - i >= 8; i += 8) {
        uint64_t word = load_be64(p + i) ^ flip;
        if (word) return (int64_t)(i * 8) + __builtin_clzll(word);
    }
    for (; i < end; i++) {
        uint8_t byte = p[i] ^ (uint8_t)flip;
        if (byte) return find_in_byte(byte, i);
    }
    return -1;
}

int64_t bits_find(struct bytes s, bool set, uint64_t from, uint64_t to)
{
    DASSERT(from <= to && to / 8 < s.n);
    const uint8_t *p = (const uint8_t *)s.p;
    uint64_t flip = set ? 0 : UINT64_MAX;
    size_t first = from / 8, last = to / 8;
    uint8_t head = (uint8_t)((p[first] ^ flip) & mask_from(from));
    if (first == last) return find_in_byte(head & mask_to(to), first);
    if (head) return find_in_byte(head, first);
    int64_t at = find_in_bytes(p, first + 1, last, flip);
    return at >= 0 ? at : find_in_byte((uint8_t)((p[last] ^ flip) & mask_to(to)), last);
}

/* --- combine --------------------------------------------------------------------------------------------------- */

#define COMBINE(name, OP)                                                                                              \
    static void name(char *to, const char *from, size_t n)                                                             \
    {                                                                                                                  \
        size_t i = 0;                                                                                                  \
        for (; n - i >= STEP; i += STEP) {                                                                             \
            vec a, b;                                                                                                  \
            memcpy(&a, to + i, STEP);                                                                                  \
            memcpy(&b, from + i, STEP);                                                                                \
            a = a OP b;                                                                                                \
            memcpy(to + i, &a, STEP);                                                                                  \
        }                                                                                                              \
        for (; i < n; i++) to[i] = (char)(to[i] OP from[i]);                                                           \
    }
COMBINE(and_bytes, &)
COMBINE(or_bytes, |)
COMBINE(xor_bytes, ^)
#undef COMBINE

static void not_bytes(char *p, size_t n)
{
    size_t i = 0;
    for (; n - i >= STEP; i += STEP) {
        vec v;
        memcpy(&v, p + i, STEP);
        v = ~v;
        memcpy(p + i, &v, STEP);
    }
    for (; i < n; i++) p[i] = (char)~p[i];
}

/* How much of s lies in the n bytes from `at` on. */
static size_t part_of(struct bytes s, size_t at, size_t n)
{
    if (s.n <= at) return 0;
    return s.n - at < n ? s.n - at : n;
}

static void combine_chunk(enum bits_op op, const struct bytes *in, size_t count, char *out, size_t at, size_t n)
{
    size_t had = part_of(in[0], at, n);
    if (had) memcpy(out, in[0].p + at, had);
    memset(out + had, 0, n - had);
    if (op == BITS_NOT) {
        not_bytes(out, n);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        size_t here = part_of(in[i], at, n);
        const char *from = here ? in[i].p + at : NULL;
        if (op == BITS_AND) memset(out + here, 0, n - here);
        if (!here) continue;
        if (op == BITS_AND) and_bytes(out, from, here);
        else if (op == BITS_OR) or_bytes(out, from, here);
        else xor_bytes(out, from, here);
    }
}

void bits_combine(enum bits_op op, const struct bytes *in, size_t count, char *out, size_t n)
{
    DASSERT(count > 0 && (op != BITS_NOT || count == 1));
    for (size_t at = 0; at < n; at += CHUNK)
        combine_chunk(op, in, count, out + at, at, n - at < CHUNK ? n - at : CHUNK);
}

/* --- fields ---------------------------------------------------------------------------------------------------- */

typedef unsigned __int128 wide; /* 64 bits that begin anywhere in a byte lie in at most nine bytes */

uint64_t bits_get(struct bytes s, uint64_t at, unsigned width)
{
    DASSERT(width >= 1 && width <= 64);
    size_t first = at / 8, n = ((at & 7) + width + 7) / 8;
    wide v = 0;
    for (size_t i = 0; i < n; i++) v = v << 8 | (first + i < s.n ? (uint8_t)s.p[first + i] : 0);
    v >>= n * 8 - (at & 7) - width;
    return (uint64_t)v & UINT64_MAX >> (64 - width);
}

void bits_set(char *p, uint64_t at, unsigned width, uint64_t v)
{
    DASSERT(width >= 1 && width <= 64);
    size_t first = at / 8, n = ((at & 7) + width + 7) / 8;
    unsigned shift = (unsigned)(n * 8 - (at & 7) - width);
    wide mask = (wide)(UINT64_MAX >> (64 - width)) << shift, set = (wide)v << shift & mask;
    for (size_t i = n; i-- > 0; mask >>= 8, set >>= 8)
        p[first + i] = (char)((p[first + i] & ~(uint8_t)mask) | (uint8_t)set);
}
