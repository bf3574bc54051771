/* SPDX-License-Identifier: MIT
 *
 * A cell is two numbers of `step` bits. Its neighbours wrap around, at the poles, too; those that lie outside of the
 * area's bounds are left out.
 */
#include "server/ds/geohash.h"

#include <math.h>
#include <stddef.h>

#define STEP_MAX     26u
#define MERCATOR_MAX 20037726.37 /* metres, half of the equator on the map */
#define LAT_FAR      66          /* beyond, cells are narrow: the next wider ones are taken ... */
#define LAT_FURTHER  80          /* ... and the next again */

/* --- bits --------------------------------------------------------------------------------------------------------- */

/* The bits of v at even places. */
static uint64_t spread(uint32_t v)
{
    uint64_t x = v;
    x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
    x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    x = (x | x << 2) & UINT64_C(0x3333333333333333);
    return (x | x << 1) & UINT64_C(0x5555555555555555);
}

static uint32_t gather(uint64_t x)
{
    x &= UINT64_C(0x5555555555555555);
    x = (x | x >> 1) & UINT64_C(0x3333333333333333);
    x = (x | x >> 2) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    x = (x | x >> 4) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x >> 8) & UINT64_C(0x0000ffff0000ffff);
    return (uint32_t)(x | x >> 16);
}

/* --- cells -------------------------------------------------------------------------------------------------------- */

struct geo_cell {
    uint32_t x, y; /* of longitude and latitude; the easternmost meridian, and the northern edge, lie one beyond */
    unsigned step;
};

struct bounds {
    double west, south, east, north;
};
static const struct bounds map = {-GEO_LON_MAX, -GEO_LAT_MAX, GEO_LON_MAX, GEO_LAT_MAX};

static struct geo_cell cell_of(struct geo_point p, unsigned step, double lat_max)
{
    double y = (p.lat + lat_max) / (lat_max + lat_max), x = (p.lon + GEO_LON_MAX) / (GEO_LON_MAX + GEO_LON_MAX);
    double count = (double)(UINT64_C(1) << step);
    return (struct geo_cell){(uint32_t)(x * count), (uint32_t)(y * count), step};
}

static uint64_t bits_of(struct geo_cell c) { return spread(c.y) | spread(c.x) << 1; }

static struct bounds bounds_of(struct geo_cell c)
{
    double count = (double)(UINT64_C(1) << c.step), width = map.east - map.west, height = map.north - map.south;
    return (struct bounds){.west = map.west + (c.x / count) * width,
                           .south = map.south + (c.y / count) * height,
                           .east = map.west + ((c.x + 1) / count) * width,
                           .north = map.south + ((c.y + 1) / count) * height};
}

static struct geo_cell neighbour(struct geo_cell c, int dx, int dy)
{
    uint32_t mask = (uint32_t)((UINT64_C(1) << c.step) - 1);
    if (dx) c.x = (c.x + (uint32_t)dx) & mask;
    if (dy) c.y = (c.y + (uint32_t)dy) & mask;
    return c;
}

static struct geohash_range range_of(struct geo_cell c)
{
    unsigned shift = 2 * (STEP_MAX - c.step);
    return (struct geohash_range){(double)(bits_of(c) << shift), (double)((bits_of(c) + 1) << shift)};
}

/* --- points ------------------------------------------------------------------------------------------------------- */

uint64_t geohash_of(struct geo_point p) { return bits_of(cell_of(p, STEP_MAX, GEO_LAT_MAX)); }

static double within(double v, double max) { return v > max ? max : v < -max ? -max : v; }

struct geo_point geohash_point(double score)
{
    uint64_t bits = geohash_bits(score);
    struct bounds b = bounds_of((struct geo_cell){gather(bits >> 1), gather(bits), STEP_MAX});
    return (struct geo_point){within((b.west + b.east) / 2, GEO_LON_MAX), within((b.south + b.north) / 2, GEO_LAT_MAX)};
}

