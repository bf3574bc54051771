/* SPDX-License-Identifier: MIT
 *
 * Small commands about the server as a whole: TIME, ROLE, SHUTDOWN.
 */
#include <stdio.h>
#include <string.h>

#include "server/command/handlers.h"
#include "server/ds/number.h"
#include "server/server.h"
#include "server/shutdown.h"

void cmd_time(struct call *c)
{
    int64_t us = demi_wall_us();
    reply_array(c->out, 2);
    reply_bulk_int(c->out, us / 1000000);
    reply_bulk_int(c->out, us % 1000000);
}

void cmd_role(struct call *c)
{
    reply_array(c->out, 3);
    reply_bulk(c->out, BYTES("master"));
    reply_int(c->out, 0);
    reply_array(c->out, 0);
}

/* --- SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] | ABORT
 * --------------------------------------------------------------------- */

void cmd_shutdown(struct call *c)
{
    bool save = false, nosave = false, other = false, abort_it = false;
    for (int i = 1; i < c->argc; i++) {
        if (bytes_is_word(c->argv[i], "nosave")) nosave = true;
        else if (bytes_is_word(c->argv[i], "save")) save = true;
        else if (bytes_is_word(c->argv[i], "now") || bytes_is_word(c->argv[i], "force")) other = true;
        else if (bytes_is_word(c->argv[i], "abort")) abort_it = true;
        else {
            call_syntax_error(c);
            return;
        }
    }
    if ((save && nosave) || (abort_it && (save || nosave || other))) {
        call_syntax_error(c);
        return;
    }
    if (abort_it) {
        call_error(c, "ERR No shutdown in progress.");
        return;
    }
    if (save) {
        call_error(c, "ERR SHUTDOWN SAVE is not supported yet: this version writes no snapshots. "
                      "Use SHUTDOWN NOSAVE.");
        return;
    }
    if (c->deny_blocking) {
        call_error(c, "ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client");
        return;
    }
    shutdown_begin(c->w, "User requested shutdown...");
    client_close_soon(c->client);
}
