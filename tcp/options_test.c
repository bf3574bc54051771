/* SPDX-License-Identifier: MIT
 *
 * Options: what is malformed is refused whole, what is known is read, what is written can be read.
 */
#include "tcp/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"

/* Parsed from an allocation of exactly its size, so that the sanitizer sees a read behind it. */
static int parse(const uint8_t *p, size_t n, bool syn, struct tcp_opts *o)
{
    uint8_t *exact = malloc(n ? n : 1);
    memcpy(exact, p, n);
    memset(o, 0xee, sizeof *o);
    int rc = options_parse(exact, n, syn, o);
    free(exact);
    if (rc) assert_true(o->has == 0 && o->sack_count == 0);
    return rc;
}
#define PARSE(o, syn, ...) parse((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), syn, o)

static void test_lengths_0_1_and_beyond_the_end_are_refused(void **state)
{
    struct tcp_opts o;
    for (unsigned kind = 2; kind < 256; kind++) {
        assert_int_equal(PARSE(&o, true, (uint8_t)kind, 0, 0, 0), -EINVAL);
        assert_int_equal(PARSE(&o, true, (uint8_t)kind, 1, 0, 0), -EINVAL);
        assert_int_equal(PARSE(&o, true, (uint8_t)kind, 5, 0, 0), -EINVAL);
        assert_int_equal(PARSE(&o, true, (uint8_t)kind, 255, 0, 0), -EINVAL);
        assert_int_equal(PARSE(&o, true, 1, 1, 1, (uint8_t)kind), -EINVAL); /* no length at all */
        assert_int_equal(PARSE(&o, true, 1, 1, (uint8_t)kind, 3), -EINVAL);
    }
}

static void test_a_known_kind_with_a_wrong_length_is_refused(void **state)
{
    static const struct {
        uint8_t kind;
        uint64_t good;
    } kinds[] = {
        {2, 1u << 4},
        {3, 1u << 3},
        {4, 1u << 2},
        {8, 1u << 10},
        {5, 1u << 10 | 1u << 18 | 1u << 26 | (uint64_t)1 << 34},
    };
    struct tcp_opts o;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        for (unsigned len = 0; len <= 40; len++) {
            for (unsigned syn = 0; syn < 2; syn++) {
                uint8_t p[40] = {kinds[i].kind, (uint8_t)len};
                bool good = kinds[i].good >> len & 1;
                assert_int_equal(parse(p, sizeof p, syn, &o), good ? 0 : -EINVAL);
            }
        }
    }
}

static void test_no_operations_and_ends_are_taken(void **state)
{
    struct tcp_opts o;
    uint8_t p[40];
    memset(p, 1, sizeof p);
    for (size_t n = 0; n <= 40; n++) {
        assert_int_equal(parse(p, n, true, &o), 0);
        assert_int_equal(o.has, 0);
    }
    memset(p, 0, sizeof p);
    assert_int_equal(parse(p, 40, true, &o), 0);
    assert_int_equal(PARSE(&o, true, 0, 2, 0, 0), 0);         /* what stands behind the end is no option */
    assert_int_equal(PARSE(&o, true, 254, 4, 0xab, 0xcd), 0); /* unknown: skipped */
    assert_int_equal(o.has, 0);
}

static void test_options_of_a_syn_count_in_a_syn_only(void **state)
{
    struct tcp_opts o;
    assert_int_equal(PARSE(&o, true, 2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7), 0);
    assert_int_equal(o.has, OPT_MSS | OPT_SACK_OK | OPT_TS | OPT_WSCALE);
    assert_int_equal(o.mss, 1460);
    assert_int_equal(o.wscale, 7);
    assert_int_equal(o.ts_val, 0x01020304);
    assert_int_equal(PARSE(&o, false, 2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 9, 8, 7, 6, 1, 3, 3, 7), 0);
    assert_int_equal(o.has, OPT_TS);
    assert_int_equal(o.ts_ecr, 0x09080706);
    assert_int_equal(PARSE(&o, true, 3, 3, 15, 1), 0); /* RFC 7323 2.3: taken as 14 */
    assert_int_equal(o.wscale, 14);
    assert_int_equal(PARSE(&o, true, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2), 0);
    assert_int_equal(o.has, 0);
}

static void test_the_fast_path_reads_what_the_slow_one_does(void **state)
{
    struct tcp_opts fast, slow;
    assert_int_equal(PARSE(&fast, false, 1, 1, 8, 10, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4), 0);
    assert_int_equal(PARSE(&slow, false, 8, 10, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 1, 1), 0);
    assert_int_equal(fast.has, slow.has);
    assert_int_equal(fast.ts_val, slow.ts_val);
    assert_int_equal(fast.ts_ecr, 0x01020304);
    assert_int_equal(fast.sack_count, 0);
    assert_int_equal(PARSE(&fast, false, 1, 1, 8, 9, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4), -EINVAL);
}

