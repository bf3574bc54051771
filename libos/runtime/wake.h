/* SPDX-License-Identifier: MIT
 *
 * Wake-ups: the one thing another thread may do to a runtime. A ring is an exchange on a list that
 * the owner empties once a turn, and a write to an eventfd only if the owner sleeps.
 */
#ifndef RUNTIME_WAKE_H
#define RUNTIME_WAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct op;
struct runtime;

struct wake {
    struct wake *next; /* in the list of those that rang */
    atomic_bool rung;  /* is in that list, or about to be */
    bool remembered;   /* rang while nobody waited */
    struct op *op;     /* who waits */
    struct runtime *rt;
    void (*fn)(struct wake *w); /* instead of op: for the library's own threads */
};

struct wakes {
    _Atomic(struct wake *) rang;
    atomic_bool sleeping;
    int event_fd;
    uint64_t rings;
};

void wake_init(struct wake *w, struct runtime *rt, void (*fn)(struct wake *));
/* Any thread. */
void wake_ring(struct wake *w);
/* Owner: completes op at the next ring, or at once. -EBUSY: one waits already. */
int wake_wait(struct wake *w, struct op *op);
/* Owner; nobody rings it any more. An operation that waits completes with ECANCELED. */
void wake_end(struct wake *w);

/* Owner, once a turn. Returns how many rang. */
unsigned wakes_collect(struct runtime *rt);

#endif
