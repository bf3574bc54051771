/* SPDX-License-Identifier: MIT
 *
 * A listpack: a sequence of strings and integers in one allocation, byte for byte Redis's format (what DUMP and RDB
 * hold).
 *
 *   total bytes (4, LE) | elements (2, LE; 65535: count them) | entry ... entry | 0xFF
 *   entry: encoding and data | backlen (length of encoding and data, readable from its end)
 *
 * A string in number_parse_i64()'s spelling is stored as an integer; reading it back gives the same text.
 *
 * `lp` is the whole, an `entry` points into it. Functions that return `unsigned char *lp` may have moved it: the old
 * pointer and all entries of it are dead. lp memory comes from mem_alloc(), but for guests. Except lp_validate(),
 * everything expects a valid listpack.
 */
#ifndef SERVER_DS_LISTPACK_H
#define SERVER_DS_LISTPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "server/ds/number.h"

#define LP_HEADER_SIZE  6
#define LP_EMPTY_SIZE   7
#define LP_I64_SIZE_MAX 10         /* an integer: encoding, 8 bytes, backlen */
#define LP_SIZE_MAX     (1u << 30) /* lp_fits() refuses beyond; Redis's safety limit */

/* An element: s.p is NULL for an integer. The string lives as long as the listpack is not changed. */
struct lp_value {
    struct bytes s;
    int64_t i;
};

/* A guest: a listpack that lies in another object, its host (server/db/entry.h), at an odd address, which no allocation
 * has. The byte in front says how far behind the host's beginning. It is read and changed like any other as long as it
 * fits. What needs more room leaves it and its host as they are, and returns another guest in a copy of that host,
 * which is marked as moving, and grows like any allocation of its own (lp_free() frees it, host and all); or, past
 * LP_GUEST_SIZE_MAX, one that is no guest. Its room ends where the host's allocation does. */
#define LP_GUEST_SIZE_MAX 512
#define LP_GUEST_AT_MAX   127
#define LP_GUEST_MOVING   0x80
static inline bool lp_is_guest(const unsigned char *lp) { return (uintptr_t)lp & 1; }
static inline unsigned lp_guest_at(const unsigned char *lp) { return lp[-1] & ~LP_GUEST_MOVING; }
static inline bool lp_is_moving(const unsigned char *lp) { return lp_is_guest(lp) && lp[-1] & LP_GUEST_MOVING; }

/* room: bytes expected in all (0: do not know). */
unsigned char *lp_new(size_t room);
void lp_free(unsigned char *lp); /* of a guest that is not moving: nothing, it goes with its host */
unsigned char *lp_dup(const unsigned char *lp);
/* Gives spare room back. */
unsigned char *lp_shrink(unsigned char *lp);

size_t lp_bytes(const unsigned char *lp);
/* O(1) up to 65534 elements. */
size_t lp_count(const unsigned char *lp);
/* Elements of `add` bytes in all may be added without passing LP_SIZE_MAX (lp may be NULL). */
bool lp_fits(const unsigned char *lp, size_t add);

/* Entries; NULL at either end. A negative index counts from the end (-1: last). */
unsigned char *lp_first(const unsigned char *lp);
unsigned char *lp_last(const unsigned char *lp);
unsigned char *lp_next(const unsigned char *lp, const unsigned char *entry);
unsigned char *lp_prev(const unsigned char *lp, const unsigned char *entry);
unsigned char *lp_seek(const unsigned char *lp, long index);

struct lp_value lp_get(const unsigned char *entry);
/* The element as text; integers are written to buf. */
struct bytes lp_get_bytes(const unsigned char *entry, char buf[NUMBER_I64_SIZE]);
static inline bool lp_value_is_i64(struct lp_value v) { return v.s.p == NULL; }
struct bytes lp_value_bytes(struct lp_value v, char buf[NUMBER_I64_SIZE]);
/* The element as an integer, whether stored as one or not; false: it is not one. */
bool lp_value_i64(struct lp_value v, int64_t *out);

/* For walks over many: the element at *entry, which moves on, to NULL after the last. */
static inline bool lp_walk(const unsigned char **entry, struct lp_value *out)
{
    const unsigned char *e = *entry;
    if (!e) return false;
    if ((*e & 0xc0) == 0x80) { /* a string of up to 63 bytes: 10LLLLLL bytes, and a backlen of one byte */
        size_t n = *e & 63;
        *out = (struct lp_value){.s = bytes_of(e + 1, n)};
        e += n + 2;
        *entry = *e == 0xff ? NULL : e;
        return true;
    }
    *out = lp_get(e);
    *entry = lp_next(NULL, e);
    return true;
}

/* What stands behind an entry: the next one, or the end's byte (LP_END). */
#define LP_END 0xff
const unsigned char *lp_after_slow(const unsigned char *entry);
static inline const unsigned char *lp_after(const unsigned char *entry)
{
    unsigned char first = *entry;
    if (first < 0x80) return entry + 2;                /* 0 to 127 */
    if (first < 0xc0) return entry + (first & 63) + 2; /* up to 63 bytes */
    if (first < 0xe0) return entry + 3;                /* 13 bits */
    return lp_after_slow(entry);
}

bool lp_equal(const unsigned char *entry, struct bytes s);
/* The first entry equal to s at or after `from`, comparing one, then passing over `skip` (1 for field/value pairs).
 * from may be NULL. */
unsigned char *lp_find(const unsigned char *lp, const unsigned char *from, struct bytes s, unsigned skip);

unsigned char *lp_append(unsigned char *lp, struct bytes s);
unsigned char *lp_append_i64(unsigned char *lp, int64_t v);
/* Two at once, at one look at the memory. */
unsigned char *lp_append_pair(unsigned char *lp, struct bytes a, struct bytes b);
unsigned char *lp_insert_pair_before(unsigned char *lp, unsigned char *entry, struct bytes a, struct bytes b);
/* Many at once, at one look at the memory. Numbers go in as numbers, strings as lp_append() puts them. */
unsigned char *lp_append_values(unsigned char *lp, const struct lp_value *v, size_t count);
/* Room for so many bytes in all, for who knows what comes. */
unsigned char *lp_reserve(unsigned char *lp, size_t bytes);
unsigned char *lp_prepend(unsigned char *lp, struct bytes s);
/* new_entry (may be NULL) receives the place of the new element. s must not point into lp. */
unsigned char *lp_insert_before(unsigned char *lp, unsigned char *entry, struct bytes s, unsigned char **new_entry);
unsigned char *lp_insert_after(unsigned char *lp, unsigned char *entry, struct bytes s, unsigned char **new_entry);
/* *entry is updated to the element's new place. */
unsigned char *lp_replace(unsigned char *lp, unsigned char **entry, struct bytes s);
unsigned char *lp_replace_i64(unsigned char *lp, unsigned char **entry, int64_t v);
/* *entry becomes the element after the deleted one(s), NULL at the end. */
unsigned char *lp_delete(unsigned char *lp, unsigned char **entry);
unsigned char *lp_delete_run(unsigned char *lp, unsigned char **entry, size_t count);
unsigned char *lp_delete_range(unsigned char *lp, long index, size_t count);

/* All of b behind a; b is freed. */
unsigned char *lp_merge(unsigned char *a, unsigned char *b);

/* For data from outside: size is that of the memory at lp. Shallow checks the frame, deep walks every entry and
 * calls `each` (may be NULL) for it, which may refuse by returning false. After a deep check everything above is
 * safe. */
bool lp_validate(const unsigned char *lp, size_t size, bool deep,
                 bool (*each)(const unsigned char *entry, size_t index, void *ctx), void *ctx);

#endif
