/* SPDX-License-Identifier: MIT
 *
 * The reserve of touched chunks of chunks by itself, and as a heap that grows uses it.
 */
#include "alloc/prefault.h"

#include <sched.h>
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

#define MIB      ((size_t)1 << 20)
#define NEVER_NS ((uint64_t)0) /* the helper waits for the bell without an end */
#define SOON_NS  ((uint64_t)1000000)
#define OBJECT   65536

static struct region_set set;

static char *new_chunk(void)
{
    struct region *r;
    bool dirty;
    if (!region_new(&set, REGION_CHUNK)) return NULL;
    char *at = region_take_chunks(&set, 1, CHUNK_STOCK, true, &r, &dirty);
    unpoison(at, REGION_CHUNK);
    return at;
}

static int make_set(void **state)
{
    region_set_init(&set, NULL);
    return 0;
}

static int end_set(void **state)
{
    region_set_fini(&set);
    return 0;
}

static size_t pages_there(char *chunk)
{
    unsigned char there[REGION_CHUNK / 4096];
    size_t n = 0;
    assert_int_equal(mincore(chunk, REGION_CHUNK, there), 0);
    for (size_t i = 0; i < sizeof there; i++) n += there[i] & 1;
    return n;
}

static void test_what_is_not_there_is_not_taken(void **state)
{
    struct prefault *s = prefault_new(NEVER_NS);
    assert_int_equal(prefault_count(s), 0);
    assert_null(prefault_take(s, PREFAULT_READY));
    assert_null(prefault_take(s, PREFAULT_WANTED));
    assert_null(prefault_take(s, PREFAULT_COLD));
    prefault_free(s);
}

static void test_nothing_is_brought_before_the_bell(void **state)
{
    struct prefault *s = prefault_new(NEVER_NS);
    prefault_stop(s); /* so that nobody can */
    char *chunk = new_chunk();
    prefault_put(s, chunk, false);
    assert_int_equal(pages_there(chunk), 0);
    assert_null(prefault_take(s, PREFAULT_READY));
    assert_ptr_equal(prefault_take(s, PREFAULT_WANTED), chunk);
    assert_int_equal(prefault_count(s), 0);
    prefault_free(s);
}

static void test_a_ready_chunk_has_all_its_pages_and_reads_as_zeros(void **state)
{
    struct prefault *s = prefault_new(NEVER_NS);
    assert_true(prefault_is_slow(s)); /* nothing is known */
    for (int i = 0; i < PREFAULT_MAX; i++) prefault_put(s, new_chunk(), i & 1);
    assert_int_equal(prefault_count(s), PREFAULT_MAX);
    prefault_wake(s);
    prefault_settle(s);
    assert_int_equal(prefault_in_state(s, PREFAULT_READY), PREFAULT_MAX);
    assert_int_equal(prefault_resident(s), PREFAULT_MAX);
    for (int i = 0; i < PREFAULT_MAX; i++) {
        char *chunk = prefault_take(s, PREFAULT_READY);
        assert_non_null(chunk);
        assert_int_equal(pages_there(chunk), REGION_CHUNK / 4096);
        for (size_t at = 0; at < REGION_CHUNK; at += 512) assert_int_equal(chunk[at], 0);
    }
    assert_int_equal(prefault_count(s), 0);
    prefault_free(s);
}

static void test_idle_pages_go_back_and_come_again_when_wanted(void **state)
{
    struct prefault *s = prefault_new(SOON_NS);
    char *chunk = new_chunk();
    prefault_put(s, chunk, false);
    prefault_wake(s);
    while (!prefault_in_state(s, PREFAULT_COLD)) sched_yield();
    assert_int_equal(prefault_resident(s), 0);
    assert_int_equal(pages_there(chunk), 0);
    prefault_wake(s);
    prefault_settle(s);
    while (!prefault_in_state(s, PREFAULT_COLD)) sched_yield(); /* READY in between */
    assert_ptr_equal(prefault_take(s, PREFAULT_COLD), chunk);
    prefault_free(s);
}

static int keep_pages(void *dev, void *base, size_t len, void **cookie) { return 0; }
static void let_pages_go(void *dev, void *base, size_t len, void *cookie) {}

