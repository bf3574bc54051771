/* SPDX-License-Identifier: MIT */
#include "server/rdb/libraries.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/mem.h"
#include "server/rdb/sink.h"
#include "server/rdb/source.h"

static int add(struct libraries *l, const char *code, bool replace)
{
    struct rdb_source s;
    rdb_source_of_bytes(&s, BYTES(""));
    bool ok = libraries_add(l, &s, bytes_of_str(code), replace);
    assert_int_equal(ok, s.error == 0);
    assert_int_equal(ok, s.why == NULL);
    rdb_source_fini(&s);
    return s.error;
}

static void test_only_a_line_that_names_the_library_will_do(void **state)
{
    static const char *const bad[] = {"",
                                      "#!",
                                      "#!\n",
                                      "#!lua\n",
                                      "#!lua name=\n",
                                      "#!lua name=a",
                                      "lua name=a\n",
                                      "#!lua name=a-b\n",
                                      "#!lua name=a name=b\n",
                                      "#!lua name=a more\n",
                                      "\n#!lua name=a\n",
                                      "#!lua nam=a\n"};
    struct libraries l = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(add(&l, bad[i], false), -EBADMSG);
    assert_int_equal(l.count, 0);
    assert_int_equal(add(&l, "#!lua name=A_9\n", false), 0);
    assert_int_equal(add(&l, "#!lua  name=b \r\nredis.call()", false), 0);
    libraries_clear(&l);
}

static void test_the_same_name_replaces_or_is_an_error(void **state)
{
    struct libraries l = {0};
    assert_int_equal(add(&l, "#!lua name=a\nlong source", false), 0);
    assert_int_equal(add(&l, "#!lua name=a\nother", false), -EEXIST);
    assert_int_equal(add(&l, "#!lua name=ab\n", false), 0);
    assert_int_equal(add(&l, "#!lua name=a\nother", true), 0);
    assert_int_equal(l.count, 2);
    assert_int_equal(l.bytes, 18 + 14);
    struct rdb_sink s;
    rdb_sink_init(&s, NULL, NULL);
    libraries_write(&l, &s);
    assert_true(bytes_equal(rdb_sink_bytes(&s), BYTES("\xf5\x12#!lua name=a\nother\xf5\x0e#!lua name=ab\n")));
    rdb_sink_fini(&s);
    libraries_clear(&l);
    assert_int_equal(l.count, 0);
}

static void test_there_is_a_bound(void **state)
{
    struct libraries l = {0};
    char code[64];
    for (int i = 0; i < LIBRARIES_MAX; i++) {
        snprintf(code, sizeof code, "#!lua name=l%d\n", i);
        assert_int_equal(add(&l, code, false), 0);
    }
    assert_int_equal(add(&l, "#!lua name=more\n", true), -EBADMSG);
    assert_int_equal(add(&l, "#!lua name=l7\nother", true), 0);
    libraries_clear(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_a_line_that_names_the_library_will_do),
        cmocka_unit_test(test_the_same_name_replaces_or_is_an_error),
        cmocka_unit_test(test_there_is_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
