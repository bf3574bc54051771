/* SPDX-License-Identifier: MIT
 *
 * Regions, and that devices hear of them (registry_test.c has the rest). The device here keeps a list of what it was
 * told.
 */
#include "alloc/region.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/poison.h"

struct device {
    void *base[32];
    size_t count;
};

static int device_map(void *dev, void *base, size_t len, void **cookie)
{
    struct device *d = dev;
    assert_int_equal((uintptr_t)base % REGION_CHUNK, 0);
    assert_int_equal(len % REGION_CHUNK, 0);
    d->base[d->count++] = base;
    *cookie = base;
    return 0;
}

static void device_unmap(void *dev, void *base, size_t len, void *cookie)
{
    struct device *d = dev;
    assert_ptr_equal(base, cookie);
    for (size_t i = 0; i < d->count; i++) {
        if (d->base[i] != base) continue;
        d->base[i] = d->base[--d->count];
        return;
    }
    fail();
}

static const struct region_registrar plain = {device_map, device_unmap, false};
static const struct region_registrar pinning = {device_map, device_unmap, true};

static void test_addresses_outside_have_no_region(void **state)
{
    int local = 0;
    assert_null(region_find(NULL));
    assert_null(region_find(&local));
    assert_null(region_find((void *)UINTPTR_MAX));
    assert_null(region_find((void *)((uintptr_t)1 << 47)));
}

static void test_absurd_sizes_and_limits_are_refused(void **state)
{
    struct region_set set;
    region_set_init(&set, NULL);
    assert_null(region_new(&set, SIZE_MAX));
    assert_null(region_new(&set, (size_t)1 << 47));
    set.limit_bytes = 3 * REGION_CHUNK;
    assert_null(region_new(&set, 4 * REGION_CHUNK));
    assert_non_null(region_new(&set, 2 * REGION_CHUNK));
    assert_null(region_new(&set, 2 * REGION_CHUNK));
    assert_non_null(region_new(&set, 1));
    assert_null(region_new(&set, 1));
    region_set_fini(&set);
    assert_int_equal(set.mapped_bytes, 0);
}

static void test_a_device_hears_of_earlier_and_later_regions(void **state)
{
    struct region_set set;
    struct device d = {0};
    region_set_init(&set, NULL);
    struct region *a = region_new(&set, 1), *b = region_new(&set, 3 * REGION_CHUNK);
    int id = registry_add_device(&plain, &d);
    assert_true(id >= 0);
    assert_int_equal(d.count, 2);
    struct region *c = region_new(&set, 1);
    assert_int_equal(d.count, 3);
    assert_ptr_equal(region_cookie(id, b->base + b->len - 1), b->base);
    assert_ptr_equal(region_cookie(id, c->base), c->base);
    assert_null(region_cookie(id, &d));
    assert_ptr_equal(region_find(b->base + b->len - 1), b);
    assert_ptr_equal(region_find(a->base), a);
    registry_remove_device(id);
    assert_int_equal(d.count, 0);
    char *was = a->base;
    region_set_fini(&set);
    assert_null(region_find(was));
}

static void test_a_region_that_goes_is_taken_from_its_devices(void **state)
{
    struct region_set one, other;
    struct device d = {0};
    region_set_init(&one, NULL);
    region_set_init(&other, NULL);
    region_new(&one, 1);
    int id = registry_add_device(&plain, &d);
    region_new(&other, 1);
    assert_int_equal(d.count, 2); /* whoever's they are */
    region_set_fini(&one);
    assert_int_equal(d.count, 1);
    region_set_fini(&other);
    assert_int_equal(d.count, 0);
    registry_remove_device(id);
}

static int refuse(void *dev, void *base, size_t len, void **cookie) { return -ENOMEM; }

static void test_a_region_that_a_device_refuses_is_used_all_the_same(void **state)
{
    static const struct region_registrar refusing = {refuse, device_unmap, false};
    struct region_set set;
    struct device d = {0}, full = {0};
    int id = registry_add_device(&plain, &d), none = registry_add_device(&refusing, &full);
    region_set_init(&set, NULL);
    struct region *r = region_new(&set, 1);
    assert_non_null(r);
    assert_non_null(region_cookie(id, r->base));
    assert_null(region_cookie(none, r->base));
    region_set_fini(&set);
    assert_int_equal(d.count, 0);
    registry_remove_device(id);
    registry_remove_device(none);
}

