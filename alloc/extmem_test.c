/* SPDX-License-Identifier: MIT
 *
 * Memory of the program's own: what may be registered, who holds it, and when it is the program's alone again.
 */
#include "alloc/extmem.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc/heap.h"
#include "alloc/region.h"

#define PAGE 4096u

static char *pages(size_t count)
{
    char *p = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    return p;
}

static void test_what_cannot_be_is_refused(void **state)
{
    char *p = pages(8);
    void *object = heap_alloc(100000);
    assert_int_equal(extmem_register(NULL, PAGE), -EINVAL);
    assert_int_equal(extmem_register(p, 0), -EINVAL);
    assert_int_equal(extmem_register(p + 1, PAGE), -EINVAL);
    assert_int_equal(extmem_register(p, PAGE + 1), -EINVAL);
    assert_int_equal(extmem_register(p, PAGE - 1), -EINVAL);
    assert_int_equal(extmem_register(p, SIZE_MAX & ~(size_t)(PAGE - 1)), -E2BIG);
    assert_int_equal(extmem_register(p, EXTMEM_SIZE_MAX + PAGE), -E2BIG);
    assert_int_equal(extmem_register((void *)(UINTPTR_MAX & ~(uintptr_t)(PAGE - 1)), PAGE), -E2BIG);
    munmap(p + 5 * PAGE, PAGE);
    assert_int_equal(extmem_register(p, 8 * PAGE), -EFAULT); /* a hole in it */
    assert_int_equal(extmem_register((char *)((uintptr_t)object & ~(uintptr_t)(PAGE - 1)), PAGE), -EEXIST);
    assert_int_equal(extmem_unregister(NULL), -ENOENT);
    assert_int_equal(extmem_unregister(p), -ENOENT);
    assert_int_equal(extmem_register(p, 4 * PAGE), 0); /* no refusal has left anything */
    assert_int_equal(extmem_unregister(p + PAGE), -ENOENT);
    assert_int_equal(extmem_unregister(p), 0);
    assert_int_equal(extmem_unregister(p), -ENOENT);
    munmap(p, 8 * PAGE);
    heap_free(object);
}

static void test_pieces_do_not_overlap(void **state)
{
    char *p = pages(10);
    assert_int_equal(extmem_register(p + 3 * PAGE, 3 * PAGE), 0);
    assert_int_equal(extmem_register(p + 3 * PAGE, 3 * PAGE), -EEXIST);
    assert_int_equal(extmem_register(p, 4 * PAGE), -EEXIST);
    assert_int_equal(extmem_register(p + 5 * PAGE, PAGE), -EEXIST);
    assert_int_equal(extmem_register(p, 10 * PAGE), -EEXIST);
    assert_int_equal(extmem_register(p, 3 * PAGE), 0); /* neighbours are two */
    assert_int_equal(extmem_register(p + 6 * PAGE, 4 * PAGE), 0);
    assert_null(extmem_hold(p + 2 * PAGE, 2 * PAGE)); /* so a piece of both is of neither */
    for (int i = 0; i <= 6; i += 3) assert_int_equal(extmem_unregister(p + (unsigned)i * PAGE), 0);
    munmap(p, 10 * PAGE);
}

static void test_what_is_held_stays(void **state)
{
    char *p = pages(4);
    assert_null(extmem_hold(p, 1));
    assert_int_equal(extmem_register(p, 4 * PAGE), 0);
    assert_null(extmem_hold(p - 1, 2));
    assert_null(extmem_hold(p, 4 * PAGE + 1));
    assert_null(extmem_hold(p + 4 * PAGE, 1));
    assert_null(extmem_hold(p + 1, SIZE_MAX));
    struct extmem *whole = extmem_hold(p, 4 * PAGE), *last = extmem_hold(p + 4 * PAGE - 1, 1);
    assert_non_null(whole);
    assert_ptr_equal(whole, last);
    assert_int_equal(extmem_unregister(p), -EBUSY);
    extmem_release(whole);
    assert_int_equal(extmem_unregister(p), -EBUSY);
    assert_non_null(extmem_hold(p, 1)); /* a refusal changes nothing */
    extmem_release(last);
    extmem_release(last);
    assert_int_equal(extmem_unregister(p), 0);
    assert_null(extmem_hold(p, 1));
    munmap(p, 4 * PAGE);
}

