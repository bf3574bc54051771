/* SPDX-License-Identifier: MIT
 *
 * The libraries of scripts: those that Lua has not (cjson, cmsgpack, struct, bit), and functions of Lua's own that are
 * to behave as those of Lua 5.1 do in Redis and not as LuaJIT's. The memory they need is the Lua state's: an error may
 * leave them from anywhere.
 */
#ifndef SERVER_SCRIPT_LIBS_H
#define SERVER_SCRIPT_LIBS_H

struct lua_State;

/* Puts all of them into the table of globals at `to`, which has Lua's own libraries already (base, string). */
void script_libs_open(struct lua_State *L, int to);

/* Each leaves one library's table on the stack and returns 1. */
int script_open_cjson(struct lua_State *L);
int script_open_cmsgpack(struct lua_State *L);
int script_open_struct(struct lua_State *L);
int script_open_bit(struct lua_State *L);

/* Put functions of their own into the table on the top, which has Lua's already. */
void script_open_string(struct lua_State *L);
void script_open_base(struct lua_State *L);

#endif
