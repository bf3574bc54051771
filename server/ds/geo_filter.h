/* SPDX-License-Identifier: MIT
 *
 * An area made ready to be asked about many places: what depends on the area alone is computed once, and a place that
 * lies clearly outside is refused by its geohash, before it is turned into degrees and those into a distance.
 *
 * Who is in the area, and how far from its center, is what redis-server 7.2 says, to the last bit.
 */
#ifndef SERVER_DS_GEO_FILTER_H
#define SERVER_DS_GEO_FILTER_H

#include "server/ds/geohash.h"

/* Its fields are private. */
struct geo_filter {
    const struct geo_area *area;
    double lon, lat, cos_lat; /* the center's, in radians */
    uint64_t west, east;      /* odd bits of geohashes; both ends belong to it */
    uint64_t south, north;    /* even bits */
};

/* The area stays the caller's, and as it is, as long as the filter is used. */
void geo_filter_init(struct geo_filter *f, const struct geo_area *area);
/* False: the place of this score is not in the area, and what the pointers show is undefined. */
bool geo_filter_has(const struct geo_filter *f, double score, struct geo_point *point, double *distance);

#endif