static void test_there_is_room_for_so_many_pieces_and_no_more(void **state)
{
    char *p = pages(EXTMEM_MAX + 1);
    for (unsigned i = 0; i < EXTMEM_MAX; i++) assert_int_equal(extmem_register(p + i * PAGE, PAGE), 0);
    assert_int_equal(extmem_register(p + EXTMEM_MAX * PAGE, PAGE), -ENOSPC);
    struct extmem *m = extmem_hold(p + 40 * PAGE, PAGE);
    assert_int_equal(extmem_unregister(p + 20 * PAGE), 0);
    assert_int_equal(extmem_register(p + EXTMEM_MAX * PAGE, PAGE), 0); /* in its place */
    assert_null(extmem_hold(p + 20 * PAGE, 1));
    extmem_release(m);
    for (unsigned i = 0; i <= EXTMEM_MAX; i++) assert_int_equal(extmem_unregister(p + i * PAGE), i == 20 ? -ENOENT : 0);
    munmap(p, (EXTMEM_MAX + 1) * PAGE);
}

static void *told;
static int known, refusal;
static int device_map(void *dev, void *base, size_t len, void **cookie)
{
    if (base == told && refusal) return refusal;
    known += base == told;
    *cookie = (char *)base + len;
    return 0;
}
static void device_unmap(void *dev, void *base, size_t len, void *cookie) { known -= base == told; }
static const struct region_registrar registrar = {device_map, device_unmap, false};

static void test_devices_know_it(void **state)
{
    char *p = told = pages(2);
    int before = registry_add_device(&registrar, &known);
    assert_int_equal(extmem_register(p, 2 * PAGE), 0);
    int after = registry_add_device(&registrar, &told);
    assert_int_equal(known, 2);
    assert_ptr_equal(region_cookie(before, p), p + 2 * PAGE);
    assert_ptr_equal(region_cookie(after, p + 2 * PAGE - 1), p + 2 * PAGE);
    assert_null(region_cookie(after, p + 2 * PAGE));
    assert_int_equal(extmem_unregister(p), 0);
    assert_int_equal(known, 0);
    assert_null(region_cookie(before, p));
    refusal = -EPERM; /* is the program's to hear */
    assert_int_equal(extmem_register(p, 2 * PAGE), -EPERM);
    assert_null(extmem_hold(p, 1));
    refusal = 0;
    assert_int_equal(extmem_register(p, 2 * PAGE), 0);
    assert_int_equal(extmem_unregister(p), 0);
    registry_remove_device(before);
    registry_remove_device(after);
    munmap(p, 2 * PAGE);
}

static void test_a_forked_child_has_nothing_registered(void **state)
{
    char *p = pages(1);
    assert_int_equal(extmem_register(p, PAGE), 0);
    struct extmem *m = extmem_hold(p, 1);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        bool right = !extmem_hold(p, 1) && extmem_unregister(p) == -ENOENT && extmem_register(p, PAGE) == 0 &&
                     extmem_unregister(p) == 0;
        _exit(right ? 3 : 4);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    assert_int_equal(extmem_unregister(p), -EBUSY);
    extmem_release(m);
    assert_int_equal(extmem_unregister(p), 0);
    munmap(p, PAGE);
}

struct race {
    char *p;
    atomic_bool end;
    atomic_int held;  /* and read, by those who hold it */
    atomic_int wrong; /* times that something else was held */
    int device;
};

static void *hold_and_let_go(void *arg)
{
    struct race *r = arg;
    while (!atomic_load(&r->end)) {
        struct extmem *m = extmem_hold(r->p + PAGE, PAGE);
        if (!m) continue;
        atomic_fetch_add(&r->held, 1);
        if (!extmem_cookie(r->device, r->p + PAGE)) atomic_fetch_add(&r->wrong, 1);
        atomic_fetch_sub(&r->held, 1);
        extmem_release(m);
    }
    return NULL;
}

static void test_nobody_holds_what_was_taken_back(void **state)
{
    enum { HOLDERS = 3, ROUNDS = 20000 };
    struct race r = {.p = pages(4), .device = registry_add_device(&registrar, &r)};
    pthread_t threads[HOLDERS];
    for (int i = 0; i < HOLDERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, hold_and_let_go, &r), 0);
    for (int i = 0; i < ROUNDS; i++) {
        /* The place is used again for a piece that has those bytes, or not. */
        char *base = i % 2 ? r.p : r.p + 2 * PAGE;
        assert_int_equal(extmem_register(base, 2 * PAGE), 0);
        int err;
        while ((err = extmem_unregister(base)) == -EBUSY) sched_yield();
        assert_int_equal(err, 0);
        assert_int_equal(atomic_load(&r.held), 0);
    }
    atomic_store(&r.end, true);
    for (int i = 0; i < HOLDERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&r.wrong), 0);
    registry_remove_device(r.device);
    munmap(r.p, 4 * PAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_cannot_be_is_refused),
        cmocka_unit_test(test_pieces_do_not_overlap),
        cmocka_unit_test(test_what_is_held_stays),
        cmocka_unit_test(test_there_is_room_for_so_many_pieces_and_no_more),
        cmocka_unit_test(test_devices_know_it),
        cmocka_unit_test(test_a_forked_child_has_nothing_registered),
        cmocka_unit_test(test_nobody_holds_what_was_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
