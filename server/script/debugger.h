/* SPDX-License-Identifier: MIT
 *
 * The debugger of EVAL's scripts (SCRIPT DEBUG SYNC, `redis-cli --ldb-sync-mode`): it stops a script before a line,
 * tells the client where, and takes commands until one lets the script go on. While a script is stopped others are
 * told BUSY, as by one that runs for too long, and SCRIPT KILL and SHUTDOWN NOSAVE work. What the script changes stays.
 */
#ifndef SERVER_SCRIPT_DEBUGGER_H
#define SERVER_SCRIPT_DEBUGGER_H

#include <stdbool.h>

#include "alloc/base/bytes.h"

struct call;
struct debugger;
struct lua_State;
struct script_run;

/* SCRIPT DEBUG: replies. */
void debugger_set_mode(struct call *c);
/* EVAL for a client that has asked for it: the dialogue, then the reply; the connection is closed behind it. */
void debugger_eval(struct call *c, bool read_only);

/* --- for the script under way, run->debug set --------------------------------------------------------------------- */

/* Its first line comes; it has ended. */
void debugger_begin(struct script_run *run);
void debugger_end(struct script_run *run);

/* redis.call: before; after, what the command replied, or, refused, why it was not run. */
struct script_values;
void debugger_note_call(struct script_run *run, struct script_values *v, const struct bytes *argv, int argc);
void debugger_note_reply(struct script_run *run, struct script_values *v, bool refused);
/* An error that the script is told, without its sign. */
void debugger_note_error(struct script_run *run, const char *sign, struct bytes text);
/* redis.breakpoint(), redis.debug(): the arguments are on the stack. */
void debugger_break(struct script_run *run);
void debugger_print(struct script_run *run, struct lua_State *L);

#endif
