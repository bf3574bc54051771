/* SPDX-License-Identifier: MIT */
#ifndef SERVER_SCRIPT_STRING_FORMAT_H
#define SERVER_SCRIPT_STRING_FORMAT_H

struct lua_State;

/* string.format of Lua 5.1: (format, ...). */
int string_format(struct lua_State *L);

#endif
