/* SPDX-License-Identifier: MIT
 *
 * A log-linear histogram of nanoseconds, in the manner of HdrHistogram: each power of two is cut into 128 equal
 * steps, so that a value read back is at most 0.8 % too high, from 1 ns to centuries in 58 KiB. No allocation, no
 * configuration; recording is a count-leading-zeros and an increment.
 *
 *   value 0 … 127            one bucket each
 *   value 2^e … 2^(e+1)-1    128 buckets of 2^(e-7)
 */
#ifndef TOOLS_BENCH_HISTOGRAM_H
#define TOOLS_BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HIST_BITS = 7, HIST_STEPS = 1 << HIST_BITS, HIST_BUCKETS = (64 - HIST_BITS + 1) * HIST_STEPS };

struct histogram {
    uint64_t count, max;
    uint64_t buckets[HIST_BUCKETS];
};

static inline unsigned hist_index(uint64_t value)
{
    if (value < HIST_STEPS) return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HIST_BITS;
    return (shift + 1) * HIST_STEPS + (unsigned)((value >> shift) - HIST_STEPS);
}

/* The highest value that falls into a bucket. */
static inline uint64_t hist_value(unsigned index)
{
    if (index < HIST_STEPS) return index;
    unsigned shift = index / HIST_STEPS - 1;
    return ((uint64_t)(index % HIST_STEPS + HIST_STEPS + 1) << shift) - 1;
}

static inline void hist_add(struct histogram *h, uint64_t value, uint64_t times)
{
    h->count += times;
    h->buckets[hist_index(value)] += times;
    if (value > h->max) h->max = value;
}

/* The value that `part` (0 to 1) of all values do not exceed; 0 of an empty histogram. */
static inline uint64_t hist_quantile(const struct histogram *h, double part)
{
    uint64_t want = (uint64_t)(part * (double)h->count + 0.5), seen = 0;
    if (want < 1) want = 1;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= want) return hist_value(i) < h->max ? hist_value(i) : h->max;
    }
    return h->max;
}

#endif
