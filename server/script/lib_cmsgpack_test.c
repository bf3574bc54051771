/* SPDX-License-Identifier: MIT
 *
 * What cmsgpack says, measured on redis-server 7.2.4; packed bytes are shown in hexadecimal.
 */
#include "server/script/libs_fixture.h"

#ifdef SCRIPT_LUA

static const struct libs_case cases[] = {
    {"local s=cmsgpack.pack(1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$2\r\n01\r\n", 0},
    {"local s=cmsgpack.pack(127) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$2\r\n7f\r\n", 0},
    {"local s=cmsgpack.pack(128) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$4\r\ncc80\r\n", 0},
    {"local s=cmsgpack.pack(255) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$4\r\nccff\r\n", 0},
    {"local s=cmsgpack.pack(256) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$6\r\ncd0100\r\n", 0},
    {"local s=cmsgpack.pack(65535) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$6\r\ncdffff\r\n", 0},
    {"local s=cmsgpack.pack(65536) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$10\r\nce00010000\r\n", 0},
    {"local s=cmsgpack.pack(2^32-1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) "
     "end))",
     "$10\r\nceffffffff\r\n", 0},
    {"local s=cmsgpack.pack(2^32) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$18\r\ncf0000000100000000\r\n", 0},
    {"local s=cmsgpack.pack(2^53) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$18\r\ncf0020000000000000\r\n", 0},
    {"local s=cmsgpack.pack(2^63) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$10\r\nca5f000000\r\n", 0},
    {"local s=cmsgpack.pack(2^64) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$10\r\nca5f800000\r\n", 0},
    {"local s=cmsgpack.pack(-1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$2\r\nff\r\n", 0},
    {"local s=cmsgpack.pack(-32) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$2\r\ne0\r\n", 0},
    {"local s=cmsgpack.pack(-33) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$4\r\nd0df\r\n", 0},
    {"local s=cmsgpack.pack(-128) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$4\r\nd080\r\n", 0},
    {"local s=cmsgpack.pack(-129) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$6\r\nd1ff7f\r\n", 0},
    {"local s=cmsgpack.pack(-32768) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) "
     "end))",
     "$6\r\nd18000\r\n", 0},
    {"local s=cmsgpack.pack(-32769) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) "
     "end))",
     "$10\r\nd2ffff7fff\r\n", 0},
    {"local s=cmsgpack.pack(-2^31) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$10\r\nd280000000\r\n", 0},
    {"local s=cmsgpack.pack(-2^31-1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte())"
     " end))",
     "$18\r\nd3ffffffff7fffffff\r\n", 0},
    {"local s=cmsgpack.pack(-2^63) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$18\r\nd38000000000000000\r\n", 0},
    {"local s=cmsgpack.pack(1.5) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$10\r\nca3fc00000\r\n", 0},
    {"local s=cmsgpack.pack(0.1) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$18\r\ncb3fb999999999999a\r\n", 0},
    {"local s=cmsgpack.pack(1/0) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$10\r\nca7f800000\r\n", 0},
    {"local s=cmsgpack.pack(-1/0) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$10\r\ncaff800000\r\n", 0},
    {"local s=cmsgpack.pack(-0) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$2\r\n00\r\n", 0},
    {"local s=cmsgpack.pack(1e300) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$18\r\ncb7e37e43c8800759c\r\n", 0},
    {"local s=cmsgpack.pack(\"\") return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$2\r\na0\r\n", 0},
    {"local s=cmsgpack.pack(\"a\") return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$4\r\na161\r\n", 0},
    {"local s=cmsgpack.pack((\"x\"):rep(31)):sub(1,3) return (s:gsub(\".\",function(c) return (\"%02x\")"
     ":format(c:byte()) end))",
     "$6\r\nbf7878\r\n", 0},
    {"local s=cmsgpack.pack((\"x\"):rep(32)):sub(1,3) return (s:gsub(\".\",function(c) return (\"%02x\")"
     ":format(c:byte()) end))",
     "$6\r\nd92078\r\n", 0},
    {"local s=cmsgpack.pack((\"x\"):rep(256)):sub(1,4) return (s:gsub(\".\",function(c) return (\"%02x\""
     "):format(c:byte()) end))",
     "$8\r\nda010078\r\n", 0},
    {"local s=cmsgpack.pack((\"x\"):rep(65536)):sub(1,6) return (s:gsub(\".\",function(c) return (\"%02x"
     "\"):format(c:byte()) end))",
     "$12\r\ndb0001000078\r\n", 0},
    {"local s=cmsgpack.pack(nil) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$2\r\nc0\r\n", 0},
    {"local s=cmsgpack.pack(true,false) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte"
     "()) end))",
     "$4\r\nc3c2\r\n", 0},
    {"local s=cmsgpack.pack({}) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$2\r\n90\r\n", 0},
    {"local s=cmsgpack.pack({1,2,3}) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte())"
     " end))",
     "$8\r\n93010203\r\n", 0},
    {"local s=cmsgpack.pack({a=1}) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$8\r\n81a16101\r\n", 0},
    {"local s=cmsgpack.pack({[2]=1}) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte())"
     " end))",
     "$6\r\n810201\r\n", 0},
    {"local s=cmsgpack.pack({1,nil,3}) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte("
     ")) end))",
     "$10\r\n8201010303\r\n", 0},
    {"local s=cmsgpack.pack({[1.5]=1}) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte("
     ")) end))",
     "$14\r\n81ca3fc0000001\r\n", 0},
    {"local s=cmsgpack.pack(1,\"a\",{}) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte"
     "()) end))",
     "$8\r\n01a16190\r\n", 0},
    {"local s=cmsgpack.pack({{},{a={}}}) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byt"
     "e()) end))",
     "$12\r\n929081a16190\r\n", 0},
    {"local s=cmsgpack.pack(function() end) return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:"
     "byte()) end))",
     "$2\r\nc0\r\n", 0},
    {"local s=cmsgpack.pack(coroutine.create(function() end)) return (s:gsub(\".\",function(c) return ("
     "\"%02x\"):format(c:byte()) end))",
     "$2\r\nc0\r\n", 0},
    {"local s=(function() local t={} for i=1,15 do t[i]=i end return cmsgpack.pack(t):sub(1,2) end)() re"
     "turn (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$4\r\n9f01\r\n", 0},
    {"local s=(function() local t={} for i=1,16 do t[i]=i end return cmsgpack.pack(t):sub(1,4) end)() re"
     "turn (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$8\r\ndc001001\r\n", 0},
    {"local s=(function() local t={} for i=1,65536 do t[i]=1 end return cmsgpack.pack(t):sub(1,6) end)()"
     " return (s:gsub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$12\r\ndd0001000001\r\n", 0},
    {"local s=(function() local t={1} t[1]={t} return cmsgpack.pack(t):sub(-2) end)() return (s:gsub(\"."
     "\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$4\r\n91c0\r\n", 0},
    {"local s=(function() local t={} for i=1,16 do t={t} end return cmsgpack.pack(t) end)() return (s:gs"
     "ub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$34\r\n91919191919191919191919191919191c0\r\n", 0},
    {"local s=(function() local t={} for i=1,17 do t={t} end return cmsgpack.pack(t) end)() return (s:gs"
     "ub(\".\",function(c) return (\"%02x\"):format(c:byte()) end))",
     "$34\r\n91919191919191919191919191919191c0\r\n", 0},
    {"return {pcall(cmsgpack.pack)}", "*2\r\n$-1\r\n$54\r\nbad argument #0 to '?' (MessagePack pack needs input.)\r\n",
     0},
    {"return cmsgpack._NAME..\" \"..cmsgpack._VERSION..\" \"..cmsgpack._DESCRIPTION",
     "$64\r\ncmsgpack lua-cmsgpack 0.4.0 MessagePack C implementation for Lua\r\n", 0},
    {"return {cmsgpack.unpack(cmsgpack.pack(1,\"a\",true))}", "*3\r\n:1\r\n$1\r\na\r\n:1\r\n", 0},
    {"return {cmsgpack.unpack(\"\\195\\194\")}", "*2\r\n:1\r\n$-1\r\n", 0},
    {"return {tostring(cmsgpack.unpack(\"\\192\"))}", "*1\r\n$3\r\nnil\r\n", 0},
    {"return {cmsgpack.unpack(\"\")}", "*0\r\n", 0},
    {"return select(\"#\",cmsgpack.unpack(\"\"))", ":0\r\n", 0},
    {"return {pcall(cmsgpack.unpack,\"\\146\\1\")}", "*2\r\n$-1\r\n$23\r\nMissing bytes in input.\r\n", 0},
    {"return {pcall(cmsgpack.unpack,\"\\193\")}", "*2\r\n$-1\r\n$25\r\nBad data format in input.\r\n", 0},
    {"return {pcall(cmsgpack.unpack,\"\\217\")}", "*2\r\n$-1\r\n$23\r\nMissing bytes in input.\r\n", 0},
    {"return {pcall(cmsgpack.unpack,\"\\219\\255\\255\\255\\255\")}", "*2\r\n$-1\r\n$23\r\nMissing bytes in input.\r\n",
     0},
    {"return {pcall(cmsgpack.unpack,\"\\221\\255\\255\\255\\255\")}", "*2\r\n$-1\r\n$23\r\nMissing bytes in input.\r\n",
     0},
    {"return {pcall(cmsgpack.unpack,\"\\129\\1\")}", "*2\r\n$-1\r\n$23\r\nMissing bytes in input.\r\n", 0},
    {"return {tostring(cmsgpack.unpack(\"\\203\\63\\248\\0\\0\\0\\0\\0\\0\"))}", "*1\r\n$3\r\n1.5\r\n", 0},
    {"return {tostring(cmsgpack.unpack(\"\\202\\63\\192\\0\\0\"))}", "*1\r\n$3\r\n1.5\r\n", 0},
    {"return {tostring(cmsgpack.unpack(\"\\207\\255\\255\\255\\255\\255\\255\\255\\255\"))}", "*1\r\n$2\r\n-1\r\n", 0},
    {"return {tostring(cmsgpack.unpack(\"\\211\\255\\255\\255\\255\\255\\255\\255\\255\"))}", "*1\r\n$2\r\n-1\r\n", 0},
    {"return {pcall(cmsgpack.unpack,\"\\212\\1\\2\")}", "*2\r\n$-1\r\n$25\r\nBad data format in input.\r\n", 0},
    {"return {cmsgpack.unpack_one(\"\\1\\2\\3\")}", "*2\r\n:1\r\n:1\r\n", 0},
    {"return {cmsgpack.unpack_one(\"\\1\\2\\3\",1)}", "*2\r\n:2\r\n:2\r\n", 0},
    {"return {cmsgpack.unpack_one(\"\\1\\2\\3\",2)}", "*2\r\n:-1\r\n:3\r\n", 0},
    {"return {pcall(cmsgpack.unpack_one,\"\\1\\2\\3\",3)}", "*2\r\n:1\r\n:-1\r\n", 0},
    {"return {pcall(cmsgpack.unpack_one,\"\\1\\2\\3\",4)}",
     "*2\r\n$-1\r\n$43\r\nStart offset 4 greater than input length 3.\r\n", 0},
    {"return {pcall(cmsgpack.unpack_one,\"\\1\",-1)}",
     "*2\r\n$-1\r\n$59\r\nInvalid request to unpack with offset of -1 and limit of 1.\r\n", 0},
    {"return {cmsgpack.unpack_limit(\"\\1\\2\\3\",2)}", "*3\r\n:2\r\n:1\r\n:2\r\n", 0},
    {"return {cmsgpack.unpack_limit(\"\\1\\2\\3\",2,1)}", "*3\r\n:-1\r\n:2\r\n:3\r\n", 0},
    {"return {cmsgpack.unpack_limit(\"\\1\\2\\3\",5)}", "*4\r\n:-1\r\n:1\r\n:2\r\n:3\r\n", 0},
    {"return {cmsgpack.unpack_limit(\"\\1\\2\\3\",0)}", "*3\r\n:1\r\n:2\r\n:3\r\n", 0},
    {"return {pcall(cmsgpack.unpack_limit,\"\\1\\2\\3\",-1)}",
     "*2\r\n$-1\r\n$58\r\nInvalid request to unpack with offset of 0 and limit of 3.\r\n", 0},
    {"return {pcall(cmsgpack.unpack,5)}", "*2\r\n:1\r\n:53\r\n", 0},
    {"return {pcall(cmsgpack.unpack,nil)}", "*2\r\n$-1\r\n$49\r\nbad argument #1 to '?' (string expected, got nil)\r\n",
     0},
    {"return cjson.encode(cmsgpack.unpack(cmsgpack.pack({a={1,2,{b=3}}})))", "$19\r\n{\"a\":[1,2,{\"b\":3}]}\r\n", 0},
    {"return cmsgpack.unpack(\"\\147\\1\\2\\3\")", "*3\r\n:1\r\n:2\r\n:3\r\n", 0},
    {"return {cmsgpack.unpack(\"\\1\\161a\")}", "*2\r\n:1\r\n$1\r\na\r\n", 0},
    {"return cmsgpack.unpack(\"\\130\\161a\\1\\161b\\2\").b", ":2\r\n", 0},
    {"return {pcall(cmsgpack.unpack,\"\\129\\192\\1\")}", "*2\r\n$-1\r\n$18\r\ntable index is nil\r\n", 0},
    {"return type(cmsgpack.safe)", "$3\r\nnil\r\n", 0},
    {"return {pcall(cmsgpack.unpack,(\"\\145\"):rep(100000))}",
     "*2\r\n$-1\r\n$51\r\nstack overflow (in function mp_decode_to_lua_array)\r\n", 0},
    {"return select(\"#\",cmsgpack.unpack((\"\\1\"):rep(7000)))", ":7000\r\n", 0},
    {"return {pcall(cmsgpack.unpack,(\"\\1\"):rep(9000))}",
     "*2\r\n$-1\r\n$88\r\nstack overflow (too many return values at once; use unpack_one or unpack_limit"
     " instead.)\r\n",
     0},
};

