/* SPDX-License-Identifier: MIT
 *
 *   ziplist  bytes (4) | offset of the last entry (4) | entries (2; 65535: count) | entry ... | 0xFF, little-endian
 *            entry: size of the one before (1 byte below 254, else 0xFE and 4) | encoding | data
 *            encoding: 00LLLLLL  01LLLLLL L  10...... LLLL (big-endian): a string;
 *            0xC0 i16, 0xD0 i32, 0xE0 i64, 0xF0 i24, 0xFE i8; 0xF1 ... 0xFD: 0 ... 12
 *   zipmap   entries (1; 254 and over: count them) | (length | field | length | free (1) | value | free bytes) ...
 *            | 0xFF; length: 1 byte below 254, else 0xFE and 4
 *
 * Everything is checked against the block's end before it is read, and the redundant figures (sizes backwards, counts,
 * the last entry's offset) against what is found.
 */
#include "server/rdb/old.h"

#define ZIPLIST_HEADER 10
#define END            0xff
#define LONG_SIZE      0xfe
#define COUNT_UNKNOWN  65535
#define ZIPMAP_UNKNOWN 254

struct cursor {
    const unsigned char *at, *end; /* end: the 0xFF that closes the block */
};

static bool has(const struct cursor *c, uint64_t n) { return (uint64_t)(c->end - c->at) >= n; }

/* One byte, or 0xFE and four. */
static bool read_size(struct cursor *c, uint32_t *n)
{
    if (!has(c, 1) || *c->at == END) return false;
    if (*c->at < LONG_SIZE) {
        *n = *c->at++;
        return true;
    }
    if (!has(c, 5)) return false;
    *n = load_u32(c->at + 1);
    c->at += 5;
    return true;
}

static int64_t int24(const unsigned char *p)
{
    return (int32_t)((uint32_t)p[0] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 24) >> 8;
}

static bool read_string(struct cursor *c, struct lp_value *v)
{
    unsigned kind = *c->at >> 6;
    size_t head = kind == 0 ? 1 : kind == 1 ? 2 : 5;
    if (!has(c, head)) return false;
    uint64_t n = kind == 0 ? *c->at & 63u : kind == 1 ? load_be16(c->at) & 0x3fffu : load_be32(c->at + 1);
    c->at += head;
    if (!has(c, n)) return false;
    *v = (struct lp_value){.s = bytes_of(c->at, (size_t)n)};
    c->at += n;
    return true;
}

static bool read_int(struct cursor *c, struct lp_value *v)
{
    unsigned code = *c->at++;
    *v = (struct lp_value){.s = {NULL, 0}};
    if (code >= 0xf1 && code <= 0xfd) {
        v->i = code - 0xf1;
        return true;
    }
    size_t n = code == 0xfe ? 1 : code == 0xc0 ? 2 : code == 0xf0 ? 3 : code == 0xd0 ? 4 : code == 0xe0 ? 8 : 0;
    if (n == 0 || !has(c, n)) return false;
    switch (n) {
    case 1: v->i = (int8_t)*c->at; break;
    case 2: v->i = (int16_t)load_u16(c->at); break;
    case 3: v->i = int24(c->at); break;
    case 4: v->i = (int32_t)load_u32(c->at); break;
    default: v->i = (int64_t)load_u64(c->at); break;
    }
    c->at += n;
    return true;
}

bool rdb_ziplist_each(struct bytes zl, bool (*fn)(void *arg, struct lp_value v), void *arg)
{
    const unsigned char *p = (const unsigned char *)zl.p;
    if (zl.n <= ZIPLIST_HEADER || load_u32(p) != zl.n || p[zl.n - 1] != END) return false;
    struct cursor c = {p + ZIPLIST_HEADER, p + zl.n - 1};
    uint32_t tail = load_u32(p + 4), count = load_u16(p + 8), seen = 0;
    if (tail > zl.n - 1) return false;
    const unsigned char *last = NULL;
    while (c.at < c.end) {
        uint32_t before;
        struct lp_value v;
        const unsigned char *start = c.at;
        if (!read_size(&c, &before) || before != (last ? (uint64_t)(start - last) : 0) || !has(&c, 1)) return false;
        if (*c.at >= 0xc0 ? !read_int(&c, &v) : !read_string(&c, &v)) return false;
        if (!fn(arg, v)) return false;
        last = start;
        seen++;
    }
    if (last && last != p + tail) return false;
    return count == COUNT_UNKNOWN || count == seen;
}

bool rdb_zipmap_each(struct bytes zm, bool (*fn)(void *arg, struct bytes field, struct bytes value), void *arg)
{
    const unsigned char *p = (const unsigned char *)zm.p;
    if (zm.n < 2 || p[zm.n - 1] != END) return false;
    struct cursor c = {p + 1, p + zm.n - 1};
    uint64_t seen = 0;
    while (c.at < c.end) {
        uint32_t n;
        if (!read_size(&c, &n) || !has(&c, n)) return false;
        struct bytes field = bytes_of(c.at, n);
        c.at += n;
        if (!read_size(&c, &n) || !has(&c, (uint64_t)n + 1)) return false;
        unsigned spare = *c.at++;
        struct bytes value = bytes_of(c.at, n);
        c.at += n;
        if (!has(&c, spare)) return false;
        c.at += spare;
        if (!fn(arg, field, value)) return false;
        seen++;
    }
    return seen && (*p >= ZIPMAP_UNKNOWN || *p == seen);
}
