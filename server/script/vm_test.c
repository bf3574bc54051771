/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "server/exec/session_fixture.h"
#include "server/script/vm.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>

#include "server/script/flags.h"
#include "server/script/tails.h"

static struct fixture f;
static struct reply out;
static struct session s;

static int setup(void **state)
{
    (void)state;
    fixture_init(&f, 16);
    reply_init(&out, 2);
    session_init(&s, &f.w, &out);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    session_fini(&s);
    reply_fini(&out);
    fixture_fini(&f);
    return 0;
}

/* EVAL body numkeys words..., and what it said. */
static const char *eval_in(struct session *as, const char *body, int numkeys, const char *const *words, int count)
{
    static char text[65536];
    char n[16];
    struct bytes argv[16] = {BYTES("EVAL"), bytes_of_str(body),
                             bytes_of(n, (size_t)snprintf(n, sizeof n, "%d", numkeys))};
    for (int i = 0; i < count; i++) argv[3 + i] = bytes_of_str(words[i]);
    f.used = 0;
    f.effects[0] = 0;
    reply_reset(as->out);
    exec_argv(as, argv, 3 + count);
    size_t size = reply_bytes(as->out);
    ASSERT(size < sizeof text);
    reply_copy_out(as->out, text);
    text[size] = 0;
    return text;
}

static const char *eval(const char *body) { return eval_in(&s, body, 0, NULL, 0); }

static void test_a_script_runs_and_its_commands_have_effects(void **state)
{
    (void)state;
    const char *const words[] = {"k", "v"};
    assert_string_equal(eval_in(&s, "return redis.call('set', KEYS[1], ARGV[1])", 1, words, 2), "+OK\r\n");
    assert_string_equal(f.effects, "set k v");
    assert_string_equal(eval("redis.call('incr', 'a') redis.call('incr', 'a') return redis.call('get', 'a')"),
                        "$1\r\n2\r\n");
    assert_string_equal(f.effects, "MULTI; incr a; incr a; EXEC");
    assert_string_equal(eval("redis.set_repl(redis.REPL_NONE) return redis.call('incr', 'a')"), ":3\r\n");
    assert_string_equal(f.effects, "");
    assert_string_equal(eval("return redis.call('get', 'a')"), "$1\r\n3\r\n");
    assert_string_equal(f.effects, "");
}

static void test_replies_become_values_and_values_replies(void **state)
{
    (void)state;
    fixture_ask(&f, &s, "RPUSH l a b c");
    fixture_ask(&f, &s, "HSET h f 1 g 2");
    fixture_ask(&f, &s, "ZADD z 1.5 m");
    assert_string_equal(eval("return redis.call('lrange', 'l', 0, -1)"), "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    assert_string_equal(eval("local t = redis.call('hgetall', 'h') return #t"), ":4\r\n");
    assert_string_equal(eval("redis.setresp(3) return redis.call('hgetall', 'h').map.g"), "$1\r\n2\r\n");
    assert_string_equal(eval("redis.setresp(3) return redis.call('zscore', 'z', 'm').double * 2"), ":3\r\n");
    assert_string_equal(eval("redis.setresp(3) return redis.call('get', 'nothing') == nil"), ":1\r\n");
    assert_string_equal(eval("return redis.call('get', 'nothing') == false"), ":1\r\n");
    assert_string_equal(eval("return redis.call('set', 'k', 'v').ok"), "$2\r\nOK\r\n");
    assert_string_equal(eval("return redis.pcall('incr', 'l').err"),
                        "$65\r\nWRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    assert_string_equal(eval("return #redis.call('scan', '0')[2]"), ":4\r\n");
    assert_string_equal(eval("return redis.call('hincrby', 'h', 'f', 200000000)"), ":200000001\r\n");
    assert_string_equal(eval("return redis.call('echo', 0.1)"), "$3\r\n0.1\r\n");
    assert_string_equal(eval("local t = {} for i = 1, 7997 do t[i] = i end return redis.call('rpush', 'm', unpack(t))"),
                        ":7997\r\n");
    assert_string_equal(eval("return {1, {2, {}}, false, 'x', 3.9, nil, 4}"),
                        "*5\r\n:1\r\n*2\r\n:2\r\n*0\r\n$-1\r\n$1\r\nx\r\n:3\r\n");
    assert_string_equal(eval("return {map = {b = 2, a = 1, [10] = 3}}"),
                        "*6\r\n:10\r\n:3\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n");
}

static void test_a_command_is_found_by_the_address_of_its_name_and_by_no_other(void **state)
{
    (void)state;
    /* Names that are made anew each time: their addresses are used again. */
    assert_string_equal(
        eval("local names = {'set', 'get', 'incr', 'del', 'strlen', 'exists'} redis.call('set', 'k', '1') "
             "for i = 1, 20000 do local n = names[i % 6 + 1] n = n:sub(1, 1) .. n:sub(2):upper() "
             "if n:lower() == 'set' then redis.call(n, 'k', i) else redis.call(n, 'k') end "
             "if i % 1000 == 0 then collectgarbage() end end return redis.call('gEt', 'k')"),
        "$5\r\n19999\r\n");
}

static void test_the_sandbox_is_closed(void **state)
{
    (void)state;
    static const char *const holes[] = {
        "x = 1",
        "string.x = 1",
        "redis.call = nil",
        "rawset(_G, 'x', 1)",
        "rawset(string, 'x', 1)",
        "setmetatable(_G, {})",
        "setmetatable(redis, nil)",
        "table.insert(redis, 1)",
        "table.remove(string)",
        "table.sort(string)",
        "getmetatable('').__index = nil",
        "getmetatable('').__index.rep = nil",
        "getmetatable(_G).__index = nil",
        "for k, v in next, _G do if type(v) == 'table' then v.x = 1 end end",
        "for k, v in pairs(_G) do if type(v) == 'table' then rawset(v, 'x', 1) end end",
    };
    for (size_t i = 0; i < sizeof holes / sizeof *holes; i++)
        if (!strstr(eval(holes[i]), "Attempt to modify a readonly table")) fail_msg("%s: %s", holes[i], eval(holes[i]));
    static const char *const names[] = {"print", "dofile", "loadfile", "getfenv", "setfenv", "newproxy", "require",
                                        "io",    "debug",  "package",  "ffi",     "jit",     "module"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char body[64];
        snprintf(body, sizeof body, "return %s", names[i]);
        if (!strstr(eval(body), "nonexistent global variable")) fail_msg("%s: %s", names[i], eval(body));
    }
    assert_string_equal(eval("return loadstring(string.dump(function() end)) == nil"), ":1\r\n");
}

static void test_memory_is_bounded_and_counted(void **state)
{
    (void)state;
    struct script_vm *vm = script_vm_new(&f.w);
    size_t before = vm->bytes;
    assert_true(before > 10000);
    lua_pushlstring(vm->L, "a string", 8);
    assert_true(vm->bytes >= before);
    lua_settop(vm->L, 0);
    assert_true(script_vm_load(vm, BYTES("return ('x'):rep(2^30)"), "@t"));
    assert_int_equal(script_vm_call(vm, 0), LUA_ERRMEM);
    lua_settop(vm->L, 0);
    assert_true(script_vm_load(vm, BYTES("return 1"), "@t"));
    assert_int_equal(script_vm_call(vm, 0), 0);
    script_vm_free(vm);
}

/* Who fills the state leaves it empty to whoever comes next. */
static void test_the_next_script_has_the_memory_of_one_that_filled_it(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *full = eval("local t = {} while true do t[#t + 1] = ('x'):rep(1000000) .. #t end");
        if (!strstr(full, "not enough memory")) fail_msg("%s", full);
        assert_string_equal(eval("local t = {} for i = 1, 50000 do t[i] = {i} end return #t"), ":50000\r\n");
    }
}

static void test_recursion_of_c_ends_in_an_error(void **state)
{
    (void)state;
    static const char *const deep[] = {
        "local function f() table.sort({1, 2}, f) end f()",
        "local function f() return ('x'):gsub('x', f) end f()",
        "local function f() local ok, e = coroutine.resume(coroutine.create(f)) if not ok then error(e, 0) end end f()",
        "local function f() return xpcall(f, f) end local ok, e = f() error(e or 'none')",
    };
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) assert_int_equal(eval(deep[i])[0], '-');
}

