/* SPDX-License-Identifier: MIT
 *
 * The checksum against the definition of RFC 1071, 16 bits at a time.
 */
#include "tcp/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"
#include "alloc/buf.h"

/* As RFC 1071 4.1 describes it, big-endian words, and the result put in the order of the wire. */
static uint16_t reference(const uint8_t *p, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i + 1 < n; i += 2) sum += (uint32_t)p[i] << 8 | p[i + 1];
    if (n & 1) sum += (uint32_t)p[n - 1] << 8;
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return __builtin_bswap16((uint16_t)sum);
}

static void test_the_example_of_rfc_1071_holds(void **state)
{
    static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    assert_int_equal(__builtin_bswap16(csum_fold(csum_add(0, bytes, sizeof bytes))), 0xddf2);
    assert_int_equal(csum_fold(csum_add(0, NULL, 0)), 0);
}

static void test_all_lengths_and_alignments_agree_with_the_definition(void **state)
{
    struct rng rng;
    rng_seed(&rng, 1071);
    static uint8_t bytes[9100];
    for (unsigned fill = 0; fill < 3; fill++) {
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = fill == 0 ? 0xff : fill == 1 ? 0 : (uint8_t)rng_u64(&rng);
        for (size_t n = 0; n <= 700; n++) {
            for (size_t at = 0; at < 9; at++)
                assert_int_equal(csum_fold(csum_add(0, bytes + at, n)), reference(bytes + at, n));
        }
        for (size_t n = 701; n < 9000; n += 37)
            assert_int_equal(csum_fold(csum_add(0, bytes + n % 32, n)), reference(bytes + n % 32, n));
    }
}

static void test_sums_add_up_and_never_overflow(void **state)
{
    struct rng rng;
    rng_seed(&rng, 7);
    uint8_t bytes[600];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)rng_u64(&rng);
    for (size_t cut = 0; cut <= sizeof bytes; cut += 2) {
        uint64_t sum = csum_add(csum_add(0, bytes, cut), bytes + cut, sizeof bytes - cut);
        assert_int_equal(csum_fold(sum), reference(bytes, sizeof bytes));
    }
    for (size_t cut = 1; cut <= sizeof bytes; cut += 2) { /* behind an odd number of bytes */
        uint64_t sum = csum_add(0, bytes, cut) + csum_swap(csum_add(0, bytes + cut, sizeof bytes - cut));
        assert_int_equal(csum_fold(sum), reference(bytes, sizeof bytes));
    }
    memset(bytes, 0xff, sizeof bytes);
    uint64_t sum = UINT64_MAX;
    for (unsigned i = 0; i < 100; i++) sum = csum_add(sum, bytes, sizeof bytes);
    assert_int_equal(csum_fold(sum), 0xffff);
}

static void test_chains_of_odd_bufs_sum_as_one(void **state)
{
    struct rng rng;
    rng_seed(&rng, 3);
    for (unsigned round = 0; round < 300; round++) {
        uint8_t whole[4000];
        size_t n = 0;
        struct buf *head = NULL;
        unsigned parts = 1 + (unsigned)rng_below(&rng, 6);
        for (unsigned i = 0; i < parts; i++) {
            size_t len = rng_below(&rng, 600);
            struct buf *b = buf_take(len);
            uint8_t *p = buf_put_back(b, len);
            for (size_t k = 0; k < len; k++) p[k] = whole[n + k] = (uint8_t)rng_u64(&rng);
            n += len;
            if (head) buf_chain_append(head, b);
            else head = b;
        }
        size_t offset = rng_below(&rng, n + 1), len = rng_below(&rng, n - offset + 1);
        assert_int_equal(csum_fold(csum_add_chain(0, head, offset, len)), reference(whole + offset, len));
        buf_unref(head);
    }
}

static void test_a_header_that_holds_its_checksum_gives_0(void **state)
{
    struct rng rng;
    rng_seed(&rng, 4);
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t hdr[20];
        for (size_t k = 0; k < sizeof hdr; k++) hdr[k] = i == 0 ? 0xff : (uint8_t)rng_u64(&rng);
        hdr[0] = 0x45;
        hdr[10] = hdr[11] = 0;
        uint16_t c = csum_ip4(hdr);
        assert_int_equal(c, (uint16_t)~reference(hdr, 20));
        store_u16(hdr + 10, c);
        assert_int_equal(csum_ip4(hdr), 0);
        hdr[rng_below(&rng, 20)] ^= (uint8_t)(1 + rng_below(&rng, 254));
        assert_int_not_equal(csum_ip4(hdr), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_example_of_rfc_1071_holds),
        cmocka_unit_test(test_all_lengths_and_alignments_agree_with_the_definition),
        cmocka_unit_test(test_sums_add_up_and_never_overflow),
        cmocka_unit_test(test_chains_of_odd_bufs_sum_as_one),
        cmocka_unit_test(test_a_header_that_holds_its_checksum_gives_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
