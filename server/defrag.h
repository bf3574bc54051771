/* SPDX-License-Identifier: MIT
 *
 * activedefrag: what lies in hardly used blocks of the heap is moved together, until those blocks are free.
 */
#ifndef SERVER_DEFRAG_H
#define SERVER_DEFRAG_H

#include <stdbool.h>
#include <stdint.h>

#include "server/ds/btree.h"
#include "server/mem.h"

struct worker;

enum defrag_phase { DEFRAG_IDLE, DEFRAG_CHOOSE, DEFRAG_WALK, DEFRAG_GIVE_BACK, DEFRAG_LEAVE };

#define DEFRAG_LATER 32

/* A large collection that is gone through after its bucket. */
struct defrag_large {
    int dbid;
    char *name;
    size_t n;
};

struct defrag { /* private; zeros, and due_ns UINT64_MAX, at first */
    enum defrag_phase phase;
    unsigned size_class; /* DEFRAG_CHOOSE: the next one */
    int dbid;            /* DEFRAG_WALK: where it goes on */
    unsigned slice;
    size_t bucket;
    unsigned later_count;
    struct defrag_large later[DEFRAG_LATER];
    size_t at;             /* in the last of them */
    struct btree_key node; /* the same, of a stream */
    int64_t percent;       /* of the time that it may take; 0: it does not run */
    uint64_t left_ns, due_ns;
    uint64_t began_ns, rest_until_ns;
    struct mem_moves moves; /* of this cycle */
};

/* Looks whether there is something to do, and how fast: called hz times a second. */
void defrag_cron(struct worker *w);
/* A slice of it: at most DEFRAG_SLICE_NS and what lies between two looks at the clock, which is counted. */
#define DEFRAG_SLICE_NS 500000
void defrag_slice(struct worker *w);
/* Now, whatever has been begun. */
void defrag_stop(struct worker *w);
/* For INFO: time since it began, 0: it does not run. */
uint64_t defrag_current_ns(const struct worker *w);

#endif
