/* SPDX-License-Identifier: MIT
 *
 * A sorted set of integers in one block of memory, byte for byte as Redis lays it out in memory, RDB and DUMP:
 *
 *     encoding u32 (2, 4 or 8: bytes an integer) | count u32 | integers, ascending, little-endian
 *
 * The block comes from mem_alloc() and moves when it grows or shrinks: functions that change it return where it is now.
 */
#ifndef SERVER_DS_INTSET_H
#define SERVER_DS_INTSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct intset; /* points to the block itself */

struct intset *intset_new(void);
void intset_free(struct intset *s);
/* A copy of a block from outside that intset_validate() has accepted. */
struct intset *intset_new_from(const void *block, size_t n);

size_t intset_count(const struct intset *s);
size_t intset_bytes(const struct intset *s); /* of the block */
bool intset_has(const struct intset *s, int64_t v);
/* index below intset_count(). */
int64_t intset_get(const struct intset *s, size_t index);
/* Where v is, or would be inserted. True: it is there. */
bool intset_find(const struct intset *s, int64_t v, size_t *index);

/* *added (may be NULL): v was not there before. */
struct intset *intset_add(struct intset *s, int64_t v, bool *added);
struct intset *intset_remove(struct intset *s, int64_t v, bool *removed);
struct intset *intset_remove_at(struct intset *s, size_t index);

/* May these n bytes from outside be used as an intset? The header is always looked at; deep: the order of the
 * integers as well. */
bool intset_validate(const void *block, size_t n, bool deep);

#endif
