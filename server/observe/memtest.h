/* SPDX-License-Identifier: MIT
 *
 * A test of the machine's memory: `demikv-server --test-memory MEGABYTES`, as redis-server has it. For a machine whose
 * server crashes in ways that no program explains.
 */
#ifndef SERVER_OBSERVE_MEMTEST_H
#define SERVER_OBSERVE_MEMTEST_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MEMTEST_PASSES        50        /* redis-server's number */
#define MEMTEST_MEGABYTES_MAX (1 << 24) /* 16 TiB: more is a slip of the pen */

/* 0: the memory held what was written; 1: it did not, or there is not so much of it. Says on `out` what it does. */
int memtest_run(FILE *out, size_t megabytes, int passes);

/* --- the steps, for tests --- */

#define MEMTEST_FINE SIZE_MAX
/* Each word holds its own address, which finds address lines that stick. */
void memtest_fill_addresses(volatile uint64_t *words, size_t count);
/* The index of the first word that does not; MEMTEST_FINE: all do. */
size_t memtest_check_addresses(const volatile uint64_t *words, size_t count);
/* Both halves get the same words: chance, or `even` and `odd` in turn. A page apart from one write to the next, so that
 * caches help little. count is a multiple of MEMTEST_STEP * 2. */
#define MEMTEST_STEP 512 /* words a page */
void memtest_fill_random(volatile uint64_t *words, size_t count, uint64_t seed);
void memtest_fill_pattern(volatile uint64_t *words, size_t count, uint64_t even, uint64_t odd);
/* The index of the first word of the lower half that its twin differs from; MEMTEST_FINE: none. */
size_t memtest_compare_halves(const volatile uint64_t *words, size_t count);

#endif
