/* SPDX-License-Identifier: MIT
 *
 * A stock of chunks whose pages are there already, kept by a helper thread of the heap, so that a
 * heap that grows does not wait for the system to find and clear 2 MiB.
 *
 * The heap's thread hands out empty chunks and takes ready ones, neither with a lock nor a wait;
 * the helper only ever touches their pages.
 */
#ifndef ALLOC_STOCK_H
#define ALLOC_STOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STOCK_MAX 8 /* chunks */

enum stock_state {
    STOCK_EMPTY,  /* no chunk; the owner may put one in */
    STOCK_WANTED, /* without pages; the helper will bring them, or the owner takes it as it is */
    STOCK_BUSY,   /* the helper is at it: nobody else's */
    STOCK_READY,  /* with pages, which read as zeros; the owner may take it */
    STOCK_COLD,   /* as WANTED, but its pages were given back and nobody has asked again */
};

struct stock;

/* Starts the helper. idle_ns: without any take for so long, the pages of ready chunks go back to
 * the system. NULL: no memory or no thread. */
struct stock *stock_new(uint64_t idle_ns);
void stock_free(struct stock *s);
/* Ends the helper and waits for it: as long as one chunk's pages take. Nothing is BUSY afterwards, and
 * what is in it can be taken. (In a forked child, which has no helper, what was BUSY stays so.) */
void stock_stop(struct stock *s);

/* Chunks in it, in whatever state. */
unsigned stock_count(const struct stock *s);
/* For tests: chunks with pages, or with the helper. */
unsigned stock_resident(const struct stock *s);
unsigned stock_in_state(const struct stock *s, enum stock_state state);

/* Room there must be: stock_count(s) < STOCK_MAX. `chunk` is REGION_CHUNK bytes that read as
 * zeros; huge: it is to be one huge page. stock_wake() makes the helper look. */
void stock_put(struct stock *s, char *chunk, bool huge);
/* Cold ones are wanted again; wakes the helper if anything is wanted. */
void stock_wake(struct stock *s);
/* A chunk in this state (READY, WANTED or COLD), which is the caller's then; NULL: there is none. */
char *stock_take(struct stock *s, enum stock_state state);

/* Whether bringing a chunk's pages may take longer than a client should wait: one of the last few did,
 * or there were only few. */
bool stock_is_slow(const struct stock *s);

/* For tests: returns once nothing is WANTED or BUSY. */
void stock_settle(struct stock *s);

#endif
