/* SPDX-License-Identifier: MIT
 *
 * Six bits are packed from the lowest bit on: four registers take three bytes.
 *
 *     byte       0         1         2
 *            |bbaaaaaa |ccccbbbb |ddddddcc |        a, b, c, d: registers 0 ... 3
 *
 * With AVX2 a step is 32 registers, 24 bytes, 12 of them in each half of a vector. A shuffle gives each three bytes a
 * word of 32 bits of their own, and three shifts bring the registers to their bytes. A half is loaded with the four
 * bytes in front of its twelve, never behind them, so that the last step does not read past the end: hence
 * HLL_PACKED_BEFORE.
 *
 * Counting how many registers have a value compares 32 at a time with it, four values in one pass, from the smallest
 * register on until nearly all have been found, mostly after 12 values; the few that are left are looked up one by one.
 * Adding to a counter for each register, which the portable way does, waits for the counter of the register before,
 * mostly the same one.
 */
#include "server/ds/hll_registers.h"

#include <stdbool.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "alloc/base/assert.h"

#define LOW 63u

/* --- on any machine ---------------------------------------------------------------------------------------------- */

static inline uint32_t load_four(const char *packed)
{
    const unsigned char *p = (const unsigned char *)packed;
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

void hll_registers_unpack_portable(uint8_t registers[HLL_REGISTERS], const char *packed)
{
    for (unsigned i = 0; i < HLL_REGISTERS; i += 4, packed += 3) {
        uint32_t four = load_four(packed);
        for (unsigned k = 0; k < 4; k++) registers[i + k] = four >> 6 * k & LOW;
    }
}

void hll_registers_merge_portable(uint8_t max[HLL_REGISTERS], const char *packed)
{
    for (unsigned i = 0; i < HLL_REGISTERS; i += 4, packed += 3) {
        uint32_t four = load_four(packed);
        for (unsigned k = 0; k < 4; k++) {
            uint8_t v = four >> 6 * k & LOW;
            max[i + k] = max[i + k] > v ? max[i + k] : v;
        }
    }
}

void hll_registers_pack_portable(char *packed, const uint8_t registers[HLL_REGISTERS])
{
    for (unsigned i = 0; i < HLL_REGISTERS; i += 4, packed += 3) {
        const uint8_t *r = registers + i;
        uint32_t four = r[0] | (uint32_t)r[1] << 6 | (uint32_t)r[2] << 12 | (uint32_t)r[3] << 18;
        packed[0] = (char)four;
        packed[1] = (char)(four >> 8);
        packed[2] = (char)(four >> 16);
    }
}

void hll_registers_tally_portable(uint32_t counts[HLL_REGISTER_MAX + 1], const uint8_t registers[HLL_REGISTERS])
{
    uint32_t part[4][HLL_REGISTER_MAX + 1] = {0}; /* of neighbours, so that equal ones do not wait for each other */
    for (unsigned i = 0; i < HLL_REGISTERS; i += 4)
        for (unsigned k = 0; k < 4; k++) part[k][registers[i + k] & LOW]++;
    for (unsigned v = 0; v <= HLL_REGISTER_MAX; v++) counts[v] = part[0][v] + part[1][v] + part[2][v] + part[3][v];
}

#ifdef __x86_64__

/* --- with AVX2 --------------------------------------------------------------------------------------------------- */

#define WIDE __attribute__((target("avx2")))
#define STEP 32 /* registers in a vector */
#define HALF 12 /* packed bytes in half of one */

static_assert(HLL_REGISTERS % STEP == 0, "whole vectors");

static WIDE inline __m256i load_step(const char *packed)
{
    const __m256i spread =
        _mm256_setr_epi8(4, 5, 6, -1, 7, 8, 9, -1, 10, 11, 12, -1, 13, 14, 15, -1, /* the other half */
                         4, 5, 6, -1, 7, 8, 9, -1, 10, 11, 12, -1, 13, 14, 15, -1);
    __m128i low = _mm_loadu_si128((const __m128i *)(packed - HLL_PACKED_BEFORE));
    __m128i high = _mm_loadu_si128((const __m128i *)(packed + HALF - HLL_PACKED_BEFORE));
    __m256i four = _mm256_shuffle_epi8(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1), spread);
    __m256i a = _mm256_and_si256(four, _mm256_set1_epi32(0x3f));
    __m256i b = _mm256_and_si256(_mm256_slli_epi32(four, 2), _mm256_set1_epi32(0x3f00));
    __m256i c = _mm256_and_si256(_mm256_slli_epi32(four, 4), _mm256_set1_epi32(0x3f0000));
    __m256i d = _mm256_and_si256(_mm256_slli_epi32(four, 6), _mm256_set1_epi32(0x3f000000));
    return _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
}

static WIDE void unpack_wide(uint8_t *registers, const char *packed)
{
    for (unsigned i = 0; i < HLL_REGISTERS; i += STEP, packed += 2 * HALF)
        _mm256_storeu_si256((__m256i *)(registers + i), load_step(packed));
}

static WIDE void merge_wide(uint8_t *max, const char *packed)
{
    for (unsigned i = 0; i < HLL_REGISTERS; i += STEP, packed += 2 * HALF) {
        __m256i *p = (__m256i *)(max + i);
        _mm256_storeu_si256(p, _mm256_max_epu8(_mm256_loadu_si256(p), load_step(packed)));
    }
}

static WIDE inline void store_half(char *packed, __m128i half)
{
    int last = _mm_extract_epi32(half, 2);
    _mm_storel_epi64((__m128i *)packed, half);
    memcpy(packed + 8, &last, 4);
}

