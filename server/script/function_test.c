/* SPDX-License-Identifier: MIT
 *
 * Libraries of functions through commands of a session that has no connection.
 */
#include "server/exec/session_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/rdb/format.h"
#include "server/rdb/libraries.h"
#include "server/rdb/sink.h"
#include "server/rdb/snapshot.h"
#include "server/script/function.h"

#ifdef SCRIPT_LUA

static struct fixture f;
static struct reply out;
static struct session a;

static int setup(void **state)
{
    (void)state;
    fixture_init(&f, 1);
    reply_init(&out, 2);
    session_init(&a, &f.w, &out);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    session_fini(&a);
    reply_fini(&out);
    fixture_fini(&f);
    return 0;
}

/* The reply to words, valid until the next. */
static const char *say(int argc, const char *const *words)
{
    static char text[65536];
    struct bytes argv[8];
    for (int i = 0; i < argc; i++) argv[i] = bytes_of_str(words[i]);
    f.used = 0;
    f.effects[0] = 0;
    reply_reset(&out);
    exec_argv(&a, argv, argc);
    size_t n = reply_bytes(&out);
    assert_true(n < sizeof text);
    reply_copy_out(&out, text);
    text[n] = 0;
    return text;
}

#define SAY(...)  say(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})
#define LOAD(...) SAY("FUNCTION", "LOAD", __VA_ARGS__)

static void test_a_library_is_called_and_told(void **state)
{
    assert_string_equal(LOAD("#!lua name=a\nredis.register_function('f', function(k, a) return {k, a} end)"),
                        "$1\r\na\r\n");
    assert_non_null(strstr(f.effects, "LOAD"));
    assert_string_equal(SAY("FCALL", "f", "1", "k", "v"), "*2\r\n*1\r\n$1\r\nk\r\n*1\r\n$1\r\nv\r\n");
    assert_string_equal(f.effects, "");
    assert_string_equal(SAY("FUNCTION", "DELETE", "a"), "+OK\r\n");
    assert_non_null(strstr(f.effects, "DELETE"));
    assert_string_equal(SAY("FCALL", "f", "0"), "-ERR Function not found\r\n");
    assert_int_equal(f.srv.libraries.count, 0);
}

static void test_what_fails_leaves_what_was_there(void **state)
{
    static const char *const bad[] = {
        "#!lua name=a\nredis.register_function('f', function() end) x = 1",
        "#!lua name=a\nlocal",
        "#!lua name=a\n",
        "#!lua name=a\nredis.register_function('g', function() end)",
        "#!lua name=a\nlocal s = ('x'):rep(1e6) while true do s = s .. s end",
        "#!lua name=a\nlocal function r() return 1 + r() end r()",
        "#!lua name=a\nlocal function r() return (('x'):gsub('x', r)) end r()",
    };
    LOAD("#!lua name=a\nredis.register_function('f', function() return 1 end)");
    LOAD("#!lua name=b\nredis.register_function('g', function() return 2 end)");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_memory_equal(LOAD("REPLACE", bad[i]), "-ERR ", 5);
        assert_string_equal(f.effects, "");
        assert_string_equal(SAY("FCALL", "f", "0"), ":1\r\n");
        assert_string_equal(SAY("FCALL", "g", "0"), ":2\r\n");
        assert_int_equal(f.srv.libraries.function_count, 2);
        assert_string_equal(LOAD("#!lua name=good\nredis.register_function('h', function() end)"), "$4\r\ngood\r\n");
        assert_string_equal(SAY("FUNCTION", "DELETE", "good"), "+OK\r\n");
    }
}

/* Nothing a library does goes on when its time is up, and nothing of it stays. */
static void test_loading_ends_in_time(void **state)
{
    static const char *const endless[] = {
        "#!lua name=a\nwhile true do end",
        "#!lua name=a\nredis.register_function('f', function() end) while true do ('x'):rep(10) end",
        "#!lua name=a\nlocal s = ('a'):rep(200) s:find(('.-'):rep(20) .. 'b')",
    };
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        assert_string_equal(LOAD(endless[i]), "-ERR Error registering functions: ERR FUNCTION LOAD timeout\r\n");
        assert_int_equal(f.srv.libraries.count, 0);
    }
    assert_string_equal(LOAD("#!lua name=a\nredis.register_function('f', function() return 1 end)"), "$1\r\na\r\n");
    assert_string_equal(SAY("FCALL", "f", "0"), ":1\r\n");
}

