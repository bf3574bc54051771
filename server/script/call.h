/* SPDX-License-Identifier: MIT
 *
 * redis.call() and redis.pcall(): a command of a script.
 */
#ifndef SERVER_SCRIPT_CALL_H
#define SERVER_SCRIPT_CALL_H

#include "alloc/base/bytes.h"

struct lua_State;
struct reply;
struct script_vm;

int script_redis_call(struct lua_State *L);
int script_redis_pcall(struct lua_State *L);

/* The arguments on L's stack as words, good until something is popped; NULL, and the error on the top: they cannot be
 * a command's. */
struct bytes *script_call_argv(struct script_vm *vm, struct lua_State *L, int *argc);

/* What a run's commands reply to: errors are counted as those of `like` are. */
struct reply *script_call_output(struct script_vm *vm, const struct reply *like);
void script_call_state_free(struct script_vm *vm);

#endif