static void test_empty_and_inverted_sack_blocks_are_left_out(void **state)
{
    struct tcp_opts o;
    assert_int_equal(
        PARSE(&o, false, 1, 1, 5, 26, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 7), 0);
    assert_int_equal(o.has, OPT_SACK);
    assert_int_equal(o.sack_count, 1);
    assert_int_equal(o.sack[0].start, 3);
    assert_int_equal(o.sack[0].end, 5);
    assert_int_equal(PARSE(&o, false, 5, 10, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0), 0);
    assert_int_equal(o.has, 0);
    assert_int_equal(PARSE(&o, false, 5, 10, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 9, 1, 1), 0); /* across the wrap */
    assert_int_equal(o.sack_count, 1);
}

static void test_what_is_written_is_read_again(void **state)
{
    struct rng rng;
    rng_seed(&rng, 9293);
    for (unsigned has = 0; has < 32; has++) {
        for (unsigned blocks = 0; blocks <= SACK_BLOCKS_MAX; blocks++) {
            bool syn = has & (OPT_MSS | OPT_WSCALE | OPT_SACK_OK);
            if (syn && (has & OPT_SACK)) continue;
            struct tcp_opts in = {.has = (uint8_t)has,
                                  .wscale = (uint8_t)rng_below(&rng, 15),
                                  .mss = (uint16_t)rng_u64(&rng),
                                  .ts_val = (uint32_t)rng_u64(&rng),
                                  .ts_ecr = (uint32_t)rng_u64(&rng),
                                  .sack_count = (uint8_t)blocks};
            for (unsigned i = 0; i < blocks; i++) {
                in.sack[i].start = (tcp_seq)rng_u64(&rng);
                in.sack[i].end = in.sack[i].start + 1 + (uint32_t)rng_below(&rng, 100000);
            }
            uint8_t p[40], n = (uint8_t)options_write(memset(p, 0xcc, sizeof p), &in);
            struct tcp_opts out;
            assert_true(n <= 40 && n % 4 == 0);
            for (size_t i = n; i < sizeof p; i++) assert_int_equal(p[i], 0xcc);
            assert_int_equal(parse(p, n, syn, &out), 0);
            unsigned fit = !(has & OPT_SACK) ? 0 : has & OPT_TS && blocks > 3 ? 3 : blocks;
            assert_int_equal(out.has, fit ? has : has & ~(unsigned)OPT_SACK);
            if (has & OPT_MSS) assert_int_equal(out.mss, in.mss);
            if (has & OPT_WSCALE) assert_int_equal(out.wscale, in.wscale);
            if (has & OPT_TS) assert_true(out.ts_val == in.ts_val && out.ts_ecr == in.ts_ecr);
            assert_int_equal(out.sack_count, fit);
            assert_memory_equal(out.sack, in.sack, fit * sizeof *in.sack);
        }
    }
    struct tcp_opts all = {.has = OPT_MSS | OPT_WSCALE | OPT_SACK_OK | OPT_TS};
    uint8_t p[40];
    assert_int_equal(options_write(p, &all), 20);
}

static void test_random_bytes_end_and_change_nothing_else(void **state)
{
    struct rng rng;
    rng_seed(&rng, 1);
    for (unsigned i = 0; i < 200000; i++) {
        uint8_t p[40];
        size_t n = rng_below(&rng, 41);
        for (size_t k = 0; k < n; k++) p[k] = (uint8_t)rng_below(&rng, rng_below(&rng, 3) ? 11 : 256);
        struct tcp_opts o;
        int rc = parse(p, n, i & 1, &o);
        assert_true(rc == 0 || rc == -EINVAL);
        assert_true(o.sack_count <= SACK_BLOCKS_MAX);
        if (o.has & OPT_WSCALE) assert_true(o.wscale <= 14);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths_0_1_and_beyond_the_end_are_refused),
        cmocka_unit_test(test_a_known_kind_with_a_wrong_length_is_refused),
        cmocka_unit_test(test_no_operations_and_ends_are_taken),
        cmocka_unit_test(test_options_of_a_syn_count_in_a_syn_only),
        cmocka_unit_test(test_the_fast_path_reads_what_the_slow_one_does),
        cmocka_unit_test(test_empty_and_inverted_sack_blocks_are_left_out),
        cmocka_unit_test(test_what_is_written_is_read_again),
        cmocka_unit_test(test_random_bytes_end_and_change_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
