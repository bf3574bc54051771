/* SPDX-License-Identifier: MIT
 *
 * Devices and memory of a process: who hears of what, and when. The devices here note what they were told, and can
 * refuse.
 */
#include "alloc/registry.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc/heap.h"
#include "alloc/region.h"

struct device {
    const void *known[64];
    size_t count;
    int refuse; /* the how manieth map() from now on fails; 0: none */
};

static int device_map(void *dev, void *base, size_t len, void **cookie)
{
    struct device *d = dev;
    if (d->refuse && --d->refuse == 0) return -EDQUOT;
    assert_true(d->count < 64);
    d->known[d->count++] = base;
    *cookie = base;
    return 0;
}

static void device_unmap(void *dev, void *base, size_t len, void *cookie)
{
    struct device *d = dev;
    size_t i = 0;
    assert_ptr_equal(base, cookie);
    while (i < d->count && d->known[i] != base) i++;
    assert_true(i < d->count);
    d->known[i] = d->known[--d->count];
}

static const struct region_registrar plain = {device_map, device_unmap, false};
static const struct region_registrar pinning = {device_map, device_unmap, true};

static bool knows(const struct device *d, const void *base)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->known[i] == base) return true;
    return false;
}

static char page[4][4096];
static struct registered piece(int i) { return (struct registered){.base = page[i], .len = sizeof page[i]}; }

static void test_devices_hear_of_what_is_and_what_comes(void **state)
{
    struct device a = {0}, b = {0};
    struct registered first = piece(0), second = piece(1);
    assert_int_equal(registry_add(&first, true), 0);
    int ia = registry_add_device(&plain, &a);
    assert_int_equal(registry_add(&second, true), 0);
    int ib = registry_add_device(&plain, &b);
    assert_true(ia >= 0 && ib >= 0 && ia != ib);
    assert_true(knows(&a, page[0]) && knows(&a, page[1]) && knows(&b, page[0]) && knows(&b, page[1]));
    assert_ptr_equal(second.cookies[ib], page[1]);
    registry_remove(&first);
    assert_false(knows(&a, page[0]) || knows(&b, page[0]));
    registry_remove_device(ia);
    assert_int_equal(a.count, 0);
    assert_true(knows(&b, page[1]));
    registry_remove(&second);
    registry_remove_device(ib);
    assert_int_equal(b.count, 0);
}

static void test_a_device_that_threads_share_is_told_once(void **state)
{
    struct device d = {0};
    struct registered m = piece(0);
    registry_add(&m, true);
    int id = registry_add_device(&plain, &d);
    assert_int_equal(registry_add_device(&plain, &d), id);
    assert_int_equal(d.count, 1);
    registry_remove_device(id);
    assert_int_equal(d.count, 1);
    registry_remove_device(id);
    assert_int_equal(d.count, 0);
    registry_remove(&m);
}

static void test_what_a_device_refuses_has_no_cookie_of_it(void **state)
{
    struct device a = {0}, b = {.refuse = 1};
    struct registered first = piece(0), second = piece(1);
    registry_add(&first, true);
    int ia = registry_add_device(&plain, &a), ib = registry_add_device(&plain, &b);
    assert_null(first.cookies[ib]); /* one that was there before it */
    assert_ptr_equal(first.cookies[ia], page[0]);
    b.refuse = 1;
    assert_int_equal(registry_add(&second, false), 0);
    assert_null(second.cookies[ib]);
    assert_true(knows(&a, page[1]) && b.count == 0);
    registry_remove(&second); /* it is not asked to unmap what it does not have */
    registry_remove(&first);
    registry_remove_device(ia);
    registry_remove_device(ib);
}

static void test_memory_that_all_must_take_is_taken_by_all_or_none(void **state)
{
    struct device a = {0}, b = {.refuse = 1};
    struct registered m = piece(0);
    int ia = registry_add_device(&plain, &a), ib = registry_add_device(&plain, &b);
    size_t before = a.count;
    b.refuse = 1;
    assert_int_equal(registry_add(&m, true), -EDQUOT);
    assert_int_equal(a.count, before);
    assert_int_equal(registry_add(&m, true), 0);
    assert_true(knows(&a, page[0]) && knows(&b, page[0]));
    registry_remove(&m);
    registry_remove_device(ia);
    registry_remove_device(ib);
}

