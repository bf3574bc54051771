/* SPDX-License-Identifier: MIT
 *
 * See wake.h. Ringers push onto a stack of wake-ups with compare-and-swap; the owner takes all of
 * it with one exchange and turns it round.
 *
 * Going to sleep: the owner sets `sleeping`, then looks at the list; a ringer pushes, then looks at
 * `sleeping`. Both orders are sequentially consistent, so at least one of them sees the other and
 * no ring is slept over.
 */
#include "libos/runtime/wake.h"

#include "libos/runtime/runtime.h"

#include <errno.h>
#include <unistd.h>

void wake_init(struct wake *w, struct runtime *rt, void (*fn)(struct wake *))
{
    *w = (struct wake){.rt = rt, .fn = fn};
}

void wake_ring(struct wake *w)
{
    struct wakes *ws = &w->rt->wakes;
    if (atomic_exchange(&w->rung, true)) return;
    struct wake *head = atomic_load_explicit(&ws->rang, memory_order_relaxed);
    do w->next = head;
    while (!atomic_compare_exchange_weak(&ws->rang, &head, w));
    if (!atomic_load(&ws->sleeping)) return;
    uint64_t one = 1;
    ssize_t n = write(ws->event_fd, &one, sizeof one);
    (void)n; /* full: it is readable already */
}

int wake_wait(struct wake *w, struct op *op)
{
    if (w->op) return -EBUSY;
    w->op = op;
    op->ptr = w;
    if (!w->remembered) return 0;
    w->remembered = false;
    w->op = NULL;
    op_complete_plain(&w->rt->ops, op, 0);
    return 0;
}

static void answer(struct wake *w)
{
    /* From here on it can be rung again; what its ringer wrote before is seen from here on too. */
    atomic_store(&w->rung, false);
    if (w->fn) {
        w->fn(w);
    } else if (w->op) {
        struct op *op = w->op;
        w->op = NULL;
        op_complete_plain(&w->rt->ops, op, 0);
    } else {
        w->remembered = true;
    }
}

unsigned wakes_collect(struct runtime *rt)
{
    struct wakes *ws = &rt->wakes;
    if (likely(!atomic_load_explicit(&ws->rang, memory_order_relaxed))) return 0;
    struct wake *all = atomic_exchange(&ws->rang, NULL), *first = NULL;
    for (struct wake *next; all; all = next) {
        next = all->next;
        all->next = first;
        first = all;
    }
    unsigned n = 0;
    for (struct wake *next; first; first = next, n++) {
        next = first->next;
        answer(first);
    }
    ws->rings += n;
    return n;
}

void wake_end(struct wake *w)
{
    wakes_collect(w->rt);
    if (!w->op) return;
    struct op *op = w->op;
    w->op = NULL;
    op_fail(&w->rt->ops, op, ECANCELED);
}
