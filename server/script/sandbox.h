/* SPDX-License-Identifier: MIT
 *
 * What a script sees: the libraries it may use, and nothing that it could change for the next one. A table that is
 * not to be changed is shown by a stand-in, an empty table whose metatable looks behind it; every function that could
 * get at the table itself (rawget, next, getmetatable...) is ours and knows stand-ins.
 */
#ifndef SERVER_SCRIPT_SANDBOX_H
#define SERVER_SCRIPT_SANDBOX_H

struct lua_State;

/* Opens everything in a new state and closes the globals. */
void script_sandbox_open(struct lua_State *L);

/* Pushes the table of globals itself: what is put there raw, scripts see. */
void script_push_globals(struct lua_State *L);
/* Pops a table: the globals of every script are what it holds from now on (another set while a library of functions is
 * loaded); functions loaded before see them, too. */
void script_use_globals(struct lua_State *L);
/* The table on the top answers a name it does not have with an error ("nonexistent global variable"). */
void script_refuse_unknown(struct lua_State *L);

/* The table on the top is replaced by a stand-in, and so are the tables in it. */
void script_make_readonly(struct lua_State *L);
/* Raises "Attempt to modify a readonly table" if the table there is a stand-in. */
void script_check_writable(struct lua_State *L, int index);
/* If the table there is a stand-in, the one behind it takes its place on the stack: for C's eyes only. */
void script_look_behind(struct lua_State *L, int index);

#endif
