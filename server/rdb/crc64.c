/* SPDX-License-Identifier: MIT
 *
 * CRC-64 (Jones), in two ways: by tables, and where the processor multiplies without carries by folding, which is eight
 * times as fast and needs FOLD_MIN bytes to begin.
 *
 * By tables it is eight bytes a step. table[k][b] is what byte b does to the sum when k bytes follow it in the step.
 *
 * A CRC is linear: what a byte does is the exclusive-or of what its bits do. So the source holds the 64 numbers of the
 * single bits, and the compiler makes the 2,048 table entries of them. A bit's number in the reflected form is the bit
 * shifted out 8 (k + 1) times through the polynomial 0x95ac9329ac4bc9b5 (the Jones polynomial read backwards);
 * crc64_test.c computes them so again.
 */
#include "server/rdb/crc64.h"

#ifdef __x86_64__
#include <wmmintrin.h>
#endif

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"

#define BITS0(X, b)                                                                                                    \
    X(b, 0x7ad870c830358979, 0xf5b0e190606b12f2, 0xc038e5739841b68f, 0xab28ecb46814fe75, 0x7d08ff3b88be6f81,           \
      0xfa11fe77117cdf02, 0xdf7adabd7a6e2d6f, 0x95ac9329ac4bc9b5)
#define BITS1(X, b)                                                                                                    \
    X(b, 0x89e99ffd73bddf69, 0x388a19a9bfec2db9, 0x711433537fd85b72, 0xe22866a6ffb0b6e4, 0xef09eb1ea7f6fea3,           \
      0xf54af06e177a6e2d, 0xc1ccc68f76634f31, 0xa8c0ab4db4510d09)
#define BITS2(X, b)                                                                                                    \
    X(b, 0xf4125129ce4038be, 0xc37d8400c417e217, 0xada22e52d0b85745, 0x701d7af6f9e73de1, 0xe03af5edf3ce7bc2,           \
      0xeb2ccd88bf0b64ef, 0xfd00bd4226815ab5, 0xd1585cd715952601)
#define BITS3(X, b)                                                                                                    \
    X(b, 0x8ce168638c796306, 0x329bf69440655567, 0x6537ed2880caaace, 0xca6fda510195559c, 0xbf8692f15bbd3853,           \
      0x545403b1efede3cd, 0xa8a80763dfdbc79a, 0x7a092894e7201c5f)
#define BITS4(X, b)                                                                                                    \
    X(b, 0x3504e58b9ba6dd1e, 0x6a09cb17374dba3c, 0xd413962e6e9b7478, 0x837e0a0f85a17b9b, 0x2da5324c53d5645d,           \
      0x5b4a6498a7aac8ba, 0xb694c9314f559174, 0x4670b431c63cb183)
#define BITS5(X, b)                                                                                                    \
    X(b, 0xe39d1389931b9354, 0xec6301407ea0b5c3, 0xf39f24d3a5d6f8ed, 0xcc676ff4133a62b1, 0xb397f9bb7ee35609,           \
      0x4c76d525a5513f79, 0x98edaa4b4aa27ef2, 0x1a8272c5cdd36e8f)
#define BITS6(X, b)                                                                                                    \
    X(b, 0x62a95de6e302eff2, 0xc552bbcdc605dfe4, 0xa1fc51c8d49c2ca3, 0x68a185c2f1afca2d, 0xd1430b85e35f945a,           \
      0x89df31589e28bbdf, 0x38e744e264c6e4d5, 0x71ce89c4c98dc9aa)
#define BITS7(X, b)                                                                                                    \
    X(b, 0x381d0015c96f4444, 0x703a002b92de8888, 0xe074005725bd1110, 0xebb126fd13edb14b, 0xfc3b6ba97f4cf1fd,           \
      0xd32ff101a60e7091, 0x8d06c450148b7249, 0x3154aef3718177f9)

#define ENTRY(b, v0, v1, v2, v3, v4, v5, v6, v7)                                                                       \
    (((b)&1 ? v0 : 0) ^ ((b)&2 ? v1 : 0) ^ ((b)&4 ? v2 : 0) ^ ((b)&8 ? v3 : 0) ^ ((b)&16 ? v4 : 0) ^                   \
     ((b)&32 ? v5 : 0) ^ ((b)&64 ? v6 : 0) ^ ((b)&128 ? v7 : 0))
#define ROW4(BITS, b)  BITS(ENTRY, b), BITS(ENTRY, (b) + 1), BITS(ENTRY, (b) + 2), BITS(ENTRY, (b) + 3)
#define ROW16(BITS, b) ROW4(BITS, b), ROW4(BITS, (b) + 4), ROW4(BITS, (b) + 8), ROW4(BITS, (b) + 12)
#define ROW64(BITS, b) ROW16(BITS, b), ROW16(BITS, (b) + 16), ROW16(BITS, (b) + 32), ROW16(BITS, (b) + 48)
#define ROW(BITS)                                                                                                      \
    {                                                                                                                  \
        ROW64(BITS, 0), ROW64(BITS, 64), ROW64(BITS, 128), ROW64(BITS, 192)                                            \
    }

