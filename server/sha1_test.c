/* SPDX-License-Identifier: MIT */
#include "server/sha1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void check(struct bytes text, const char *hex)
{
    unsigned char out[SHA1_SIZE];
    char got[2 * SHA1_SIZE + 1];
    sha1(text, out);
    for (int i = 0; i < SHA1_SIZE; i++) snprintf(got + 2 * i, 3, "%02x", out[i]);
    assert_string_equal(got, hex);
}

/* RFC 3174 7.3 and the empty string. */
static void test_published_digests(void **state)
{
    check(BYTES(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check(BYTES("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    check(BYTES("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
          "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

static void test_a_length_that_needs_a_second_padding_block(void **state)
{
    static char many[120];
    memset(many, 'a', sizeof many);
    check(bytes_of(many, 56), "c2db330f6083854c99d4b5bfb6e8f29f201be699");
    check(bytes_of(many, 64), "0098ba824b5c16427bd7a1122a5a442a25ec644d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_digests),
        cmocka_unit_test(test_a_length_that_needs_a_second_padding_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
