/* SPDX-License-Identifier: MIT */
#include "server/script/libs.h"

#ifdef SCRIPT_LUA

#include <lua.h>

void script_libs_open(lua_State *L, int to)
{
    lua_getfield(L, to, "string");
    lua_getfield(L, -1, "gmatch");
    lua_setfield(L, -2, "gfind");
    lua_pop(L, 1);
}

#endif
