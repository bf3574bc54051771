/* SPDX-License-Identifier: MIT
 *
 * Arguments and replies the geo commands share.
 */
#ifndef SERVER_CMD_GEO_H
#define SERVER_CMD_GEO_H

#include "server/ds/geohash.h"
#include "server/exec/call.h"
#include "server/types/zset.h"

/* These reply with the error and return false. */
bool geo_parse_point(struct call *c, const struct bytes *lon_lat, struct geo_point *out);
bool geo_parse_unit(struct call *c, struct bytes word, double *metres);

/* False: no such member. */
bool geo_member_point(const struct zset *z, struct bytes member, struct geo_point *out);

void geo_reply_point(struct call *c, struct geo_point p);
/* Four digits behind the point, which is decimetres of a distance in kilometres. */
void geo_reply_distance(struct call *c, double distance);

#endif
