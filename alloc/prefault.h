/* SPDX-License-Identifier: MIT
 *
 * A stock of chunks whose pages are there already, kept by a helper thread of the heap, so that a
 * heap that grows does not wait for the system to find and clear 2 MiB.
 *
 * The heap's thread hands out empty chunks and takes ready ones, neither with a lock nor a wait;
 * the helper only ever touches their pages.
 */
#ifndef ALLOC_PREFAULT_H
#define ALLOC_PREFAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PREFAULT_MAX 8 /* chunks */

enum prefault_state {
    PREFAULT_EMPTY,  /* no chunk; the owner may put one in */
    PREFAULT_WANTED, /* without pages; the helper will bring them, or the owner takes it as it is */
    PREFAULT_BUSY,   /* the helper is at it: nobody else's */
    PREFAULT_READY,  /* with pages, which read as zeros; the owner may take it */
    PREFAULT_COLD,   /* as WANTED, but its pages were given back and nobody has asked again */
};

struct prefault;

/* Starts the helper. idle_ns: without any take for so long, the pages of ready chunks go back to
 * the system. NULL: no memory or no thread. */
struct prefault *prefault_new(uint64_t idle_ns);
void prefault_free(struct prefault *s);
/* Ends the helper and waits for it: as long as one chunk's pages take. Nothing is BUSY afterwards, and
 * what is in it can be taken. (In a forked child, which has no helper, what was BUSY stays so.) */
void prefault_stop(struct prefault *s);

/* Chunks in it, in whatever state. */
unsigned prefault_count(const struct prefault *s);
/* For tests: chunks with pages, or with the helper. */
unsigned prefault_resident(const struct prefault *s);
unsigned prefault_in_state(const struct prefault *s, enum prefault_state state);

/* Room there must be: prefault_count(s) < PREFAULT_MAX. `chunk` is REGION_CHUNK bytes that read as
 * zeros; huge: it is to be one huge page. prefault_wake() makes the helper look. */
void prefault_put(struct prefault *s, char *chunk, bool huge);
/* Cold ones are wanted again; wakes the helper if anything is wanted. */
void prefault_wake(struct prefault *s);
/* A chunk in this state (READY, WANTED or COLD), which is the caller's then; NULL: there is none. */
char *prefault_take(struct prefault *s, enum prefault_state state);

/* Whether bringing a chunk's pages may take longer than a client should wait: one of the last few did,
 * or there were only few. */
bool prefault_is_slow(const struct prefault *s);

/* For tests: returns once nothing is WANTED or BUSY. */
void prefault_settle(struct prefault *s);

#endif
