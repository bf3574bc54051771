/* SPDX-License-Identifier: MIT
 *
 * Helper threads: what works beside a loop. They have a name that top(1) shows, take no signals but those of their own
 * faults, since signals are the program's to handle elsewhere, and run where they are told to.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <sched.h>
#include <stddef.h>

struct thread_options {
    const char *name;      /* lasts; 15 characters of it are shown */
    const cpu_set_t *cpus; /* where it may run; NULL: thread_use_cpus()'s */
    size_t stack_bytes;    /* 0: as libc has it */
};

/* 0 or -errno. A set of which no CPU is there is passed over: a thread in the wrong place is better than none. */
int thread_start(pthread_t *out, const struct thread_options *o, void *(*run)(void *arg), void *arg);

/* Where threads run that are started from now on and were not told otherwise, of the whole process. NULL: where the
 * thread that starts them may run, which is how it begins. Before there are threads that could ask. */
void thread_use_cpus(const cpu_set_t *cpus);
/* What was given to it; NULL: nothing. For helpers that are the kernel's threads and not ours. */
const cpu_set_t *thread_cpus(void);

#endif
