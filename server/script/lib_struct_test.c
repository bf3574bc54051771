/* SPDX-License-Identifier: MIT
 *
 * What struct says, measured on redis-server 7.2.4; packed bytes are shown in hexadecimal.
 */
#include "server/script/libs_fixture.h"

#ifdef SCRIPT_LUA

static const struct libs_case cases[] = {
    {"local s=struct.pack(\"b\",1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$2\r\n01\r\n", 0},
    {"local s=struct.pack(\"B\",255) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte())"
     " end))",
     "$2\r\nff\r\n", 0},
    {"local s=struct.pack(\"h\",-2) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) "
     "end))",
     "$4\r\nfeff\r\n", 0},
    {"local s=struct.pack(\"H\",258) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte())"
     " end))",
     "$4\r\n0201\r\n", 0},
    {"local s=struct.pack(\">H\",258) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()"
     ") end))",
     "$4\r\n0102\r\n", 0},
    {"local s=struct.pack(\"<I\",1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) "
     "end))",
     "$8\r\n01000000\r\n", 0},
    {"local s=struct.pack(\">I\",1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) "
     "end))",
     "$8\r\n00000001\r\n", 0},
    {"local s=struct.pack(\"i3\",-2) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte())"
     " end))",
     "$6\r\nfeffff\r\n", 0},
    {"local s=struct.pack(\">I3\",66051) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byt"
     "e()) end))",
     "$6\r\n010203\r\n", 0},
    {"local s=struct.pack(\"I8\",2^40) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte("
     ")) end))",
     "$16\r\n0000000000010000\r\n", 0},
    {"local s=struct.pack(\"l\",-1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) "
     "end))",
     "$16\r\nffffffffffffffff\r\n", 0},
    {"local s=struct.pack(\"L\",1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$16\r\n0100000000000000\r\n", 0},
    {"local s=struct.pack(\"T\",1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$16\r\n0100000000000000\r\n", 0},
    {"local s=struct.pack(\"f\",1.5) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte())"
     " end))",
     "$8\r\n0000c03f\r\n", 0},
    {"local s=struct.pack(\">d\",1.5) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()"
     ") end))",
     "$16\r\n3ff8000000000000\r\n", 0},
    {"local s=struct.pack(\"d\",0/0) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte())"
     " end))",
     "$16\r\n000000000000f8ff\r\n", 0},
    {"local s=struct.pack(\"n\",1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "-ERR user_script:1: bad argument #1 to 'pack' (invalid format option 'n')\r\n", 0},
    {"local s=struct.pack(\"s\",\"abc\") return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byt"
     "e()) end))",
     "$8\r\n61626300\r\n", 0},
    {"local s=struct.pack(\"c0\",\"abc\") return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:by"
     "te()) end))",
     "$6\r\n616263\r\n", 0},
    {"local s=struct.pack(\"c2\",\"abc\") return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:by"
     "te()) end))",
     "$4\r\n6162\r\n", 0},
    {"local s=struct.pack(\"c5\",\"abc\") return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:by"
     "te()) end))",
     "-ERR user_script:1: bad argument #3 to 'pack' (string too short)\r\n", 0},
    {"local s=struct.pack(\"Bc0\",3,\"abc\") return (s:gsub(\".\",function(c) return (\"%02x\"):format(c"
     ":byte()) end))",
     "$8\r\n03616263\r\n", 0},
    {"local s=struct.pack(\"x\") return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$2\r\n00\r\n", 0},
    {"local s=struct.pack(\"bxb\",1,2) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte("
     ")) end))",
     "$6\r\n010002\r\n", 0},
    {"local s=struct.pack(\"!4 b i\",1,2) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:by"
     "te()) end))",
     "$16\r\n0100000002000000\r\n", 0},
    {"local s=struct.pack(\"!8 b d\",1,2) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:by"
     "te()) end))",
     "$32\r\n01000000000000000000000000000040\r\n", 0},
    {"local s=struct.pack(\"!bI2\",1,2) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte"
     "()) end))",
     "$8\r\n01000200\r\n", 0},
    {"local s=struct.pack(\"=I2\",1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte())"
     " end))",
     "-ERR user_script:1: bad argument #1 to 'pack' (invalid format option '=')\r\n", 0},
    {"local s=struct.pack(\"b\",300) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte())"
     " end))",
     "$2\r\n2c\r\n", 0},
    {"local s=struct.pack(\"B\",-1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) "
     "end))",
     "$2\r\nff\r\n", 0},
    {"local s=struct.pack(\"I\",2^32) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()"
     ") end))",
     "$8\r\n00000000\r\n", 0},
    {"local s=struct.pack(\"i32\",1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte())"
     " end))",
     "$64\r\n0100000000000000000000000000000000000000000000000000000000000000\r\n", 0},
    {"return {struct.unpack(\"b\",\"\\255\")}", "*2\r\n:-1\r\n:2\r\n", 0},
    {"return {struct.unpack(\"B\",\"\\255\")}", "*2\r\n:255\r\n:2\r\n", 0},
    {"return {struct.unpack(\">I\",\"\\1\\2\\3\\4\")}", "*2\r\n:16909060\r\n:5\r\n", 0},
    {"return {struct.unpack(\"<I2>I2\",\"\\1\\2\\3\\4\")}", "*3\r\n:513\r\n:772\r\n:5\r\n", 0},
    {"return {struct.unpack(\"s\",\"abc\\0def\")}", "*2\r\n$3\r\nabc\r\n:5\r\n", 0},
    {"return {pcall(struct.unpack,\"s\",\"abc\")}", "*2\r\n$-1\r\n$25\r\nunfinished string in data\r\n", 0},
    {"return {struct.unpack(\"Bc0\",\"\\3abcdef\")}", "*2\r\n$3\r\nabc\r\n:5\r\n", 0},
    {"return {struct.unpack(\"c2\",\"abc\")}", "*2\r\n$2\r\nab\r\n:3\r\n", 0},
    {"return {pcall(struct.unpack,\"c5\",\"abc\")}",
     "*2\r\n$-1\r\n$46\r\nbad argument #2 to '?' (data string too short)\r\n", 0},
    {"return {pcall(struct.unpack,\"I\",\"abc\")}",
     "*2\r\n$-1\r\n$46\r\nbad argument #2 to '?' (data string too short)\r\n", 0},
    {"return {struct.unpack(\"b\",\"\\1\\2\",2)}", "*2\r\n:2\r\n:3\r\n", 0},
    {"return {pcall(struct.unpack,\"b\",\"\\1\",3)}",
     "*2\r\n$-1\r\n$46\r\nbad argument #2 to '?' (data string too short)\r\n", 0},
    {"return {pcall(struct.unpack,\"b\",\"\\1\",0)}",
     "*2\r\n$-1\r\n$52\r\nbad argument #3 to '?' (offset must be 1 or greater)\r\n", 0},
    {"return {pcall(struct.unpack,\"b\",\"\\1\",-1)}",
     "*2\r\n$-1\r\n$46\r\nbad argument #2 to '?' (data string too short)\r\n", 0},
    {"return {pcall(struct.unpack,\"c0\",\"abc\")}", "*2\r\n$-1\r\n$33\r\nformat 'c0' needs a previous size\r\n", 0},
    {"return {pcall(struct.pack,\"y\",1)}",
     "*2\r\n$-1\r\n$50\r\nbad argument #1 to '?' (invalid format option 'y')\r\n", 0},
    {"return {pcall(struct.pack,\"i33\",1)}", "*2\r\n$-1\r\n$43\r\nintegral size 33 is larger than limit of 32\r\n", 0},
    {"return {pcall(struct.pack,\"i0\",1)}", "*2\r\n:1\r\n$0\r\n\r\n", 0},
    {"return {pcall(struct.pack,\"!3i\",1)}", "*2\r\n$-1\r\n$31\r\nalignment 3 is not a power of 2\r\n", 0},
    {"return {pcall(struct.pack,\"b\",\"x\")}",
     "*2\r\n$-1\r\n$52\r\nbad argument #2 to '?' (number expected, got string)\r\n", 0},
    {"return {pcall(struct.pack,\"b\")}", "*2\r\n$-1\r\n$49\r\nbad argument #2 to '?' (number expected, got nil)\r\n",
     0},
    {"return {pcall(struct.pack,\"c4\",\"abc\")}", "*2\r\n$-1\r\n$41\r\nbad argument #3 to '?' (string too short)\r\n",
     0},
    {"return struct.size(\"b\")", ":1\r\n", 0},
    {"return struct.size(\"!8bd\")", ":16\r\n", 0},
    {"return struct.size(\"I3xH\")", ":6\r\n", 0},
    {"return {pcall(struct.size,\"s\")}",
     "*2\r\n$-1\r\n$53\r\nbad argument #1 to '?' (option 's' has no fixed size)\r\n", 0},
    {"return {pcall(struct.size,\"c0\")}",
     "*2\r\n$-1\r\n$54\r\nbad argument #1 to '?' (option 'c0' has no fixed size)\r\n", 0},
    {"return struct.size(\"c10\")", ":10\r\n", 0},
    {"return struct.size(\"l\")..struct.size(\"T\")..struct.size(\"i\")..struct.size(\"h\")..struct.size"
     "(\"f\")..struct.size(\"d\")..struct.size(\"n\")",
     "$7\r\n8842480\r\n", 0},
    {"return {pcall(struct.size,\"c2147483647c2147483647\")}", "*2\r\n:1\r\n:4294967294\r\n", 0},
    {"return {pcall(struct.unpack,\"c2147483647\",\"abc\")}",
     "*2\r\n$-1\r\n$46\r\nbad argument #2 to '?' (data string too short)\r\n", 0},
    {"return tostring(struct.unpack(\"d\",struct.pack(\"d\",0.1)))", "$3\r\n0.1\r\n", 0},
    {"return tostring(struct.unpack(\"f\",struct.pack(\"f\",0.1)))", "$16\r\n0.10000000149012\r\n", 0},
    {"return tostring(struct.unpack(\"I8\",struct.pack(\"I8\",2^53)))", "$18\r\n9.007199254741e+15\r\n", 0},
    {"return tostring(struct.unpack(\"i8\",(\"\\255\"):rep(8)))", "$2\r\n-1\r\n", 0},
    {"return tostring(struct.unpack(\"I8\",(\"\\255\"):rep(8)))", "$18\r\n1.844674407371e+19\r\n", 0},
    {"return {pcall(struct.unpack,\"i16\",(\"\\255\"):rep(16))}", "*3\r\n:1\r\n:-1\r\n:17\r\n", 0},
    {"return struct.pack(\"\")", "$0\r\n\r\n", 0},
    {"return {struct.unpack(\"\",\"x\")}", "*1\r\n:1\r\n", 0},
    {"return {struct.unpack(\"bbb\",\"\\1\\2\\3\")}", "*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n", 0},
};

static void test_replies_are_those_of_redis(void **state) { LIBS_CHECK(cases); }

static const struct libs_case hostile[] = {
    {"return {pcall(struct.pack,'i'..('9'):rep(10000),1)}", "*2\r\n$-1\r\n$22\r\nintegral size overflow\r\n", 0},
    {"return {pcall(struct.unpack,'bc0','\\255abc')}",
     "*2\r\n$-1\r\n$46\r\nbad argument #2 to '?' (data string too short)\r\n", 0},
    {"return {pcall(struct.unpack,'dc0',struct.pack('d',0/0)..'abc')}",
     "*2\r\n$-1\r\n$46\r\nbad argument #2 to '?' (data string too short)\r\n", 0},
    {"return {pcall(struct.unpack,'!8bd',('x'):rep(16),-1)}",
     "*2\r\n$-1\r\n$46\r\nbad argument #2 to '?' (data string too short)\r\n", 0},
    {"return {pcall(struct.unpack,('b'):rep(9000),('x'):rep(9000))}",
     "*2\r\n$-1\r\n$33\r\nstack overflow (too many results)\r\n", 0},
    {"return #struct.pack(('x'):rep(1e6))", ":1000000\r\n", 0},
    {"return {pcall(struct.pack,'!0i',1)}", "*2\r\n$-1\r\n$31\r\nalignment 0 is not a power of 2\r\n", 0},
    {"return #struct.pack('i32i32',-1,2^70)", ":64\r\n", 0},
};

static void test_what_is_too_much_is_refused(void **state) { LIBS_CHECK(hostile); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_are_those_of_redis),
        cmocka_unit_test(test_what_is_too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) { return 77; }

#endif
