/* SPDX-License-Identifier: MIT
 *
 * The thread that has the stack.
 */
#include "tests/packets/shim/engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct engine {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, answered;
    struct list requests; /* struct request.link */
    struct host_config conf;
    struct host *host;
    bool started, stop, fresh; /* fresh: a request that was never tried is there */
};

/* Without the lock nobody else would look at r; with it callers merely wait a little. */
static bool try_one(struct engine *e, struct request *r)
{
    if (!r->tried) r->begun = host_now(e->host);
    r->tried = true;
    long result = r->fn(r, e->host);
    host_flush(e->host);
    if (result == -EAGAIN && r->blocks) return false;
    r->result = result;
    r->done = true;
    list_remove(&r->link);
    return true;
}

/* What is new first; each answer may be what another one waits for. */
static void try_all(struct engine *e)
{
    bool any = true;
    e->fresh = false;
    list_for_each_safe(l, &e->requests)
    {
        struct request *r = list_entry(l, struct request, link);
        if (!r->tried) try_one(e, r);
    }
    while (any) {
        any = false;
        list_for_each_safe(l, &e->requests) any |= try_one(e, list_entry(l, struct request, link));
    }
    pthread_cond_broadcast(&e->answered);
}

static void give_up(struct engine *e)
{
    list_for_each_safe(l, &e->requests)
    {
        struct request *r = list_entry(l, struct request, link);
        r->result = -EINTR;
        r->done = true;
        list_remove(&r->link);
    }
    pthread_cond_broadcast(&e->answered);
}

static void *run(void *arg)
{
    struct engine *e = arg;
    pthread_mutex_lock(&e->lock);
    if (host_new(&e->conf, &e->host)) e->stop = true;
    e->started = true;
    pthread_cond_broadcast(&e->answered);
    while (!e->stop) {
        if (e->fresh) try_all(e);
        else pthread_cond_wait(&e->work, &e->lock);
    }
    give_up(e);
    if (e->host) host_free(e->host);
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

struct engine *engine_start(const struct host_config *c)
{
    struct engine *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->conf = *c;
    list_init(&e->requests);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->work, NULL);
    pthread_cond_init(&e->answered, NULL);
    if (pthread_create(&e->thread, NULL, run, e)) {
        free(e);
        return NULL;
    }
    pthread_mutex_lock(&e->lock);
    while (!e->started) pthread_cond_wait(&e->answered, &e->lock);
    pthread_mutex_unlock(&e->lock);
    return e;
}

void engine_stop(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->stop = true;
    pthread_cond_signal(&e->work);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    /* The engine itself stays: a caller that was just answered may not have let go of its lock yet. */
}

long engine_call(struct engine *e, long (*fn)(struct request *r, struct host *h), void *args, bool blocks)
{
    struct request r = {.fn = fn, .args = args, .blocks = blocks};
    pthread_mutex_lock(&e->lock);
    if (e->stop) {
        pthread_mutex_unlock(&e->lock);
        return -EINTR;
    }
    list_push_back(&e->requests, &r.link);
    e->fresh = true;
    pthread_cond_signal(&e->work);
    while (!r.done) pthread_cond_wait(&e->answered, &e->lock);
    pthread_mutex_unlock(&e->lock);
    return r.result;
}
