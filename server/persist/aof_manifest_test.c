/* SPDX-License-Identifier: MIT */
#include "server/persist/aof_manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/mem.h"

static int parse(struct aof_manifest *m, const char *text, struct aof_manifest_fault *fault)
{
    char *copy = strdup(text);
    int err = aof_manifest_parse(m, copy, strlen(text), fault);
    if (!err) fault->why = "";
    fault->line = bytes_of(NULL, 0);
    free(copy);
    return err;
}

static void expect_text(const struct aof_manifest *m, const char *want)
{
    size_t n;
    char *text = aof_manifest_text(m, &n);
    assert_int_equal(n, strlen(want));
    assert_memory_equal(text, want, n);
    mem_free(text);
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    struct aof_manifest m = {0};
    struct aof_manifest_fault fault;
    assert_int_equal(parse(&m,
                           "# made by hand\n"
                           "file a.2.base.rdb seq 2 type b\n"
                           "  FILE a.1.incr.aof  SEQ 1 TYPE h new 7 \n"
                           "file \"a b\\x01\\n\\\".4.incr.aof\" seq 4 type i\r\n"
                           "type i file a.5.incr.aof seq 5\n",
                           &fault),
                     0);
    expect_text(&m, "file a.2.base.rdb seq 2 type b\nfile a.1.incr.aof seq 1 type h\n"
                    "file \"a b\\x01\\n\\\".4.incr.aof\" seq 4 type i\nfile a.5.incr.aof seq 5 type i\n");
    assert_string_equal(aof_manifest_base(&m)->name, "a.2.base.rdb");
    assert_string_equal(aof_manifest_last_incr(&m)->name, "a.5.incr.aof");
    assert_int_equal(aof_manifest_incrs(&m), 2);
    aof_manifest_fini(&m);
}

static void test_what_is_wrong_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
        unsigned line;
    } cases[] = {
        {"", "Found an empty AOF manifest", 0},
        {"\n", "Invalid AOF manifest file format", 1},
        {"file a seq 1 type b", "The AOF manifest file contains too long line", 1},
        {"file a seq 1\n", "Invalid AOF manifest file format", 1},
        {"file a seq 1 type\n", "Invalid AOF manifest file format", 1},
        {"file a seq x type b\n", "Invalid AOF manifest file format", 1},
        {"file a seq -1 type b\n", "Invalid AOF manifest file format", 1},
        {"file a seq 9223372036854775807 type b\n", "Invalid AOF manifest file format", 1},
        {"file \"a seq 1 type b\n", "Invalid AOF manifest file format", 1},
        {"file \"\" seq 1 type b\n", "Invalid AOF manifest file format", 1},
        {"file a/b seq 1 type b\n", "File can't be a path, just a filename", 1},
        {"file a seq 1 type x\n", "Unknown AOF file type", 1},
        {"file a seq 1 type b\nfile b seq 2 type b\n", "Found duplicate base file information", 2},
        {"file a seq 2 type i\nfile b seq 2 type i\n", "Found a non-monotonic sequence number", 2},
        {"file a seq 2 type i\n\nfile b seq 3 type i\n", "Invalid AOF manifest file format", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aof_manifest m = {0};
        struct aof_manifest_fault fault;
        assert_int_not_equal(parse(&m, cases[i].text, &fault), 0);
        assert_string_equal(fault.why, cases[i].why);
        assert_int_equal(fault.number, cases[i].line);
        aof_manifest_fini(&m);
    }
    char name[AOF_NAME_SIZE + 64];
    struct aof_manifest m = {0};
    struct aof_manifest_fault fault;
    snprintf(name, sizeof name, "file %0*d seq 1 type b\n", AOF_NAME_SIZE, 1);
    assert_int_not_equal(parse(&m, name, &fault), 0);
    aof_manifest_fini(&m);
}

static void test_a_rewrite_makes_history(void **state)
{
    (void)state;
    struct aof_manifest m = {0}, copy;
    aof_manifest_add_base(&m, "x", true, 0);
    aof_manifest_add_incr(&m, "x");
    aof_manifest_add_incr(&m, "x");
    aof_manifest_copy(&copy, &m);
    aof_manifest_add_base(&m, "x", false, 1);
    expect_text(&m, "file x.2.base.aof seq 2 type b\nfile x.1.incr.aof seq 1 type h\nfile x.1.base.rdb seq 1 type h\n"
                    "file x.2.incr.aof seq 2 type i\n");
    aof_manifest_add_incr(&m, "x");
    aof_manifest_add_base(&m, "x", true, 1);
    expect_text(&m, "file x.3.base.rdb seq 3 type b\nfile x.2.incr.aof seq 2 type h\nfile x.2.base.aof seq 2 type h\n"
                    "file x.1.incr.aof seq 1 type h\nfile x.1.base.rdb seq 1 type h\nfile x.3.incr.aof seq 3 type i\n");
    aof_manifest_forget_history(&m);
    expect_text(&m, "file x.3.base.rdb seq 3 type b\nfile x.3.incr.aof seq 3 type i\n");
    expect_text(&copy,
                "file x.1.base.rdb seq 1 type b\nfile x.1.incr.aof seq 1 type i\nfile x.2.incr.aof seq 2 type i\n");
    aof_manifest_fini(&m);
    aof_manifest_fini(&copy);
    aof_manifest_adopt(&m, "old.aof");
    aof_manifest_add_incr(&m, "old.aof");
    expect_text(&m, "file old.aof seq 1 type b\nfile old.aof.1.incr.aof seq 1 type i\n");
    aof_manifest_fini(&m);
}

/* A rewrite while the log is off leaves no increment, and its history until that is deleted. */
static void test_a_number_of_history_is_not_given_again(void **state)
{
    (void)state;
    struct aof_manifest m = {0};
    struct aof_manifest_fault fault;
    char text[] = "file x.2.base.rdb seq 2 type b\nfile x.3.base.rdb seq 3 type h\nfile x.7.incr.aof seq 7 type h\n";
    assert_int_equal(aof_manifest_parse(&m, text, sizeof text - 1, &fault), 0);
    assert_string_equal(aof_manifest_add_incr(&m, "x")->name, "x.8.incr.aof");
    assert_string_equal(aof_manifest_add_base(&m, "x", true, 1)->name, "x.8.base.rdb");
    aof_manifest_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_what_is_wrong_is_said),
        cmocka_unit_test(test_a_rewrite_makes_history),
        cmocka_unit_test(test_a_number_of_history_is_not_given_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
