/* SPDX-License-Identifier: MIT
 *
 * What PFSELFTEST does: registers keep what was put into them, and counts are as near as they should be.
 */
#ifndef SERVER_DS_HLL_SELFTEST_H
#define SERVER_DS_HLL_SELFTEST_H

#include <stdbool.h>
#include <stdint.h>

#define HLL_SELFTEST_TEXT 96

/* With 10 million elements, which takes some tenths of a second. sparse_max: hll-sparse-max-bytes. False: something is
 * wrong, and `why` says what. */
bool hll_selftest(uint64_t seed, uint64_t sparse_max, char why[HLL_SELFTEST_TEXT]);

#endif
