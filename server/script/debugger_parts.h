/* SPDX-License-Identifier: MIT
 *
 * Inside of the debugger: what debugger.c and debug_command.c have of each other.
 */
#ifndef SERVER_SCRIPT_DEBUGGER_PARTS_H
#define SERVER_SCRIPT_DEBUGGER_PARTS_H

#include <stdint.h>

#include "server/resp/reply.h"
#include "server/script/debug_input.h"
#include "server/script/debug_show.h"
#include "server/script/debugger.h"

#define DEBUG_BREAKPOINTS_MAX 64

struct debugger {
    struct client *cl;
    struct bytes source; /* the script without newlines at its end */
    int line_count;
    int line;          /* where the script is */
    bool steps;        /* it stops at the next line; and its calls are shown until then */
    bool breaks;       /* redis.breakpoint() was called */
    bool stopped;      /* a dialogue is under way */
    bool gone;         /* the client is: nothing stops the script any more */
    bool evaluates;    /* `eval` runs: since since_ns */
    uint64_t since_ns; /* when the script began to run, or went on */
    int breakpoints[DEBUG_BREAKPOINTS_MAX];
    int breakpoint_count;
    size_t shown_max;  /* a value's text is cut there; 0: it is not */
    bool hinted;       /* the client knows how to change that */
    struct reply said; /* lines that are not sent yet */
    unsigned said_count;
    bool said_too_much;
    struct debug_reply reply;
    struct debug_input input;
};

/* A line for the client, sent at the next debugger_send(). */
void debugger_say(struct debugger *d, struct bytes line);
void debugger_sayf(struct debugger *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for the text of a value: cut, with a hint the first time. It is freed. */
void debugger_say_value(struct debugger *d, struct conf_text *t);
void debugger_say_source(struct debugger *d, int line);
/* The lines of the source from `around` - context to `around` + context. */
void debugger_list(struct debugger *d, int around, int context);
void debugger_send(struct debugger *d);
bool debugger_is_breakpoint(const struct debugger *d, int line);

/* What `eval` runs is ended when it takes too long. L: what runs it; all hooks are as before when it returns. */
int debugger_call(struct debugger *d, struct lua_State *L);

/* Answers the command in d->input; true: the script goes on. May end it. */
bool debug_command(struct debugger *d, struct script_run *run, struct lua_State *L);
/* The script ends with this error, which nothing in it can catch. */
_Noreturn void debugger_end_script(struct script_run *run, struct lua_State *L, const char *text);

#endif