static void test_chunks_are_dirty_until_purged(void **state)
{
    struct region_set set;
    struct region *r = NULL;
    bool dirty = true;
    region_set_init(&set, NULL);
    region_new(&set, 4 * REGION_CHUNK);
    char *p = region_take_chunks(&set, 3, CHUNK_HUGE, true, &r, &dirty);
    assert_non_null(p);
    assert_false(dirty);
    unpoison(p, 3 * REGION_CHUNK);
    memset(p, 1, 3 * REGION_CHUNK);
    assert_null(region_take_chunks(&set, 2, CHUNK_HUGE, false, &r, &dirty));
    region_give_chunks(r, p, 3);
    assert_null(region_take_chunks(&set, 2, CHUNK_HUGE, true, &r, &dirty));
    assert_int_equal(region_purge(&set, 2), 2);
    assert_int_equal(set.dirty_chunks, 1);
    char *q = region_take_chunks(&set, 2, CHUNK_HUGE, true, &r, &dirty);
    assert_ptr_equal(q, p);
    unpoison(q, 2 * REGION_CHUNK);
    for (size_t i = 0; i < 2 * REGION_CHUNK; i += 511) assert_int_equal(q[i], 0);
    assert_false(region_extend(r, q + 2 * REGION_CHUNK, 1, CHUNK_HUGE, NULL)); /* dirty */
    assert_int_equal(region_purge(&set, 9), 1);
    assert_true(region_extend(r, q + 2 * REGION_CHUNK, 1, CHUNK_HUGE, NULL));
    assert_false(region_extend(r, q + 3 * REGION_CHUNK, 2, CHUNK_HUGE, NULL)); /* past the end */
    region_set_fini(&set);
}

static void test_pages_a_device_pins_are_never_taken_away(void **state)
{
    struct region_set set;
    struct device d = {0};
    struct region *r = NULL;
    bool dirty;
    region_set_init(&set, NULL);
    int id = registry_add_device(&pinning, &d);
    region_new(&set, REGION_CHUNK);
    char *p = region_take_chunks(&set, 1, CHUNK_SLABS, false, &r, &dirty);
    region_give_chunks(r, p, 1);
    assert_int_equal(region_purge(&set, 9), 0);
    assert_int_equal(region_release(&set, 9), 0); /* the last region stays */
    region_new(&set, REGION_CHUNK);
    assert_int_equal(region_release(&set, 9), 1);
    assert_int_equal(d.count, 1);
    region_set_fini(&set);
    registry_remove_device(id);
}

/* Of the mapping that p lies in: "hg" huge pages were asked for, "nh" they were forbidden (proc_pid_smaps(5)). */
static bool has_flag(const void *p, const char *flag)
{
    char line[512];
    bool here = false, found = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            here = (uintptr_t)p >= from && (uintptr_t)p < to;
        if (here && strncmp(line, "VmFlags:", 8) == 0) found = strstr(line, flag) != NULL;
    }
    fclose(f);
    return found;
}

static void test_the_system_is_told_not_to_fill_the_holes_of_a_cut_chunk(void **state)
{
    struct region_set set;
    struct region *r = NULL;
    bool dirty;
    region_set_init(&set, NULL);
    region_new(&set, REGION_CHUNK);
    char *alone = region_take_chunks(&set, 1, CHUNK_SLABS, false, &r, &dirty);
    assert_false(region_cut(r, alone)); /* so small a heap has no huge pages */
    region_new(&set, 16 * REGION_CHUNK);
    char *p = region_take_chunks(&set, 3, CHUNK_SLABS, false, &r, &dirty);
    if (!r->huge_pages && region_cut(r, p + REGION_CHUNK)) {
        assert_int_equal(set.cut_chunks, 1);
        assert_false(has_flag(p, " nh") || has_flag(p + 2 * REGION_CHUNK, " nh"));
        assert_true(has_flag(p + REGION_CHUNK, " nh"));
        region_uncut(r, p + REGION_CHUNK);
        assert_true(has_flag(p + REGION_CHUNK, " hg"));
        assert_int_equal(set.cut_chunks, 0);
        set.cut_chunks = REGION_CUT_MAX;
        assert_false(region_cut(r, p));
    } else {
        assert_int_equal(set.cut_chunks, 0);
    }
    region_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_outside_have_no_region),
        cmocka_unit_test(test_absurd_sizes_and_limits_are_refused),
        cmocka_unit_test(test_a_device_hears_of_earlier_and_later_regions),
        cmocka_unit_test(test_a_region_that_goes_is_taken_from_its_devices),
        cmocka_unit_test(test_a_region_that_a_device_refuses_is_used_all_the_same),
        cmocka_unit_test(test_chunks_are_dirty_until_purged),
        cmocka_unit_test(test_pages_a_device_pins_are_never_taken_away),
        cmocka_unit_test(test_the_system_is_told_not_to_fill_the_holes_of_a_cut_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
