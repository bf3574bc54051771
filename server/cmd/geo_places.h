/* SPDX-License-Identifier: MIT
 *
 * The places that a search found: all of them in the order in which they came, or by their distance, of which then no
 * more than the first `most` are kept. Places equally far away stand as they came.
 */
#ifndef SERVER_CMD_GEO_PLACES_H
#define SERVER_CMD_GEO_PLACES_H

#include "server/ds/geohash.h"
#include "server/types/zset.h"

enum geo_order { GEO_UNSORTED, GEO_ASCENDING, GEO_DESCENDING };

struct geo_place {
    double distance, score;
    struct geo_point point;
    struct bytes member;          /* p NULL: it lies in digits; geo_place_member() */
    char digits[NUMBER_I64_SIZE]; /* of a number in a listpack */
};

/* Private. */
struct geo_rank {
    double key; /* the distance; a descending order's is negative */
    size_t number;
    size_t slot; /* of v */
};

struct geo_places {
    size_t count;
    /* private */
    enum geo_order order;
    size_t most, room, seen;
    struct geo_place *v;
    struct geo_rank *ranks; /* of an order; a heap, the worst on top, once there are `most` */
};

void geo_places_init(struct geo_places *p, enum geo_order order, size_t most);
void geo_places_fini(struct geo_places *p);
/* The place's member is the iterator's current one. Without an order there is no bound here. */
void geo_places_add(struct geo_places *p, const struct geo_place *place, const struct zset_iter *it);
/* Once, behind all additions. */
void geo_places_sort(struct geo_places *p);

static inline const struct geo_place *geo_places_at(const struct geo_places *p, size_t i)
{
    return &p->v[p->ranks ? p->ranks[i].slot : i];
}

static inline struct bytes geo_place_member(const struct geo_place *p)
{
    return p->member.p ? p->member : bytes_of(p->digits, p->member.n);
}

#endif