static void test_idle_pages_that_a_device_keeps_stay(void **state)
{
    static const struct region_registrar keeper = {keep_pages, let_pages_go, .pins_pages = true};
    int dev, id = registry_add_device(&keeper, &dev); /* comes when there is a helper already, on any thread */
    struct prefault *s = prefault_new(SOON_NS);
    char *chunk = new_chunk();
    prefault_put(s, chunk, false);
    prefault_wake(s);
    prefault_settle(s);
    usleep(50000); /* it is idle for long */
    assert_int_equal(prefault_in_state(s, PREFAULT_COLD), 0);
    assert_int_equal(pages_there(chunk), REGION_CHUNK / 4096);
    assert_ptr_equal(prefault_take(s, PREFAULT_READY), chunk);
    prefault_free(s);
    registry_remove_device(id);
}

static void test_a_forked_child_ends_without_the_helper(void **state)
{
    struct prefault *s = prefault_new(NEVER_NS);
    prefault_put(s, new_chunk(), false);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prefault_free(s); /* would wait for ever for a thread that is not here */
        _exit(7);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    prefault_free(s);
}

/* --- the heap's --- */

static size_t thread_count(void)
{
    char text[4096] = "";
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = 0;
    fclose(file);
    const char *line = strstr(text, "\nThreads:");
    return line ? strtoul(line + 9, NULL, 10) : 0;
}

static void fill(char **objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        objects[i] = heap_calloc(1, OBJECT);
        assert_non_null(objects[i]);
        for (size_t at = 0; at < OBJECT; at += 512) assert_int_equal(objects[i][at], 0);
        memset(objects[i], (int)i, OBJECT);
    }
}

static void empty(char **objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(objects[i][OBJECT - 1], (char)i);
        heap_free(objects[i]);
    }
}

static void grow_and_close(size_t mib)
{
    size_t count = mib * MIB / OBJECT;
    char **objects = malloc(count * sizeof *objects);
    fill(objects, count);
    heap_check();
    empty(objects, count);
    free(objects);
    while (heap_collect()) {
    }
    heap_check();
}

static void test_a_small_heap_has_no_helper(void **state)
{
    size_t before = thread_count();
    grow_and_close(4);
    assert_int_equal(thread_count(), before);
    assert_true(heap_close());
}

static void test_a_growing_heap_has_one_until_it_is_closed(void **state)
{
    size_t before = thread_count();
    grow_and_close(100);
    assert_int_equal(thread_count(), before + 1);
    grow_and_close(100);
    assert_int_equal(thread_count(), before + 1);
    assert_true(heap_close());
    assert_int_equal(thread_count(), before);
}

static void test_a_program_can_do_without_it(void **state)
{
    size_t before = thread_count();
    heap_set_prefault(false);
    grow_and_close(50);
    assert_int_equal(thread_count(), before);
    heap_set_prefault(true);
    grow_and_close(50);
    assert_int_equal(thread_count(), before + 1);
    heap_set_prefault(false);
    assert_int_equal(thread_count(), before);
    heap_check();
    assert_true(heap_close());
}

static void test_a_limit_is_used_to_its_last_chunk(void **state)
{
    heap_set_limit(32 * MIB);
    static char *objects[32 * MIB / OBJECT];
    size_t n = 0;
    while (n < sizeof objects / sizeof *objects && (objects[n] = heap_calloc(1, OBJECT))) n++;
    assert_true(n * OBJECT >= 28 * MIB); /* a slab that does not fit ends each chunk */
    while (n) heap_free(objects[--n]);
    heap_set_limit(0);
    assert_true(heap_close());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_there_is_not_taken),
        cmocka_unit_test_setup_teardown(test_nothing_is_brought_before_the_bell, make_set, end_set),
        cmocka_unit_test_setup_teardown(test_a_ready_chunk_has_all_its_pages_and_reads_as_zeros, make_set, end_set),
        cmocka_unit_test_setup_teardown(test_idle_pages_go_back_and_come_again_when_wanted, make_set, end_set),
        cmocka_unit_test_setup_teardown(test_idle_pages_that_a_device_keeps_stay, make_set, end_set),
        cmocka_unit_test_setup_teardown(test_a_forked_child_ends_without_the_helper, make_set, end_set),
        cmocka_unit_test(test_a_small_heap_has_no_helper),
        cmocka_unit_test(test_a_growing_heap_has_one_until_it_is_closed),
        cmocka_unit_test(test_a_program_can_do_without_it),
        cmocka_unit_test(test_a_limit_is_used_to_its_last_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
