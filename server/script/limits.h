/* SPDX-License-Identifier: MIT
 *
 * What a function of C that scripts call must ask for: whether the C stack has room for one more that calls back into
 * Lua, and, where it may take long without running any instruction of Lua (a pattern that tries everything), whether
 * the script goes on.
 */
#ifndef SERVER_SCRIPT_LIMITS_H
#define SERVER_SCRIPT_LIMITS_H

#include <stdint.h>

struct lua_State;

/* Steps of a loop between two questions: some tenths of a millisecond. */
#define SCRIPT_STEPS (1u << 16)

/* Raises "C stack overflow" when the budget is used up. */
void script_limits_stack(struct lua_State *L);
/* Raises the error that ends the script if somebody has ended it. */
void script_limits_go_on(struct lua_State *L);

/* In a loop: adds to a counter of the caller's and asks now and then. */
static inline void script_limits_step(struct lua_State *L, uint32_t *steps)
{
    if (__builtin_expect((++*steps & (SCRIPT_STEPS - 1)) == 0, 0)) script_limits_go_on(L);
}

#endif
