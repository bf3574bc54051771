/* SPDX-License-Identifier: MIT
 *
 * HyperLogLog: how many different elements were seen, in 12 KiB at most, with a standard error of 0.81 %. The bytes are
 * those of redis-server 7.2.4, so that a value may come from there and go there. Functions take the whole string,
 * header included; what they are given may be anything that hll_is_valid() lets pass, and nothing outside of it is
 * touched. Nothing here allocates.
 */
#ifndef SERVER_DS_HLL_H
#define SERVER_DS_HLL_H

#include <stdbool.h>

#include "alloc/base/bytes.h"
#include "server/ds/hll_registers.h"

#define HLL_HEADER_BYTES 16
#define HLL_DENSE_BYTES  (HLL_HEADER_BYTES + HLL_PACKED_BYTES)
#define HLL_EMPTY_BYTES  (HLL_HEADER_BYTES + 2)
#define HLL_SPARSE_MAX   32 /* the largest register that the sparse form can say */
/* A buffer that hll_raise() never outgrows, from hll_make_empty() on: each register said by itself, in two bytes. */
#define HLL_ROOM_BYTES (HLL_HEADER_BYTES + 2 * HLL_REGISTERS + 4)

/* --- the header ------------------------------------------------------------------------------------------------- */

bool hll_is_valid(struct bytes s);
bool hll_is_dense(struct bytes s); /* otherwise it is sparse */
/* The count that was kept; false: it is out of date. */
bool hll_kept_count(struct bytes s, uint64_t *count);
void hll_keep_count(char *p, uint64_t count);
void hll_forget_count(char *p);
/* HLL_EMPTY_BYTES: sparse, of no elements, with the count 0. */
void hll_make_empty(char *p);

/* --- adding ----------------------------------------------------------------------------------------------------- */

/* What an element does: it raises register `index` to `rank`, unless it is there or higher. */
struct hll_point {
    unsigned index, rank; /* below HLL_REGISTERS; 1 ... 51 */
};
struct hll_point hll_point_of(struct bytes element);

bool hll_dense_is_below(struct bytes s, struct hll_point at);
void hll_dense_set(char *p, struct hll_point at);

/* A change to a sparse string, found and not yet made. */
struct hll_edit {
    int delta; /* bytes that the string grows, -1 ... 3; merging runs may take some away again */
    /* private */
    size_t at, prev, prev_first;
    uint8_t old_bytes, new_bytes, run[5];
};
/* How a sparse string is to be changed for a point whose rank is HLL_SPARSE_MAX at most. 1: so; 0: there is nothing to
 * change; -EINVAL: the string is corrupt. next: `edit` is of the same string and of a point not behind this one, from
 * where it goes on. */
int hll_sparse_find(struct bytes s, struct hll_point at, bool next, struct hll_edit *edit);
/* Makes it in n bytes that have room for `delta` more, forgets the count and gives the new length. */
size_t hll_sparse_apply(char *p, size_t n, const struct hll_edit *edit);
/* The same registers and count in HLL_DENSE_BYTES elsewhere. False: the string is corrupt; dense is undefined then. */
bool hll_to_dense(struct bytes sparse, char *dense);

/* The header of s, as that of a dense string, whose registers are then the caller's to write. */
void hll_make_dense_of(char *dense, struct bytes s);

/* All of these in one, in a buffer of HLL_ROOM_BYTES that holds *n: a sparse string that would get longer than
 * sparse_max becomes dense. 1: changed, 0: not, -EINVAL. Does not forget the count of a dense one. */
int hll_raise(char *p, size_t *n, size_t sparse_max, struct hll_point at);

/* --- counting and merging ---------------------------------------------------------------------------------------- */

/* False: it is corrupt. */
bool hll_count(struct bytes s, uint64_t *count);
/* Raises each of `max` to what it is in s. False: it is corrupt; some may have been raised. */
bool hll_merge(uint8_t max[HLL_REGISTERS], struct bytes s);
uint64_t hll_count_of(const uint8_t registers[HLL_REGISTERS]);

/* --- to be looked at ---------------------------------------------------------------------------------------------- */

struct hll_run {
    unsigned value, length; /* 0: of zeros */
    bool wide;              /* zeros in two bytes */
};
/* The run of registers at *at of a sparse string (HLL_HEADER_BYTES is the first), and where the next one is. False:
 * there are no more. */
bool hll_next_run(struct bytes sparse, size_t *at, struct hll_run *run);

#endif
