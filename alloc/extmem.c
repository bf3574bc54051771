/* SPDX-License-Identifier: MIT
 *
 * Places for pieces of memory, which are never freed, so that one may be looked at without a lock:
 *
 *     base 0, holds -1   free; nobody may hold it
 *     base p, holds n    taken; n pushes and arrays need its bytes
 *
 * Registering fills a place and writes base, then holds. Taking it back is the step from 0 holds to -1, which no holder
 * can miss: who wants to hold adds one to what is not negative, and looks again whether this is still the piece he
 * meant. There are few pieces and they are large; they are searched one by one.
 */
#include "alloc/extmem.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc/base/list.h"
#include "alloc/region.h"
#include "alloc/registry.h"

#define GONE  (-1)
#define STEPS 4096 /* pages asked for at once, a byte each: a task may call, and its stack is small */

struct extmem {
    _Atomic uintptr_t base;
    _Atomic size_t len;
    _Atomic int64_t holds; /* GONE, or how many */
    struct registered memory;
};

static struct extmem places[EXTMEM_MAX]; /* of the process, as addresses are */
atomic_uint extmem_used;

/* In a forked child: the pages are there, the devices are not. */
static void forget(struct registered *memory)
{
    struct extmem *m = container_of(memory, struct extmem, memory);
    atomic_store(&m->holds, GONE);
    atomic_store(&m->base, 0);
}

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static bool is_mapped(const char *base, size_t len)
{
    size_t page = page_size();
    unsigned char there[STEPS];
    while (len) {
        size_t part = len < page * STEPS ? len : page * STEPS;
        if (mincore((void *)(uintptr_t)base, part, there)) return false;
        base += part;
        len -= part;
    }
    return true;
}

/* Of another piece, or of a heap. */
static bool overlaps(uintptr_t base, size_t len)
{
    for (unsigned i = 0; i < atomic_load(&extmem_used); i++) {
        uintptr_t other = atomic_load(&places[i].base);
        if (other && base < other + atomic_load(&places[i].len) && other < base + len) return true;
    }
    for (uintptr_t at = base & ~(REGION_CHUNK - 1); at < base + len; at += REGION_CHUNK)
        if (region_find((const void *)at)) return true;
    return false;
}

static struct extmem *free_place(void)
{
    for (unsigned i = 0; i < EXTMEM_MAX; i++)
        if (!atomic_load(&places[i].base)) return &places[i];
    return NULL;
}

static int take_place(uintptr_t base, size_t len)
{
    if (overlaps(base, len)) return -EEXIST;
    struct extmem *m = free_place();
    if (!m) return -ENOSPC;
    m->memory = (struct registered){.base = (void *)base, .len = len, .forget = forget};
    int err = registry_add_locked(&m->memory, true);
    if (err) return err;
    atomic_store(&m->holds, GONE); /* of a place that never was taken, too */
    atomic_store(&m->len, len);
    atomic_store(&m->base, base);
    atomic_store(&m->holds, 0);
    unsigned used = (unsigned)(m - places) + 1;
    if (used > atomic_load(&extmem_used)) atomic_store(&extmem_used, used);
    return 0;
}

int extmem_register(void *base, size_t len)
{
    uintptr_t at = (uintptr_t)base, page = page_size();
    if (!base || !len || at % page || len % page) return -EINVAL;
    if (len > EXTMEM_SIZE_MAX || len > UINTPTR_MAX - at) return -E2BIG;
    if (!is_mapped(base, len)) return -EFAULT;
    registry_lock();
    int err = take_place(at, len);
    registry_unlock();
    return err;
}

static int give_place(uintptr_t base)
{
    struct extmem *m = places;
    while (m < places + EXTMEM_MAX && atomic_load(&m->base) != base) m++;
    if (m == places + EXTMEM_MAX) return -ENOENT;
    int64_t none = 0;
    if (!atomic_compare_exchange_strong(&m->holds, &none, GONE)) return -EBUSY;
    atomic_store(&m->base, 0);
    registry_remove_locked(&m->memory);
    return 0;
}

int extmem_unregister(void *base)
{
    if (!base) return -ENOENT;
    registry_lock();
    int err = give_place((uintptr_t)base);
    registry_unlock();
    return err;
}

static struct extmem *extmem_find(uintptr_t p, size_t n)
{
    for (unsigned i = 0; i < atomic_load(&extmem_used); i++) {
        struct extmem *m = &places[i];
        uintptr_t base = atomic_load(&m->base);
        size_t len = atomic_load(&m->len);
        if (base && p - base < len && n <= len - (p - base)) return m;
    }
    return NULL;
}

struct extmem *extmem_hold_slow(const void *p, size_t n)
{
    struct extmem *m = extmem_find((uintptr_t)p, n);
    if (!m) return NULL;
    int64_t holds = atomic_load(&m->holds);
    do
        if (holds < 0) return NULL;
    while (!atomic_compare_exchange_weak(&m->holds, &holds, holds + 1));
    if (extmem_find((uintptr_t)p, n) == m) return m;
    extmem_release(m); /* it was taken back and the place given away in between */
    return NULL;
}

void extmem_release(void *held)
{
    struct extmem *m = held;
    int64_t before = atomic_fetch_sub(&m->holds, 1);
    ASSERT(before > 0);
}

void *extmem_cookie(int device, const void *p)
{
    if (!atomic_load_explicit(&extmem_used, memory_order_relaxed)) return NULL;
    struct extmem *m = extmem_find((uintptr_t)p, 1);
    return m ? m->memory.cookies[device] : NULL;
}
