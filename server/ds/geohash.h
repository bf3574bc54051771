/* SPDX-License-Identifier: MIT
 *
 * Places on the earth as numbers of 52 bits, the scores of a sorted set: 26 bits of the longitude and of the latitude,
 * interleaved, longitude first (odd bits). Who shares a prefix lies in one cell, so a search looks at ranges of scores:
 *
 *     all of a cell of `step` bits each way = [bits << 52 - 2 * step, bits + 1 << 52 - 2 * step)
 *
 * Latitudes end where Web Mercator's map does (EPSG:3857). Results are those of redis-server to the last bit: the
 * formulas and the order of their operations are part of what is promised.
 */
#ifndef SERVER_DS_GEOHASH_H
#define SERVER_DS_GEOHASH_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#define GEO_LON_MAX       180.0
#define GEO_LAT_MAX       85.05112878
#define GEO_EARTH_RADIUS  6372797.560856 /* metres, the mean that redis-server has */
#define GEOHASH_TEXT_SIZE 11
#define GEOHASH_CELLS     9

struct geo_point {
    double lon, lat; /* degrees */
};

static inline bool geo_point_is_valid(struct geo_point p)
{
    return p.lon >= -GEO_LON_MAX && p.lon <= GEO_LON_MAX && p.lat >= -GEO_LAT_MAX && p.lat <= GEO_LAT_MAX;
}

static inline double geo_radians(double degrees) { return degrees * (M_PI / 180.0); }
static inline double geo_degrees(double radians) { return radians / (M_PI / 180.0); }

/* Any double, as x86-64 converts what is none of these numbers. */
static inline uint64_t geohash_bits(double score)
{
    if (score >= 0x1p64) return 0;
    if (score >= 0) return (uint64_t)score;
    return score >= -0x1p63 ? (uint64_t)(int64_t)score : UINT64_C(1) << 63;
}

/* p is valid. */
uint64_t geohash_of(struct geo_point p);
/* The middle of the smallest cell; a score that is no geohash gives some valid point. */
struct geo_point geohash_point(double score);
/* The same as text of geohash.org, whose latitudes go to the poles; its last letter is always 0. No NUL. */
void geohash_text(struct geo_point p, char out[GEOHASH_TEXT_SIZE]);

/* Metres, on a sphere (haversine). */
double geo_distance(struct geo_point a, struct geo_point b);

/* geo_filter.h says who is in it. */
struct geo_area {
    struct geo_point center;
    bool is_box;
    double radius;        /* metres; a circle's */
    double width, height; /* metres; a box's */
};

struct geohash_range { /* of scores: from `min` on, below `max` */
    double min, max;
};
/* Cells that cover the area, in the order in which they are to be looked at; how many. No two are the same. */
unsigned geohash_cover(const struct geo_area *a, struct geohash_range out[GEOHASH_CELLS]);

#endif
