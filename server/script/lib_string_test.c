/* SPDX-License-Identifier: MIT
 *
 * What string says, measured on redis-server 7.2.4; and patterns and repetitions that are too much.
 */
#include "server/script/libs_fixture.h"

#include <limits.h>

#ifdef SCRIPT_LUA

static const struct libs_case cases[] = {
    {"return string.format(\"%d\",3)", "$1\r\n3\r\n", 0},
    {"return string.format(\"%d\",3.7)", "$1\r\n3\r\n", 0},
    {"return {pcall(string.format,\"%d\",\"x\")}",
     "*2\r\n$-1\r\n$52\r\nbad argument #2 to '?' (number expected, got string)\r\n", 0},
    {"return string.format(\"%d\",\"3\")", "$1\r\n3\r\n", 0},
    {"return string.format(\"%d\",2^53)", "$16\r\n9007199254740992\r\n", 0},
    {"return string.format(\"%d\",1e19)", "$20\r\n-9223372036854775808\r\n", 0},
    {"return string.format(\"%d\",-1e19)", "$20\r\n-9223372036854775808\r\n", 0},
    {"return string.format(\"%x\",-1)", "$16\r\nffffffffffffffff\r\n", 0},
    {"return string.format(\"%u\",-1)", "$20\r\n18446744073709551615\r\n", 0},
    {"return string.format(\"%i\",5)", "$1\r\n5\r\n", 0},
    {"return string.format(\"%5.2f|%-5d|%05d\",1.005,3,3)", "$17\r\n 1.00|3    |00003\r\n", 0},
    {"return string.format(\"%g\",1e20)", "$5\r\n1e+20\r\n", 0},
    {"return string.format(\"%.14g\",0.1)", "$3\r\n0.1\r\n", 0},
    {"return string.format(\"%.17g\",0.1)", "$19\r\n0.10000000000000001\r\n", 0},
    {"return string.format(\"%e\",12345.678)", "$12\r\n1.234568e+04\r\n", 0},
    {"return string.format(\"%c\",65)", "$1\r\nA\r\n", 0},
    {"return string.format(\"%q\",\"a\\\"b\\\\c\\nd\\0e\\r\")", "$19\r\n\"a\\\"b\\\\c\\\nd\\000e\\r\"\r\n", 0},
    {"return string.format(\"%s\",1.5)", "$3\r\n1.5\r\n", 0},
    {"return {pcall(string.format,\"%s\",nil)}",
     "*2\r\n$-1\r\n$49\r\nbad argument #2 to '?' (string expected, got nil)\r\n", 0},
    {"return {pcall(string.format,\"%s\")}", "*2\r\n$-1\r\n$33\r\nbad argument #2 to '?' (no value)\r\n", 0},
    {"return {pcall(string.format,\"%s\",true)}",
     "*2\r\n$-1\r\n$53\r\nbad argument #2 to '?' (string expected, got boolean)\r\n", 0},
    {"return {pcall(string.format,\"%s\",{} and nil)}",
     "*2\r\n$-1\r\n$49\r\nbad argument #2 to '?' (string expected, got nil)\r\n", 0},
    {"return {pcall(string.format,\"%y\",1)}", "*2\r\n$-1\r\n$31\r\ninvalid option '%y' to 'format'\r\n", 0},
    {"return {pcall(string.format,\"%10.123f\",1)}",
     "*2\r\n$-1\r\n$44\r\ninvalid format (width or precision too long)\r\n", 0},
    {"return #string.format(\"%99d\",1)", ":99\r\n", 0},
    {"return {pcall(string.format,\"%100d\",1)}",
     "*2\r\n$-1\r\n$44\r\ninvalid format (width or precision too long)\r\n", 0},
    {"return string.format(\"%%\")", "$1\r\n%\r\n", 0},
    {"return {pcall(string.format,\"%\")}", "*2\r\n$-1\r\n$33\r\nbad argument #2 to '?' (no value)\r\n", 0},
    {"return string.format(\"%s\",\"a\\0b\")", "$1\r\na\r\n", 0},
    {"return string.format(\"%10s|\",\"a\\0b\")", "$11\r\n         a|\r\n", 0},
    {"return string.format(\"%.3s\",\"abcdef\")", "$3\r\nabc\r\n", 0},
    {"return string.format(\"%5s\",\"\351\")", "$5\r\n    \351\r\n", 0},
    {"return string.format(\"%d\",0/0)", "$20\r\n-9223372036854775808\r\n", 0},
    {"return string.format(\"%f\",1/0)", "$3\r\ninf\r\n", 0},
    {"return string.format(\"%f\",0/0)", "$4\r\n-nan\r\n", 0},
    {"return string.format(\"%p\",\"x\") and 1", "-ERR user_script:1: invalid option '%p' to 'format'\r\n", 0},
    {"return string.format(\"%.20s\",(\"x\"):rep(100))", "$20\r\nxxxxxxxxxxxxxxxxxxxx\r\n", 0},
    {"return #string.format(\"%s\",(\"x\"):rep(1000))", ":1000\r\n", 0},
    {"return string.format(\"%o\",8)", "$2\r\n10\r\n", 0},
    {"return string.format(\"%X\",255)", "$2\r\nFF\r\n", 0},
    {"return string.format(\"%G\",1e-10)", "$5\r\n1E-10\r\n", 0},
    {"return string.format(\"% d\",5)", "$2\r\n 5\r\n", 0},
    {"return string.format(\"%+d\",5)", "$2\r\n+5\r\n", 0},
    {"return string.format(\"%#x\",255)", "$4\r\n0xff\r\n", 0},
    {"return (\"x\"):rep(3)", "$3\r\nxxx\r\n", 0},
    {"return (\"x\"):rep(0)", "$0\r\n\r\n", 0},
    {"return (\"x\"):rep(-1)", "$0\r\n\r\n", 0},
    {"return (\"x\"):rep(3,\",\")", "$3\r\nxxx\r\n", 0},
    {"return #(\"x\"):rep(1e6)", ":1000000\r\n", 0},
    {"return (\"abc\"):byte(1,-1)", ":97\r\n", 0},
    {"return {(\"abc\"):byte(1,-1)}", "*3\r\n:97\r\n:98\r\n:99\r\n", 0},
    {"return {(\"abc\"):byte(-1)}", "*1\r\n:99\r\n", 0},
    {"return {pcall(string.char,256)}", "*2\r\n$-1\r\n$38\r\nbad argument #1 to '?' (invalid value)\r\n", 0},
    {"return {pcall(string.char,-1)}", "*2\r\n$-1\r\n$38\r\nbad argument #1 to '?' (invalid value)\r\n", 0},
    {"return string.char()", "$0\r\n\r\n", 0},
    {"return (\"abc\"):sub(2)", "$2\r\nbc\r\n", 0},
    {"return (\"abc\"):sub(-2,-1)", "$2\r\nbc\r\n", 0},
    {"return (\"abc\"):sub(0)", "$3\r\nabc\r\n", 0},
    {"return (\"abc\"):sub(10)", "$0\r\n\r\n", 0},
    {"return (\"abc\"):sub(2^53)", "$0\r\n\r\n", 0},
    {"return (\"abc\"):sub(-2^53)", "$3\r\nabc\r\n", 0},
    {"return (\"abc\"):sub(1.5,2.5)", "$2\r\nab\r\n", 0},
    {"return {(\"hello world\"):find(\"o w\")}", "*2\r\n:5\r\n:7\r\n", 0},
    {"return {(\"a.b\"):find(\".\",1,true)}", "*2\r\n:2\r\n:2\r\n", 0},
    {"return {(\"abc\"):find(\"\")}", "*2\r\n:1\r\n:0\r\n", 0},
    {"return {(\"abc\"):find(\"\",10)}", "*2\r\n:4\r\n:3\r\n", 0},
    {"return {(\"abc\"):find(\"b\",-1)}", "*0\r\n", 0},
    {"return {(\"hello\"):match(\"(h)(e)()\")}", "*3\r\n$1\r\nh\r\n$1\r\ne\r\n:3\r\n", 0},
    {"return {(\"key=val\"):match(\"(%w+)=(%w+)\")}", "*2\r\n$3\r\nkey\r\n$3\r\nval\r\n", 0},
    {"return {(\"abc\"):gsub(\"%w\",\"%0%0\")}", "*2\r\n$6\r\naabbcc\r\n:3\r\n", 0},
    {"return {(\"abc\"):gsub(\"\",\"-\")}", "*2\r\n$7\r\n-a-b-c-\r\n:4\r\n", 0},
    {"return {pcall(string.gsub,\"abc\",\"(a\",\"x\")}", "*3\r\n:1\r\n$3\r\nxbc\r\n:1\r\n", 0},
    {"return {pcall(string.gsub,\"abc\",\"%\",\"x\")}", "*2\r\n$-1\r\n$33\r\nmalformed pattern (ends with '%')\r\n", 0},
    {"return {pcall(string.gsub,\"abc\",\"[a\",\"x\")}", "*2\r\n$-1\r\n$31\r\nmalformed pattern (missing ']')\r\n", 0},
    {"return {pcall(string.gsub,\"abc\",\"a\",\"%2\")}", "*2\r\n$-1\r\n$21\r\ninvalid capture index\r\n", 0},
    {"return {pcall(string.gsub,\"abc\",\"a\",\"%\")}", "*3\r\n:1\r\n$3\r\n\000bc\r\n:1\r\n", 21},
    {"return {(\"abc\"):gsub(\"a\",{a=1})}", "*2\r\n$3\r\n1bc\r\n:1\r\n", 0},
    {"return {(\"abc\"):gsub(\"a\",{a=false})}", "*2\r\n$3\r\nabc\r\n:1\r\n", 0},
    {"return {pcall(string.gsub,\"abc\",\"a\",function() return {} end)}",
     "*2\r\n$-1\r\n$35\r\ninvalid replacement value (a table)\r\n", 0},
    {"return {(\"abc\"):gsub(\"b\",function() end)}", "*2\r\n$3\r\nabc\r\n:1\r\n", 0},
    {"return {(\"a\\0b\"):find(\"\\0\")}", "*2\r\n:2\r\n:2\r\n", 0},
    {"return {(\"a\\0b\"):gsub(\"%z\",\"Z\")}", "*2\r\n$3\r\naZb\r\n:1\r\n", 0},
    {"return {(\"THE (quick) fox\"):find(\"%((%a+)%)\")}", "*3\r\n:5\r\n:11\r\n$5\r\nquick\r\n", 0},
    {"return {(\"x^2\"):gsub(\"%^\",\"p\")}", "*2\r\n$3\r\nxp2\r\n:1\r\n", 0},
    {"return {(\"f(a(b)c)d\"):match(\"%b()\")}", "*1\r\n$7\r\n(a(b)c)\r\n", 0},
    {"return {(\"THE fox\"):gsub(\"%f[%a]%a+\",\"w\")}", "*2\r\n$3\r\nw w\r\n:2\r\n", 0},
    {"return (\"abc\"):reverse()", "$3\r\ncba\r\n", 0},
    {"return (\"aBc\"):upper()..(\"aBc\"):lower()", "$6\r\nABCabc\r\n", 0},
    {"return \"\\065\\10\\0\"", "$3\r\nA\n\000\r\n", 9},
    {"return [==[a]]b]==]", "$4\r\na]]b\r\n", 0},
    {"return {pcall(string.rep)}", "*2\r\n$-1\r\n$54\r\nbad argument #1 to '?' (string expected, got no value)\r\n", 0},
    {"return (\"x\"):len()", ":1\r\n", 0},
    {"return {pcall(string.gfind)}", "*2\r\n$-1\r\n$54\r\nbad argument #1 to '?' (string expected, got no value)\r\n",
     0},
    {"return tostring(string.gmatch~=nil)", "$4\r\ntrue\r\n", 0},
    {"local t={} for k,v in (\"a=1,b=2\"):gmatch(\"(%w+)=(%w+)\") do t[#t+1]=k..v end return t",
     "*2\r\n$2\r\na1\r\n$2\r\nb2\r\n", 0},
    {"return {pcall(string.find,\"a\",(\"(a)\"):rep(33))}", "*1\r\n:1\r\n", 0},
    {"return (\"abc\")[1]", "$-1\r\n", 0},
    {"return (\"abc\").x", "$-1\r\n", 0},
    {"return #\"h\351\351\"", ":3\r\n", 0},
    {"return (\"%d\"):format(7)", "$1\r\n7\r\n", 0},
    {"return {pcall(function() return (\"x\").y.z end)}",
     "*2\r\n$-1\r\n$55\r\nuser_script:1: attempt to index field 'y' (a nil value)\r\n", 0},
    {"return \"a\"..\"b\"..1 ..2", "$4\r\nab12\r\n", 0},
    {"return {pcall(function() return \"a\"..nil end)}",
     "*2\r\n$-1\r\n$49\r\nuser_script:1: attempt to concatenate a nil value\r\n", 0},
    {"return {pcall(function() return \"a\"..{} end)}",
     "*2\r\n$-1\r\n$51\r\nuser_script:1: attempt to concatenate a table value\r\n", 0},
    {"return {pcall(function() return {}..\"a\" end)}",
     "*2\r\n$-1\r\n$51\r\nuser_script:1: attempt to concatenate a table value\r\n", 0},
};

