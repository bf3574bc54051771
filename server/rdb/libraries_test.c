/* SPDX-License-Identifier: MIT */
#include "server/rdb/libraries.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/mem.h"
#include "server/rdb/format.h"
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

/* An engine whose programs are names of functions, one a line; "!" fails. */
struct fake {
    unsigned alive;
};

static bool fake_load(void *who, struct library *l, struct bytes program, bool limited, char *err, size_t size)
{
    struct fake *f = who;
    l->functions = mem_calloc(16 * sizeof *l->functions);
    for (const char *p = program.p + 1, *end = program.p + program.n; p < end;) {
        const char *next = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((next ? next : end) - p);
        if (*p == '!') {
            snprintf(err, size, "failed %d", limited);
            for (; l->function_count; f->alive--) mem_free(l->functions[--l->function_count].what);
            return false;
        }
        char *name = mem_alloc(n);
        memcpy(name, p, n);
        f->alive++;
        l->functions[l->function_count++] = (struct library_function){bytes_of(name, n), name};
        p += n + 1;
    }
    return true;
}

static void fake_drop(void *who, void *what)
{
    ((struct fake *)who)->alive--;
    mem_free(what);
}

static const struct libraries_ops fake_ops = {fake_load, fake_drop};

static char said[LIBRARIES_ERROR_SIZE];

static int load(struct libraries *l, const char *code, bool replace)
{
    said[0] = 0;
    return libraries_load(l, bytes_of_str(code), replace, true, NULL, said, sizeof said);
}

static bool has(const struct libraries *l, const char *name)
{
    return libraries_function(l, bytes_of_str(name)) != NULL;
}

static void test_names_of_functions_differ_over_all_libraries(void **state)
{
    struct fake f = {0};
    struct libraries l = {.ops = &fake_ops, .who = &f};
    assert_int_equal(load(&l, "#!lua name=a\nf\ng", false), 0);
    assert_int_equal(load(&l, "#!lua name=b\nh\ng", false), -EEXIST);
    assert_string_equal(said, "Function g already exists");
    assert_false(has(&l, "h"));
    assert_int_equal(load(&l, "#!lua name=b\nh\nG", false), -EEXIST);
    assert_int_equal(load(&l, "#!lua name=b\nh", false), 0);
    assert_true(has(&l, "H") && has(&l, "F"));
    assert_int_equal(load(&l, "#!lua name=a\ng\ni", true), 0);
    assert_true(has(&l, "g") && has(&l, "h") && has(&l, "i") && !has(&l, "f"));
    assert_int_equal(load(&l, "#!lua name=a\nx\n!", true), -EBADMSG);
    assert_string_equal(said, "failed 1");
    assert_int_equal(load(&l, "#!lua name=a\nh", true), -EEXIST);
    assert_int_equal(load(&l, "#!lua name=c\n", false), -EBADMSG);
    assert_string_equal(said, "No functions registered");
    assert_true(has(&l, "g") && has(&l, "h") && has(&l, "i"));
    assert_int_equal(l.function_count, 3);
    assert_int_equal(f.alive, 3);
    assert_true(libraries_delete(&l, BYTES("a")));
    assert_false(libraries_delete(&l, BYTES("a")));
    assert_true(has(&l, "h") && !has(&l, "g"));
    libraries_clear(&l);
    assert_int_equal(f.alive, 0);
}

static void test_a_set_joins_as_a_whole_or_not_at_all(void **state)
{
    struct fake f = {0};
    struct libraries l = {.ops = &fake_ops, .who = &f}, set = l;
    assert_int_equal(load(&l, "#!lua name=a\nf", false), 0);
    assert_int_equal(load(&l, "#!lua name=b\ng", false), 0);
    assert_int_equal(load(&set, "#!lua name=c\nh", false), 0);
    assert_int_equal(load(&set, "#!lua name=a\ng", false), 0);
    assert_int_equal(libraries_join(&l, &set, false, said, sizeof said), -EEXIST);
    assert_string_equal(said, "Library a already exists");
    assert_int_equal(libraries_join(&l, &set, true, said, sizeof said), -EEXIST);
    assert_string_equal(said, "Function g already exists");
    assert_true(has(&l, "f") && has(&l, "g") && !has(&l, "h"));
    assert_int_equal(load(&set, "#!lua name=b\nf", false), 0); /* they change places */
    assert_int_equal(libraries_join(&l, &set, true, said, sizeof said), 0);
    assert_int_equal(set.count + set.function_count, 0);
    assert_int_equal(l.count, 3);
    assert_true(has(&l, "f") && has(&l, "g") && has(&l, "h"));
    assert_int_equal(f.alive, 3);
    libraries_clear(&l);
    assert_int_equal(f.alive, 0);
}

static void test_a_dump_comes_back_or_is_refused_as_a_whole(void **state)
{
    struct fake f = {0};
    struct libraries l = {.ops = &fake_ops, .who = &f}, set = l;
    struct rdb_sink s;
    assert_int_equal(load(&l, "#!lua name=a\nf", false), 0);
    assert_int_equal(load(&l, "#!lua name=b\ng", false), 0);
    rdb_sink_init(&s, NULL, NULL);
    s.version = RDB_VERSION;
    libraries_dump(&l, &s);
    struct bytes dump = rdb_sink_bytes(&s);
    assert_int_equal(libraries_read_dump(&set, dump, false, false, said, sizeof said), 0);
    assert_int_equal(set.count, 2);
    libraries_clear(&set);
    for (size_t n = 0; n < dump.n; n++) {
        assert_int_not_equal(libraries_read_dump(&set, bytes_of(dump.p, n), false, false, said, sizeof said), 0);
        assert_int_equal(set.count, 0);
    }
    char *other = (char *)dump.p;
    other[0]--; /* another kind of item, with and without a checksum that says so */
    assert_int_equal(libraries_read_dump(&set, dump, false, false, said, sizeof said), -EPROTO);
    assert_int_equal(libraries_read_dump(&set, dump, true, false, said, sizeof said), -EBADMSG);
    assert_string_equal(said, "given type is not a function");
    other[0] += 2;
    assert_int_equal(libraries_read_dump(&set, dump, true, false, said, sizeof said), -EBADMSG);
    assert_string_equal(said, "Pre-GA function format not supported");
    assert_int_equal(f.alive, 2);
    rdb_sink_fini(&s);
    libraries_clear(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_a_line_that_names_the_library_will_do),
        cmocka_unit_test(test_the_same_name_replaces_or_is_an_error),
        cmocka_unit_test(test_there_is_a_bound),
        cmocka_unit_test(test_names_of_functions_differ_over_all_libraries),
        cmocka_unit_test(test_a_set_joins_as_a_whole_or_not_at_all),
        cmocka_unit_test(test_a_dump_comes_back_or_is_refused_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
