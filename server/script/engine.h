/* SPDX-License-Identifier: MIT
 *
 * A program in execution for somebody's command: what EVAL and FCALL share. The commands it calls run in a session of
 * its own, which has no connection and whose caller is the session that asked.
 */
#ifndef SERVER_SCRIPT_ENGINE_H
#define SERVER_SCRIPT_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "server/exec/session.h"

struct batch;
struct call;
struct debugger;
struct script_vm;

struct script_what {
    const char *name; /* shown in errors: the SHA, or the function's name */
    int function;     /* a reference (luaL_ref) */
    int tail_line;    /* vm->loaded_tail_line when it was loaded */
    uint32_t flags;   /* enum script_flag */
    bool is_eval;     /* KEYS and ARGV are globals; else both are its arguments */
    bool read_only;   /* it came by one of the _RO commands */
};

struct script_run {
    struct session session; /* of the commands it calls */
    struct script_vm *vm;
    struct call *call; /* of EVAL or FCALL */
    struct session *caller;
    const struct bytes *argv; /* of that command */
    int argc;
    const struct script_what *what;
    bool over_memory;       /* it began over maxmemory */
    int64_t now_us;         /* when it began */
    uint8_t repl;           /* enum effect_kind: who is told of what it changes */
    bool is_busy;           /* others are told so */
    volatile bool killed;   /* it is to end */
    struct batch *batch;    /* put aside while it is busy */
    struct debugger *debug; /* who looks on (debugger.h); NULL: nobody */
};

/* Runs it, and replies to c: one reply, whatever happens. numkeys of the arguments are keys. */
void script_run(struct call *c, struct script_vm *vm, const struct script_what *what, const struct bytes *args,
                int arg_count, int numkeys);

/* argv[at] says how many keys follow; false: replied with an error. */
bool script_numkeys(struct call *c, int at, int *numkeys);

#endif