static void test_replies_are_those_of_redis(void **state) { LIBS_CHECK(cases); }

static const struct libs_case hostile[] = {
    {"return {pcall(string.find,('a'):rep(300000),('a?'):rep(300000))}", "*2\r\n$-1\r\n$19\r\npattern too complex\r\n",
     0},
    {"return {pcall(string.find,('a'):rep(10),('('):rep(40))}", "*2\r\n$-1\r\n$17\r\ntoo many captures\r\n", 0},
    {"return {pcall(string.rep,'x',2^31-1)}", "*2\r\n$-1\r\n$17\r\nnot enough memory\r\n", 0},
    {"return {pcall(string.rep,'xx',2^62)}", "*2\r\n$-1\r\n$17\r\nnot enough memory\r\n", 0},
    {"return #('x'):rep(1e7):gsub('x','yy')", ":20000000\r\n", 0},
    {"return {pcall(string.byte,('x'):rep(1e6),1,-1)}",
     "*2\r\n$-1\r\n$38\r\nstack overflow (string slice too long)\r\n", 0},
    {"return {('abc'):sub(-2^62,2^62),('abc'):find('c',-2^62)}", "*3\r\n$3\r\nabc\r\n:3\r\n:3\r\n", 0},
    {"return {pcall(string.format,'%------d',1)}", "*2\r\n$-1\r\n$31\r\ninvalid format (repeated flags)\r\n", 0},
    {"return #string.format('%99.99f',1.7976931348623157e308)", ":409\r\n", 0},
    {"return string.format('%c',0)..string.format('%5c|',65)", "$6\r\n    A|\r\n", 0},
    {"return string.format('%.0f %.0f %.0f %.2f',0.5,2.5,3.5,0.125)", "$10\r\n0 2 4 0.12\r\n", 0},
    {"return string.format('%x %u',2^63,2^64)", "$18\r\n8000000000000000 0\r\n", 0},
};