static void test_an_error_directly_behind_return_has_a_line(void **state)
{
    (void)state;
    assert_non_null(strstr(eval("\n\nreturn redis.call('incr')"), "on @user_script:3.\r\n"));
    assert_non_null(strstr(eval("local x = 1\nlocal r = redis.call('incr')\nreturn r"), "on @user_script:2.\r\n"));
    struct script_vm *vm = script_vm_new(&f.w);
    assert_true(script_vm_load(vm, BYTES("local f\nreturn f(...)"), "@t"));
    assert_int_equal(vm->loaded_tail_line, 2);
    assert_true(script_vm_load(vm, BYTES("local f\nlocal x = f(...)\nreturn x"), "@t"));
    assert_int_equal(vm->loaded_tail_line, 0);
    lua_settop(vm->L, 0);
    script_vm_free(vm);
}

static void test_what_runs_without_the_rights(void **state)
{
    (void)state;
    assert_non_null(strstr(eval("return redis.call('multi')"), "not allowed from script"));
    assert_non_null(strstr(eval("return redis.call('config', 'get', 'x')"), "not allowed from script"));
    assert_non_null(strstr(eval("return redis.call('eval', 'return 1', 0)"), "not allowed from script"));
    assert_non_null(strstr(eval("#!lua flags=no-writes\nreturn redis.call('set', 'a', 1)"), "read-only scripts"));
    assert_string_equal(eval("#!lua flags=no-writes\nreturn 7"), ":7\r\n");
    assert_non_null(strstr(eval("#!lua flags=nonsense\nreturn 7"), "Unexpected flag in script shebang: nonsense"));
    assert_non_null(strstr(eval("#!lua"), "Invalid script shebang"));
    assert_string_equal(eval("return redis.call('blpop', 'nothing', 0) == false"), ":1\r\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_script_runs_and_its_commands_have_effects),
        TEST(test_replies_become_values_and_values_replies),
        TEST(test_a_command_is_found_by_the_address_of_its_name_and_by_no_other),
        TEST(test_the_sandbox_is_closed),
        TEST(test_memory_is_bounded_and_counted),
        TEST(test_the_next_script_has_the_memory_of_one_that_filled_it),
        TEST(test_recursion_of_c_ends_in_an_error),
        TEST(test_an_error_directly_behind_return_has_a_line),
        TEST(test_what_runs_without_the_rights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) { return 77; }

#endif
