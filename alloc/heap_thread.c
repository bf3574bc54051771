/* SPDX-License-Identifier: MIT
 *
 * Heaps and threads: made when a thread first allocates, given back or left behind when it ends.
 *
 * A thread that ends with live objects leaves an orphan; the next thread that wants a heap takes it
 * over, with what others have freed in it meanwhile. A forked child begins with none.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/heap_impl.h"

#define CACHE_BYTES       8192 /* a class, and */
#define CACHE_OBJECTS_MAX 64   /* objects, but */
#define CACHE_OBJECTS_MIN 4

/* The heap of a thread that has none: nothing to give, never written to. */
struct heap_front heap_front_none;
__thread struct heap_front *heap_front = &heap_front_none;

/* Heaps whose threads have ended; process-wide, because their objects are. */
static pthread_mutex_t orphans_lock = PTHREAD_MUTEX_INITIALIZER;
static struct heap *orphans;
static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

static void heap_init(struct heap *h)
{
    memset(h, 0, sizeof *h);
    for (uint32_t i = 1; i < SLAB_CLASSES; i++) {
        uint32_t max = CACHE_BYTES / slab_class_size(i);
        if (max > CACHE_OBJECTS_MAX) max = CACHE_OBJECTS_MAX;
        if (max < CACHE_OBJECTS_MIN) max = CACHE_OBJECTS_MIN;
        h->front.caches[i].max = max;
    }
    for (size_t i = 0; i < SLAB_CLASSES; i++) list_init(&h->partial[i]);
    list_init(&h->emptying);
    for (size_t i = 0; i < CHUNK_BINS; i++) list_init(&h->bins[i]);
    region_set_init(&h->regions, h);
}

static void heap_delete(struct heap *h)
{
    heap_stop_stock(h);
    region_set_fini(&h->regions);
    pins_fini(&h->pins);
    free(h);
}

/* The thread ends. Who else ends with it (a device, what a program keeps for each thread) may still use the heap, in
 * whatever order the system calls them: so the heap goes in the system's second round. */
static void heap_abandon(void *arg)
{
    struct heap *h = arg;
    if (!h->ending) {
        h->ending = true;
        pthread_setspecific(exit_key, h);
        return;
    }
    h->ending = false;
    while (remote_drain(h, DRAIN_BATCH)) {
    }
    heap_front = &heap_front_none;
    if (h->front.used == 0) {
        heap_delete(h);
        return;
    }
    heap_stop_stock(h);
    pthread_mutex_lock(&orphans_lock);
    h->next_orphan = orphans;
    orphans = h;
    pthread_mutex_unlock(&orphans_lock);
}

/* A forked child has one thread, and its copy of the heap is one that devices of the parent know and that may be in
 * the middle of a helper's work. It begins with a new heap; what it frees of the old one is never used again. */
static struct heap *forgotten; /* linked through next_orphan, for who looks for leaks */

static void orphans_fork_prepare(void) { pthread_mutex_lock(&orphans_lock); }
static void orphans_fork_parent(void) { pthread_mutex_unlock(&orphans_lock); }
static void orphans_fork_child(void)
{
    pthread_mutex_unlock(&orphans_lock);
    if (!heap_exists()) return;
    struct heap *h = heap_of_thread();
    h->next_orphan = forgotten;
    forgotten = h;
    heap_front = &heap_front_none;
    pthread_setspecific(exit_key, NULL);
}

static void make_exit_key(void)
{
    ASSERT(pthread_key_create(&exit_key, heap_abandon) == 0);
    ASSERT(pthread_atfork(orphans_fork_prepare, orphans_fork_parent, orphans_fork_child) == 0);
}

static struct heap *adopt(void)
{
    pthread_mutex_lock(&orphans_lock);
    struct heap *h = orphans;
    if (h) orphans = h->next_orphan;
    pthread_mutex_unlock(&orphans_lock);
    return h;
}

static __attribute__((noinline)) struct heap *heap_make(void)
{
    pthread_once(&exit_once, make_exit_key);
    struct heap *h = adopt();
    if (!h) {
        void *memory;
        if (posix_memalign(&memory, _Alignof(struct heap), sizeof *h)) return NULL;
        h = memory;
        heap_init(h);
    }
    pthread_setspecific(exit_key, h);
    heap_front = &h->front;
    remote_drain(h, DRAIN_BATCH); /* an orphan's */
    return h;
}

struct heap *heap_get(void)
{
    if (likely(heap_exists())) return heap_of_thread();
    return heap_make();
}

bool heap_close(void)
{
    if (!heap_exists()) return true;
    struct heap *h = heap_of_thread();
    while (remote_drain(h, DRAIN_BATCH)) {
    }
    if (h->front.used) return false;
    pthread_setspecific(exit_key, NULL);
    heap_front = &heap_front_none;
    heap_delete(h);
    return true;
}

void *heap_detach(void *before)
{
    struct heap *h = heap_get();
    if (h && h != before) pthread_setspecific(exit_key, NULL);
    heap_front = &heap_front_none;
    return h;
}

void heap_attach(void *detached)
{
    struct heap *h = detached;
    heap_front = h ? &h->front : &heap_front_none;
}

struct region_set *heap_regions(void)
{
    struct heap *h = heap_get();
    return h ? &h->regions : NULL;
}

void heap_set_huge_pages(bool on)
{
    struct heap *h = heap_get();
    if (h) h->regions.small_pages = !on;
}

void heap_set_limit(size_t bytes)
{
    struct heap *h = heap_get();
    if (h) h->regions.limit_bytes = bytes;
}
