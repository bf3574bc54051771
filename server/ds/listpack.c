/* SPDX-License-Identifier: MIT
 *
 * Listpacks (github.com/antirez/listpack; the variant Redis 7 writes). Encodings by first byte:
 *
 *   0xxxxxxx                           0 ... 127
 *   10LLLLLL  bytes                    string of up to 63
 *   110xxxxx xxxxxxxx                  13-bit signed, high bits first
 *   1110LLLL LLLLLLLL  bytes           string of up to 4095
 *   11110000 L0 L1 L2 L3  bytes        string, length little-endian
 *   11110001 ... 11110100              16, 24, 32, 64-bit signed, little-endian
 *   11111111                           end
 *
 * The backlen is in groups of 7 bits, most significant first, bit 7 set on all but the first, so that it is read from
 * its last byte backwards. Redis moves to the next size one early (16383 takes three bytes); so do we, or validation
 * there would refuse our bytes.
 *
 * Growth: the allocation is rounded up to what the heap would hand out anyway (demi_good_size through mem_size()), and
 * from GROW_GEOMETRIC_FROM on by an eighth more, so that appending n elements moves O(n) bytes and small listpacks
 * waste nothing.
 */
#include "server/ds/listpack.h"

#include "server/mem.h"

#define END                 LP_END
#define COUNT_UNKNOWN       65535u
#define GROW_GEOMETRIC_FROM 1024u
#define INT_ENCODED_MAX     9
#define BACKLEN_MAX         5

/* How an element will lie: `head` holds the whole of an integer or the header of a string. */
struct form {
    uint8_t head[INT_ENCODED_MAX];
    uint8_t head_size;
    struct bytes s; /* string bytes, empty for an integer */
    uint8_t backlen[BACKLEN_MAX];
    uint8_t backlen_size;
    size_t size; /* all of the above */
};

static void header_set(unsigned char *lp, size_t bytes, size_t count)
{
    store_u32(lp, (uint32_t)bytes);
    store_u16(lp + 4, (uint16_t)(count < COUNT_UNKNOWN ? count : COUNT_UNKNOWN));
}

static unsigned backlen_size(size_t n)
{
    return n <= 127 ? 1 : n < 16383 ? 2 : n < 2097151 ? 3 : n < 268435455 ? 4 : 5;
}

static unsigned backlen_write(uint8_t *to, size_t n)
{
    unsigned size = backlen_size(n);
    for (unsigned i = size; i-- > 0; n >>= 7) to[i] = (uint8_t)((n & 127) | (i ? 128 : 0));
    return size;
}

/* Reads backwards from its last byte, not before `floor`. 0: malformed. */
static size_t backlen_read(const unsigned char *last, const unsigned char *floor)
{
    size_t n = 0;
    for (unsigned shift = 0; shift < 7 * BACKLEN_MAX; shift += 7) {
        if (last < floor) return 0;
        n |= (size_t)(*last & 127) << shift;
        if (!(*last & 128)) return n;
        last--;
    }
    return 0;
}

static void form_finish(struct form *f)
{
    size_t n = f->head_size + f->s.n;
    f->backlen_size = (uint8_t)backlen_write(f->backlen, n);
    f->size = n + f->backlen_size;
}

static void form_of_i64(struct form *f, int64_t v)
{
    f->s = (struct bytes){0};
    if (v >= 0 && v <= 127) {
        f->head[0] = (uint8_t)v;
        f->head_size = 1;
    } else if (v >= -4096 && v <= 4095) {
        f->head[0] = (uint8_t)(0xc0 | ((uint64_t)v >> 8 & 0x1f));
        f->head[1] = (uint8_t)v;
        f->head_size = 2;
    } else {
        unsigned size = v >= INT16_MIN && v <= INT16_MAX   ? 2
                        : v >= -(1 << 23) && v < (1 << 23) ? 3
                        : v >= INT32_MIN && v <= INT32_MAX ? 4
                                                           : 8;
        f->head[0] = size == 8 ? 0xf4 : (uint8_t)(0xef + size);
        memcpy(f->head + 1, &v, size == 8 ? 8 : 4);
        f->head_size = (uint8_t)(1 + size);
    }
    form_finish(f);
}

