/* SPDX-License-Identifier: MIT
 *
 * When dead keys are looked for, and for how long: a cycle through all databases `hz` times a second and, while too
 * many are dead, shorter ones in between.
 */
#ifndef SERVER_EXPIRE_CYCLE_H
#define SERVER_EXPIRE_CYCLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker;

struct expire_cycle {      /* private; zeros, and due_ns UINT64_MAX, at first */
    uint64_t due_ns;       /* no slice before; UINT64_MAX: none is wanted */
    uint64_t left_ns;      /* of the budget of the cycle under way; 0: there is none */
    uint64_t rest_ns;      /* clients' time until then */
    uint64_t fast_from_ns; /* when the last fast cycle began */
    int dbs_left, next_db; /* databases this cycle has still to look into, and the first of them */
    bool capped;           /* the last cycle's budget ran out before all was done */
    size_t seen, expired;  /* keys of this cycle */
};

/* A slow cycle begins: called hz times a second. */
void expire_cycle_begin(struct worker *w);
/* A slice of the cycle under way, or of a new fast one: at most EXPIRE_SLICE_NS. */
#define EXPIRE_SLICE_NS 1000000
void expire_cycle_slice(struct worker *w);
/* The same at once, because memory is short, unless a slice has just been. True: keys went. */
bool expire_cycle_now(struct worker *w);
/* When the loop has to wake for the next slice; UINT64_MAX: for none. */
uint64_t expire_cycle_wakes_ns(const struct expire_cycle *e);

#endif
