/* SPDX-License-Identifier: MIT
 *
 * The libraries beside Lua's own. Each opens by leaving its table on the stack.
 */
#ifndef SERVER_SCRIPT_LIBS_H
#define SERVER_SCRIPT_LIBS_H

struct lua_State;

/* Puts all of them, and the functions that replace Lua's, into the table of globals at `to`. */
void script_libs_open(struct lua_State *L, int to);

#endif