static void test_globals_are_a_librarys_while_it_is_loaded_and_a_scripts_afterwards(void **state)
{
    assert_memory_equal(LOAD("#!lua name=a\nlocal m = math"), "-ERR ", 5);
    assert_memory_equal(LOAD("#!lua name=a\nredis.call('ping')"), "-ERR ", 5);
    LOAD("#!lua name=a\nlocal r = redis redis.register_function('f', function() return {math.floor(1.5), "
         "redis.call('ping'), r.call == nil} end)");
    assert_string_equal(SAY("EVAL", "return math.floor(2.5)", "0"), ":2\r\n");
    assert_non_null(strstr(SAY("FCALL", "f", "0"), "nonexistent global variable 'call'"));
    LOAD("REPLACE", "#!lua name=a\nredis.register_function('f', function() return {math.floor(1.5), "
                    "redis.call('ping'), redis.register_function == nil} end)");
    assert_string_equal(SAY("FCALL", "f", "0"), "*3\r\n:1\r\n+PONG\r\n:1\r\n");
    assert_non_null(strstr(SAY("EVAL", "return redis.call('fcall', 'f', 0)", "0"), "not allowed from script"));
}

static void test_libraries_go_through_a_snapshot_and_a_dump(void **state)
{
    static const char code[] =
        "#!lua name=a\nlocal n = 0 redis.register_function('f', function() n = n + 1 return n end)";
    struct call c = run_internal(&f.w, f.dbs);
    struct rdb_loader how = {0};
    struct rdb_source source;
    struct rdb_sink s;
    LOAD(code);
    SAY("FCALL", "f", "0");
    rdb_sink_init(&s, NULL, NULL);
    s.version = RDB_VERSION;
    rdb_write_snapshot(&s, &c);
    SAY("FUNCTION", "FLUSH");
    assert_string_equal(SAY("FCALL", "f", "0"), "-ERR Function not found\r\n");
    rdb_source_of_bytes(&source, rdb_sink_bytes(&s));
    assert_int_equal(rdb_read_snapshot(&source, &c, &how), 0);
    rdb_source_fini(&source);
    assert_string_equal(SAY("FCALL", "f", "0"), ":1\r\n");
    rdb_source_of_bytes(&source, rdb_sink_bytes(&s));
    assert_int_equal(rdb_read_snapshot(&source, &c, &how), -EEXIST);
    assert_non_null(strstr(source.why, "Library 'a' already exists"));
    rdb_source_fini(&source);
    rdb_sink_fini(&s);

    rdb_sink_init(&s, NULL, NULL);
    s.version = RDB_VERSION;
    libraries_dump(&f.srv.libraries, &s);
    struct bytes restore[] = {BYTES("FUNCTION"), BYTES("RESTORE"), rdb_sink_bytes(&s), BYTES("REPLACE")};
    uint32_t errors = out.error_count;
    exec_argv(&a, restore, 3);
    assert_int_equal(out.error_count, errors + 1); /* it is there */
    exec_argv(&a, restore, 4);
    assert_int_equal(out.error_count, errors + 1);
    assert_string_equal(SAY("FCALL", "f", "0"), ":1\r\n");
    rdb_sink_fini(&s);
}

/* Redis gives what RESTORE brings all the time there is, and the server with it. */
static void test_restoring_ends_in_time(void **state)
{
    struct libraries l = {0}; /* nobody runs them */
    struct rdb_sink s;
    char err[LIBRARIES_ERROR_SIZE];
    assert_int_equal(libraries_load(&l, BYTES("#!lua name=a\nwhile true do end"), false, true, NULL, err, sizeof err),
                     0);
    rdb_sink_init(&s, NULL, NULL);
    s.version = RDB_VERSION;
    libraries_dump(&l, &s);
    struct bytes restore[] = {BYTES("FUNCTION"), BYTES("RESTORE"), rdb_sink_bytes(&s)};
    uint32_t errors = out.error_count;
    exec_argv(&a, restore, 3);
    assert_int_equal(out.error_count, errors + 1);
    assert_int_equal(f.srv.libraries.count, 0);
    rdb_sink_fini(&s);
    libraries_clear(&l);
}

static void test_a_thousand_libraries_come_and_go(void **state)
{
    char code[128], name[16];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 300; i++) {
            snprintf(code, sizeof code, "#!lua name=l%d\nredis.register_function('f%d', function() return %d end)", i,
                     i, i);
            LOAD("REPLACE", code);
        }
        assert_string_equal(SAY("FCALL", "f299", "0"), ":299\r\n");
        assert_int_equal(f.srv.libraries.function_count, 300);
        for (int i = 0; i < 300; i += 2) {
            snprintf(name, sizeof name, "l%d", i);
            assert_string_equal(SAY("FUNCTION", "DELETE", name), "+OK\r\n");
        }
        assert_int_equal(f.srv.libraries.function_count, 150);
        assert_string_equal(SAY("FCALL", "f299", "0"), ":299\r\n");
    }
    assert_string_equal(SAY("FUNCTION", "FLUSH", "SYNC"), "+OK\r\n");
    assert_int_equal(functions_vm_memory(&f.srv), 0);
    assert_int_equal(libraries_memory(&f.srv.libraries), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_library_is_called_and_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_fails_leaves_what_was_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loading_ends_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_globals_are_a_librarys_while_it_is_loaded_and_a_scripts_afterwards, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_libraries_go_through_a_snapshot_and_a_dump, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restoring_ends_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_thousand_libraries_come_and_go, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) { return 77; }

#endif
