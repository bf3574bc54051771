/* SPDX-License-Identifier: MIT
 *
 * A script that runs for too long (busy-reply-threshold): others are told BUSY meanwhile, and it can be killed.
 */
#ifndef SERVER_SCRIPT_BUSY_H
#define SERVER_SCRIPT_BUSY_H

#include <stdbool.h>
#include <stdint.h>

struct call;
struct lua_State;
struct script_run;
struct scripts;

/* What looks at the clock for a script, so that the script need not: a timer of the process, while scripts are used. */
struct script_watch {
    bool has_timer, is_armed;
    volatile bool is_late; /* the hook is set, or is being run */
    volatile bool in_hook;
    volatile uint64_t seen; /* the run that the last tick saw, and since when */
    volatile uint64_t seen_ns;
    volatile unsigned idle_ticks;
    uint64_t tick_ns, threshold_ns;
    void *timer;
};

/* A run begins; it has ended, and is not the one under way any more. */
void script_busy_begin(struct scripts *s);
void script_busy_end(struct scripts *s, struct script_run *run);
void script_busy_fini(struct scripts *s);

/* From a function of C that takes long: what the hook does between instructions of Lua, if it is time. May raise the
 * error that ends the script. */
void script_busy_look(struct lua_State *L);

/* A script that is to wait, in the debugger: from now on it is busy, and others are told so. Then, again and again: who
 * comes is served, or some time goes by; afterwards run->killed may be set, and it must die. */
void script_busy_enter(struct script_run *run);
void script_busy_serve(struct script_run *run);
/* Raises the error that ends the script. */
int script_busy_die(struct lua_State *L);

/* SCRIPT KILL, FUNCTION KILL: replies. */
void script_kill(struct call *c, bool is_eval);

#endif
