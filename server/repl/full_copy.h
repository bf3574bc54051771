/* SPDX-License-Identifier: MIT
 *
 * A snapshot for replicas in the making: a point-in-time walk (server/db/walk.h) that writes RDB into the blocks of a
 * struct snapshot, slice by slice of time, while clients are served. One at a time for a worker.
 */
#ifndef SERVER_FULL_COPY_H
#define SERVER_FULL_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snapshot;
struct worker;

struct full_copy; /* server/repl/full_copy.c; w->copy, NULL: none is in the making */

/* Begins one, which stands where the journal and the data are now. It holds no reference: who keeps the snapshot stops
 * the copy before he gives it up. More than bytes_max bytes, with what the walk keeps, and it fails with -ENOBUFS. */
void full_copy_begin(struct worker *w, struct snapshot *s, size_t bytes_max);
/* Ends it at once; nobody is told. */
void full_copy_stop(struct worker *w);
/* The snapshot that is in the making, or NULL. */
const struct snapshot *full_copy_of(const struct worker *w);
/* When the loop has to wake for the next slice; UINT64_MAX: there is none. */
uint64_t full_copy_wakes_ns(const struct full_copy *f);
/* In every turn while there is a copy, after the replies are out: a slice, if it is time for one. At its end
 * replicas_copy_ended() is called. events: completions of this turn. */
void full_copy_turn(struct worker *w, size_t events);

#endif
