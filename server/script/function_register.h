/* SPDX-License-Identifier: MIT
 *
 * redis.register_function(): what a library that is being loaded gives.
 */
#ifndef SERVER_SCRIPT_FUNCTION_REGISTER_H
#define SERVER_SCRIPT_FUNCTION_REGISTER_H

struct function;
struct lua_State;

struct function_load { /* zero: nothing yet */
    struct function **all;
    unsigned count, cap;
};

/* A function of Lua; load NULL: nothing is being loaded, which is an error. */
int function_register(struct lua_State *L, struct function_load *load);
/* The functions are somebody else's by now. */
void function_load_fini(struct lua_State *L, struct function_load *load);

#endif
