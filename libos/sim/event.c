/* SPDX-License-Identifier: MIT */
#include "libos/sim/event.h"

#include "alloc/base/assert.h"

#include <stdlib.h>

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

void sim_events_add(struct events *q, uint64_t at, void (*fn)(void *arg), void *arg)
{
    if (q->count == q->room) {
        q->room = q->room ? 2 * q->room : 256;
        q->heap = realloc(q->heap, q->room * sizeof *q->heap);
        ASSERT(q->heap);
    }
    struct sim_event e = {at, q->seq++, fn, arg};
    size_t i = q->count++;
    for (; i && before(&e, &q->heap[(i - 1) / 2]); i = (i - 1) / 2) q->heap[i] = q->heap[(i - 1) / 2];
    q->heap[i] = e;
}

bool sim_events_take(struct events *q, struct sim_event *out)
{
    if (!q->count) return false;
    *out = q->heap[0];
    struct sim_event last = q->heap[--q->count];
    size_t i = 0;
    for (;;) {
        size_t kid = 2 * i + 1;
        if (kid >= q->count) break;
        if (kid + 1 < q->count && before(&q->heap[kid + 1], &q->heap[kid])) kid++;
        if (!before(&q->heap[kid], &last)) break;
        q->heap[i] = q->heap[kid];
        i = kid;
    }
    q->heap[i] = last;
    return true;
}

void sim_events_free(struct events *q)
{
    free(q->heap);
    *q = (struct events){0};
}