void geohash_text(struct geo_point p, char out[GEOHASH_TEXT_SIZE])
{
    static const char letters[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    uint64_t bits = bits_of(cell_of(p, STEP_MAX, 90));
    for (unsigned i = 0; i < GEOHASH_TEXT_SIZE - 1; i++) out[i] = letters[bits >> (2 * STEP_MAX - 5 * (i + 1)) & 31];
    out[GEOHASH_TEXT_SIZE - 1] = '0'; /* 52 bits are ten letters and a rest, which is not told */
}

/* --- distances ---------------------------------------------------------------------------------------------------- */

static double distance_by_lat(double a, double b) { return GEO_EARTH_RADIUS * fabs(geo_radians(b) - geo_radians(a)); }

double geo_distance(struct geo_point a, struct geo_point b)
{
    double v = sin((geo_radians(b.lon) - geo_radians(a.lon)) / 2);
    if (v == 0.0) return distance_by_lat(a.lat, b.lat);
    double from = geo_radians(a.lat), to = geo_radians(b.lat), u = sin((to - from) / 2);
    return 2.0 * GEO_EARTH_RADIUS * asin(sqrt(u * u + cos(from) * cos(to) * v * v));
}

/* --- areas -------------------------------------------------------------------------------------------------------- */

/* A degree of longitude is shortest at the edge that is nearer to a pole: there the area is widest. */
static struct bounds bounds_of_area(const struct geo_area *a)
{
    double height = a->is_box ? a->height / 2 : a->radius, width = a->is_box ? a->width / 2 : a->radius;
    struct geo_point c = a->center;
    double dy = geo_degrees(height / GEO_EARTH_RADIUS);
    double edge = c.lat < 0 ? c.lat - dy : c.lat + dy,
           dx = geo_degrees(width / GEO_EARTH_RADIUS / cos(geo_radians(edge)));
    return (struct bounds){.west = c.lon - dx, .south = c.lat - dy, .east = c.lon + dx, .north = c.lat + dy};
}

/* Cells of which nine are about as wide as the area. */
static unsigned step_for(const struct geo_area *a)
{
    double h = a->height / 2, w = a->width / 2, lat = fabs(a->center.lat);
    double radius = a->is_box ? sqrt(w * w + h * h) : a->radius;
    int step = 1;
    if (radius == 0) return STEP_MAX;
    for (; radius < MERCATOR_MAX; radius *= 2) step++;
    step -= 2 + (lat > LAT_FAR) + (lat > LAT_FURTHER);
    return step < 1 ? 1 : step > (int)STEP_MAX ? STEP_MAX : (unsigned)step;
}

static bool is_too_small(struct geo_cell c, const struct bounds *b)
{
    return bounds_of(neighbour(c, 0, 1)).north < b->north || bounds_of(neighbour(c, 0, -1)).south > b->south ||
           bounds_of(neighbour(c, 1, 0)).east < b->east || bounds_of(neighbour(c, -1, 0)).west > b->west;
}

/* The cell in the middle reaches over the area on that side. */
static bool is_outside(struct geo_cell c, int dx, int dy, const struct bounds *b)
{
    struct bounds in = bounds_of(c);
    if (c.step < 2) return false;
    return (dy < 0 && in.south < b->south) || (dy > 0 && in.north > b->north) || (dx < 0 && in.west < b->west) ||
           (dx > 0 && in.east > b->east);
}

unsigned geohash_cover(const struct geo_area *a, struct geohash_range out[GEOHASH_CELLS])
{
    static const struct {
        int dx, dy;
    } order[] = {{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};
    struct bounds b = bounds_of_area(a);
    unsigned step = step_for(a), count = 0;
    struct geo_cell c = cell_of(a->center, step, GEO_LAT_MAX);
    if (step > 1 && is_too_small(c, &b)) c = cell_of(a->center, step - 1, GEO_LAT_MAX);
    for (unsigned i = 0; i < GEOHASH_CELLS; i++) {
        if (is_outside(c, order[i].dx, order[i].dy, &b)) continue;
        struct geohash_range r = range_of(neighbour(c, order[i].dx, order[i].dy));
        bool is_new = true;
        for (unsigned k = 0; k < count; k++) is_new &= out[k].min != r.min; /* the earth is round */
        if (is_new) out[count++] = r;
    }
    return count;
}
