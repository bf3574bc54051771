/* SPDX-License-Identifier: MIT
 *
 * A library OS that goes from one thread to another, and what was pushed sent at once.
 *
 * What is a thread's are two pointers, its runtime and its heap, and two keys that tell of its end. Detaching takes all
 * four, so a thread that ends later ends nothing of what it once had; attaching gives the pointers back and no key: who
 * attaches has it between two of its own lines and not for its life.
 */
#include "demi/here.h"
#include "demi/life.h"

#include "alloc/heap.h"

int demi_detach(struct demi_detached *out)
{
    if (!out) return EINVAL;
    struct runtime *rt = runtime_current();
    if (unlikely(!rt)) return ENOSYS;
    if (rt->tasks.running) return EBUSY; /* it stands on a stack of this thread */
    if (rt != out->runtime) life_leave(rt);
    out->runtime = rt;
    out->heap = heap_detach(out->heap);
    runtime_enter(NULL);
    return 0;
}

int demi_attach(const struct demi_detached *d)
{
    if (!d || !d->runtime) return EINVAL;
    if (runtime_current()) return EEXIST;
    runtime_enter(d->runtime);
    heap_attach(d->heap);
    return 0;
}

int demi_flush(void)
{
    HERE(rt);
    rt->now_is_old = true;
    if (runtime_flush_is_due(rt)) runtime_flush(rt);
    return 0;
}
