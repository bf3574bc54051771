/* SPDX-License-Identifier: MIT
 *
 * What ZUNION, ZINTER and ZDIFF come to: members with scores, in no order until zset_result_sort(). An indexed one
 * finds its members again, for unions and differences. Items stay where they are until fini.
 */
#ifndef SERVER_CMD_ZSET_RESULT_H
#define SERVER_CMD_ZSET_RESULT_H

#include "server/ds/table.h"

struct zset_item {
    double score;
    struct bytes member;
    bool gone;
};

struct zset_result { /* items and count may be read */
    struct zset_item **items;
    size_t count;
    size_t live; /* of these, not gone */
    size_t room;
    bool indexed;
    struct table index;
    struct zset_chunk *chunks;
};

void zset_result_init(struct zset_result *r, bool indexed, uint64_t seed);
void zset_result_fini(struct zset_result *r);
/* lasting: the bytes stay where they are as long as the result, so they are not copied. The member is not there yet. */
struct zset_item *zset_result_add(struct zset_result *r, struct bytes member, bool lasting, double score);
/* Indexed ones: NULL if it is not there. */
struct zset_item *zset_result_find(const struct zset_result *r, struct bytes member);
/* Indexed ones: what is there, or a new one (*added) with this score. */
struct zset_item *zset_result_find_or_add(struct zset_result *r, struct bytes member, bool lasting, double score,
                                          bool *added);
static inline void zset_result_drop(struct zset_result *r, struct zset_item *item)
{
    r->live -= !item->gone;
    item->gone = true;
}
/* By score, then member; items that are gone are left out from then on. */
void zset_result_sort(struct zset_result *r);

#endif