/* Pairs of registers become 12 bits, pairs of those 24. */
static WIDE void pack_wide(char *packed, const uint8_t *registers)
{
    const __m256i gather = _mm256_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1, /* the other half */
                                            0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    for (unsigned i = 0; i < HLL_REGISTERS; i += STEP, packed += 2 * HALF) {
        __m256i r = _mm256_loadu_si256((const __m256i *)(registers + i));
        __m256i two = _mm256_maddubs_epi16(r, _mm256_set1_epi16(1 | 64 << 8));
        __m256i four = _mm256_madd_epi16(two, _mm256_set1_epi32(1 | 4096 << 16));
        four = _mm256_shuffle_epi8(four, gather);
        store_half(packed, _mm256_castsi256_si128(four));
        store_half(packed + HALF, _mm256_extracti128_si256(four, 1));
    }
}

static WIDE inline uint32_t sum_of_bytes(__m256i v)
{
    __m256i sums = _mm256_sad_epu8(v, _mm256_setzero_si256());
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return (uint32_t)(_mm_extract_epi64(two, 0) + _mm_extract_epi64(two, 1));
}

#define PASS_VALUES 4
#define PART        (128 * STEP) /* registers after which the counts, a byte for each place, are added up */
static_assert(PART / STEP <= UINT8_MAX && HLL_REGISTERS % PART == 0, "a byte does not overflow");
static_assert((HLL_REGISTER_MAX + 1) % PASS_VALUES == 0, "the last pass ends with the last value");

/* counts[from ... from + 3]; gives their sum. */
static WIDE uint32_t tally_pass(uint32_t *counts, const uint8_t *registers, unsigned from)
{
    __m256i value[PASS_VALUES];
    uint32_t found[PASS_VALUES] = {0};
    for (unsigned k = 0; k < PASS_VALUES; k++) value[k] = _mm256_set1_epi8((char)(from + k));
    for (unsigned part = 0; part < HLL_REGISTERS; part += PART) {
        __m256i n[PASS_VALUES];
        for (unsigned k = 0; k < PASS_VALUES; k++) n[k] = _mm256_setzero_si256();
        for (unsigned i = part; i < part + PART; i += STEP) {
            __m256i r = _mm256_loadu_si256((const __m256i *)(registers + i));
            for (unsigned k = 0; k < PASS_VALUES; k++) n[k] = _mm256_sub_epi8(n[k], _mm256_cmpeq_epi8(r, value[k]));
        }
        for (unsigned k = 0; k < PASS_VALUES; k++) found[k] += sum_of_bytes(n[k]);
    }
    uint32_t sum = 0;
    for (unsigned k = 0; k < PASS_VALUES; k++) sum += counts[from + k] = found[k];
    return sum;
}

static WIDE unsigned smallest_wide(const uint8_t *registers)
{
    __m256i least = _mm256_set1_epi8(-1);
    for (unsigned i = 0; i < HLL_REGISTERS; i += STEP)
        least = _mm256_min_epu8(least, _mm256_loadu_si256((const __m256i *)(registers + i)));
    uint8_t each[STEP], v = HLL_REGISTER_MAX;
    _mm256_storeu_si256((__m256i *)each, least);
    for (unsigned i = 0; i < STEP; i++) v = each[i] < v ? each[i] : v;
    return v;
}

#define FEW 64 /* registers left that are counted one by one, which costs less than passes over all of them */

/* counts of the values from `from` on, which few have. */
static WIDE void tally_few(uint32_t *counts, const uint8_t *registers, unsigned from)
{
    const __m256i below = _mm256_set1_epi8((char)(from - 1));
    for (unsigned i = 0; i < HLL_REGISTERS; i += STEP) {
        __m256i r = _mm256_loadu_si256((const __m256i *)(registers + i));
        uint32_t places = (uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi8(r, below));
        for (; places; places &= places - 1) counts[registers[i + (unsigned)__builtin_ctz(places)]]++;
    }
}

static WIDE void tally_wide(uint32_t *counts, const uint8_t *registers)
{
    uint32_t left = HLL_REGISTERS;
    memset(counts, 0, (HLL_REGISTER_MAX + 1) * sizeof *counts);
    unsigned v = smallest_wide(registers) / PASS_VALUES * PASS_VALUES;
    for (; left > FEW && v <= HLL_REGISTER_MAX; v += PASS_VALUES) left -= tally_pass(counts, registers, v);
    if (left) tally_few(counts, registers, v);
}

static inline bool is_wide(void) { return __builtin_cpu_supports("avx2"); }

#else

#define unpack_wide hll_registers_unpack_portable
#define merge_wide  hll_registers_merge_portable
#define pack_wide   hll_registers_pack_portable
#define tally_wide  hll_registers_tally_portable
static inline bool is_wide(void) { return false; }

#endif

/* --- the better one ----------------------------------------------------------------------------------------------- */

void hll_registers_unpack(uint8_t registers[HLL_REGISTERS], const char *packed)
{
    if (is_wide()) unpack_wide(registers, packed);
    else hll_registers_unpack_portable(registers, packed);
}

void hll_registers_merge(uint8_t max[HLL_REGISTERS], const char *packed)
{
    if (is_wide()) merge_wide(max, packed);
    else hll_registers_merge_portable(max, packed);
}

void hll_registers_pack(char *packed, const uint8_t registers[HLL_REGISTERS])
{
    if (is_wide()) pack_wide(packed, registers);
    else hll_registers_pack_portable(packed, registers);
}

void hll_registers_tally(uint32_t counts[HLL_REGISTER_MAX + 1], const uint8_t registers[HLL_REGISTERS])
{
    if (is_wide()) tally_wide(counts, registers);
    else hll_registers_tally_portable(counts, registers);
}
