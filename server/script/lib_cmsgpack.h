/* SPDX-License-Identifier: MIT
 *
 * Between the two halves of cmsgpack: functions of Lua that read MessagePack.
 */
#ifndef SERVER_SCRIPT_LIB_CMSGPACK_H
#define SERVER_SCRIPT_LIB_CMSGPACK_H

struct lua_State;

int cmsgpack_unpack(struct lua_State *L);       /* (text): all values */
int cmsgpack_unpack_one(struct lua_State *L);   /* (text, offset = 0): the next offset or -1, and a value */
int cmsgpack_unpack_limit(struct lua_State *L); /* (text, n, offset = 0): the same with at most n values */

#endif
