/* SPDX-License-Identifier: MIT
 *
 * Bits of one axis of a geohash, taken alone, are in the order of their coordinates. So a rectangle of the map is four
 * comparisons of masked scores:
 *
 *     score      x y x y x y x y ...        west  <= score & odd bits  <= east
 *                                           south <= score & even bits <= north
 *
 * The rectangle around the area is a little too large, by more than all roundings of the exact formulas come to (an arc
 * sine near 1 is wrong by 1e-8 of itself at most), and where it would reach over a pole or the date line that side is
 * left open: what is refused there lies outside by the exact formulas, too. All others are decided by those, whose
 * operations and their order are geo_distance()'s; only that a sine's sign does not matter where it is squared is used.
 */
#include "server/ds/geo_filter.h"

#include <math.h>

#define ODD_BITS  UINT64_C(0xaaaaaaaaaaaaaaaa)
#define EVEN_BITS UINT64_C(0x5555555555555555)
#define HASH_BITS 52

#define MARGIN_SHARE   1e-6 /* of an angle ... */
#define MARGIN_DEGREES 1e-9 /* ... and besides */
#define RATIO_MAX      0.99 /* an arc sine beyond is too steep for the margin */

static double with_margin(double degrees) { return degrees * (1 + MARGIN_SHARE) + MARGIN_DEGREES; }

/* Degrees of longitude from the center to the area's farthest edge; 180: all around. */
static double half_width(const struct geo_area *a, double half_height)
{
    double reach = fabs(a->center.lat), ratio;
    if (a->is_box) { /* the width holds at each latitude: in degrees it is most where it is nearest to a pole */
        double angle = a->width / 4 / GEO_EARTH_RADIUS;
        reach += half_height;
        if (!(reach < 90) || !(angle < M_PI / 2)) return 180;
        ratio = sin(angle) / cos(geo_radians(reach));
        return ratio < RATIO_MAX ? 2 * geo_degrees(asin(ratio)) : 180;
    }
    if (!(reach + half_height < 90)) return 180; /* a pole lies in the circle */
    ratio = sin(a->radius / GEO_EARTH_RADIUS) / cos(geo_radians(reach));
    return ratio < RATIO_MAX ? geo_degrees(asin(ratio)) : 180;
}

void geo_filter_init(struct geo_filter *f, const struct geo_area *area)
{
    struct geo_point c = area->center;
    double dy = with_margin(geo_degrees((area->is_box ? area->height / 2 : area->radius) / GEO_EARTH_RADIUS));
    double dx = with_margin(half_width(area, dy));
    struct geo_point low = {c.lon - dx, c.lat - dy}, high = {c.lon + dx, c.lat + dy};
    f->area = area;
    f->lon = geo_radians(c.lon);
    f->lat = geo_radians(c.lat);
    f->cos_lat = cos(f->lat);
    if (!(low.lon >= -GEO_LON_MAX) || !(high.lon <= GEO_LON_MAX)) low.lon = -GEO_LON_MAX, high.lon = GEO_LON_MAX;
    if (!(low.lat >= -GEO_LAT_MAX)) low.lat = -GEO_LAT_MAX;
    if (!(high.lat <= GEO_LAT_MAX)) high.lat = GEO_LAT_MAX;
    uint64_t least = geohash_of(low), most = geohash_of(high);
    f->west = least & ODD_BITS;
    f->east = most & ODD_BITS;
    f->south = least & EVEN_BITS;
    f->north = most & EVEN_BITS;
}

/* No hash has bits beyond: such a score is a place at the map's edge, where the exact formulas look. */
static bool is_clearly_outside(const struct geo_filter *f, uint64_t bits)
{
    uint64_t x = bits & ODD_BITS, y = bits & EVEN_BITS;
    return (x < f->west || x > f->east || y < f->south || y > f->north) && !(bits >> HASH_BITS);
}

/* geo_distance() from the center to (lon, lat), in radians; v is the sine of half the difference of longitudes. */
static double distance_from_center(const struct geo_filter *f, double lat, double cos_lat, double v)
{
    double u = sin((lat - f->lat) / 2);
    return 2.0 * GEO_EARTH_RADIUS * asin(sqrt(u * u + f->cos_lat * cos_lat * v * v));
}

static bool circle_has(const struct geo_filter *f, double lon, double lat, double *distance)
{
    double v = sin((lon - f->lon) / 2);
    *distance = v == 0.0 ? GEO_EARTH_RADIUS * fabs(lat - f->lat) : distance_from_center(f, lat, cos(lat), v);
    return *distance <= f->area->radius;
}

/* Along the meridian first, then along the place's own parallel. */
static bool box_has(const struct geo_filter *f, double lon, double lat, double *distance)
{
    double north_south = GEO_EARTH_RADIUS * fabs(lat - f->lat);
    if (north_south > f->area->height / 2) return false;
    double v = sin((lon - f->lon) / 2);
    *distance = north_south;
    if (v == 0.0) return !(0.0 > f->area->width / 2);
    double cos_lat = cos(lat);
    if (2.0 * GEO_EARTH_RADIUS * asin(sqrt(cos_lat * cos_lat * v * v)) > f->area->width / 2) return false;
    *distance = distance_from_center(f, lat, cos_lat, v);
    return true;
}

bool geo_filter_has(const struct geo_filter *f, double score, struct geo_point *point, double *distance)
{
    if (is_clearly_outside(f, geohash_bits(score))) return false;
    *point = geohash_point(score);
    double lon = geo_radians(point->lon), lat = geo_radians(point->lat);
    return f->area->is_box ? box_has(f, lon, lat, distance) : circle_has(f, lon, lat, distance);
}
