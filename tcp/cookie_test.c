/* SPDX-License-Identifier: MIT
 *
 * SYN cookies: what was agreed on comes back; forged, old and transplanted ones do not.
 */
#include "tcp/cookie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"

static const uint8_t key[16] = "sixteen letters!", other_key[16] = "and sixteen more";
static const nsec NOW = 1000 * NSEC_PER_SEC; /* 40 s into its minute */

static struct ip_port ep(uint32_t addr, uint16_t port) { return (struct ip_port){addr_v4(addr), port}; }

static void test_what_was_agreed_on_comes_back(void **state)
{
    static const uint16_t mss[][2] = {{0, 64},      {63, 64},     {64, 64},     {535, 64},    {536, 536},
                                      {1219, 536},  {1220, 1220}, {1399, 1360}, {1440, 1440}, {1459, 1440},
                                      {1460, 1460}, {8939, 1460}, {8940, 8940}, {65535, 8940}};
    struct ip_port l = ep(1, 6379), r = ep(2, 40000);
    for (size_t m = 0; m < sizeof mss / sizeof *mss; m++) {
        for (unsigned bits = 0; bits < 128; bits++) {
            struct cookie_opts in = {.mss = mss[m][0],
                                     .ts = bits & 64,
                                     .has_wscale = (bits & 15) < 15,
                                     .wscale = bits & 15,
                                     .sack = bits & 16,
                                     .ecn = bits & 32},
                               out;
            tcp_seq c = cookie_make(&l, &r, 77, &in, key, NOW);
            uint32_t ts_val = cookie_ts_val(0xfffffff0u + bits * 77, &in);
            assert_true(cookie_check(&l, &r, 77, c, in.ts, ts_val, key, NOW + NSEC_PER_SEC, &out));
            assert_int_equal(out.mss, mss[m][1]);
            assert_int_equal(out.ts, in.ts);
            assert_int_equal(out.has_wscale, in.ts && in.has_wscale);
            if (out.has_wscale) assert_int_equal(out.wscale, in.wscale);
            assert_int_equal(out.sack, in.ts && in.sack);
            assert_int_equal(out.ecn, in.ts && in.ecn);
        }
    }
}

static void test_the_timestamp_goes_back_by_63_at_most_and_never_ahead(void **state)
{
    for (uint32_t base = 0xffffff00u; base != 0x100; base++) {
        for (unsigned bits = 0; bits < 64; bits += 7) {
            struct cookie_opts o = {
                .has_wscale = (bits & 15) < 15, .wscale = bits & 15, .sack = bits & 16, .ecn = bits & 32};
            uint32_t v = cookie_ts_val(base, &o);
            assert_true(base - v <= 63);
        }
    }
}

static void test_old_ones_are_refused(void **state)
{
    struct ip_port l = ep(1, 6379), r = ep(2, 40000);
    struct cookie_opts o = {.mss = 1460}, out;
    nsec minute = NOW / COOKIE_STEP_NS * COOKIE_STEP_NS;
    tcp_seq c = cookie_make(&l, &r, 1, &o, key, minute);
    for (nsec s = 0; s < 120; s++)
        assert_true(cookie_check(&l, &r, 1, c, false, 0, key, minute + s * NSEC_PER_SEC, &out));
    for (nsec s = 120; s < 1000; s += 7)
        assert_false(cookie_check(&l, &r, 1, c, false, 0, key, minute + s * NSEC_PER_SEC, &out));
    assert_false(cookie_check(&l, &r, 1, c, false, 0, key, minute - 1, &out)); /* not yet made */
    c = cookie_make(&l, &r, 1, &o, key, COOKIE_STEP_NS);
    /* of minute 1 in minute 0: before it there was none */
    assert_false(cookie_check(&l, &r, 1, c, false, 0, key, 0, &out));
}

static void test_a_cookie_is_good_for_its_own_tuple_only(void **state)
{
    struct ip_port l = ep(1, 6379), r = ep(2, 40000), l2 = ep(9, 6379), l3 = ep(1, 6380), r2 = ep(3, 40000),
                   r3 = ep(2, 40001);
    struct cookie_opts o = {.mss = 1460, .ts = true, .has_wscale = true, .wscale = 7, .sack = true}, out = {.mss = 1};
    uint32_t ts = cookie_ts_val(5000, &o);
    tcp_seq c = cookie_make(&l, &r, 1, &o, key, NOW);
    assert_false(cookie_check(&l2, &r, 1, c, true, ts, key, NOW, &out));
    assert_false(cookie_check(&l3, &r, 1, c, true, ts, key, NOW, &out));
    assert_false(cookie_check(&l, &r2, 1, c, true, ts, key, NOW, &out));
    assert_false(cookie_check(&l, &r3, 1, c, true, ts, key, NOW, &out));
    assert_false(cookie_check(&r, &l, 1, c, true, ts, key, NOW, &out));
    assert_false(cookie_check(&l, &r, 2, c, true, ts, key, NOW, &out)); /* another SYN */
    assert_false(cookie_check(&l, &r, 1, c, true, ts, other_key, NOW, &out));
    assert_false(cookie_check(&l, &r, 1, c, false, ts, key, NOW, &out)); /* without the timestamps it had */
    for (unsigned bit = 0; bit < 6; bit++)
        assert_false(cookie_check(&l, &r, 1, c, true, ts ^ 1u << bit, key, NOW, &out));
    assert_int_equal(out.mss, 1);
    assert_true(cookie_check(&l, &r, 1, c, true, ts ^ 64, key, NOW, &out)); /* a later segment echoes a later clock */
}

static void test_forged_ones_are_refused(void **state)
{
    struct rng rng;
    rng_seed(&rng, 4987);
    struct ip_port l = ep(1, 6379), r = ep(2, 40000);
    struct cookie_opts o = {.mss = 1460}, out;
    tcp_seq c = cookie_make(&l, &r, 1, &o, key, NOW);
    for (unsigned bit = 0; bit < 32; bit++)
        assert_false(cookie_check(&l, &r, 1, c ^ 1u << bit, false, 0, key, NOW, &out));
    unsigned hits = 0;
    for (unsigned i = 0; i < 300000; i++)
        hits += cookie_check(&l, &r, 1, (tcp_seq)rng_u64(&rng), false, 0, key, NOW, &out);
    assert_int_equal(hits, 0); /* one of 2^28 would be good */
}

static void test_cookies_look_like_any_other_number(void **state)
{
    unsigned ones[32] = {0};
    struct cookie_opts o = {.mss = 1460};
    for (unsigned i = 0; i < 4096; i++) {
        struct ip_port l = ep(1, 6379), r = ep(i, 40000);
        tcp_seq c = cookie_make(&l, &r, 1, &o, key, NOW);
        for (unsigned b = 0; b < 32; b++) ones[b] += c >> b & 1;
    }
    for (unsigned b = 0; b < 32; b++) assert_in_range(ones[b], 2048 - 200, 2048 + 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_agreed_on_comes_back),
        cmocka_unit_test(test_the_timestamp_goes_back_by_63_at_most_and_never_ahead),
        cmocka_unit_test(test_old_ones_are_refused),
        cmocka_unit_test(test_a_cookie_is_good_for_its_own_tuple_only),
        cmocka_unit_test(test_forged_ones_are_refused),
        cmocka_unit_test(test_cookies_look_like_any_other_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
