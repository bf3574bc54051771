/* SPDX-License-Identifier: MIT
 *
 * See helper.h.
 */
#include "libos/disk/helper.h"

#include "alloc/base/assert.h"
#include "alloc/base/thread.h"
#include "libos/runtime/runtime.h"

#include <stddef.h>

static void jobs_init(struct job_list *l) { l->tail = &l->head, l->head = NULL; }

static void jobs_append(struct job_list *l, struct disk_job *j)
{
    j->next = NULL;
    *l->tail = j;
    l->tail = &j->next;
}

static struct disk_job *jobs_take_all(struct job_list *l)
{
    struct disk_job *all = l->head;
    jobs_init(l);
    return all;
}

static struct disk_job *next_job(struct helper *h)
{
    while (!h->todo.head && !h->stop) pthread_cond_wait(&h->more, &h->lock);
    struct disk_job *j = h->todo.head;
    if (!j) return NULL;
    h->todo.head = j->next;
    if (!j->next) h->todo.tail = &h->todo.head;
    return j;
}

static void *work(void *arg)
{
    struct helper *h = arg;
    pthread_mutex_lock(&h->lock);
    for (struct disk_job *j; (j = next_job(h));) {
        pthread_mutex_unlock(&h->lock);
        j->run(j);
        pthread_mutex_lock(&h->lock);
        jobs_append(&h->done, j);
        wake_ring(&h->wake);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

static void finish_all(struct helper *h)
{
    pthread_mutex_lock(&h->lock);
    struct disk_job *j = jobs_take_all(&h->done);
    pthread_mutex_unlock(&h->lock);
    for (struct disk_job *next; j; j = next) {
        next = j->next;
        h->waiting--;
        h->wake.rt->elsewhere--;
        j->finish(j);
    }
}

static void on_wake(struct wake *w) { finish_all((struct helper *)((char *)w - offsetof(struct helper, wake))); }

int helper_start(struct helper *h, struct runtime *rt)
{
    *h = (struct helper){0};
    wake_init(&h->wake, rt, on_wake);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->more, NULL);
    jobs_init(&h->todo);
    jobs_init(&h->done);
    int err = thread_start(&h->thread, &(struct thread_options){.name = "disk"}, work, h);
    h->started = !err;
    return err;
}

void helper_stop(struct helper *h)
{
    if (!h->started) return;
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    pthread_cond_signal(&h->more);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    wake_end(&h->wake);
    finish_all(h);
    ASSERT(h->waiting == 0);
    pthread_cond_destroy(&h->more);
    pthread_mutex_destroy(&h->lock);
    h->started = false;
}

void helper_submit(struct helper *h, struct disk_job *j)
{
    ASSERT(h->started);
    ASSERT(j->run && j->finish);
    h->waiting++;
    h->wake.rt->elsewhere++;
    pthread_mutex_lock(&h->lock);
    jobs_append(&h->todo, j);
    pthread_cond_signal(&h->more);
    pthread_mutex_unlock(&h->lock);
}