static void form_of(struct form *f, struct bytes s)
{
    int64_t v;
    if (s.n <= 20 && number_parse_i64(s, &v)) {
        form_of_i64(f, v);
        return;
    }
    f->s = s;
    if (s.n < 64) {
        f->head[0] = (uint8_t)(0x80 | s.n);
        f->head_size = 1;
    } else if (s.n < 4096) {
        f->head[0] = (uint8_t)(0xe0 | s.n >> 8);
        f->head[1] = (uint8_t)s.n;
        f->head_size = 2;
    } else {
        f->head[0] = 0xf0;
        store_u32(f->head + 1, (uint32_t)s.n);
        f->head_size = 5;
    }
    form_finish(f);
}

static void form_write(const struct form *f, unsigned char *to)
{
    memcpy(to, f->head, f->head_size);
    to += f->head_size;
    if (f->s.n) memcpy(to, f->s.p, f->s.n);
    memcpy(to + f->s.n, f->backlen, f->backlen_size);
}

/* Bytes of the encoding's header: what must be readable before entry_body() may be asked. 0: no such encoding. */
static unsigned entry_head(const unsigned char *e)
{
    if (e[0] < 0xc0) return 1;
    if (e[0] < 0xf0) return 2;
    return e[0] == 0xf0 ? 5 : e[0] <= 0xf4 ? 1 : 0;
}

/* Bytes of encoding and data, without the backlen. */
static size_t entry_body(const unsigned char *e)
{
    if (e[0] < 0x80) return 1;
    if (e[0] < 0xc0) return 1 + (size_t)(e[0] & 63);
    if (e[0] < 0xe0) return 2;
    if (e[0] < 0xf0) return 2 + ((size_t)(e[0] & 15) << 8 | e[1]);
    switch (e[0]) {
    case 0xf0: return 5 + (size_t)load_u32(e + 1);
    case 0xf1: return 3;
    case 0xf2: return 4;
    case 0xf3: return 5;
    default: return 9;
    }
}

static size_t entry_size(const unsigned char *e)
{
    size_t body = entry_body(e);
    return body + backlen_size(body);
}

unsigned char *lp_new(size_t room)
{
    unsigned char *lp = mem_alloc(room > LP_EMPTY_SIZE ? room : LP_EMPTY_SIZE);
    header_set(lp, LP_EMPTY_SIZE, 0);
    lp[LP_HEADER_SIZE] = END;
    return lp;
}

void lp_free(unsigned char *lp)
{
    if (!lp_is_guest(lp)) mem_free(lp);
    else if (lp_is_moving(lp)) mem_free(lp - lp_guest_at(lp));
}

unsigned char *lp_dup(const unsigned char *lp)
{
    size_t n = lp_bytes(lp);
    return memcpy(mem_alloc(n), lp, n);
}

unsigned char *lp_shrink(unsigned char *lp)
{
    size_t n = lp_bytes(lp);
    if (lp_is_guest(lp)) return lp;
    return mem_size(lp) > demi_good_size(n) ? mem_realloc(lp, n) : lp;
}

size_t lp_bytes(const unsigned char *lp) { return load_u32(lp); }

size_t lp_count(const unsigned char *lp)
{
    size_t count = load_u16(lp + 4);
    if (count != COUNT_UNKNOWN) return count;
    count = 0;
    for (const unsigned char *e = lp_first(lp); e; e = lp_next(lp, e)) count++;
    return count;
}

bool lp_fits(const unsigned char *lp, size_t add)
{
    size_t n = lp ? lp_bytes(lp) : 0;
    return add <= LP_SIZE_MAX && n + add <= LP_SIZE_MAX;
}

static unsigned char *or_null(const unsigned char *e) { return *e == END ? NULL : (unsigned char *)e; }

unsigned char *lp_first(const unsigned char *lp) { return or_null(lp + LP_HEADER_SIZE); }

unsigned char *lp_next(const unsigned char *lp, const unsigned char *entry)
{
    (void)lp;
    return or_null(entry + entry_size(entry));
}

unsigned char *lp_prev(const unsigned char *lp, const unsigned char *entry)
{
    if (entry == lp + LP_HEADER_SIZE) return NULL;
    size_t body = backlen_read(entry - 1, lp + LP_HEADER_SIZE);
    return (unsigned char *)entry - body - backlen_size(body);
}

unsigned char *lp_last(const unsigned char *lp) { return lp_prev(lp, lp + lp_bytes(lp) - 1); }

