/* SPDX-License-Identifier: MIT
 *
 * What bit says, measured on redis-server 7.2.4.
 */
#include "server/script/libs_fixture.h"

#ifdef SCRIPT_LUA

static const struct libs_case cases[] = {
    {"return bit.band(0xff,0x0f)", ":15\r\n", 0},
    {"return bit.bor(1,2,4)", ":7\r\n", 0},
    {"return bit.bxor(0xff,0x0f)", ":240\r\n", 0},
    {"return bit.bnot(0)", ":-1\r\n", 0},
    {"return bit.lshift(1,31)", ":-2147483648\r\n", 0},
    {"return bit.lshift(1,32)", ":1\r\n", 0},
    {"return bit.rshift(-1,1)", ":2147483647\r\n", 0},
    {"return bit.arshift(-8,1)", ":-4\r\n", 0},
    {"return bit.rol(0x12345678,8)", ":878082066\r\n", 0},
    {"return bit.ror(0x12345678,8)", ":2014458966\r\n", 0},
    {"return bit.bswap(0x12345678)", ":2018915346\r\n", 0},
    {"return bit.tobit(2^32)", ":0\r\n", 0},
    {"return bit.tobit(2^31)", ":-2147483648\r\n", 0},
    {"return bit.tobit(2^53)", ":0\r\n", 0},
    {"return bit.tobit(1.5)", ":2\r\n", 0},
    {"return bit.tobit(2.5)", ":2\r\n", 0},
    {"return bit.tobit(-1.5)", ":-2\r\n", 0},
    {"return bit.tobit(0/0)", ":0\r\n", 0},
    {"return bit.tobit(1/0)", ":0\r\n", 0},
    {"return bit.tobit(1e20)", ":2025163840\r\n", 0},
    {"return bit.tohex(255)", "$8\r\n000000ff\r\n", 0},
    {"return bit.tohex(-1)", "$8\r\nffffffff\r\n", 0},
    {"return bit.tohex(255,4)", "$4\r\n00ff\r\n", 0},
    {"return bit.tohex(255,-4)", "$4\r\n00FF\r\n", 0},
    {"return bit.tohex(255,0)", "$0\r\n\r\n", 0},
    {"return bit.tohex(255,100)", "$8\r\n000000ff\r\n", 0},
    {"return {pcall(bit.band)}", "*2\r\n$-1\r\n$54\r\nbad argument #1 to '?' (number expected, got no value)\r\n", 0},
    {"return {pcall(bit.band,\"x\")}", "*2\r\n$-1\r\n$52\r\nbad argument #1 to '?' (number expected, got string)\r\n",
     0},
    {"return bit.band(\"15\",7)", ":7\r\n", 0},
    {"return bit.band(\"0xff\",15)", ":15\r\n", 0},
    {"return {pcall(bit.lshift,1)}", "*2\r\n$-1\r\n$54\r\nbad argument #2 to '?' (number expected, got no value)\r\n",
     0},
    {"return bit.lshift(1,-1)", ":-2147483648\r\n", 0},
    {"return bit.tobit(0xffffffff)", ":-1\r\n", 0},
    {"return bit.tobit(-2^31)", ":-2147483648\r\n", 0},
    {"return bit.band(2^40+5,7)", ":5\r\n", 0},
    {"return {pcall(bit.tobit,{})}", "*2\r\n$-1\r\n$51\r\nbad argument #1 to '?' (number expected, got table)\r\n", 0},
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
