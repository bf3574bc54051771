/* SPDX-License-Identifier: MIT
 *
 * A script that is late has a hook, which runs between two instructions of Lua. Where there are none the hook is called
 * from here: it may raise the error that ends the script.
 */
#include "server/script/limits.h"

#ifdef SCRIPT_LUA

#include <lua.h>

#include "server/script/guard.h"

void script_limits_stack(lua_State *L) { script_check_stack(L); }

void script_limits_go_on(lua_State *L)
{
    lua_Hook late = lua_gethook(L);
    lua_Debug at = {.event = LUA_HOOKCOUNT};
    if (late) late(L, &at);
}

#endif
