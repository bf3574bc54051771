/* SPDX-License-Identifier: MIT */
#include "server/ds/geo_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"

#define TRIES 300000

/* The formulas as they stand in redis-server 7.2, without any shortcut. */
static bool plainly_has(const struct geo_area *a, struct geo_point p, double *distance)
{
    const struct geo_point c = a->center;
    *distance = geo_distance(c, p);
    if (!a->is_box) return *distance <= a->radius;
    if (GEO_EARTH_RADIUS * fabs(geo_radians(c.lat) - geo_radians(p.lat)) > a->height / 2) return false;
    return !(geo_distance(p, (struct geo_point){c.lon, p.lat}) > a->width / 2);
}

static bool is_same(double a, double b) { return memcmp(&a, &b, sizeof a) == 0; }

static void check(const struct geo_area *a, double score, bool *is_in)
{
    struct geo_filter f;
    struct geo_point p = {0, 0}, q = geohash_point(score);
    double got = -1, want;
    geo_filter_init(&f, a);
    *is_in = geo_filter_has(&f, score, &p, &got);
    assert_int_equal(*is_in, plainly_has(a, q, &want));
    if (*is_in) assert_true(is_same(got, want) && is_same(p.lon, q.lon) && is_same(p.lat, q.lat));
}

static struct geo_point any_point(struct rng *r)
{
    double x = rng_double(r), y = rng_double(r);
    return (struct geo_point){GEO_LON_MAX * (2 * x - 1), GEO_LAT_MAX * (2 * y - 1)};
}

/* Up to so many degrees away, around the earth. */
static struct geo_point near_point(struct rng *r, struct geo_point c, double degrees)
{
    struct geo_point p = {c.lon + degrees * (2 * rng_double(r) - 1), c.lat + degrees * (2 * rng_double(r) - 1)};
    if (p.lon > GEO_LON_MAX) p.lon -= 360;
    if (p.lon < -GEO_LON_MAX) p.lon += 360;
    if (!geo_point_is_valid(p)) p.lat = p.lat < 0 ? -GEO_LAT_MAX : GEO_LAT_MAX;
    return geo_point_is_valid(p) ? p : c;
}

static void test_any_area_has_what_the_plain_formulas_say(void **state)
{
    (void)state;
    struct rng r;
    size_t inside = 0;
    rng_seed(&r, 3);
    for (int i = 0; i < TRIES; i++) {
        double degrees = exp2(-20 + rng_double(&r) * 28);
        struct geo_area a = {.center = any_point(&r), .is_box = i % 2};
        bool is_in;
        a.radius = 111000 * degrees * rng_double(&r);
        a.width = a.radius * exp2(rng_double(&r) * 8 - 3);
        a.height = 222000 * degrees * rng_double(&r);
        check(&a, (double)geohash_of(near_point(&r, a.center, degrees)), &is_in);
        inside += is_in;
    }
    assert_true(inside > TRIES / 10 && inside < TRIES * 9 / 10);
}

/* An area that ends where the place is, or a rounding before. Many of the places lie on the meridian or on the parallel
 * where the edge of the rectangle touches the circle. */
static void test_a_place_on_the_edge_is_in_and_just_outside_is_not(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 5);
    for (int i = 0; i < TRIES; i++) {
        double degrees = exp2(-20 + rng_double(&r) * 27), by = i % 5 ? 1 : 1 - 1e-15;
        struct geo_area a = {.center = any_point(&r), .is_box = i % 2};
        struct geo_point at = near_point(&r, a.center, degrees);
        bool is_in;
        if (i % 3 == 0) at.lon = a.center.lon;
        if (i % 3 == 1) at.lat = a.center.lat;
        if (i % 9 == 1) { /* where the circle is widest, seen from above */
            double away = geo_radians(fabs(at.lon - a.center.lon)), lat = geo_radians(a.center.lat);
            double top = geo_degrees(atan2(sin(lat), cos(lat) * cos(away < 1.4 ? away : 1.4)));
            if (fabs(top) < GEO_LAT_MAX) at.lat = top;
        }
        double score = (double)geohash_of(at);
        at = geohash_point(score);
        a.radius = by * geo_distance(a.center, at);
        a.height = by * 2 * GEO_EARTH_RADIUS * fabs(geo_radians(a.center.lat) - geo_radians(at.lat));
        a.width = by * 2 * geo_distance(at, (struct geo_point){a.center.lon, at.lat});
        check(&a, score, &is_in);
        if (by == 1) assert_true(is_in);
    }
}

static void test_areas_without_an_end_and_without_a_size(void **state)
{
    (void)state;
    static const double sizes[] = {0, 1e-300, 1e7, 2e7, 4.1e7, 1e300, HUGE_VAL};
    struct rng r;
    rng_seed(&r, 7);
    for (int i = 0; i < TRIES; i++) {
        struct geo_area a = {.center = any_point(&r), .is_box = i % 2};
        bool is_in;
        a.radius = sizes[rng_below(&r, 7)], a.width = sizes[rng_below(&r, 7)], a.height = sizes[rng_below(&r, 7)];
        if (i % 7 == 0) a.center.lat = i % 2 ? GEO_LAT_MAX : -GEO_LAT_MAX;
        if (i % 11 == 0) a.center.lon = i % 2 ? GEO_LON_MAX : -GEO_LON_MAX;
        check(&a, (double)geohash_of(i % 5 ? any_point(&r) : a.center), &is_in);
    }
}

static void test_scores_that_are_no_geohash(void **state)
{
    (void)state;
    static const double scores[] = {0,      -1,      -0.5,  1.5,    0x1p52 - 1, 0x1p52,   0x1p53,
                                    0x1p63, -0x1p63, 1e300, -1e300, HUGE_VAL,   -HUGE_VAL};
    struct rng r;
    rng_seed(&r, 9);
    for (int i = 0; i < TRIES / 10; i++) {
        struct geo_area a = {.center = any_point(&r), .is_box = i % 2, .radius = exp2(rng_double(&r) * 25)};
        bool is_in;
        a.width = a.height = a.radius;
        if (i % 3 == 0) a.center = (struct geo_point){GEO_LON_MAX, GEO_LAT_MAX};
        check(&a, scores[rng_below(&r, sizeof scores / sizeof *scores)], &is_in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_area_has_what_the_plain_formulas_say),
        cmocka_unit_test(test_a_place_on_the_edge_is_in_and_just_outside_is_not),
        cmocka_unit_test(test_areas_without_an_end_and_without_a_size),
        cmocka_unit_test(test_scores_that_are_no_geohash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
