/* SPDX-License-Identifier: MIT
 *
 * A command's reply as values on Lua's stack, with no text in between: what handlers reply through
 * server/resp/reply.h arrives here value by value and becomes what Redis makes of it for scripts.
 */
#ifndef SERVER_SCRIPT_VALUES_H
#define SERVER_SCRIPT_VALUES_H

#include "server/resp/reply.h"

struct debug_reply;
struct lua_State;
struct script_vm;

#define SCRIPT_VALUES_DEPTH 32 /* aggregates in each other: no command has as many */

struct script_values {
    struct reply out; /* where the command replies */
    struct script_vm *vm;
    struct lua_State *L;
    struct debug_reply *shown; /* the debugger's, if it is asked first (debug_show.h) */
    bool is_error;             /* the reply is an error */
    unsigned depth;
    struct script_values_frame {
        char type; /* as in RESP; 0: known at its end */
        bool has_key;
        uint64_t left, index;
    } frames[SCRIPT_VALUES_DEPTH];
};

/* Who takes a reply. */
extern const struct reply_values script_values_taken;

void script_values_init(struct script_values *v, struct script_vm *vm);
/* The next reply goes to the top of L's stack: one value when the command has replied, unless v->out.over is set: then
 * Lua has no memory for it, and the stack's top is anything. Raises an error if the stack has no room. */
void script_values_begin(struct script_values *v, struct lua_State *L);

/* {err = text}, and that the error was counted. */
void script_push_error(struct lua_State *L, struct bytes text, bool counted);

#endif
