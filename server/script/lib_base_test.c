/* SPDX-License-Identifier: MIT
 *
 * What tostring, tonumber and ipairs say, measured on redis-server 7.2.4.
 */
#include "server/script/libs_fixture.h"

#ifdef SCRIPT_LUA

static const struct libs_case cases[] = {
    {"return tostring(1)", "$1\r\n1\r\n", 0},
    {"return tostring(1.0)", "$1\r\n1\r\n", 0},
    {"return tostring(-0)", "$2\r\n-0\r\n", 0},
    {"return tostring(0/-1)", "$2\r\n-0\r\n", 0},
    {"return tostring(1/0)", "$3\r\ninf\r\n", 0},
    {"return tostring(-1/0)", "$4\r\n-inf\r\n", 0},
    {"return tostring(0/0)", "$4\r\n-nan\r\n", 0},
    {"return tostring(-(0/0))", "$3\r\nnan\r\n", 0},
    {"return tostring(1e15)", "$5\r\n1e+15\r\n", 0},
    {"return tostring(1e14)", "$5\r\n1e+14\r\n", 0},
    {"return tostring(123456789012345)", "$19\r\n1.2345678901234e+14\r\n", 0},
    {"return tostring(2^53)", "$18\r\n9.007199254741e+15\r\n", 0},
    {"return tostring(2^63)", "$19\r\n9.2233720368548e+18\r\n", 0},
    {"return tostring(0.1)", "$3\r\n0.1\r\n", 0},
    {"return tostring(1/3)", "$16\r\n0.33333333333333\r\n", 0},
    {"return tostring(3.14159265358979)", "$15\r\n3.1415926535898\r\n", 0},
    {"return tostring(1e100)", "$6\r\n1e+100\r\n", 0},
    {"return tostring(1e-5)", "$5\r\n1e-05\r\n", 0},
    {"return tostring(5e-324)", "$20\r\n4.9406564584125e-324\r\n", 0},
    {"return tostring(1.7976931348623157e308)", "$20\r\n1.7976931348623e+308\r\n", 0},
    {"return tostring(tonumber(\"0x\"))", "$3\r\nnil\r\n", 0},
    {"return tostring(tonumber(\"\"))", "$3\r\nnil\r\n", 0},
    {"return tostring(tonumber(\"  12  \"))", "$2\r\n12\r\n", 0},
    {"return tostring(tonumber(\"1e\"))", "$3\r\nnil\r\n", 0},
    {"return tostring(tonumber(\"inf\"))", "$3\r\ninf\r\n", 0},
    {"return tostring(tonumber(\"nan\"))", "$3\r\nnan\r\n", 0},
    {"return tostring(tonumber(\"0x1p4\"))", "$2\r\n16\r\n", 0},
    {"return tostring(tonumber(\"1_000\"))", "$3\r\nnil\r\n", 0},
    {"return tostring(tonumber(\"10\",2))", "$1\r\n2\r\n", 0},
    {"return tostring(tonumber(\"zz\",36))", "$4\r\n1295\r\n", 0},
    {"return tostring(tonumber(\"-ff\",16))", "$18\r\n1.844674407371e+19\r\n", 0},
    {"return tostring(tonumber(\"8\",8))", "$3\r\nnil\r\n", 0},
    {"return tostring(tonumber(\"7fffffffffffffff\",16))", "$19\r\n9.2233720368548e+18\r\n", 0},
    {"return tostring(tonumber(\"ffffffffffffffff\",16))", "$18\r\n1.844674407371e+19\r\n", 0},
    {"return tostring(tonumber(\"1e1\",10))", "$2\r\n10\r\n", 0},
    {"return tostring(tonumber(\"0b11\"))", "$3\r\nnil\r\n", 0},
    {"return tostring(tonumber(\"1LL\"))", "$3\r\nnil\r\n", 0},
    {"return tostring(tonumber(\"5i\"))", "$3\r\nnil\r\n", 0},
    {"return tostring(5 % -3)", "$2\r\n-1\r\n", 0},
    {"return tostring(-5 % 3)", "$1\r\n1\r\n", 0},
    {"return tostring(5 % 0)", "$4\r\n-nan\r\n", 0},
    {"return tostring(5 % (1/0))", "$4\r\n-nan\r\n", 0},
    {"return tostring(-5 % (1/0))", "$4\r\n-nan\r\n", 0},
    {"return tostring(2^0.5)", "$15\r\n1.4142135623731\r\n", 0},
    {"return tostring(10 == \"10\")", "$5\r\nfalse\r\n", 0},
    {"return {pcall(ipairs)}", "*2\r\n$-1\r\n$53\r\nbad argument #1 to '?' (table expected, got no value)\r\n", 0},
    {"return {pcall(ipairs,1)}", "*2\r\n$-1\r\n$51\r\nbad argument #1 to '?' (table expected, got number)\r\n", 0},
    {"return {pcall(tostring)}", "*2\r\n$-1\r\n$39\r\nbad argument #1 to '?' (value expected)\r\n", 0},
    {"return {pcall(tonumber)}", "*2\r\n$-1\r\n$39\r\nbad argument #1 to '?' (value expected)\r\n", 0},
    {"return {pcall(tonumber,\"1\",99)}", "*2\r\n$-1\r\n$42\r\nbad argument #2 to '?' (base out of range)\r\n", 0},
    {"local t=setmetatable({},{__tostring=function() return 5 end}) return pcall(tostring,t)", ":1\r\n", 0},
};

static void test_replies_are_those_of_redis(void **state) { LIBS_CHECK(cases); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_are_those_of_redis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) { return 77; }

#endif
