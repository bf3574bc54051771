/* SPDX-License-Identifier: MIT */
#include "alloc/base/thread.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>

#include <cmocka.h>

struct seen {
    char name[16];
    sigset_t blocked;
    cpu_set_t cpus;
};

static void *look(void *arg)
{
    struct seen *s = arg;
    prctl(PR_GET_NAME, s->name);
    pthread_sigmask(SIG_SETMASK, NULL, &s->blocked);
    sched_getaffinity(0, sizeof s->cpus, &s->cpus);
    return s;
}

static struct seen look_as(const struct thread_options *o)
{
    struct seen s;
    pthread_t thread;
    void *result;
    assert_int_equal(thread_start(&thread, o, look, &s), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &s);
    return s;
}

static void assert_runs_on(const struct thread_options *o, const cpu_set_t *cpus)
{
    struct seen s = look_as(o);
    assert_true(CPU_EQUAL(&s.cpus, cpus));
}

static cpu_set_t own_cpus(void)
{
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    return set;
}

static cpu_set_t first_of(const cpu_set_t *set)
{
    cpu_set_t one;
    int cpu = 0;
    while (!CPU_ISSET(cpu, set)) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return one;
}

static void test_it_has_its_name(void **state)
{
    assert_string_equal(look_as(&(struct thread_options){.name = "short"}).name, "short");
    assert_string_equal(look_as(&(struct thread_options){.name = "longer than 15 characters"}).name, "longer than 15 ");
}

static void test_it_takes_no_signals_but_its_faults(void **state)
{
    static const int others[] = {SIGTERM, SIGINT, SIGHUP, SIGALRM, SIGCHLD, SIGPIPE, SIGUSR1};
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    struct seen s = look_as(&(struct thread_options){.name = "x", .stack_bytes = 64 << 10});
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) assert_true(sigismember(&s.blocked, others[i]));
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) assert_false(sigismember(&s.blocked, faults[i]));
    for (int sig = 1; sig < 32; sig++) assert_int_equal(sigismember(&before, sig), sigismember(&after, sig));
}

static void test_it_runs_where_it_is_told(void **state)
{
    cpu_set_t own = own_cpus(), one = first_of(&own), rest;
    CPU_XOR(&rest, &own, &one);
    assert_null(thread_cpus());
    assert_runs_on(&(struct thread_options){.name = "x"}, &own);
    assert_runs_on(&(struct thread_options){.name = "x", .cpus = &one}, &one);
    thread_use_cpus(&one);
    assert_true(CPU_EQUAL(thread_cpus(), &one));
    assert_runs_on(&(struct thread_options){.name = "x"}, &one);
    if (CPU_COUNT(&rest)) assert_runs_on(&(struct thread_options){.name = "x", .cpus = &rest}, &rest);
    thread_use_cpus(NULL);
    assert_runs_on(&(struct thread_options){.name = "x"}, &own);
}

static void test_a_thread_starts_where_its_cpus_are_not(void **state)
{
    cpu_set_t own = own_cpus(), none;
    CPU_ZERO(&none);
    CPU_SET(CPU_SETSIZE - 1, &none);
    if (CPU_ISSET(CPU_SETSIZE - 1, &own)) skip();
    assert_runs_on(&(struct thread_options){.name = "x", .cpus = &none}, &own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_has_its_name),
        cmocka_unit_test(test_it_takes_no_signals_but_its_faults),
        cmocka_unit_test(test_it_runs_where_it_is_told),
        cmocka_unit_test(test_a_thread_starts_where_its_cpus_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
