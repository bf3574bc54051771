/* SPDX-License-Identifier: MIT
 *
 * Each time it grows it doubles, into a new userdata that takes the old one's place on the stack; the old one is the
 * collector's.
 */
#include "server/script/text.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>

#define TEXT_MAX ((size_t)0x7fffff00 - 64) /* of one value of LuaJIT */

void script_text_init(struct script_text *t, lua_State *L)
{
    luaL_checkstack(L, 4, "too many arguments");
    t->L = L;
    t->p = t->first;
    t->n = 0;
    t->size = sizeof t->first;
    lua_pushnil(L);
    t->at = lua_gettop(L);
}

void script_text_grow(struct script_text *t, size_t n)
{
    if (n > TEXT_MAX - t->n) luaL_error(t->L, "not enough memory");
    size_t size = t->size > TEXT_MAX / 2 ? TEXT_MAX : t->size * 2;
    if (size < t->n + n) size = t->n + n;
    luaL_checkstack(t->L, 1, "no room to write");
    char *p = lua_newuserdata(t->L, size);
    memcpy(p, t->p, t->n);
    lua_replace(t->L, t->at);
    t->p = p;
    t->size = size;
}

void script_text_push(struct script_text *t) { lua_pushlstring(t->L, t->p, t->n); }

#endif
