/* SPDX-License-Identifier: MIT
 *
 * A view of bytes somebody else owns, and loads and stores of integers at any address.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Not NUL-terminated; p may be NULL only when n is 0. */
struct bytes {
    const char *p;
    size_t n;
};

/* BYTES("literal") */
#define BYTES(lit) ((struct bytes){(lit), sizeof(lit) - 1})

static inline struct bytes bytes_of(const void *p, size_t n) { return (struct bytes){p, n}; }
static inline struct bytes bytes_of_str(const char *s) { return (struct bytes){s, strlen(s)}; }

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* memcmp order, a prefix before what it begins. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c) return c;
    return (a.n > b.n) - (a.n < b.n);
}

/* ASCII case is ignored; `lower` is a NUL-terminated word in lower case. */
static inline bool bytes_is_word(struct bytes a, const char *lower)
{
    for (size_t i = 0; i < a.n; i++) {
        unsigned char ch = (unsigned char)a.p[i];
        if (ch >= 'A' && ch <= 'Z') ch |= 0x20;
        if (lower[i] == 0 || ch != (unsigned char)lower[i]) return false;
    }
    return lower[a.n] == 0;
}

static inline uint16_t load_u16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t load_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t load_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void store_u16(void *p, uint16_t v) { memcpy(p, &v, sizeof v); }
static inline void store_u32(void *p, uint32_t v) { memcpy(p, &v, sizeof v); }
static inline void store_u64(void *p, uint64_t v) { memcpy(p, &v, sizeof v); }

/* Network order (big-endian). */
static inline uint16_t load_be16(const void *p) { return __builtin_bswap16(load_u16(p)); }
static inline uint32_t load_be32(const void *p) { return __builtin_bswap32(load_u32(p)); }
static inline uint64_t load_be64(const void *p) { return __builtin_bswap64(load_u64(p)); }
static inline void store_be16(void *p, uint16_t v) { store_u16(p, __builtin_bswap16(v)); }
static inline void store_be32(void *p, uint32_t v) { store_u32(p, __builtin_bswap32(v)); }
static inline void store_be64(void *p, uint64_t v) { store_u64(p, __builtin_bswap64(v)); }

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian hosts only");

#endif