static void test_what_is_too_much_is_refused(void **state) { LIBS_CHECK(hostile); }

static const char *const patterns[] = {
    "a",       "a*",    "a+b",  "a-b",       "^a",        "a$",        "^$",       "$",          "",       "(a)(b)",
    "(a*(b))", "()a()", "%a+",  "%A",        "[abc]",     "[^abc]",    "[a-c]+",   "[]]",        "[^]]",   "[a-]",
    "[%a]",    "[%]]",  "%b()", "%bxx",      "%f[%w]%w+", "%f[%W]",    "(.)%1",    "(.)(.)%2%1", ".-b",    ".*b",
    "a?b?c?",  "%",     "[",    "[^",        "[%",        "(",         ")",        "%1",         "(%1)",   "%f",
    "%b",      "%bx",   "(()",  "a$b",       "$a",        "^^",        "*a",       "a**",        "[a-%%]", "[%a-z]",
    "%z",      "%.",    "%%",   "([^,]*),?", "%s*(%S+)",  "%d+%.?%d*", "[+-]?%d+", "(a)()%2",    "%x%X",   "[[:a:]]",
};
static const char *const subjects[] = {
    "",      "a",     "aab",    "abcabc", "(a(b)c)",  "hello world", "THE (quick) fox", "x = 1.5, y=-2",
    "aXbXc", "]]^%$", "a,b,,c", "%d+",    "xx yy zz", "caab"};
