/* SPDX-License-Identifier: MIT
 *
 * What keeps a script from the rest of the process: functions of C that call Lua have a budget of C's stack, and
 * nothing a script may call catches the error that ends it. Lua's own pcall, xpcall, coroutines, load, sort and foreach
 * know neither, so these stand in their place.
 *
 * A function of C that calls back into Lua (string.gsub with a function) begins with script_check_stack().
 */
#ifndef SERVER_SCRIPT_GUARD_H
#define SERVER_SCRIPT_GUARD_H

#include "alloc/base/assert.h"
#include "server/script/vm.h"

#define SCRIPT_KILLED_TEXT "Script killed by user with SCRIPT KILL..."

/* The budget is counted from the caller's frame on. */
void script_guard_begin(struct script_vm *vm);

/* Raises "C stack overflow" when the budget is used up. */
void script_stack_overflow(struct lua_State *L);
static inline void script_check_stack(struct lua_State *L)
{
    if (unlikely((char *)__builtin_frame_address(0) < script_vm_of(L)->stack_end)) script_stack_overflow(L);
}

/* Puts them into the table of globals (or of the library) on the top. */
void script_guard_open_base(struct lua_State *L);
void script_guard_open_coroutine(struct lua_State *L);
void script_guard_open_table(struct lua_State *L);

#endif