unsigned char *lp_seek(const unsigned char *lp, long index)
{
    size_t count = load_u16(lp + 4);
    if (count != COUNT_UNKNOWN) { /* walk from the nearer end */
        if (index >= (long)count || index < -(long)count) return NULL;
        if (index >= 0 && index > (long)count / 2) index -= (long)count;
        else if (index < 0 && -index > (long)count / 2) index += (long)count;
    }
    unsigned char *e;
    if (index >= 0) {
        for (e = lp_first(lp); e && index > 0; index--) e = lp_next(lp, e);
    } else {
        for (e = lp_last(lp); e && index < -1; index++) e = lp_prev(lp, e);
    }
    return e;
}

static struct lp_value integer(int64_t v) { return (struct lp_value){.i = v}; }

static struct lp_value string(const unsigned char *p, size_t n) { return (struct lp_value){.s = bytes_of(p, n)}; }

const unsigned char *lp_after_slow(const unsigned char *entry) { return entry + entry_size(entry); }

struct lp_value lp_get(const unsigned char *e)
{
    if (e[0] < 0x80) return integer(e[0]);
    if (e[0] < 0xc0) return string(e + 1, e[0] & 63);
    if (e[0] < 0xe0) return integer((int16_t)(uint16_t)((e[0] & 31) << 11 | e[1] << 3) >> 3);
    if (e[0] < 0xf0) return string(e + 2, (size_t)(e[0] & 15) << 8 | e[1]);
    switch (e[0]) {
    case 0xf0: return string(e + 5, load_u32(e + 1));
    case 0xf1: return integer((int16_t)load_u16(e + 1));
    case 0xf2: return integer((int32_t)((uint32_t)load_u16(e + 1) << 8 | (uint32_t)e[3] << 24) >> 8);
    case 0xf3: return integer((int32_t)load_u32(e + 1));
    default: return integer((int64_t)load_u64(e + 1));
    }
}

struct bytes lp_value_bytes(struct lp_value v, char buf[NUMBER_I64_SIZE])
{
    if (v.s.p) return v.s;
    return bytes_of(buf, number_format_i64(buf, v.i));
}

struct bytes lp_get_bytes(const unsigned char *entry, char buf[NUMBER_I64_SIZE])
{
    return lp_value_bytes(lp_get(entry), buf);
}

bool lp_value_i64(struct lp_value v, int64_t *out)
{
    if (v.s.p) return number_parse_i64(v.s, out);
    *out = v.i;
    return true;
}

bool lp_equal(const unsigned char *entry, struct bytes s)
{
    char buf[NUMBER_I64_SIZE];
    return bytes_equal(lp_get_bytes(entry, buf), s);
}

unsigned char *lp_find(const unsigned char *lp, const unsigned char *from, struct bytes s, unsigned skip)
{
    int64_t wanted = 0;
    bool is_int = s.n <= 20 && number_parse_i64(s, &wanted);
    unsigned passing = 0;
    for (const unsigned char *e = from; e; e = lp_next(lp, e)) {
        if (passing) {
            passing--;
            continue;
        }
        struct lp_value v = lp_get(e);
        /* An integer's text stored as a string is legal in data from outside, though nobody writes it so. */
        if (v.s.p ? bytes_equal(v.s, s) : is_int && v.i == wanted) return (unsigned char *)e;
        passing = skip;
    }
    return NULL;
}

static __attribute__((noinline)) unsigned char *reserve_guest(unsigned char *lp, size_t bytes)
{
    unsigned at = lp_guest_at(lp);
    if (at + bytes <= mem_size(lp - at)) return lp;
    size_t has = lp_bytes(lp);
    unsigned char *to;
    if (bytes > LP_GUEST_SIZE_MAX) {
        to = memcpy(mem_alloc(bytes), lp, has);
    } else {
        to = (unsigned char *)memcpy(mem_alloc(at + bytes), lp - at, at + has) + at;
        to[-1] |= LP_GUEST_MOVING;
    }
    lp_free(lp);
    return to;
}

static unsigned char *reserve(unsigned char *lp, size_t bytes)
{
    if (unlikely(lp_is_guest(lp))) return reserve_guest(lp, bytes);
    if (bytes <= mem_size(lp)) return lp;
    size_t room = bytes >= GROW_GEOMETRIC_FROM ? bytes + bytes / 8 : bytes;
    return mem_realloc(lp, demi_good_size(room));
}

