/* SPDX-License-Identifier: MIT
 *
 * EVAL and its kin, and SCRIPT: over server/script/.
 */
#include "server/command/handlers.h"
#include "server/exec/call.h"
#include "server/exec/session.h"
#include "server/net/monitor.h"
#include "server/script/debugger.h"
#include "server/script/eval.h"
#include "server/script/scripts.h"
#include "server/server.h"

/* MONITOR shows it before the commands that it runs, and whatever it comes to. */
static void eval(struct call *c, bool by_sha, bool read_only)
{
    if (unlikely(c->w->monitor_count) && c->client) monitor_feed(c->w, c->client, c->cmd, c->argv, c->argc);
    if (!scripts_available(c)) return;
    if (likely(!(c->session->flags & (SESSION_DEBUGS | SESSION_DEBUG_REFUSED)))) script_eval(c, by_sha, read_only);
    else if (by_sha) call_error(c, "ERR Please use EVAL instead of EVALSHA for debugging");
    else debugger_eval(c, read_only);
}

void cmd_eval(struct call *c) { eval(c, false, false); }
void cmd_eval_ro(struct call *c) { eval(c, false, true); }
void cmd_evalsha(struct call *c) { eval(c, true, false); }
void cmd_evalsha_ro(struct call *c) { eval(c, true, true); }

void cmd_script_exists(struct call *c)
{
    reply_array(c->out, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) call_integer(c, script_eval_has(c->srv, c->argv[i]));
}

void cmd_script_flush(struct call *c)
{
    bool elsewhere = c->cfg->lazyfree_lazy_user_flush;
    if (c->argc == 3 && bytes_is_word(c->argv[2], "async")) elsewhere = true;
    else if (c->argc == 3 && bytes_is_word(c->argv[2], "sync")) elsewhere = false;
    else if (c->argc > 2) {
        call_error(c, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
        return;
    }
    script_eval_flush(c->srv, elsewhere);
    call_ok(c);
}

void cmd_script_load(struct call *c)
{
    if (scripts_available(c)) script_eval_load(c, c->argv[2]);
}

void cmd_script_kill(struct call *c) { script_kill(c, true); }

void cmd_script_debug(struct call *c)
{
    if (scripts_available(c)) debugger_set_mode(c);
}

void cmd_script_help(struct call *c)
{
    static const char *const lines[] = {
        "DEBUG (YES|SYNC|NO)",
        "    Set the debug mode for subsequent scripts executed.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Return information about the existence of the scripts in the script cache.",
        "FLUSH [ASYNC|SYNC]",
        "    Flush the Lua scripts cache. Very dangerous on replicas.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the scripts cache.",
        "    * SYNC: Synchronously flush the scripts cache.",
        "KILL",
        "    Kill the currently executing Lua script.",
        "LOAD <script>",
        "    Load a script into the scripts cache without executing it.",
        NULL};
    call_help(c, lines);
}
