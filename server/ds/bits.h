/* SPDX-License-Identifier: MIT
 *
 * Strings of bits, numbered as Redis does: bit 0 is the highest bit of the first byte. Nothing here allocates; whole
 * words are worked on wherever a range has some.
 */
#ifndef SERVER_DS_BITS_H
#define SERVER_DS_BITS_H

#include <stdbool.h>

#include "alloc/base/bytes.h"

/* Set bits among the bits from ... to (both included, inside s). */
uint64_t bits_count(struct bytes s, uint64_t from, uint64_t to);
/* The first bit that is `set` (or clear) among from ... to (both included, inside s); -1: there is none. */
int64_t bits_find(struct bytes s, bool set, uint64_t from, uint64_t to);

enum bits_op { BITS_AND, BITS_OR, BITS_XOR, BITS_NOT };
/* Combines count (> 0) strings into out, which has the length of the longest; shorter ones are as if zeros followed.
 * BITS_NOT takes one. */
void bits_combine(enum bits_op op, const struct bytes *in, size_t count, char *out, size_t n);

/* The `width` (1 ... 64) bits from `at` on as a number; bits behind the end are 0. */
uint64_t bits_get(struct bytes s, uint64_t at, unsigned width);
/* Writes the low `width` bits of v there; they must lie inside what p points to. */
void bits_set(char *p, uint64_t at, unsigned width, uint64_t v);
/* The low `width` bits of v as a number with a sign. */
static inline int64_t bits_extend(uint64_t v, unsigned width) { return (int64_t)(v << (64 - width)) >> (64 - width); }

#endif
