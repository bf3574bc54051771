/* SPDX-License-Identifier: MIT
 *
 * Freeing what is large away from the loop: one thread, one bounded ring. A value small enough that
 * freeing it here costs less than handing it over is freed at once; so it is when the ring is full,
 * which bounds memory in limbo.
 */
#include "server/lazyfree.h"

#include "server/db/hooks.h"
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include "alloc/base/thread.h"
#include "server/ds/dict.h"
#include "server/ds/quicklist.h"
#include "server/ds/xstream.h"
#include "server/ds/ztree.h"
#include "server/mem.h"
#include "server/server.h"

#define JOBS          1024
#define LAZY_ELEMENTS 64 /* fewer are freed in place, as Redis does */

struct lazyfree_job {
    struct value value;
    struct slice *slices;  /* NULL: the value */
    void (*fn)(void *arg); /* NULL: one of the above */
    void *arg;
    unsigned slice_count;
    size_t objects;
};

struct lazyfree {
    struct lazyfree_job jobs[JOBS];
    _Atomic size_t head, tail; /* taken, put */
    sem_t ready;
    pthread_t thread;
    bool started;
    _Atomic bool stop;
    _Atomic size_t pending;
    _Atomic uint64_t freed;
};

static void run_job(struct lazyfree_job *j)
{
    if (j->fn) j->fn(j->arg);
    else if (j->slices) db_slices_free(j->slices, j->slice_count);
    else value_free(j->value);
}

static void *lazyfree_run(void *arg)
{
    struct lazyfree *lf = arg;
    for (;;) {
        while (sem_wait(&lf->ready) != 0) {
        }
        size_t head = atomic_load_explicit(&lf->head, memory_order_relaxed);
        if (head == atomic_load_explicit(&lf->tail, memory_order_acquire)) {
            if (atomic_load(&lf->stop)) return NULL;
            continue;
        }
        struct lazyfree_job j = lf->jobs[head % JOBS];
        atomic_store_explicit(&lf->head, head + 1, memory_order_release);
        run_job(&j);
        atomic_fetch_add(&lf->freed, j.objects);
        atomic_fetch_sub(&lf->pending, j.objects);
    }
}

int lazyfree_start(struct server *srv)
{
    struct lazyfree *lf = mem_calloc(sizeof *lf);
    srv->lazyfree = lf;
    if (sem_init(&lf->ready, 0, 0) != 0) return -errno;
    int err = thread_start(&lf->thread, &(struct thread_options){.name = "lazyfree"}, lazyfree_run, lf);
    if (err) return err;
    lf->started = true;
    return 0;
}

void lazyfree_stop(struct server *srv)
{
    struct lazyfree *lf = srv->lazyfree;
    if (!lf) return;
    if (lf->started) {
        atomic_store(&lf->stop, true);
        sem_post(&lf->ready);
        pthread_join(lf->thread, NULL);
    }
    sem_destroy(&lf->ready);
    mem_free(lf);
    srv->lazyfree = NULL;
}

/* The loop's side: a single producer. */
static void hand_over(struct lazyfree *lf, struct lazyfree_job j)
{
    size_t tail = atomic_load_explicit(&lf->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&lf->head, memory_order_acquire) == JOBS) {
        run_job(&j);
        atomic_fetch_add(&lf->freed, j.objects);
        return;
    }
    atomic_fetch_add(&lf->pending, j.objects);
    lf->jobs[tail % JOBS] = j;
    atomic_store_explicit(&lf->tail, tail + 1, memory_order_release);
    sem_post(&lf->ready);
}

size_t lazyfree_work(enum obj_encoding enc, const void *p)
{
    switch (enc) {
    case ENC_QUICKLIST: return ((const struct quicklist *)p)->nodes;
    case ENC_HT: return dict_count(p);
    case ENC_SKIPLIST: return ztree_count(p);
    case ENC_STREAM: return xstream_work(p);
    default: return 1;
    }
}

bool lazyfree_is_full(const struct server *srv)
{
    const struct lazyfree *lf = srv->lazyfree;
    if (!lf) return false;
    size_t tail = atomic_load_explicit(&lf->tail, memory_order_relaxed);
    return tail - atomic_load_explicit(&lf->head, memory_order_acquire) == JOBS;
}

void lazy_free(struct call *c, struct value v)
{
    struct lazyfree *lf = c->srv->lazyfree;
    if (!lf || !lf->started || lazyfree_work(v.enc, v.p) <= LAZY_ELEMENTS) {
        value_free(v);
        return;
    }
    hand_over(lf, (struct lazyfree_job){.value = v, .objects = 1});
}

void lazy_free_slices(struct call *c, struct slice *slices, unsigned count, size_t keys)
{
    struct lazyfree *lf = c->srv->lazyfree;
    if (!lf || !lf->started) {
        db_slices_free(slices, count);
        return;
    }
    hand_over(lf, (struct lazyfree_job){.slices = slices, .slice_count = count, .objects = keys});
}

void lazyfree_other(struct server *srv, void (*fn)(void *arg), void *arg)
{
    struct lazyfree *lf = srv->lazyfree;
    if (!lf || !lf->started) fn(arg);
    else hand_over(lf, (struct lazyfree_job){.fn = fn, .arg = arg, .objects = 1});
}

size_t lazyfree_pending(const struct server *srv) { return srv->lazyfree ? atomic_load(&srv->lazyfree->pending) : 0; }
uint64_t lazyfree_freed(const struct server *srv) { return srv->lazyfree ? atomic_load(&srv->lazyfree->freed) : 0; }
void lazyfree_reset(struct server *srv)
{
    if (srv->lazyfree) atomic_store(&srv->lazyfree->freed, 0);
}
