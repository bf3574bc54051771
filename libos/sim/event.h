/* SPDX-License-Identifier: MIT
 *
 * What is to happen, by time and, at one time, in the order in which it was asked for: a binary heap.
 */
#ifndef SIM_EVENT_H
#define SIM_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_event {
    uint64_t at, seq;
    void (*fn)(void *arg);
    void *arg;
};

struct events {
    struct sim_event *heap;
    size_t count, room;
    uint64_t seq;
};

void sim_events_add(struct events *q, uint64_t at, void (*fn)(void *arg), void *arg);
/* False: none. */
bool sim_events_take(struct events *q, struct sim_event *out);
static inline uint64_t sim_events_next(const struct events *q) { return q->count ? q->heap[0].at : UINT64_MAX; }
void sim_events_free(struct events *q);

#endif