/* The bytes [at, at + old_size) become the element f, or nothing (f NULL). All growing and shrinking goes through
 * here. */
static unsigned char *splice(unsigned char *lp, size_t at, size_t old_size, size_t old_count, const struct form *f)
{
    size_t bytes = lp_bytes(lp), new_size = f ? f->size : 0;
    size_t count = load_u16(lp + 4);
    ASSERT(new_size <= UINT32_MAX - bytes);
    if (new_size > old_size) lp = reserve(lp, bytes + new_size - old_size);
    memmove(lp + at + new_size, lp + at + old_size, bytes - at - old_size);
    if (f) form_write(f, lp + at);
    if (count != COUNT_UNKNOWN) count = count - old_count + (f ? 1 : 0); /* once unknown, it stays so */
    header_set(lp, bytes + new_size - old_size, count);
    /* Half and more unused: give it back. */
    if (old_size > new_size && lp_bytes(lp) < mem_size(lp) / 2) lp = lp_shrink(lp);
    return lp;
}

static unsigned char *insert_form(unsigned char *lp, size_t at, const struct form *f, unsigned char **new_entry)
{
    lp = splice(lp, at, 0, 0, f);
    if (new_entry) *new_entry = lp + at;
    return lp;
}

unsigned char *lp_append(unsigned char *lp, struct bytes s)
{
    struct form f;
    form_of(&f, s);
    return insert_form(lp, lp_bytes(lp) - 1, &f, NULL);
}

unsigned char *lp_append_i64(unsigned char *lp, int64_t v)
{
    struct form f;
    form_of_i64(&f, v);
    return insert_form(lp, lp_bytes(lp) - 1, &f, NULL);
}

/* What an element may take at most: that it is looked at only once is worth some bytes of room. */
static size_t size_most(struct lp_value v) { return lp_value_is_i64(v) ? LP_I64_SIZE_MAX : v.s.n + 5 + BACKLEN_MAX; }

unsigned char *lp_append_values(unsigned char *lp, const struct lp_value *v, size_t count)
{
    size_t bytes = lp_bytes(lp), most = bytes, elements = load_u16(lp + 4);
    for (size_t i = 0; i < count; i++) most += size_most(v[i]);
    ASSERT(most <= UINT32_MAX);
    lp = reserve(lp, most);
    unsigned char *at = lp + bytes - 1;
    for (size_t i = 0; i < count; i++) {
        if (lp_value_is_i64(v[i]) && v[i].i >= 0 && v[i].i <= 127) {
            *at++ = (unsigned char)v[i].i;
            *at++ = 1;
            continue;
        }
        struct form f;
        if (lp_value_is_i64(v[i])) form_of_i64(&f, v[i].i);
        else form_of(&f, v[i].s);
        form_write(&f, at);
        at += f.size;
    }
    *at = END;
    if (elements != COUNT_UNKNOWN) elements += count;
    header_set(lp, (size_t)(at + 1 - lp), elements);
    return lp;
}

unsigned char *lp_reserve(unsigned char *lp, size_t bytes)
{
    ASSERT(!lp_is_guest(lp));
    return bytes > mem_size(lp) ? mem_realloc(lp, demi_good_size(bytes)) : lp;
}

static unsigned char *insert_pair(unsigned char *lp, size_t at, struct bytes a, struct bytes b)
{
    struct form fa, fb;
    form_of(&fa, a);
    form_of(&fb, b);
    size_t bytes = lp_bytes(lp), count = load_u16(lp + 4), more = fa.size + fb.size;
    ASSERT(more <= UINT32_MAX - bytes);
    lp = reserve(lp, bytes + more);
    memmove(lp + at + more, lp + at, bytes - at);
    form_write(&fa, lp + at);
    form_write(&fb, lp + at + fa.size);
    header_set(lp, bytes + more, count != COUNT_UNKNOWN ? count + 2 : count);
    return lp;
}

unsigned char *lp_append_pair(unsigned char *lp, struct bytes a, struct bytes b)
{
    return insert_pair(lp, lp_bytes(lp) - 1, a, b);
}

unsigned char *lp_insert_pair_before(unsigned char *lp, unsigned char *entry, struct bytes a, struct bytes b)
{
    return insert_pair(lp, (size_t)(entry - lp), a, b);
}

