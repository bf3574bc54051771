/* SPDX-License-Identifier: MIT
 *
 * What ring_check() sees. It looks at counts and the list of what was started; no ring of the kernel's is needed.
 */
#include "libos/disk/ring.c" /* its struct is nobody else's */

#include "alloc/base/assert_test.h"

#if defined(DISK_URING) && defined(DEMI_DEBUG)

static void check(void *r) { ring_check(r); }

static void test_the_check_sees_each_spoilt_field(void **state)
{
    (void)state;
    struct ring_io io[2] = {{.next = &io[1]}, {0}};
    struct disk_ring r = {.first = io, .last = &io[1].next, .started = 2, .in_flight = RING_ENTRIES - 2};
    ring_check(&r);
    SEEN(check, &r, r.in_flight, RING_ENTRIES - 1, "r->started + r->in_flight <= RING_ENTRIES");
    SEEN(check, &r, r.started, 3, "r->started + r->in_flight <= RING_ENTRIES");
    SEEN(check, &r, r.first, NULL, "count == r->started");
    SEEN(check, &r, r.started, 1, "count == r->started");
    SEEN(check, &r, r.last, &io[0].next, "r->last == at");
    r = (struct disk_ring){.last = &r.first};
    ring_check(&r);
    SEEN(check, &r, r.started, 1, "count == r->started");
    SEEN(check, &r, r.last, &io[0].next, "r->last == at");
}

#else

static void test_the_check_sees_each_spoilt_field(void **state)
{
    (void)state;
    skip(); /* there is none in a release, or without liburing */
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_check_sees_each_spoilt_field)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
