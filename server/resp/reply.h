/* SPDX-License-Identifier: MIT
 *
 * Replies: a writer of RESP2 or RESP3 (`proto`) into chunks of memory that can be given to a device as they lie.
 * Nothing here fails. What RESP2 does not have comes out as Redis sends it there: a map is an array of 2n, a double a
 * bulk string, null "$-1".
 *
 * A reply may have a bound: may_grow() is asked whenever more memory is wanted. If it refuses, everything written is
 * dropped and so is what is written afterwards (`over`): whoever it was for is closed without it.
 */
#ifndef SERVER_RESP_REPLY_H
#define SERVER_RESP_REPLY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"

/* One piece of output. Free with reply_chunk_free() when it has been pushed. */
struct reply_chunk {
    struct reply_chunk *next;
    char *data;
    size_t used, cap;           /* cap 0: foreign memory */
    void (*release)(void *ctx); /* foreign memory: called by reply_chunk_free() */
    void *ctx;
};
#define REPLY_CHUNK_SIZE 16384  /* the first one's allocation, header included */
#define REPLY_CHUNK_MAX  262144 /* they double up to this; a larger payload gets a chunk of its size */

struct reply {
    char *at, *end; /* free room of the tail chunk */
    struct reply_chunk *head, *tail;
    size_t sealed_bytes;  /* in chunks before the tail */
    uint8_t proto;        /* 2 or 3; may be changed at any time */
    uint8_t deferred;     /* open deferred lengths */
    bool over;            /* has outgrown its bound: holds nothing, takes nothing */
    uint32_t error_count; /* reply_error calls so far; for commandstats and MULTI */
    /* NULL or called for each error: "ERR ..." without '-' (errorstats) */
    void (*on_error)(void *ctx, struct bytes text);
    void *on_error_ctx;
    /* NULL, or asked before the reply takes memory beyond the `bytes` it will then hold; false: it must not. */
    bool (*may_grow)(struct reply *r, size_t bytes);
    const struct reply_values *values; /* NULL, or who takes what is replied as values and not as text */
};

/* Whoever wants a command's reply and not its text (a script): each is handed one value, in the order of the reply; a
 * header of an aggregate is followed by what it announces. Such a reply never has room, so that what it is tested by is
 * what every reply is tested by. It may set `over`, after which values may be missing. */
struct reply_values {
    void (*status)(struct reply *r, struct bytes text);
    void (*error)(struct reply *r, struct bytes text); /* with its code, without '-' */
    void (*integer)(struct reply *r, int64_t v);
    void (*bulk)(struct reply *r, struct bytes s);
    void (*null)(struct reply *r, bool array); /* array: RESP2 has another one there */
    void (*boolean)(struct reply *r, bool v);  /* RESP3 only, and so are the next three */
    void (*real)(struct reply *r, double v);
    void (*big_number)(struct reply *r, struct bytes digits);
    void (*verbatim)(struct reply *r, struct bytes s, const char format[3]);
    /* type as in RESP: * % ~ > |; of % and | count pairs follow. */
    void (*aggregate)(struct reply *r, char type, uint64_t count);
    void (*defer)(struct reply *r);
    void (*defer_end)(struct reply *r, char type, uint64_t count);
};

void reply_init(struct reply *r, int proto);
void reply_init_values(struct reply *r, const struct reply_values *values);
void reply_fini(struct reply *r);
/* Room for n bytes, so that writing them takes no memory. The reply is empty. */
void reply_reserve(struct reply *r, size_t n);
/* Drops what was written, also that it was too much; the first chunk is kept if it is of the usual size. */
void reply_reset(struct reply *r);
/* Everything written, oldest first, NULL when nothing; the reply is empty afterwards. */
struct reply_chunk *reply_take_chunks(struct reply *r);
void reply_chunk_free(struct reply_chunk *c);
size_t reply_bytes(const struct reply *r);
/* Copies everything written to dst (reply_bytes() bytes): for scripts, which read replies again. */
void reply_copy_out(const struct reply *r, char *dst);

/* Bytes as they are: no framing. */
void reply_raw(struct reply *r, struct bytes s);
/* A copy of everything that was written to `from`. */
void reply_append(struct reply *r, const struct reply *from);

void reply_ok(struct reply *r);                       /* +OK */
void reply_status(struct reply *r, const char *text); /* +text */
void reply_status_bytes(struct reply *r, struct bytes text);
/* text as Redis's addReplyError has it: beginning with '-' it carries its own code ("-WRONGTYPE Operation ..."),
 * otherwise "ERR " is put before it. Trailing newlines are cut, others become spaces. */
