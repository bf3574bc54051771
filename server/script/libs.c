/* SPDX-License-Identifier: MIT */
#include "server/script/libs.h"

#ifdef SCRIPT_LUA

#include <lua.h>

static void open_into(lua_State *L, int to, const char *name, lua_CFunction open)
{
    open(L);
    lua_setfield(L, to, name);
}

void script_libs_open(lua_State *L, int to)
{
    open_into(L, to, "cjson", script_open_cjson);
    open_into(L, to, "cmsgpack", script_open_cmsgpack);
    open_into(L, to, "struct", script_open_struct);
    open_into(L, to, "bit", script_open_bit);
    lua_getfield(L, to, "string");
    script_open_string(L);
    lua_pop(L, 1);
    lua_pushvalue(L, to);
    script_open_base(L);
    lua_pop(L, 1);
}

#endif
