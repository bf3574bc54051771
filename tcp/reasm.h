/* SPDX-License-Identifier: MIT
 *
 * Received bytes behind a hole, by sequence (RFC 9293 3.10.7.4, seventh). Ranges are kept in an ordered array that is
 * searched in log time; neighbours merge; what overlaps is trimmed, the first that came wins. Bounded in ranges and in
 * memory held: many small segments are copied together (SegmentSmack, CVE-2018-5390).
 */
#ifndef TCP_REASM_H
#define TCP_REASM_H

#include "tcp/options.h"

struct buf;
struct reasm;

#define REASM_RANGES_MAX 256

struct reasm *reasm_new(void);    /* made at the first hole; NULL: out of memory */
void reasm_free(struct reasm *r); /* NULL is allowed */

/* b's bytes start at seq, which is behind rcv_nxt and inside the window; b (one buf) is taken whatever happens. fin:
 * a FIN stands behind them (b may be NULL or empty then). Returns what is newly held, the FIN counted as one, or 0:
 * all here already, or no room for another range, or no memory. *dup is the first part that was here already, for
 * DSACK (RFC 2883); start == end: nothing. */
uint32_t reasm_insert(struct reasm *r, tcp_seq seq, struct buf *b, bool fin, struct sack_block *dup);

/* What is in order now: the bufs from rcv_nxt on, as a chain, and whether FIN stands behind. NULL, false: nothing.
 * *n: bytes. What lies before rcv_nxt (it came again, in order) is dropped. */
struct buf *reasm_take(struct reasm *r, tcp_seq rcv_nxt, uint32_t *n, bool *fin);

/* Up to max blocks, the one that changed last first (RFC 2018 4), at most SACK_BLOCKS_MAX. A block ends behind the
 * FIN's number if that is held. Returns how many; r may be NULL. */
unsigned reasm_sacks(const struct reasm *r, struct sack_block *out, unsigned max);

uint32_t reasm_bytes(const struct reasm *r); /* without FIN; NULL has none */
bool reasm_is_empty(const struct reasm *r);  /* NULL is empty */
/* What is held in memory, shared storage counted for each view, and the bound that keeps to. */
size_t reasm_memory(const struct reasm *r);
size_t reasm_memory_max(const struct reasm *r);
void reasm_check(const struct reasm *r, tcp_seq rcv_nxt, tcp_seq window_end);

#endif