void reply_error(struct reply *r, const char *text);
void reply_error_bytes(struct reply *r, struct bytes text);
void reply_errorf(struct reply *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_verrorf(struct reply *r, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));

void reply_int(struct reply *r, int64_t v);                     /* :v */
void reply_bulk_slow(struct reply *r, struct bytes s);          /* private: behind reply_bulk */
static inline void reply_bulk(struct reply *r, struct bytes s); /* $n s */
void reply_bulk_str(struct reply *r, const char *s);
void reply_bulk_int(struct reply *r, int64_t v); /* $n with the number's text */
/* $n by reference: s.p, in memory of demi_malloc(), is not copied; release(ctx) is called when the chunk is freed,
 * which is as soon as it has been pushed: from then on the device's pin keeps the bytes (at once for what is small
 * and was copied). */
void reply_bulk_ref(struct reply *r, struct bytes s, void (*release)(void *ctx), void *ctx);

void reply_null(struct reply *r);                                           /* _ or $-1 */
void reply_null_array(struct reply *r);                                     /* _ or *-1 */
void reply_bool(struct reply *r, bool v);                                   /* #t or :1 */
void reply_double(struct reply *r, double v);                               /* ,1.5 or bulk */
void reply_human_double(struct reply *r, long double v);                    /* the same, as INCRBYFLOAT shows it */
void reply_big_number(struct reply *r, struct bytes digits);                /* ( or bulk */
void reply_verbatim(struct reply *r, struct bytes s, const char format[3]); /* = or bulk */

/* Headers: count elements follow (for a map and an attribute, count pairs). */
void reply_array(struct reply *r, size_t count); /* * */
void reply_map(struct reply *r, size_t count);   /* % or * with 2 count */
void reply_set(struct reply *r, size_t count);   /* ~ or * */
void reply_push(struct reply *r, size_t count);  /* > or * */
/* |, RESP3 only: a RESP2 client gets neither it nor its pairs */
void reply_attribute(struct reply *r, size_t count);

/* A header whose count is known only after its elements. Begin, write them, end; may be nested, the inner one ends
 * first. Chunks cannot be taken in between. */
struct reply_mark {
    struct reply_chunk *chunk;
    size_t offset;
};
struct reply_mark reply_defer(struct reply *r);
void reply_defer_array(struct reply *r, struct reply_mark m, size_t count);
void reply_defer_map(struct reply *r, struct reply_mark m, size_t count);
void reply_defer_set(struct reply *r, struct reply_mark m, size_t count);

#ifdef DEMI_DEBUG
/* Asserts that what was written from this offset on is whole: lengths and counts are true. Returns how many values that
 * is, an aggregate being one. */
size_t reply_check(const struct reply *r, size_t from);
#endif

/* ---- inline ---- */

/* Copies 0 ... 32 bytes without a call. */
static inline void reply_copy_small(char *to, const char *from, size_t n)
{
    if (n >= 16) {
        uint64_t a = load_u64(from), b = load_u64(from + 8), c = load_u64(from + n - 16), d = load_u64(from + n - 8);
        store_u64(to, a), store_u64(to + 8, b), store_u64(to + n - 16, c), store_u64(to + n - 8, d);
    } else if (n >= 8) {
        uint64_t a = load_u64(from), b = load_u64(from + n - 8);
        store_u64(to, a), store_u64(to + n - 8, b);
    } else if (n >= 4) {
        uint32_t a = load_u32(from), b = load_u32(from + n - 4);
        store_u32(to, a), store_u32(to + n - 4, b);
    } else if (n) {
        char a = from[0], b = from[n / 2], c = from[n - 1];
        to[0] = a, to[n / 2] = b, to[n - 1] = c;
    }
}

static inline void reply_bulk(struct reply *r, struct bytes s)
{
    if (unlikely(s.n > 99 || (size_t)(r->end - r->at) < s.n + 16)) {
        reply_bulk_slow(r, s);
        return;
    }
    const char *from = s.p;
    __asm__("" : "+r"(from)); /* the compiler would warn of the branches a small buffer's length never takes */
    char *p = r->at;
    uint64_t tens = s.n * 205 >> 11, ones = s.n - tens * 10; /* n / 10 for n below 1,029 */
    uint64_t digits = s.n < 10 ? '0' + ones : ('0' + tens) | ('0' + ones) << 8;
    unsigned width = s.n < 10 ? 1 : 2;
    store_u64(p, (uint64_t)'$' | digits << 8 | (uint64_t)0x0a0d << (8 + 8 * width));
    p += 3 + width;
    if (s.n <= 32) reply_copy_small(p, from, s.n);
    else memcpy(p, from, s.n);
    p += s.n;
    store_u16(p, 0x0a0d);
    r->at = p + 2;
}

#endif
