/* SPDX-License-Identifier: MIT
 *
 * An element of a sorted set, packed. Private to ztree.
 *
 *     +---------------------+----------------+---------------+--------+
 *     | length:5 width:3    | length, 0 - 8  | score, 1 - 8  | member |
 *     +---------------------+----------------+---------------+--------+
 *
 * A length up to 27 fits into the first byte; 28 to 31 say that 1, 2, 4 or 8 bytes of it follow. Scores are mostly
 * small integers, times or geohashes, so a score takes the narrowest of six forms that gives back every bit of it (-0.0
 * is a float). A 16-byte member with an integer score takes 18 to 24 bytes, where a plain double would make it 25: the
 * next size class.
 */
#ifndef SERVER_DS_ZTREE_ELEM_H
#define SERVER_DS_ZTREE_ELEM_H

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"

enum zscore_width { ZSCORE_I8, ZSCORE_I16, ZSCORE_I32, ZSCORE_I56, ZSCORE_FLOAT, ZSCORE_DOUBLE };

#define ZELEM_LENGTH_MAX 27

static inline unsigned zscore_size(enum zscore_width w)
{
    static const uint8_t sizes[8] = {1, 2, 4, 7, 4, 8, 8, 8};
    return sizes[w];
}

static inline unsigned zelem_length_size(size_t n)
{
    if (n <= ZELEM_LENGTH_MAX) return 0;
    if (n <= UINT8_MAX) return 1;
    if (n <= UINT16_MAX) return 2;
    return n <= UINT32_MAX ? 4 : 8;
}

static inline bool zscore_same_bits(double a, double b) { return memcmp(&a, &b, sizeof a) == 0; }

static inline enum zscore_width zscore_width_of(double score)
{
    /* cppcheck-suppress incorrectLogicOperator ; it reads 0x1p53 as 0 */
    if (score > -0x1p53 && score < 0x1p53) {
        int64_t i = (int64_t)score;
        if (zscore_same_bits((double)i, score)) {
            if (i == (int8_t)i) return ZSCORE_I8;
            if (i == (int16_t)i) return ZSCORE_I16;
            return i == (int32_t)i ? ZSCORE_I32 : ZSCORE_I56;
        }
    }
    return zscore_same_bits((double)(float)score, score) ? ZSCORE_FLOAT : ZSCORE_DOUBLE;
}

static inline size_t zelem_size(size_t member_size, double score)
{
    return 1 + zelem_length_size(member_size) + zscore_size(zscore_width_of(score)) + member_size;
}

/* Writes an element; the member may already lie in it, anywhere. */
static inline void zelem_put(void *elem, struct bytes member, double score)
{
    uint8_t *p = elem;
    enum zscore_width w = zscore_width_of(score);
    unsigned length_size = zelem_length_size(member.n), score_size = zscore_size(w);
    uint8_t code = length_size == 0 ? (uint8_t)member.n : (uint8_t)(28 + __builtin_ctz(length_size));
    uint8_t *to = p + 1 + length_size + score_size;
    if (member.n) memmove(to, member.p, member.n);
    *p++ = (uint8_t)(code << 3 | w);
    uint64_t n = member.n, bits;
    memcpy(p, &n, length_size);
    p += length_size;
    if (w == ZSCORE_DOUBLE) {
        memcpy(&bits, &score, 8);
    } else if (w == ZSCORE_FLOAT) {
        float f = (float)score;
        memcpy(&bits, &f, 4);
    } else {
        bits = (uint64_t)(int64_t)score;
    }
    memcpy(p, &bits, score_size);
}

static inline const uint8_t *zelem_length(const void *elem, size_t *n) /* returns where the score is */
{
    const uint8_t *p = elem;
    uint8_t code = *p++ >> 3;
    if (likely(code <= ZELEM_LENGTH_MAX)) {
        *n = code;
        return p;
    }
    unsigned size = 1u << (code - 28);
    uint64_t v = 0;
    memcpy(&v, p, size);
    *n = v;
    return p + size;
}

static inline enum zscore_width zelem_width(const void *elem) { return *(const uint8_t *)elem & 7; }

static inline struct bytes zelem_member(const void *elem)
{
    size_t n;
    const uint8_t *p = zelem_length(elem, &n);
    return bytes_of(p + zscore_size(zelem_width(elem)), n);
}

static inline double zelem_score(const void *elem)
{
    size_t n;
    const uint8_t *p = zelem_length(elem, &n);
    uint64_t bits = 0;
    double d;
    float f;
    switch (zelem_width(elem)) {
    case ZSCORE_I8: return (int8_t)*p;
    case ZSCORE_I16: return (int16_t)load_u16(p);
    case ZSCORE_I32: return (int32_t)load_u32(p);
    case ZSCORE_I56: memcpy(&bits, p, 7); return (double)((int64_t)(bits << 8) >> 8);
    case ZSCORE_FLOAT: memcpy(&f, p, 4); return f;
    default: memcpy(&d, p, 8); return d;
    }
}

#endif
