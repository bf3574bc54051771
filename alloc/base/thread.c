/* SPDX-License-Identifier: MIT
 *
 * A set of CPUs is given to the thread before it exists, so that it never runs elsewhere: not even for the time that
 * its first memory is touched in, which decides on which node of a large machine it lies.
 */
#include "alloc/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>

struct beginning {
    void *(*run)(void *arg);
    void *arg;
    const char *name;
};

static cpu_set_t helper_cpus;
static bool has_helper_cpus;

void thread_use_cpus(const cpu_set_t *cpus)
{
    has_helper_cpus = cpus != NULL;
    if (cpus) helper_cpus = *cpus;
}

const cpu_set_t *thread_cpus(void) { return has_helper_cpus ? &helper_cpus : NULL; }

/* All but those that a thread brings upon itself: blocked, they would end the process without a word. */
static void block_signals(sigset_t *before)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) sigdelset(&set, own[i]);
    pthread_sigmask(SIG_SETMASK, &set, before);
}

/* The name is set by the thread: another one would have to open a file for it. */
static void *begin(void *arg)
{
    struct beginning b = *(struct beginning *)arg;
    free(arg);
    prctl(PR_SET_NAME, b.name);
    return b.run(b.arg);
}

static int create(pthread_t *out, const struct thread_options *o, const cpu_set_t *cpus, struct beginning *b)
{
    pthread_attr_t attr;
    int err = pthread_attr_init(&attr);
    if (err) return err;
    if (o->stack_bytes) err = pthread_attr_setstacksize(&attr, o->stack_bytes);
    if (!err && cpus) err = pthread_attr_setaffinity_np(&attr, sizeof *cpus, cpus);
    if (!err) err = pthread_create(out, &attr, begin, b);
    pthread_attr_destroy(&attr);
    return err;
}

int thread_start(pthread_t *out, const struct thread_options *o, void *(*run)(void *arg), void *arg)
{
    const cpu_set_t *cpus = o->cpus ? o->cpus : thread_cpus();
    struct beginning *b = malloc(sizeof *b);
    sigset_t before;
    if (!b) return -ENOMEM;
    *b = (struct beginning){run, arg, o->name};
    block_signals(&before);
    int err = create(out, o, cpus, b);
    /* EINVAL: none of them is there. EPERM: a filter of system calls, as a service has one, lets nobody choose. */
    if ((err == EINVAL || err == EPERM) && cpus) err = create(out, o, NULL, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err) free(b);
    return -err;
}
