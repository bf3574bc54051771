/* SPDX-License-Identifier: MIT
 *
 * See registry.h. One lock: what it guards happens when devices come and go, and when a heap grows or shrinks by 2 MiB
 * or more. Finding a cookie takes none: it was written before its device's number, or the memory it is of, was known to
 * anybody who could ask.
 *
 * Taking pages away stands under the lock, too. A device that keeps physical pages may come at any moment, on any
 * thread, and would go on with pages that are not behind their addresses any more.
 */
#include "alloc/registry.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "alloc/base/assert.h"

static_assert(REGISTRY_DEVICES_MAX <= 32, "bits of registered.mapped");

static struct device {
    const struct region_registrar *ops; /* NULL: free */
    void *dev;
    unsigned users;
} devices[REGISTRY_DEVICES_MAX];
static struct list all_memory = {&all_memory, &all_memory};
static int pinning; /* devices that keep physical pages */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* --- forks: the devices are the parent's, and so is what they know --- */

static void registry_fork_prepare(void) { pthread_mutex_lock(&lock); }
static void registry_fork_parent(void) { pthread_mutex_unlock(&lock); }
static void registry_fork_child(void)
{
    list_for_each_safe(it, &all_memory)
    {
        struct registered *m = list_entry(it, struct registered, link);
        list_init(&m->link); /* may be removed as before */
        m->mapped = 0;
        if (m->forget) m->forget(m);
    }
    list_init(&all_memory);
    for (int i = 0; i < REGISTRY_DEVICES_MAX; i++) devices[i] = (struct device){0};
    pinning = 0;
    pthread_mutex_unlock(&lock);
}

static void watch_forks(void)
{
    ASSERT(pthread_atfork(registry_fork_prepare, registry_fork_parent, registry_fork_child) == 0);
}

void registry_lock(void)
{
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&lock);
}

void registry_unlock(void) { pthread_mutex_unlock(&lock); }

/* --- one device, one piece --- */

static int map(int i, struct registered *m)
{
    m->cookies[i] = NULL;
    int err = devices[i].ops->map(devices[i].dev, m->base, m->len, &m->cookies[i]);
    if (!err) m->mapped |= 1u << i;
    else m->cookies[i] = NULL;
    return err;
}

static void unmap(int i, struct registered *m)
{
    if (!(m->mapped & 1u << i)) return;
    m->mapped &= ~(1u << i);
    devices[i].ops->unmap(devices[i].dev, m->base, m->len, m->cookies[i]);
    m->cookies[i] = NULL;
}

/* --- devices --- */

static int find_device(const void *dev)
{
    for (int i = 0; i < REGISTRY_DEVICES_MAX; i++)
        if (devices[i].ops && devices[i].dev == dev) return i;
    return -1;
}

static int new_device(const struct region_registrar *ops, void *dev)
{
    int i = 0;
    while (i < REGISTRY_DEVICES_MAX && devices[i].ops) i++;
    if (i == REGISTRY_DEVICES_MAX) return -ENOSPC;
    devices[i] = (struct device){.ops = ops, .dev = dev};
    if (ops->pins_pages) __atomic_add_fetch(&pinning, 1, __ATOMIC_RELAXED);
    list_for_each(it, &all_memory) map(i, list_entry(it, struct registered, link)); /* or not: then it copies */
    return i;
}

int registry_add_device(const struct region_registrar *ops, void *dev)
{
    registry_lock();
    int i = find_device(dev);
    if (i < 0) i = new_device(ops, dev);
    if (i >= 0) {
        ASSERT(devices[i].ops == ops);
        devices[i].users++;
    }
    registry_unlock();
    return i;
}

void registry_remove_device(int i)
{
    ASSERT(i >= 0 && i < REGISTRY_DEVICES_MAX);
    registry_lock();
    if (devices[i].ops && --devices[i].users == 0) { /* none: a forked child's */
        list_for_each(it, &all_memory) unmap(i, list_entry(it, struct registered, link));
        if (devices[i].ops->pins_pages) __atomic_sub_fetch(&pinning, 1, __ATOMIC_RELAXED);
        devices[i] = (struct device){0};
    }
    registry_unlock();
}

bool registry_pins_pages(void) { return __atomic_load_n(&pinning, __ATOMIC_RELAXED) > 0; }

/* --- memory --- */

int registry_add_locked(struct registered *m, bool all)
{
    m->mapped = 0;
    for (int i = 0; i < REGISTRY_DEVICES_MAX; i++) {
        int err = devices[i].ops ? map(i, m) : 0;
        if (!err || !all) continue;
        while (i-- > 0) unmap(i, m);
        return err;
    }
    list_push_back(&all_memory, &m->link);
    return 0;
}

void registry_remove_locked(struct registered *m)
{
    list_remove(&m->link);
    for (int i = 0; i < REGISTRY_DEVICES_MAX; i++) unmap(i, m);
}

int registry_add(struct registered *m, bool all)
{
    registry_lock();
    int err = registry_add_locked(m, all);
    registry_unlock();
    return err;
}

void registry_remove(struct registered *m)
{
    registry_lock();
    registry_remove_locked(m);
    registry_unlock();
}

bool registry_drop_pages(void *p, size_t len)
{
    registry_lock();
    bool dropped = !registry_pins_pages() && madvise(p, len, MADV_DONTNEED) == 0;
    registry_unlock();
    return dropped;
}
