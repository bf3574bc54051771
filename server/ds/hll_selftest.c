/* SPDX-License-Identifier: MIT
 *
 * As redis-server 7.2.4 tests itself: registers of random values are read back, in many rounds, and a dense and a
 * sparse HyperLogLog that see the same 10 million elements agree with each other and, at each power of ten, with what
 * they saw, within six standard errors.
 */
#include "server/ds/hll_selftest.h"

#include <math.h>
#include <stdio.h>

#include "alloc/base/rng.h"
#include "server/ds/hll.h"

#define ROUNDS   1000
#define ELEMENTS 10000000
/* Of a sparse one; where the option allows more, each of the ten million elements would walk over thousands of runs. */
#define SPARSE_MAX 3000

static bool registers_are_kept(struct rng *rng, char why[HLL_SELFTEST_TEXT])
{
    char dense[HLL_DENSE_BYTES] = {0};
    uint8_t put[HLL_REGISTERS], got[HLL_REGISTERS];
    for (int round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < HLL_REGISTERS; i += 8) {
            uint64_t r = rng_u64(rng);
            for (unsigned k = 0; k < 8; k++) put[i + k] = r >> 8 * k & HLL_REGISTER_MAX;
        }
        for (unsigned i = 0; i < HLL_REGISTERS; i++)
            hll_dense_set(dense, (struct hll_point){.index = i, .rank = put[i]});
        hll_registers_unpack(got, dense + HLL_HEADER_BYTES);
        for (unsigned i = 0; i < HLL_REGISTERS; i++) {
            if (got[i] == put[i]) continue;
            snprintf(why, HLL_SELFTEST_TEXT, "TESTFAILED Register %u should be %u but is %u", i, put[i], got[i]);
            return false;
        }
    }
    return true;
}

struct pair {
    char dense[HLL_DENSE_BYTES], other[HLL_ROOM_BYTES];
    size_t other_bytes;
};

/* After `seen` elements, a power of ten. */
static bool pair_is_right(const struct pair *p, uint64_t seen, uint64_t sparse_max, char why[HLL_SELFTEST_TEXT])
{
    uint64_t one, two;
    struct bytes other = bytes_of(p->other, p->other_bytes);
    if (seen < sparse_max / 2 && hll_is_dense(other)) {
        snprintf(why, HLL_SELFTEST_TEXT, "TESTFAILED sparse encoding not used");
        return false;
    }
    if (!hll_count(bytes_of(p->dense, HLL_DENSE_BYTES), &one) || !hll_count(other, &two) || one != two) {
        snprintf(why, HLL_SELFTEST_TEXT, "TESTFAILED dense/sparse disagree");
        return false;
    }
    uint64_t error = one < seen ? seen - one : one - seen;
    uint64_t most = seen == 10 ? 1 : (uint64_t)ceil(1.04 / sqrt(HLL_REGISTERS) * 6 * (double)seen);
    if (error <= most) return true;
    snprintf(why, HLL_SELFTEST_TEXT, "TESTFAILED Too big error. card:%llu abserr:%llu", (unsigned long long)seen,
             (unsigned long long)error);
    return false;
}

static bool counts_are_near(uint64_t seed, uint64_t sparse_max, char why[HLL_SELFTEST_TEXT])
{
    struct pair p = {.other_bytes = HLL_EMPTY_BYTES};
    uint64_t checkpoint = 1;
    if (sparse_max > SPARSE_MAX) sparse_max = SPARSE_MAX;
    hll_make_empty(p.other);
    hll_make_empty(p.dense);
    if (!hll_to_dense(bytes_of(p.other, HLL_EMPTY_BYTES), p.dense)) return false;
    for (uint64_t i = 1; i <= ELEMENTS; i++) {
        uint64_t element = i ^ seed;
        struct hll_point at = hll_point_of(bytes_of((const char *)&element, sizeof element));
        if (hll_dense_is_below(bytes_of(p.dense, HLL_DENSE_BYTES), at)) hll_dense_set(p.dense, at);
        hll_raise(p.other, &p.other_bytes, sparse_max, at);
        if (i != checkpoint) continue;
        if (!pair_is_right(&p, i, sparse_max, why)) return false;
        checkpoint *= 10;
    }
    return true;
}

bool hll_selftest(uint64_t seed, uint64_t sparse_max, char why[HLL_SELFTEST_TEXT])
{
    struct rng rng;
    rng_seed(&rng, seed);
    return registers_are_kept(&rng, why) && counts_are_near(rng_u64(&rng), sparse_max, why);
}
