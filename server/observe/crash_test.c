/* SPDX-License-Identifier: MIT
 *
 * Reports of processes whose state is broken: each crash happens in a child, whose end and whose log are looked at.
 * What a whole server reports is in tests/clients/crash.py.
 */
#include "server/observe/crash.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc/base/sanitize.h"
#include "server/conf/conf.h"
#include "server/mem.h"
#include "server/server.h"

static char path[64];
static char text[1 << 20];

struct broken {
    struct server srv;
    struct config cfg;
    struct worker w;
    struct client cl;
};

/* A server that has a configuration and a worker, and nothing else: whatever looks deeper crashes. */
static struct broken *half_a_server(const char *logfile)
{
    struct broken *b = calloc(1, sizeof *b);
    conf_init(&b->cfg);
    b->cfg.logfile = strdup(logfile);
    b->cfg.crash_memcheck_enabled = false;
    b->srv.config = &b->cfg;
    b->srv.workers = &b->w;
    b->srv.worker_count = 1;
    b->w.srv = &b->srv;
    list_init(&b->w.clients);
    crash_init(&b->srv);
    return b;
}

static int status_of(pid_t child)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    if (f) fclose(f);
    unlink(path);
    return status;
}

static pid_t start(void (*fn)(void))
{
    snprintf(path, sizeof path, "/tmp/crash_test.%d", (int)getpid());
    unlink(path);
    pid_t child = fork();
    if (child) return child;
    struct rlimit none = {0};
    setrlimit(RLIMIT_CORE, &none);
    fn();
    _exit(0);
}

/* A sanitizer keeps its handlers, and looks at the half server with other eyes. */
static bool is_sanitized(void) { return SANITIZED; }

static __attribute__((noinline)) void write_to_nowhere(void)
{
    half_a_server(path);
    volatile int *volatile nowhere = (volatile int *)16;
    *nowhere = 1;
}

/* The worker has no libOS, no commands, no databases: INFO crashes, and the report is whole without it. */
static void test_a_part_that_crashes_ends_alone(void **state)
{
    if (is_sanitized()) skip();
    int status = status_of(start(write_to_nowhere));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_non_null(strstr(text, "crashed by signal: 11, si_code: 1"));
    assert_non_null(strstr(text, "Accessing address: 0x10"));
    assert_non_null(strstr(text, "write_to_nowhere"));
    assert_non_null(strstr(text, "part of the report was ended by signal 11"));
    assert_non_null(strstr(text, "------ CLIENT LIST OUTPUT ------"));
    assert_non_null(strstr(text, "=== REDIS BUG REPORT END"));
}

/* A list of clients that never ends. */
static void hang(void)
{
    struct broken *b = half_a_server("/dev/null");
    static struct db db;
    b->cl.w = &b->w;
    b->cl.s.db = &db;
    b->cl.all.next = b->cl.all.prev = &b->cl.all;
    b->w.clients.next = &b->cl.all;
    b->w.client_count = SIZE_MAX;
    raise(SIGBUS);
}

static void test_a_part_that_hangs_is_ended(void **state)
{
    if (is_sanitized()) skip();
    time_t begin = time(NULL);
    int status = status_of(start(hang));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
    assert_in_range(time(NULL) - begin, 1, 20);
}

static __attribute__((noinline)) void call_nothing(void)
{
    half_a_server(path);
    void (*volatile nothing)(void) = NULL;
    nothing();
    __asm__ volatile(""); /* or it would be a jump, and there is no caller */
}

static void test_the_caller_of_a_null_function_is_named(void **state)
{
    if (is_sanitized()) skip();
    int status = status_of(start(call_nothing));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_non_null(strstr(text, "Crashed running the instruction at: (nil)"));
#ifdef __x86_64__
    assert_non_null(strstr(text, "call_nothing"));
#endif
}

static unsigned deeper(volatile unsigned *n);
static unsigned (*volatile again)(volatile unsigned *n) = deeper; /* no compiler sees that this has no end */

static unsigned deeper(volatile unsigned *n)
{
    volatile char frame[1000];
    frame[0] = (char)*n;
    ++*n;
    return again(n) + (unsigned)frame[0];
}

static __attribute__((noinline)) void use_up_the_stack(void)
{
    half_a_server(path);
    volatile unsigned n = 0;
    deeper(&n);
}

static void test_a_stack_that_is_used_up_can_be_told_of(void **state)
{
    if (is_sanitized()) skip();
    int status = status_of(start(use_up_the_stack));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_non_null(strstr(text, "deeper+"));
    assert_non_null(strstr(text, "=== REDIS BUG REPORT END"));
}

static __attribute__((noinline)) void fail_assertion(void)
{
    assert_non_null(freopen("/dev/null", "w", stderr));
    struct broken *b = half_a_server(path);
    ASSERT(b == NULL);
}

static void test_a_failed_assertion_is_told_and_aborts(void **state)
{
    if (is_sanitized()) skip();
    int status = status_of(start(fail_assertion));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "=== ASSERTION FAILED ==="));
    assert_non_null(strstr(text, "'b == NULL' is not true (fail_assertion)"));
    assert_non_null(strstr(text, "=== REDIS BUG REPORT END"));
}

static void run_out(void)
{
    assert_non_null(freopen("/dev/null", "w", stderr));
    half_a_server(path);
    mem_free(mem_alloc(SIZE_MAX / 2));
}

static void test_no_memory_is_told_and_aborts(void **state)
{
    if (is_sanitized()) skip();
    int status = status_of(start(run_out));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "OUT OF MEMORY. Allocating 9223372036854775807 bytes!"));
}

static void without_report(void)
{
    assert_non_null(freopen("/dev/null", "w", stderr));
    struct broken *b = half_a_server(path);
    b->cfg.crash_log_enabled = false;
    crash_apply(&b->srv, &b->cfg);
    if (getenv("CRASH_TEST_ASSERTS")) ASSERT(b == NULL);
    raise(SIGFPE);
}

static void test_without_crash_log_only_assertions_are_told(void **state)
{
    if (is_sanitized()) skip();
    int status = status_of(start(without_report));
    assert_int_equal(WTERMSIG(status), SIGFPE);
    assert_string_equal(text, "");
    setenv("CRASH_TEST_ASSERTS", "1", 1);
    status = status_of(start(without_report));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "is not true"));
    assert_null(strstr(text, "STACK TRACE"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_part_that_crashes_ends_alone),
        cmocka_unit_test(test_a_part_that_hangs_is_ended),
        cmocka_unit_test(test_the_caller_of_a_null_function_is_named),
        cmocka_unit_test(test_a_stack_that_is_used_up_can_be_told_of),
        cmocka_unit_test(test_a_failed_assertion_is_told_and_aborts),
        cmocka_unit_test(test_no_memory_is_told_and_aborts),
        cmocka_unit_test(test_without_crash_log_only_assertions_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