static const char *const calls[] = {
    "return string.find(s, p)",
    "return string.match(s, p)",
    "return string.gsub(s, p, '<%0>')",
    "return string.gsub(s, p, '%1', 2)",
    "local r = '' for a, b in string.gmatch(s, p) do r = r .. '|' .. tostring(a) .. tostring(b) end return r",
    "return string.find(s, p, -3)",
    "return string.gsub(s, p, function(a, b) return b end)",
};

/* LuaJIT's own functions are the measure, where they are the same. */
static void test_patterns_match_as_in_lua(void **state)
{
    static const char script[] =
        "local ours, text = ... local call = text:gsub('string%.', ours and 'ours.' or 'string.') "
        "ours = ours or string "
        "return function(s, p) local f = loadstring('local s, p, ours = ... ' .. call) "
        "local r = {pcall(f, s, p, ours)} for i = 1, 6 do r[i] = tostring(r[i]) end "
        "return (table.concat(r, ';'):gsub('^false;[^;]-: ', 'false;')) end";
    lua_State *L = libs_state();
    luaL_openlibs(L); /* Lua's own string again */
    lua_newtable(L);
    script_open_string(L);
    int failures = 0;
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        for (int of_ours = 0; of_ours < 2; of_ours++) {
            assert_int_equal(luaL_loadstring(L, script), 0);
            if (of_ours) lua_pushvalue(L, 1);
            else lua_pushnil(L);
            lua_pushstring(L, calls[c]);
            assert_int_equal(lua_pcall(L, 2, 1, 0), 0);
        }
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
            for (size_t k = 0; k < sizeof subjects / sizeof *subjects; k++) {
                for (int which = 2; which <= 3; which++) {
                    lua_pushvalue(L, which);
                    lua_pushstring(L, subjects[k]);
                    lua_pushstring(L, patterns[i]);
                    assert_int_equal(lua_pcall(L, 2, 1, 0), 0);
                }
                if (!lua_rawequal(L, -1, -2)) {
                    failures++;
                    print_error("%s of '%s' in '%s': %s, not %s\n", calls[c], patterns[i], subjects[k],
                                lua_tostring(L, -1), lua_tostring(L, -2));
                }
                lua_settop(L, 3);
            }
        }
        lua_settop(L, 1);
    }
    lua_close(L);
    assert_int_equal(failures, 0);
}

static void end_it(lua_State *L, lua_Debug *at)
{
    (void)at;
    luaL_error(L, "ended");
}

/* The hook of a late script is asked where Lua runs nothing. */
static void test_a_pattern_that_tries_everything_can_be_ended(void **state)
{
    static const char *const endless[] = {
        "local s = ('a'):rep(200) return s:find(('.-'):rep(20) .. 'b')",
        "return (('a'):rep(1e6):match('.-b'))",
        "return (('('):rep(1e6):match('%b()'))",
        "return (('a'):rep(1e6):match('a*a*a*b'))",
    };
    lua_State *L = libs_state();
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        assert_int_equal(luaL_loadstring(L, endless[i]), 0);
        lua_sethook(L, end_it, LUA_MASKCOUNT, INT_MAX);
        assert_int_not_equal(lua_pcall(L, 0, 1, 0), 0);
        assert_non_null(strstr(lua_tostring(L, -1), "ended"));
        lua_settop(L, 0);
    }
    lua_close(L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_are_those_of_redis),
        cmocka_unit_test(test_what_is_too_much_is_refused),
        cmocka_unit_test(test_patterns_match_as_in_lua),
        cmocka_unit_test(test_a_pattern_that_tries_everything_can_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) { return 77; }

#endif
