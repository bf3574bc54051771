/* SPDX-License-Identifier: MIT
 *
 * bit: LuaJIT's own, which is the library that Redis has, but for tohex: there the number of digits has a bound.
 */
#include "server/script/libs.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdint.h>
#include <string.h>

/* The low 32 bits of a number, rounded to the even integer: what bit.tobit says. */
static uint32_t low_bits(lua_State *L, int arg)
{
    union {
        double d;
        uint64_t u;
    } v = {.d = luaL_checknumber(L, arg) + 6755399441055744.0}; /* 2^52 + 2^51: the integer is in the mantissa */
    return (uint32_t)v.u;
}

static int bit_tohex(lua_State *L)
{
    uint32_t bits = low_bits(L, 1), asked = lua_isnone(L, 2) ? 8 : low_bits(L, 2);
    const char *digits = asked >> 31 ? "0123456789ABCDEF" : "0123456789abcdef";
    uint32_t n = asked >> 31 ? -asked : asked;
    char text[8];
    if (n > sizeof text) n = sizeof text;
    for (uint32_t i = n; i > 0; bits >>= 4) text[--i] = digits[bits & 15];
    lua_pushlstring(L, text, n);
    return 1;
}

int script_open_bit(lua_State *L)
{
    static const char *const names[] = {"arshift", "band", "bnot", "bor",    "bswap", "bxor",
                                        "lshift",  "rol",  "ror",  "rshift", "tobit"};
    lua_pushcfunction(L, luaopen_bit);
    lua_pushliteral(L, LUA_BITLIBNAME);
    lua_call(L, 1, 1);
    lua_createtable(L, 0, 12);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lua_getfield(L, -2, names[i]);
        lua_setfield(L, -2, names[i]);
    }
    lua_remove(L, -2);
    lua_pushcfunction(L, bit_tohex);
    lua_setfield(L, -2, "tohex");
    return 1;
}

#endif
