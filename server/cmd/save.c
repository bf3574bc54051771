/* SPDX-License-Identifier: MIT
 *
 * SAVE, BGSAVE, LASTSAVE (server/persist/persist.h), BGREWRITEAOF (server/persist/aof.h).
 */
#include <errno.h>

#include "server/command/handlers.h"
#include "server/server.h"
#include "server/worker.h"

void cmd_save(struct call *c)
{
    if (c->srv->persist.saving) {
        call_error(c, "ERR Background save already in progress");
        return;
    }
    c->srv->persist.saves++;
    if (persist_save(c->w) == 0) call_ok(c);
    else call_error(c, "ERR");
}

void cmd_bgsave(struct call *c)
{
    bool schedule = c->argc == 2 && bytes_is_word(c->argv[1], "schedule");
    if (c->argc > 1 && !schedule) {
        call_syntax_error(c);
        return;
    }
    if (c->srv->persist.saving || c->srv->persist.streaming) { /* a copy for replicas is one, too */
        call_error(c, "ERR Background save already in progress");
    } else if (c->srv->aof.rewriting && !schedule && !c->in_exec) {
        call_error(c,
                   "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order "
                   "to schedule a BGSAVE whenever possible.");
    } else if (c->srv->aof.rewriting || c->in_exec) { /* what comes behind it in the transaction belongs to it */
        c->srv->persist.scheduled = true;
        reply_status(c->out, "Background saving scheduled");
    } else if (persist_save_begin(c->w) == 0) {
        reply_status(c->out, "Background saving started");
    } else {
        call_error(c, "ERR");
    }
}

void cmd_bgrewriteaof(struct call *c)
{
    struct aof *a = &c->srv->aof;
    if (a->rewriting) {
        call_error(c, "ERR Background append only file rewriting already in progress");
        return;
    }
    int err = c->in_exec ? -EBUSY : aof_rewrite_begin(c->w);
    if (err == 0) {
        reply_status(c->out, "Background append only file rewriting started");
    } else if (err == -EBUSY) {
        a->scheduled = true;
        a->failures = 0; /* whoever asks need not wait */
        reply_status(c->out, "Background append only file rewriting scheduled");
    } else {
        call_error(c,
                   "ERR Can't execute an AOF background rewriting. Please check the server logs for more information.");
    }
}

void cmd_lastsave(struct call *c) { call_integer(c, c->srv->persist.saved_s); }
