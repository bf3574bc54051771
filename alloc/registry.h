/* SPDX-License-Identifier: MIT
 *
 * Memory that devices know, and the devices that know it: of the whole process, since what one thread has allocated
 * another's device may have to send.
 *
 *     what is registered    regions of every thread's heap (region.c), memory of the program's own (extmem.c)
 *     who is told           each device, of all there is when it comes, and of everything that comes later
 *
 * A device that refuses a piece gets no cookie for it, and copies what lies there: the heap of one thread must not run
 * dry because the device of another has no room. The program's own memory is refused to the program instead.
 *
 * Any thread may call everything here. A device is told by whichever thread it concerns, one call at a time.
 */
#ifndef ALLOC_REGISTRY_H
#define ALLOC_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/list.h"

#define REGISTRY_DEVICES_MAX 16 /* a port of DPDK each (libos/dpdk/port.c): nobody else keeps what it knows of memory */

/* A device's side. map returns 0 or -errno and leaves in *cookie what it needs to find its registration again (rkey,
 * mr, ...), which it may be asked for by any thread as long as it stands. Neither may call what is declared here. */
struct region_registrar {
    int (*map)(void *dev, void *base, size_t len, void **cookie);
    void (*unmap)(void *dev, void *base, size_t len, void *cookie);
    bool pins_pages; /* the device keeps physical pages: they must stay behind their addresses until unmap */
};

/* A piece of memory; its owner's until it is removed. */
struct registered {
    struct list link;
    void *base;
    size_t len;
    uint32_t mapped; /* bit i: device i has taken it */
    void *cookies[REGISTRY_DEVICES_MAX];
    void (*forget)(struct registered *m); /* in a forked child, which has none of the devices; or NULL */
};

/* Tells ops of everything there is. Returns the device's number, or -ENOSPC. One that several threads share is added by
 * each of them: it has one number, is told of each piece once, and removed as often as it was added. */
int registry_add_device(const struct region_registrar *ops, void *dev);
void registry_remove_device(int device);

/* Tells every device of m, whose base, len and forget are set. all: each must take it, else -errno of the first that
 * does not, and no device has it. */
int registry_add(struct registered *m, bool all);
void registry_remove(struct registered *m);

/* Whether a device forbids taking pages away from behind addresses. */
bool registry_pins_pages(void);
/* Gives the pages behind p back to the system, which will read as zeros. false: a device forbids it, or the system. */
bool registry_drop_pages(void *p, size_t len);

/* For what is changed together with it: nothing is added or removed, and nobody forks, until unlock. The calls above
 * take the lock themselves, but registry_add_locked() and registry_remove_locked(). */
void registry_lock(void);
void registry_unlock(void);
int registry_add_locked(struct registered *m, bool all);
void registry_remove_locked(struct registered *m);

#endif