static void test_replies_are_those_of_redis(void **state) { LIBS_CHECK(cases); }

#define HEX(what)                                                                                                      \
    "local s=cmsgpack.pack(" what ") return (s:gsub('.',function(c) return ('%02x'):format(c:byte()) end))"

/* Redis has the order of its hashes, which is the same in every process; LuaJIT's is not. */
static const struct libs_case ordered[] = {
    {HEX("{b=1,a=2,[5]=3,[-1]=4,[true]=5,[false]=6}"), "$30\r\n86ff040503a16102a16201c206c305\r\n", 0},
    {HEX("{[{7}]=1}"), "$8\r\n81910701\r\n", 0},
    {HEX("{[{7}]=1,x=2}"), "$14\r\n82a17802910701\r\n", 0},
    {HEX("{[print]=1}"), "$6\r\n81c001\r\n", 0},
};

static void test_keys_of_a_map_have_an_order(void **state) { LIBS_CHECK(ordered); }

static const struct libs_case hostile[] = {
    {"return {pcall(cmsgpack.unpack,('\\129\\1'):rep(100000))}",
     "*2\r\n$-1\r\n$50\r\nstack overflow (in function mp_decode_to_lua_hash)\r\n", 0},
    {"return {pcall(cmsgpack.unpack,('\\129'):rep(100000))}",
     "*2\r\n$-1\r\n$50\r\nstack overflow (in function mp_decode_to_lua_hash)\r\n", 0},
    {"return {pcall(cmsgpack.unpack,'\\223\\255\\255\\255\\255')}", "*2\r\n$-1\r\n$23\r\nMissing bytes in input.\r\n",
     0},
    {"return {pcall(cmsgpack.unpack_limit,'\\1',2^40,0)}", "*2\r\n:1\r\n:1\r\n", 0},
    {"return {pcall(cmsgpack.unpack,'\\129\\203\\127\\248\\0\\0\\0\\0\\0\\0\\1')}",
     "*2\r\n$-1\r\n$18\r\ntable index is NaN\r\n", 0},
    {"return tostring((cmsgpack.unpack('\\203\\127\\248\\0\\0\\0\\0\\0\\0')))", "$3\r\nnan\r\n", 0},
    {"local t={} for i=1,1e5 do t[i]=0/0 end return #cmsgpack.unpack(cmsgpack.pack(t))", ":100000\r\n", 0},
    {"local s=('x'):rep(4e6) return cmsgpack.unpack(cmsgpack.pack(s))==s", ":1\r\n", 0},
};

static void test_what_is_too_much_is_refused(void **state) { LIBS_CHECK(hostile); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_are_those_of_redis),
        cmocka_unit_test(test_keys_of_a_map_have_an_order),
        cmocka_unit_test(test_what_is_too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) { return 77; }

#endif
