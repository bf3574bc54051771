/* SPDX-License-Identifier: MIT
 *
 * Values of Lua, and replies of commands, as the debugger of scripts shows them.
 */
#ifndef SERVER_SCRIPT_DEBUG_SHOW_H
#define SERVER_SCRIPT_DEBUG_SHOW_H

#include <stdint.h>

#include "server/conf/text.h"
#include "server/script/values.h"

/* Text beyond this is left out, whatever a value has. */
#define DEBUG_SHOW_MAX ((size_t)16 << 20)

/* Appends the value at index: strings quoted, tables as {1; 2} or {["k"]=1}, ten of them in each other. Raises no error
 * of Lua if vm->never_fails is set. */
void debug_show_value(struct conf_text *to, struct lua_State *L, int index);

/* A reply that is on its way to Lua (values.h) is shown, too: text is what Redis's debugger writes for it, but for an
 * error, which is in `error`. */
struct debug_reply {
    struct conf_text text, error;
    unsigned depth, muted; /* muted: attributes, which no script sees */
    struct debug_reply_frame {
        char type; /* as in RESP; 0: known at its end */
        size_t begins;
        uint64_t index, left;
    } frames[SCRIPT_VALUES_DEPTH];
};

void debug_reply_fini(struct debug_reply *r);
/* The next reply through v is shown in r. */
void debug_reply_begin(struct debug_reply *r, struct script_values *v);

#endif
