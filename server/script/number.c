/* SPDX-License-Identifier: MIT
 *
 * A positive NaN: lua_pushnumber() makes every NaN the one negative one, but the interpreter's minus turns the sign and
 * copies keep it. So it is made once, by a function of Lua, and kept in the registry.
 */
#include "server/script/number.h"

#ifdef SCRIPT_LUA

#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const char positive_nan;

/* An integer of up to 14 digits, which most numbers are. */
static size_t small_text(char *to, int64_t v)
{
    char back[24];
    size_t n = 0, length = 0;
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do back[n++] = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0) to[length++] = '-';
    while (n) to[length++] = back[--n];
    to[length] = 0;
    return length;
}

size_t script_number_digits(char to[SCRIPT_NUMBER_MAX], double d, int digits)
{
    return (size_t)snprintf(to, SCRIPT_NUMBER_MAX, "%.*g", digits, d);
}

size_t script_number_text(char to[SCRIPT_NUMBER_MAX], double d)
{
    if (fabs(d) < 1e14 && d == (double)(int64_t)d && (d != 0 || !signbit(d))) return small_text(to, (int64_t)d);
    return script_number_digits(to, d, 14);
}

void script_number_push(lua_State *L, double d)
{
    if (d == d || signbit(d)) {
        lua_pushnumber(L, d);
        return;
    }
    luaL_checkstack(L, 4, NULL);
    lua_pushlightuserdata(L, (void *)&positive_nan);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (!lua_isnil(L, -1)) return;
    lua_pop(L, 1);
    if (luaL_loadstring(L, "return -...") != 0) lua_error(L);
    lua_pushnumber(L, d);
    lua_call(L, 1, 1);
    lua_pushlightuserdata(L, (void *)&positive_nan);
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

bool script_number_read(const char *s, double *d)
{
    char *end;
    *d = strtod(s, &end);
    if (end == s) return false;
    while (isspace((unsigned char)*end)) end++;
    return *end == 0;
}

#endif
