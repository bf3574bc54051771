/* SPDX-License-Identifier: MIT */
#include "server/persist/aof_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static enum aof_record_kind kind_of(const char *text)
{
    struct aof_record r;
    return aof_record_read(bytes_of_str(text), &r);
}

static void test_what_is_no_line_of_ours_is_bad(void **state)
{
    static const char *const bad[] = {"",
                                      "!",
                                      "hello",
                                      "!mark",
                                      "!mark v1",
                                      "!mark v1 serial=7",
                                      "!mark v1 serial=7 begins=0",
                                      "!mark v1 serial=7 begins=2\n",
                                      "!mark v1 serial=0 begins=0\n",
                                      "!mark v1 serial=07 begins=0\n",
                                      "!mark v1 serial=-7 begins=0\n",
                                      "!mark v1 serial=18446744073709551616 begins=0\n",
                                      "!mark v1 serial=7 begins=0\n ",
                                      "!mark v1 begins=0 serial=7\n",
                                      "!marks v1 serial=7 begins=0\n",
                                      "!base v1 serial=7 rdb=\n",
                                      "!end v1 serial=7 rdb=1\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(kind_of(bad[i]), AOF_RECORD_BAD);
}

static void test_a_later_version_is_told_from_nonsense(void **state)
{
    assert_int_equal(kind_of("!mark v2 serial=7 begins=0\n"), AOF_RECORD_LATER);
    assert_int_equal(kind_of("!end v10 whatever\n"), AOF_RECORD_LATER);
}

static void test_what_is_written_is_read(void **state)
{
    struct aof_record all[] = {
        {.kind = AOF_RECORD_MARK, .serial = 1, .begins = 1},
        {.kind = AOF_RECORD_RESUME, .serial = UINT64_MAX, .dropped = 0},
        {.kind = AOF_RECORD_BASE, .serial = 7, .rdb = 1},
        {.kind = AOF_RECORD_END,
         .serial = UINT64_MAX,
         .rdb = 1,
         .begin = UINT64_MAX,
         .mark = UINT64_MAX,
         .bytes = UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char line[AOF_RECORD_LINE_MAX];
        struct aof_record r;
        size_t n = aof_record_write(&all[i], line);
        assert_int_equal(aof_record_read(bytes_of(line, n), &r), all[i].kind);
        assert_true(r.serial == all[i].serial && r.begins == all[i].begins && r.dropped == all[i].dropped);
        assert_true(r.rdb == all[i].rdb && r.begin == all[i].begin && r.mark == all[i].mark);
        assert_true(r.bytes == all[i].bytes);
        for (size_t less = 0; less < n; less++)
            assert_int_not_equal(aof_record_read(bytes_of(line, less), &r), all[i].kind);
    }
}

static void test_bytes_may_be_any(void **state)
{
    struct aof_record r;
    assert_int_equal(aof_record_read(BYTES("+"), &r), AOF_RECORD_BYTES);
    assert_int_equal(r.text.n, 0);
    assert_int_equal(aof_record_read(BYTES("+!mark\0"), &r), AOF_RECORD_BYTES);
    assert_int_equal(r.text.n, 6);
    assert_memory_equal(r.text.p, "!mark", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_line_of_ours_is_bad),
        cmocka_unit_test(test_a_later_version_is_told_from_nonsense),
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_bytes_may_be_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
