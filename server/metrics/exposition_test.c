/* SPDX-License-Identifier: MIT */
#include "server/metrics/exposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct exposition x;
static char buffer[2 * EXPOSITION_ITEM];

static int start(void **state)
{
    exposition_init(&x, buffer, sizeof buffer);
    return 0;
}

static void assert_written(const char *text)
{
    assert_int_equal(x.n, strlen(text));
    assert_memory_equal(x.p, text, x.n);
}

static void test_a_family_and_its_samples(void **state)
{
    exposition_family(&x, "demikv_things_total", METRIC_COUNTER, "Things.");
    exposition_begin(&x, "");
    exposition_end(&x, UINT64_MAX);
    exposition_begin(&x, "");
    exposition_label(&x, "cmd", BYTES("config|get"));
    exposition_label_number(&x, "db", 15);
    exposition_end_text(&x, BYTES("-1.5"));
    assert_written("# HELP demikv_things_total Things.\n# TYPE demikv_things_total counter\n"
                   "demikv_things_total 18446744073709551615\n"
                   "demikv_things_total{cmd=\"config|get\",db=\"15\"} -1.5\n");
}

static void test_a_histogram_s_samples_have_suffixes(void **state)
{
    exposition_family(&x, "h", METRIC_HISTOGRAM, "H.");
    exposition_begin(&x, "_bucket");
    exposition_label(&x, "le", BYTES("+Inf"));
    exposition_end(&x, 3);
    exposition_begin(&x, "_sum");
    exposition_end_ns(&x, 1500000001);
    assert_written("# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 1.500000001\n");
}

/* Whatever a script calls its errors: one line, UTF-8, and no two values alike. */
static void test_a_label_has_any_bytes(void **state)
{
    exposition_family(&x, "m", METRIC_GAUGE, "M.");
    x.n = 0;
    exposition_begin(&x, "");
    exposition_label(&x, "l", BYTES("a\n\"b\\x0a} 1\xff\0z"));
    exposition_end(&x, 1);
    assert_written("m{l=\"a\\\\x0a\\\\x22b\\\\x5cx0a} 1\\\\xff\\\\x00z\"} 1\n");
}

static void test_a_long_label_is_cut(void **state)
{
    char value[10 * EXPOSITION_LABEL_MAX];
    memset(value, '\n', sizeof value);
    exposition_begin(&x, "");
    exposition_label(&x, "l", bytes_of(value, sizeof value));
    exposition_end(&x, 1);
    assert_int_equal(x.n, strlen("{l=\"\"} 1\n") + 5 * EXPOSITION_LABEL_MAX + strlen(x.name));
}

static void test_room_is_room_for_an_item(void **state)
{
    exposition_init(&x, buffer, EXPOSITION_ITEM);
    assert_true(exposition_has_room(&x));
    exposition_raw(&x, BYTES("x"));
    assert_false(exposition_has_room(&x));
}

static void assert_shifted(const char *number, unsigned by, const char *want)
{
    char out[DECIMAL_SIZE];
    size_t n;
    if (!want) {
        assert_false(decimal_shift(bytes_of_str(number), by, out, &n));
        return;
    }
    assert_true(decimal_shift(bytes_of_str(number), by, out, &n));
    assert_int_equal(n, strlen(want));
    assert_memory_equal(out, want, n);
}

static void test_a_point_is_moved(void **state)
{
    assert_shifted("", 3, NULL);
    assert_shifted("-", 3, NULL);
    assert_shifted("x", 3, NULL);
    assert_shifted("1.2.3", 3, NULL);
    assert_shifted(".5", 3, NULL);
    assert_shifted("1e5", 3, NULL);
    assert_shifted("inf", 0, NULL);
    assert_shifted("111111111111111111111111111111111111111111111111111111111111111", 0, NULL);
    assert_shifted("0", 0, "0");
    assert_shifted("12", 0, "12");
    assert_shifted("1.50", 0, "1.5");
    assert_shifted("-1", 0, "-1");
    assert_shifted("-1", 3, "-0.001");
    assert_shifted("0", 6, "0");
    assert_shifted("1234", 6, "0.001234");
    assert_shifted("1000000", 6, "1");
    assert_shifted("1234567", 6, "1.234567");
    assert_shifted("12.5", 2, "0.125");
    assert_shifted("100.00", 2, "1");
    assert_shifted("3.14", 3, "0.00314");
    assert_shifted("18446744073709551615", 9, "18446744073.709551615");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_family_and_its_samples, start),
        cmocka_unit_test_setup(test_a_histogram_s_samples_have_suffixes, start),
        cmocka_unit_test_setup(test_a_label_has_any_bytes, start),
        cmocka_unit_test_setup(test_a_long_label_is_cut, start),
        cmocka_unit_test_setup(test_room_is_room_for_an_item, start),
        cmocka_unit_test(test_a_point_is_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
