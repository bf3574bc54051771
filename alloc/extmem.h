/* SPDX-License-Identifier: MIT
 *
 * Memory of the program's own that it has told the library of: devices know it as they know the heap's regions
 * (registry.h), so that it is pushed as it lies. It is of the whole process. The library never frees or moves it, and
 * holds it while a push or an array needs its bytes: then it cannot be taken back.
 */
#ifndef ALLOC_EXTMEM_H
#define ALLOC_EXTMEM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/assert.h"

#define EXTMEM_MAX      64                /* pieces */
#define EXTMEM_SIZE_MAX ((size_t)1 << 46) /* bytes of one */

struct extmem;

/* Any thread may call these. Whole pages. -EINVAL: not aligned, empty; -E2BIG; -EFAULT: not all of it is mapped;
 * -EEXIST: part of it is registered, or the heap's; -ENOSPC: EXTMEM_MAX; a device's errno. */
int extmem_register(void *base, size_t len);
/* -ENOENT: no piece begins there. -EBUSY: somebody holds it. */
int extmem_unregister(void *base);

extern atomic_uint extmem_used; /* private: places that were ever taken */
struct extmem *extmem_hold_slow(const void *p, size_t n);
/* Holds the piece in which all n bytes at p lie; NULL: there is none. */
static inline struct extmem *extmem_hold(const void *p, size_t n)
{
    if (likely(!atomic_load_explicit(&extmem_used, memory_order_relaxed))) return NULL;
    return extmem_hold_slow(p, n);
}
/* Takes a struct extmem, as a buffer's release does. Any thread. */
void extmem_release(void *m);

/* The device's cookie for p, which is held; NULL: it lies in none. */
void *extmem_cookie(int device, const void *p);

#endif
