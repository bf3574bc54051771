/* SPDX-License-Identifier: MIT
 *
 * A thread that does what blocks: jobs go in over a list under a lock, and come back over another,
 * announced by a wake-up.
 *
 *      owner: helper_submit() --> todo --> thread: job->run() --> done --> owner: job->finish()
 *
 * Jobs are run in order, one at a time. run() may touch nothing but the job; finish() runs on the
 * owner's thread.
 */
#ifndef DISK_HELPER_H
#define DISK_HELPER_H

#include "libos/runtime/wake.h"

#include <pthread.h>
#include <stdbool.h>

struct disk_job {
    struct disk_job *next;
    void (*run)(struct disk_job *j);
    void (*finish)(struct disk_job *j);
};

struct job_list {
    struct disk_job *head, **tail;
};

struct helper {
    struct wake wake;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct job_list todo, done;
    bool started, stop;
    unsigned waiting; /* submitted and not finished; the owner's */
    unsigned files;   /* the owner's: how many use it */
};

/* Starts the thread. -EAGAIN, -ENOMEM. */
int helper_start(struct helper *h, struct runtime *rt);
/* Lets it do all that was submitted, joins it, and calls what is left to finish(). */
void helper_stop(struct helper *h);
void helper_submit(struct helper *h, struct disk_job *j);

#endif
