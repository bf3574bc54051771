/* SPDX-License-Identifier: MIT
 *
 * A thread that ends without demi_exit() ends its runtime. A key of thread-specific data tells of it; the heap's own
 * key waits a round for this one (alloc/heap_thread.c).
 *
 * A forked child has copies of the parent's descriptors and of one thread. Nothing of the parent's may be touched by
 * what the child does or by how it ends: no byte sent, no descriptor taken out of the parent's epoll instance, no ring
 * turned. And what the parent closes must end although the child lives on, which a copied descriptor would keep from
 * happening. So the child closes its copies, forgets the runtimes, and begins with none: its calls are ENOSYS until its
 * own demi_init(). Devices that are more than descriptors (DPDK) cannot be started again in the child.
 *
 * The list is process-wide by nature, and touched when runtimes begin and end only. fork() holds its lock, so the child
 * finds it whole.
 */
#include "demi/life.h"

#include "alloc/base/list.h"
#include "libos/runtime/runtime.h"

#include <pthread.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list runtimes = {&runtimes, &runtimes};
static struct list forgotten = {&forgotten, &forgotten}; /* the parent's, for who looks for leaks */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

static void thread_ends(void *arg)
{
    struct runtime *rt = arg;
    if (rt != runtime_current()) return;
    if (rt->tasks.running) runtime_end(rt); /* pthread_exit() in a task: its stack is one that would be freed */
    else life_end(rt);
}

static void process_fork_prepare(void) { pthread_mutex_lock(&lock); }
static void process_fork_parent(void) { pthread_mutex_unlock(&lock); }

static void process_fork_child(void)
{
    list_for_each(it, &runtimes) runtime_forget(list_entry(it, struct runtime, link));
    list_splice_back(&forgotten, &runtimes);
    pthread_mutex_unlock(&lock);
    runtime_enter(NULL);
    pthread_setspecific(key, NULL);
}

static void process_start(void)
{
    key_error = pthread_key_create(&key, thread_ends);
    if (!key_error) key_error = pthread_atfork(process_fork_prepare, process_fork_parent, process_fork_child);
}

int life_begin(struct runtime *rt)
{
    pthread_once(&once, process_start);
    int err = key_error ? key_error : pthread_setspecific(key, rt);
    if (err) return -err;
    pthread_mutex_lock(&lock);
    list_push_back(&runtimes, &rt->link);
    pthread_mutex_unlock(&lock);
    runtime_enter(rt);
    return 0;
}

void life_leave(struct runtime *rt)
{
    pthread_once(&once, process_start);
    if (!key_error && pthread_getspecific(key) == rt) pthread_setspecific(key, NULL);
}

/* One that did not begin here (a simulated host's) may be the first that the process ends: without a key of ours, what
 * is set would be somebody else's first one. */
void life_end(struct runtime *rt)
{
    pthread_once(&once, process_start);
    if (!key_error) pthread_setspecific(key, NULL);
    pthread_mutex_lock(&lock);
    list_remove(&rt->link);
    pthread_mutex_unlock(&lock);
    runtime_free(rt);
}
