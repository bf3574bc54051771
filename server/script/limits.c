/* SPDX-License-Identifier: MIT */
#include "server/script/limits.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>

void script_limits_stack(lua_State *L) { (void)L; }
void script_limits_go_on(lua_State *L) { (void)L; }

#endif
