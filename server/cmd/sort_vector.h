/* SPDX-License-Identifier: MIT
 *
 * What SORT sorts: copies of a list's, set's or sorted set's elements with their weights. All texts end with a NUL byte
 * that is not counted, since numbers and collation are read by C functions.
 */
#ifndef SERVER_CMD_SORT_VECTOR_H
#define SERVER_CMD_SORT_VECTOR_H

#include "server/db/entry.h"

struct sort_item {
    struct bytes text;
    struct bytes weight; /* p NULL: none was found */
    double score;
};

struct sort_vector {
    struct sort_item *items;
    size_t count;
    size_t room; /* private */
    struct sort_chunk *chunks;
};

struct sort_order {
    bool desc, alpha;
    bool by;       /* alpha: compare weights, not texts */
    bool bytewise; /* compare as bytes; otherwise as the locale collates */
};

/* All elements of the value, or those of a range of its order (from the end with desc). The vector is empty before. */
void sort_vector_load(struct sort_vector *v, const struct entry *e);
void sort_vector_load_range(struct sort_vector *v, const struct entry *e, size_t from, size_t end, bool desc);
/* A copy that lives as long as the vector. */
struct bytes sort_vector_copy(struct sort_vector *v, struct bytes s);
/* Stable; equal scores go by text. */
void sort_vector_sort(struct sort_vector *v, const struct sort_order *order);
void sort_vector_fini(struct sort_vector *v);

#endif