static const uint64_t table[8][256] = {
    ROW(BITS0), ROW(BITS1), ROW(BITS2), ROW(BITS3), ROW(BITS4), ROW(BITS5), ROW(BITS6), ROW(BITS7),
};

uint64_t crc64_by_tables(uint64_t crc, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t x = crc ^ load_u64(p);
        crc = table[7][x & 255] ^ table[6][x >> 8 & 255] ^ table[5][x >> 16 & 255] ^ table[4][x >> 24 & 255] ^
              table[3][x >> 32 & 255] ^ table[2][x >> 40 & 255] ^ table[1][x >> 48 & 255] ^ table[0][x >> 56];
    }
    for (; n; n--) crc = table[0][(crc ^ *p++) & 255] ^ crc >> 8;
    return crc;
}

#ifdef __x86_64__

/* --- folding ------------------------------------------------------------------------------------------------------ */

/* The bytes are a polynomial over GF(2), the first bit (bit 0 of byte 0) its highest power; the sum is what is left of
 * it, times x^64, after division by P. So 16 bytes may be taken away and added again D bits further on, times x^D:
 *
 *     16 bytes   = a x^64 + b             a: the first eight of them, b: the others
 *     times x^D  = a x^(64 + D) + b x^D,  which is, mod P,  a (x^(D + 64) mod P) + b (x^D mod P)
 *
 * Each product has 127 bits and fits into 16 bytes. Bits being reflected, bit 63 of a word is x^0, and the instruction
 * gives the product times x; the constants have one power less for it:
 *
 *     for a: x^(D + 63) mod P        for b: x^(D - 1) mod P
 *
 * That is 1 << 63, shifted D + 63 or D - 1 times to the right through 0x95ac9329ac4bc9b5; crc64_test.c would find any
 * other constant wrong. Four sums go side by side (D = 512), since a product is long in coming and another may begin
 * meanwhile; then they are added, D = 128 apart, and what is left is 16 bytes, for the tables. */
#define FOLD_MIN 64 /* bytes to begin with: 17 ns against 30 (Nov 2026) */
#define FOUR     64 /* bytes a step */

static_assert(FOLD_MIN >= FOUR, "it begins with four times 16 bytes");

typedef __m128i fold_sum;

static const uint64_t fold_512[2] = {0xaf86efb16d9ab4fb, 0xf49784a634f014e4};
static const uint64_t fold_128[2] = {0xd9d7be7d505da32c, 0x381d0015c96f4444};

static __attribute__((target("pclmul"))) inline fold_sum fold(fold_sum sum, fold_sum constants, fold_sum next)
{
    fold_sum a = _mm_clmulepi64_si128(sum, constants, 0x00), b = _mm_clmulepi64_si128(sum, constants, 0x11);
    return _mm_xor_si128(_mm_xor_si128(a, b), next);
}

static inline fold_sum fold_load(const void *p) { return _mm_loadu_si128(p); }

static __attribute__((target("pclmul"))) uint64_t by_folding(uint64_t crc, const unsigned char *p, size_t n)
{
    fold_sum by512 = fold_load(fold_512), by128 = fold_load(fold_128);
    fold_sum s0 = _mm_xor_si128(fold_load(p), _mm_cvtsi64_si128((long long)crc));
    fold_sum s1 = fold_load(p + 16), s2 = fold_load(p + 32), s3 = fold_load(p + 48);
    for (p += FOUR, n -= FOUR; n >= FOUR; p += FOUR, n -= FOUR) {
        s0 = fold(s0, by512, fold_load(p));
        s1 = fold(s1, by512, fold_load(p + 16));
        s2 = fold(s2, by512, fold_load(p + 32));
        s3 = fold(s3, by512, fold_load(p + 48));
    }
    s1 = fold(s0, by128, s1);
    s2 = fold(s1, by128, s2);
    s3 = fold(s2, by128, s3);
    for (; n >= 16; p += 16, n -= 16) s3 = fold(s3, by128, fold_load(p));
    unsigned char left[16];
    _mm_storeu_si128((fold_sum *)left, s3);
    return crc64_by_tables(crc64_by_tables(0, left, sizeof left), p, n);
}

#endif

uint64_t crc64(uint64_t crc, const void *p, size_t n)
{
#ifdef __x86_64__
    if (n >= FOLD_MIN && __builtin_cpu_supports("pclmul")) return by_folding(crc, p, n);
#endif
    return crc64_by_tables(crc, p, n);
}