unsigned char *lp_prepend(unsigned char *lp, struct bytes s)
{
    struct form f;
    form_of(&f, s);
    return insert_form(lp, LP_HEADER_SIZE, &f, NULL);
}

unsigned char *lp_insert_before(unsigned char *lp, unsigned char *entry, struct bytes s, unsigned char **new_entry)
{
    struct form f;
    form_of(&f, s);
    return insert_form(lp, (size_t)(entry - lp), &f, new_entry);
}

unsigned char *lp_insert_after(unsigned char *lp, unsigned char *entry, struct bytes s, unsigned char **new_entry)
{
    struct form f;
    form_of(&f, s);
    return insert_form(lp, (size_t)(entry - lp) + entry_size(entry), &f, new_entry);
}

static unsigned char *replace_form(unsigned char *lp, unsigned char **entry, const struct form *f)
{
    size_t at = (size_t)(*entry - lp);
    lp = splice(lp, at, entry_size(*entry), 1, f);
    *entry = lp + at;
    return lp;
}

unsigned char *lp_replace(unsigned char *lp, unsigned char **entry, struct bytes s)
{
    struct form f;
    form_of(&f, s);
    return replace_form(lp, entry, &f);
}

unsigned char *lp_replace_i64(unsigned char *lp, unsigned char **entry, int64_t v)
{
    if (likely(**entry < 0x80 && v >= 0 && v <= 127)) {
        **entry = (unsigned char)v;
        return lp;
    }
    struct form f;
    form_of_i64(&f, v);
    return replace_form(lp, entry, &f);
}

unsigned char *lp_delete(unsigned char *lp, unsigned char **entry) { return lp_delete_run(lp, entry, 1); }

unsigned char *lp_delete_run(unsigned char *lp, unsigned char **entry, size_t count)
{
    size_t at = (size_t)(*entry - lp), deleted = 0;
    const unsigned char *e = *entry;
    for (; deleted < count && *e != END; deleted++) e += entry_size(e);
    lp = splice(lp, at, (size_t)(e - *entry), deleted, NULL);
    *entry = or_null(lp + at);
    return lp;
}

unsigned char *lp_delete_range(unsigned char *lp, long index, size_t count)
{
    unsigned char *e = count ? lp_seek(lp, index) : NULL;
    return e ? lp_delete_run(lp, &e, count) : lp;
}

unsigned char *lp_merge(unsigned char *a, unsigned char *b)
{
    size_t a_bytes = lp_bytes(a), b_bytes = lp_bytes(b), bytes = a_bytes + b_bytes - LP_EMPTY_SIZE;
    size_t a_count = load_u16(a + 4), b_count = load_u16(b + 4);
    ASSERT(bytes <= UINT32_MAX);
    a = reserve(a, bytes);
    memcpy(a + a_bytes - 1, b + LP_HEADER_SIZE, b_bytes - LP_HEADER_SIZE);
    header_set(a, bytes, a_count == COUNT_UNKNOWN || b_count == COUNT_UNKNOWN ? COUNT_UNKNOWN : a_count + b_count);
    lp_free(b);
    return a;
}

/* The size of the entry at e, wholly before `end` (the terminator) and with a backlen that agrees; 0: not so. */
static size_t entry_check(const unsigned char *e, const unsigned char *end)
{
    size_t left = (size_t)(end - e);
    unsigned head = entry_head(e);
    if (head == 0 || head > left) return 0;
    size_t body = entry_body(e);
    if (body > left || backlen_size(body) > left - body) return 0;
    size_t size = body + backlen_size(body);
    return backlen_read(e + size - 1, e + body) == body ? size : 0;
}

bool lp_validate(const unsigned char *lp, size_t size, bool deep,
                 bool (*each)(const unsigned char *entry, size_t index, void *ctx), void *ctx)
{
    if (size < LP_EMPTY_SIZE || lp_bytes(lp) != size || lp[size - 1] != END) return false;
    if (!deep) return true;
    const unsigned char *e = lp + LP_HEADER_SIZE, *end = lp + size - 1;
    size_t count = 0;
    while (e < end) {
        size_t entry = entry_check(e, end);
        if (entry == 0) return false;
        if (each && !each(e, count, ctx)) return false;
        e += entry;
        count++;
    }
    size_t told = load_u16(lp + 4);
    return told == COUNT_UNKNOWN || told == count;
}
