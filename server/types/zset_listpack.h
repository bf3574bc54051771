/* SPDX-License-Identifier: MIT
 *
 * Scores in a listpack. Private to zset.
 */
#ifndef SERVER_TYPES_ZSET_LISTPACK_H
#define SERVER_TYPES_ZSET_LISTPACK_H

#include "server/ds/listpack.h"

/* A listpack from outside may hold what is no number: that is 0. */
static inline double zset_listpack_score(const unsigned char *entry)
{
    struct lp_value v = lp_get(entry);
    double score;
    if (lp_value_is_i64(v)) return (double)v.i;
    return number_parse_double(v.s, &score) ? score : 0;
}

#endif