static void test_there_is_room_for_so_many_devices_and_no_more(void **state)
{
    struct device d[REGISTRY_DEVICES_MAX + 1];
    int id[REGISTRY_DEVICES_MAX];
    memset(d, 0, sizeof d);
    for (int i = 0; i < REGISTRY_DEVICES_MAX; i++) assert_true((id[i] = registry_add_device(&plain, &d[i])) >= 0);
    assert_int_equal(registry_add_device(&plain, &d[REGISTRY_DEVICES_MAX]), -ENOSPC);
    registry_remove_device(id[3]);
    assert_int_equal(registry_add_device(&plain, &d[REGISTRY_DEVICES_MAX]), id[3]);
    for (int i = 0; i < REGISTRY_DEVICES_MAX; i++) registry_remove_device(id[i]);
}

struct other {
    pthread_barrier_t met;
    int device;
    void *early, *late;
};

/* Allocates before and after the other thread's device has come. */
static void *allocate(void *arg)
{
    struct other *o = arg;
    o->early = heap_alloc(100);
    pthread_barrier_wait(&o->met);
    pthread_barrier_wait(&o->met);
    o->late = heap_alloc(64 << 20); /* a region of its own */
    pthread_barrier_wait(&o->met);
    pthread_barrier_wait(&o->met);
    heap_free(o->early);
    heap_free(o->late);
    return NULL;
}

static void test_a_device_knows_the_heaps_of_all_threads(void **state)
{
    struct device d = {0};
    struct other o;
    pthread_t thread;
    pthread_barrier_init(&o.met, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, allocate, &o), 0);
    pthread_barrier_wait(&o.met);
    int id = registry_add_device(&plain, &d);
    pthread_barrier_wait(&o.met);
    pthread_barrier_wait(&o.met);
    assert_true(region_cookie(id, o.early) && region_cookie(id, o.late));
    assert_ptr_not_equal(region_cookie(id, o.early), region_cookie(id, o.late));
    pthread_barrier_wait(&o.met);
    assert_int_equal(pthread_join(thread, NULL), 0); /* and what the thread gave back at its end is gone from it */
    assert_false(region_find(o.early) && !region_cookie(id, o.early));
    registry_remove_device(id);
    assert_int_equal(d.count, 0);
    pthread_barrier_destroy(&o.met);
}

static void test_pages_stay_while_any_device_keeps_them(void **state)
{
    struct device a = {0}, b = {0};
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    p[0] = 7;
    int ia = registry_add_device(&pinning, &a), ib = registry_add_device(&pinning, &b);
    registry_remove_device(ia);
    assert_true(registry_pins_pages());
    assert_false(registry_drop_pages(p, 8192));
    assert_int_equal(p[0], 7);
    registry_remove_device(ib);
    assert_false(registry_pins_pages());
    assert_true(registry_drop_pages(p, 8192));
    assert_int_equal(p[0], 0);
    munmap(p, 8192);
}

static void test_a_forked_child_has_none_of_the_devices(void **state)
{
    struct device d = {0}, own = {0};
    struct registered m = piece(0);
    registry_add(&m, true);
    int id = registry_add_device(&pinning, &d);
    size_t before = d.count;
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        bool right = !registry_pins_pages() && m.mapped == 0;
        registry_remove(&m);        /* as its owner would */
        registry_remove_device(id); /* and the device's */
        right = right && d.count == before;
        right = right && registry_add(&m, true) == 0 && registry_add_device(&plain, &own) >= 0 && knows(&own, page[0]);
        _exit(right ? 3 : 4);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    registry_remove(&m);
    registry_remove_device(id);
    assert_int_equal(d.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices_hear_of_what_is_and_what_comes),
        cmocka_unit_test(test_a_device_that_threads_share_is_told_once),
        cmocka_unit_test(test_what_a_device_refuses_has_no_cookie_of_it),
        cmocka_unit_test(test_memory_that_all_must_take_is_taken_by_all_or_none),
        cmocka_unit_test(test_there_is_room_for_so_many_devices_and_no_more),
        cmocka_unit_test(test_a_device_knows_the_heaps_of_all_threads),
        cmocka_unit_test(test_pages_stay_while_any_device_keeps_them),
        cmocka_unit_test(test_a_forked_child_has_none_of_the_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
