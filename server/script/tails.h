/* SPDX-License-Identifier: MIT
 *
 * Where a chunk calls in tail position: `return redis.call(...)`. LuaJIT replaces the caller's frame then, and an error
 * would have no line.
 */
#ifndef SERVER_SCRIPT_TAILS_H
#define SERVER_SCRIPT_TAILS_H

struct lua_State;
struct script_vm;

void script_tails_open(struct script_vm *vm, struct lua_State *L);
/* The line of the last tail call of the function on the top and of those in it; 0: it has none. */
int script_tail_line(const struct script_vm *vm, struct lua_State *L);

#endif
