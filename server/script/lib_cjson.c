/* SPDX-License-Identifier: MIT
 *
 * cjson 2.1.0 as Redis ships it: the table, and the functions that ask for and change its settings. Those are an
 * object's, and an object is everybody's who uses it: what a script changes in cjson itself, later scripts find.
 */
#include "server/script/lib_cjson.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

#include "server/script/libs.h"

static const struct cjson_settings defaults = {
    .sparse_ratio = 2,
    .sparse_safe = 10,
    .encode_depth_max = 1000,
    .decode_depth_max = 1000,
    .decode_invalid = CJSON_INVALID_ON,
    .digits = 14,
    .keep_buffer = 1,
};

/* The settings; missing arguments become nil. */
static struct cjson_settings *begin(lua_State *L, int arg_max)
{
    luaL_argcheck(L, lua_gettop(L) <= arg_max, arg_max + 1, "found too many arguments");
    lua_settop(L, arg_max);
    luaL_checkstack(L, 4, NULL);
    return lua_touserdata(L, lua_upvalueindex(1));
}

static void integer_setting(lua_State *L, int arg, int *setting, int min, int max)
{
    if (!lua_isnil(L, arg)) {
        char text[64];
        lua_Integer v = luaL_checkinteger(L, arg);
        snprintf(text, sizeof text, "expected integer between %d and %d", min, max);
        luaL_argcheck(L, v >= min && v <= max, 1, text);
        *setting = (int)v;
    }
    lua_pushinteger(L, *setting);
}

/* false, true, or one of the names, if there are any. */
static void choice_setting(lua_State *L, int arg, int *setting, const char *const *names)
{
    if (lua_isboolean(L, arg)) {
        *setting = lua_toboolean(L, arg);
    } else if (!lua_isnil(L, arg)) {
        if (!names) luaL_checktype(L, arg, LUA_TBOOLEAN);
        *setting = luaL_checkoption(L, arg, NULL, names);
    }
    if (*setting == CJSON_INVALID_OFF || *setting == CJSON_INVALID_ON) lua_pushboolean(L, *setting);
    else lua_pushstring(L, names[*setting]);
}

static int encode_sparse_array(lua_State *L)
{
    struct cjson_settings *s = begin(L, 3);
    choice_setting(L, 1, &s->sparse_convert, NULL);
    integer_setting(L, 2, &s->sparse_ratio, 0, INT_MAX);
    integer_setting(L, 3, &s->sparse_safe, 0, INT_MAX);
    return 3;
}

static int encode_max_depth(lua_State *L)
{
    integer_setting(L, 1, &begin(L, 1)->encode_depth_max, 1, INT_MAX);
    return 1;
}

static int decode_max_depth(lua_State *L)
{
    integer_setting(L, 1, &begin(L, 1)->decode_depth_max, 1, INT_MAX);
    return 1;
}

static int encode_number_precision(lua_State *L)
{
    integer_setting(L, 1, &begin(L, 1)->digits, 1, 14);
    return 1;
}

static int encode_keep_buffer(lua_State *L)
{
    choice_setting(L, 1, &begin(L, 1)->keep_buffer, NULL);
    return 1;
}

static int encode_invalid_numbers(lua_State *L)
{
    static const char *const names[] = {"off", "on", "null", NULL};
    choice_setting(L, 1, &begin(L, 1)->encode_invalid, names);
    return 1;
}

static int decode_invalid_numbers(lua_State *L)
{
    static const char *const names[] = {"off", "on", NULL};
    choice_setting(L, 1, &begin(L, 1)->decode_invalid, names);
    return 1;
}

static int cjson_new(lua_State *L) { return script_open_cjson(L); }

int script_open_cjson(lua_State *L)
{
    static const luaL_Reg functions[] = {{"encode", cjson_encode},
                                         {"decode", cjson_decode},
                                         {"encode_sparse_array", encode_sparse_array},
                                         {"encode_max_depth", encode_max_depth},
                                         {"decode_max_depth", decode_max_depth},
                                         {"encode_number_precision", encode_number_precision},
                                         {"encode_keep_buffer", encode_keep_buffer},
                                         {"encode_invalid_numbers", encode_invalid_numbers},
                                         {"decode_invalid_numbers", decode_invalid_numbers},
                                         {"new", cjson_new},
                                         {NULL, NULL}};
    luaL_checkstack(L, 4, NULL);
    lua_createtable(L, 0, 13);
    memcpy(lua_newuserdata(L, sizeof defaults), &defaults, sizeof defaults);
    luaL_setfuncs(L, functions, 1);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushliteral(L, "cjson");
    lua_setfield(L, -2, "_NAME");
    lua_pushliteral(L, "2.1.0");
    lua_setfield(L, -2, "_VERSION");
    return 1;
}

#endif
