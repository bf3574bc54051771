/* SPDX-License-Identifier: MIT
 *
 * A Lua state for programs that clients bring: LuaJIT's interpreter, never its compiler (with the JIT on, a script that
 * does not end could not be stopped). Its memory is the server's heap, counted and bounded; its libraries are those of
 * sandbox.h, and what could hurt the server from inside is in guard.h.
 *
 * One thread uses it. Whoever calls into Lua with nothing to catch errors is a bug: use script_vm_call().
 */
#ifndef SERVER_SCRIPT_VM_H
#define SERVER_SCRIPT_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

struct lua_State;
struct script_run;
struct script_call_state;
struct worker;

/* Bytes that one state may hold; beyond that a script is told "not enough memory". */
#define SCRIPT_MEMORY_MAX ((size_t)1 << 30)
/* Bytes of C stack that functions of C may take which call Lua which calls C...: 200 gsubs in each other. */
#define SCRIPT_STACK_BYTES ((size_t)1800 << 10)

struct script_vm {
    struct lua_State *L;
    struct worker *w;
    struct script_run *run; /* the one under way; NULL: none */
    size_t bytes;           /* that Lua holds */
    size_t collect_at;      /* so many left behind by a run are collected at once; 0: none were yet */
    bool never_fails;       /* it gets what it asks for: an error must not leave the command that writes into it */
    bool killed;            /* the run is being ended: no script may catch that */
    bool collector_touched; /* a script has asked for other settings */
    char *stack_end;        /* functions of C stop above this address (guard.h) */
    unsigned runs;          /* since the last step of collection */
    bool has_none;          /* KEYS and ARGV are no_keys and no_args, without anything in them */
    int no_keys, no_args;   /* references */
    int globals;
    int error_handler; /* references */
    int keys_name, argv_name;
    unsigned char tail_codes[2];     /* instructions: tails.h */
    int loaded_tail_line;            /* of what script_vm_load() loaded last */
    struct script_call_state *calls; /* of redis.call: server/script/call.c */
};

/* With everything that sandbox.h opens; never NULL. */
struct script_vm *script_vm_new(struct worker *w);
void script_vm_free(struct script_vm *vm);
/* The one that L, or a coroutine of it, belongs to. */
struct script_vm *script_vm_of(struct lua_State *L);

/* Compiles source, text only, under a name as Lua wants it ("@user_script"): pushes the function and returns true, or
 * the error's text and returns false. vm->loaded_tail_line is for the run's (engine.h). */
bool script_vm_load(struct script_vm *vm, struct bytes source, const char *chunk_name);

/* Calls the function below arg_count arguments with the limits on C's stack set from here on; pushes one result and
 * returns 0, or the error as the error handler leaves it (a table with err, and source and line where they are known; a
 * text if that failed) and returns LUA_ERRRUN and its kin. */
int script_vm_call(struct script_vm *vm, int arg_count);

/* After each run: a little garbage is collected now and then, and the collector is as it was. */
void script_vm_tidy(struct script_vm *vm);

#endif
