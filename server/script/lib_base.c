/* SPDX-License-Identifier: MIT
 *
 * Of Lua's base functions those that make texts of numbers and numbers of texts, whose results LuaJIT has differently,
 * and ipairs, whose error is another one.
 */
#include "server/script/libs.h"

#ifdef SCRIPT_LUA

#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

#include "server/script/limits.h"
#include "server/script/number.h"

static int base_tostring(lua_State *L)
{
    char text[SCRIPT_NUMBER_MAX];
    luaL_checkany(L, 1);
    switch (lua_type(L, 1)) {
    case LUA_TSTRING: lua_settop(L, 1); return 1;
    case LUA_TNUMBER: lua_pushlstring(L, text, script_number_text(text, lua_tonumber(L, 1))); return 1;
    case LUA_TBOOLEAN: lua_pushstring(L, lua_toboolean(L, 1) ? "true" : "false"); return 1;
    case LUA_TNIL: lua_pushliteral(L, "nil"); return 1;
    default: break;
    }
    script_limits_stack(L);
    if (luaL_callmeta(L, 1, "__tostring")) return 1;
    const void *p = lua_topointer(L, 1);
    if (p) lua_pushfstring(L, "%s: %p", luaL_typename(L, 1), p);
    else lua_pushfstring(L, "%s: (nil)", luaL_typename(L, 1));
    return 1;
}

/* Whole numbers of another base; a minus turns them around 2^64, as in C. */
static int number_of_base(lua_State *L, int base)
{
    const char *s = luaL_checkstring(L, 1);
    char *end;
    luaL_argcheck(L, base >= 2 && base <= 36, 2, "base out of range");
    unsigned long v = strtoul(s, &end, base);
    if (end == s) return 0;
    while (isspace((unsigned char)*end)) end++;
    if (*end) return 0;
    lua_pushnumber(L, (lua_Number)v);
    return 1;
}

static int base_tonumber(lua_State *L)
{
    int base = (int)luaL_optinteger(L, 2, 10);
    double d;
    if (base != 10) {
        if (number_of_base(L, base)) return 1;
        lua_pushnil(L);
        return 1;
    }
    luaL_checkany(L, 1);
    if (lua_type(L, 1) == LUA_TNUMBER) lua_settop(L, 1);
    else if (lua_type(L, 1) == LUA_TSTRING && script_number_read(lua_tostring(L, 1), &d)) script_number_push(L, d);
    else lua_pushnil(L);
    return 1;
}

/* The upvalue is what Lua's own returns first. */
static int base_ipairs(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_pushinteger(L, 0);
    return 3;
}

void script_open_base(lua_State *L)
{
    static const luaL_Reg functions[] = {{"tostring", base_tostring}, {"tonumber", base_tonumber}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    lua_getfield(L, -1, "ipairs");
    lua_newtable(L);
    lua_call(L, 1, 1);
    lua_pushcclosure(L, base_ipairs, 1);
    lua_setfield(L, -2, "ipairs");
}

#endif
