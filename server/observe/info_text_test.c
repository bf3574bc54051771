/* SPDX-License-Identifier: MIT */
#include "server/observe/info_section.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"
#include "server/mem.h"
#include "server/resp/reply.h"

/* What came of one text. */
static const char *text_of(struct info *in, struct reply *r, char *out, size_t size)
{
    info_flush(in);
    assert_true(reply_bytes(r) < size);
    reply_copy_out(r, out);
    out[reply_bytes(r)] = 0;
    reply_fini(r);
    return out;
}

static void begin(struct info *in, struct reply *r)
{
    reply_init(r, 2);
    in->text = r;
    in->n = 0;
}

#define assert_as_printf(...)                                                                                          \
    do {                                                                                                               \
        char want[900], got[900];                                                                                      \
        struct info in;                                                                                                \
        struct reply r;                                                                                                \
        snprintf(want, sizeof want, __VA_ARGS__);                                                                      \
        begin(&in, &r);                                                                                                \
        info_part(&in, __VA_ARGS__);                                                                                   \
        assert_string_equal(text_of(&in, &r, got, sizeof got), want);                                                  \
    } while (0)

static void test_words_and_whole_numbers_are_printfs(void **state)
{
    (void)state;
    assert_as_printf("a:%s,b:%.*s\r\n", "word", 3, "words");
    assert_as_printf("%d %ld %lld %zu %u %lu %llu", -1, -2L, -3LL, sizeof(int), 4u, 5ul, 6ull);
    assert_as_printf("%lld %lld %llu", (long long)INT64_MIN, (long long)INT64_MAX, (unsigned long long)UINT64_MAX);
    assert_as_printf("%c%c 100%%", 'K', 'B');
    assert_as_printf("%ld.%06ld %ld.%06ld %06ld", 3L, 7L, 4L, 999999L, 12345678L);
}

static void test_fractions_are_printfs_to_the_last_digit(void **state)
{
    (void)state;
    static const double edges[] = {0,       0.005, 0.015,    0.125, 0.375,   0.994999, 0.995, 0.9949999999999999,
                                   0.99999, 1.005, 2.675,    1e14,  999.995, 1e15,     1e300, -0.004,
                                   -1.5,    -0.0,  0x1p-1074};
    struct rng dice;
    rng_seed(&dice, 1);
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) assert_as_printf("%.2f %.3f", edges[i], edges[i]);
    assert_as_printf("%.2f %.2f %.3f", NAN, HUGE_VAL, -HUGE_VAL);
    for (int i = 0; i < 200000; i++) {
        double v = exp2(rng_double(&dice) * 70 - 15), tie = (double)rng_below(&dice, 1000000) / 1000;
        assert_as_printf("%.2f %.3f", v, v);
        assert_as_printf("%.2f %.2f %.2f", tie, nextafter(tie, 0), nextafter(tie, 1e9));
    }
}

static void test_text_of_any_length_comes_whole_and_in_order(void **state)
{
    (void)state;
    struct info in;
    struct reply r;
    static char longest[10000], got[200000], want[200000];
    size_t n = 0;
    memset(longest, 'x', sizeof longest - 1);
    begin(&in, &r);
    for (int i = 0; i < 300; i++) {
        info_line(&in, "field%d:%s", i, longest + sizeof longest - 1 - i);
        n += (size_t)snprintf(want + n, sizeof want - n, "field%d:%s\r\n", i, longest + sizeof longest - 1 - i);
    }
    info_part(&in, "%s", longest);
    snprintf(want + n, sizeof want - n, "%s", longest);
    assert_string_equal(text_of(&in, &r, got, sizeof got), want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_and_whole_numbers_are_printfs),
        cmocka_unit_test(test_fractions_are_printfs_to_the_last_digit),
        cmocka_unit_test(test_text_of_any_length_comes_whole_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
