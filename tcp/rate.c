/* SPDX-License-Identifier: MIT
 *
 * The memory of rate samples: a ring that grows with inflight's and stays until the samples are not wanted any more.
 */
#include "tcp/rate.h"

#include "alloc/heap.h"

struct rate *rate_new(const struct inflight *f, nsec now)
{
    struct rate *r = heap_calloc(1, sizeof *r);
    if (!r) return NULL;
    if (!rate_reserve(r, f)) {
        heap_free(r);
        return NULL;
    }
    r->first_at = r->delivered_at = now;
    rate_reset(r, f, now);
    return r;
}

void rate_free(struct rate *r)
{
    if (!r) return;
    heap_free(r->segs);
    heap_free(r);
}

bool rate_grow(struct rate *r, const struct inflight *f)
{
    struct seg_rate *segs = heap_alloc(f->room * sizeof *segs);
    if (!segs) return false;
    if (r->room) {
        uint32_t n = f->count < r->room ? f->count : r->room; /* more have not been here */
        for (uint32_t i = f->head; i != f->head + n; i++) segs[i & (f->room - 1)] = *rate_at(r, i);
    }
    heap_free(r->segs);
    r->segs = segs;
    r->room = f->room;
    return true;
}

/* Times before `now` would say that nothing had arrived for that long. */
void rate_reset(struct rate *r, const struct inflight *f, nsec now)
{
    for (uint32_t i = f->head; i != inflight_end(f); i++) {
        *rate_at(r, i) =
            (struct seg_rate){.first_at = inflight_at(f, i)->sent_at, .delivered_at = now, .delivered = r->delivered};
    }
}
