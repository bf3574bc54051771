/* SPDX-License-Identifier: MIT */
#include "server/observe/memcheck.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "alloc/base/clock.h"
#include "alloc/base/sanitize.h"

#define PAGES 1000

static unsigned char *fresh(void)
{
    void *p = mmap(NULL, PAGES * MEMCHECK_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    return p;
}

static void test_everything_is_put_back(void **state)
{
#if SANITIZED
    skip(); /* what it tells by lies in such memory, too */
#endif
    struct memcheck m;
    unsigned char *p = fresh(), resident[PAGES];
    for (size_t i = 0; i < PAGES / 2 * MEMCHECK_PAGE; i++) p[i] = (unsigned char)(i * 7 / 3);
    memcheck_run(&m, clock_mono_ns() + UINT64_C(20000000000));
    assert_true(m.in_time);
    assert_true(m.pages >= PAGES / 2);
    assert_int_equal(m.wrong, 0);
    for (size_t i = 0; i < PAGES / 2 * MEMCHECK_PAGE; i++) assert_int_equal(p[i], (unsigned char)(i * 7 / 3));
    assert_int_equal(mincore(p, PAGES * MEMCHECK_PAGE, resident), 0);
    assert_false(resident[PAGES - 1] & 1); /* what nobody touched takes no memory now */
    munmap(p, PAGES * MEMCHECK_PAGE);
}

static void test_it_ends_in_time(void **state)
{
    struct memcheck m;
    unsigned char *p = fresh();
    memset(p, 1, PAGES * MEMCHECK_PAGE);
    memcheck_run(&m, 0);
    assert_false(m.in_time);
    munmap(p, PAGES * MEMCHECK_PAGE);
}

#if !SANITIZE_THREAD /* it is a race, after all */
static _Atomic bool stop;

static void *spoil(void *page)
{
    volatile uint64_t *words = page;
    for (uint64_t v = 1; !atomic_load_explicit(&stop, memory_order_relaxed); v++) words[17] = v;
    return NULL;
}

/* Memory that changes by itself. */
static void test_a_word_that_does_not_hold_is_found(void **state)
{
    struct memcheck m = {0};
    pthread_t t;
    unsigned char *p = fresh();
    assert_int_equal(pthread_create(&t, NULL, spoil, p), 0);
    for (int i = 0; i < 10000000 && !m.wrong; i++) memcheck_page(&m, (volatile uint64_t *)p);
    atomic_store(&stop, true);
    pthread_join(t, NULL);
    assert_true(m.wrong > 0);
    assert_int_equal(m.first, (uintptr_t)p + 17 * sizeof(uint64_t));
    munmap(p, PAGES * MEMCHECK_PAGE);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_put_back),
        cmocka_unit_test(test_it_ends_in_time),
#if !SANITIZE_THREAD
        cmocka_unit_test(test_a_word_that_does_not_hold_is_found),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
