/* SPDX-License-Identifier: MIT */
#include "server/ds/geohash.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"
#include "server/ds/geo_filter.h"

static const struct geo_point palermo = {13.361389, 38.115556}, catania = {15.087269, 37.502669};

static struct geo_point any_point(struct rng *r)
{
    double x = rng_double(r), y = rng_double(r);
    return (struct geo_point){GEO_LON_MAX * (2 * x - 1), GEO_LAT_MAX * (2 * y - 1)};
}

/* As redis-server 7.2.4 tells them. */
static void test_known_places(void **state)
{
    (void)state;
    char text[GEOHASH_TEXT_SIZE];
    assert_int_equal(geohash_of(palermo), 3479099956230698);
    assert_int_equal(geohash_of(catania), 3479447370796909);
    geohash_text(geohash_point(3479099956230698), text);
    assert_memory_equal(text, "sqc8b49rny0", sizeof text);
    geohash_text(geohash_point(3479447370796909), text);
    assert_memory_equal(text, "sqdtr74hyu0", sizeof text);
    double d = geo_distance(geohash_point(3479099956230698), geohash_point(3479447370796909));
    assert_true(fabs(d - 166274.1516) < 0.0001);
}

static void test_a_point_comes_back_within_its_cell(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 7);
    for (int i = 0; i < 100000; i++) {
        struct geo_point p = any_point(&r), q = geohash_point((double)geohash_of(p));
        assert_true(fabs(p.lon - q.lon) <= 360 * 0x1p-26 && fabs(p.lat - q.lat) <= 180 * 0x1p-26);
    }
}

static void test_any_score_is_some_valid_point(void **state)
{
    (void)state;
    static const double scores[] = {0,       -1,    0x1p52, 0x1p53,   0x1p63,    0x1p64, -0x1p63,
                                    -0x1p64, 1e308, -1e308, HUGE_VAL, -HUGE_VAL, 0.5,    -0.5};
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++)
        assert_true(geo_point_is_valid(geohash_point(scores[i])));
}

static bool is_covered(const struct geohash_range *r, unsigned count, double score)
{
    for (unsigned i = 0; i < count; i++)
        if (score >= r[i].min && score < r[i].max) return true;
    return false;
}

/* What an area has, its cells have, too: where redis-server promises it, away from the poles and the date line. */
static void test_cells_cover_the_area_and_differ(void **state)
{
    (void)state;
    struct rng r;
    struct geohash_range cells[GEOHASH_CELLS];
    struct geo_filter f;
    rng_seed(&r, 11);
    for (int i = 0; i < 2000; i++) {
        struct geo_area a = {.center = any_point(&r), .is_box = i % 2};
        a.center.lon /= 2, a.center.lat /= 2;
        a.radius = a.width = exp2((double)rng_below(&r, 20));
        a.height = exp2((double)rng_below(&r, 20));
        unsigned count = geohash_cover(&a, cells);
        geo_filter_init(&f, &a);
        assert_true(count >= 1 && count <= GEOHASH_CELLS);
        for (unsigned k = 0; k < count; k++)
            for (unsigned m = 0; m < k; m++) assert_true(cells[k].min >= cells[m].max || cells[m].min >= cells[k].max);
        for (int k = 0; k < 100; k++) {
            double wide = (a.width + a.radius + a.height) / 60000, x = 2 * rng_double(&r) - 1;
            double y = 2 * rng_double(&r) - 1, distance;
            struct geo_point p = {a.center.lon + x * wide, a.center.lat + y * wide};
            if (!geo_point_is_valid(p)) continue;
            double score = (double)geohash_of(p);
            if (geo_filter_has(&f, score, &p, &distance)) assert_true(is_covered(cells, count, score));
        }
    }
}

static void test_areas_without_an_end_are_covered_too(void **state)
{
    (void)state;
    struct geohash_range cells[GEOHASH_CELLS];
    static const double sizes[] = {0, 1e-300, 1e9, 1e300, HUGE_VAL};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int box = 0; box < 2; box++) {
            const struct geo_area a = {.center = {180, -GEO_LAT_MAX},
                                       .is_box = box,
                                       .radius = sizes[i],
                                       .width = sizes[i],
                                       .height = sizes[4 - i]};
            unsigned count = geohash_cover(&a, cells);
            assert_true(count >= 1 && count <= GEOHASH_CELLS);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_places),
        cmocka_unit_test(test_a_point_comes_back_within_its_cell),
        cmocka_unit_test(test_any_score_is_some_valid_point),
        cmocka_unit_test(test_cells_cover_the_area_and_differ),
        cmocka_unit_test(test_areas_without_an_end_are_covered_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
