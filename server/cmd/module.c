/* SPDX-License-Identifier: MIT
 *
 * MODULE: none is there, and none can be loaded. What is refused is told in the log, as redis-server tells of a module
 * that it cannot load.
 */
#include "server/command/handlers.h"
#include "server/exec/call.h"
#include "server/observe/log.h"
#include "server/server.h"

#define SHOWN_MAX 256 /* bytes of a name from outside that the log shows */

static int shown(struct bytes name) { return (int)(name.n < SHOWN_MAX ? name.n : SHOWN_MAX); }

void cmd_module_list(struct call *c) { reply_array(c->out, 0); }

static void refuse(struct call *c)
{
    server_log(c->srv, LOG_WARNING_LEVEL, "Module %.*s failed to load: demikv loads no modules", shown(c->argv[2]),
               c->argv[2].p);
    call_lacks_error(c, "ERR Error loading the extension. Please check the server logs.");
}

void cmd_module_load(struct call *c) { refuse(c); }

void cmd_module_loadex(struct call *c) { refuse(c); }

void cmd_module_unload(struct call *c)
{
    server_log(c->srv, LOG_WARNING_LEVEL, "Error unloading module %.*s: no such module with that name",
               shown(c->argv[2]), c->argv[2].p);
    call_error(c, "ERR Error unloading module: no such module with that name");
}

void cmd_module_help(struct call *c)
{
    static const char *const lines[] = {
        "LIST",
        "    List the modules: none.",
        "LOAD <path> [<arg> ...]",
        "    Load the module at <path> with these arguments.",
        "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
        "    The same, with values for options of its own.",
        "UNLOAD <name>",
        "    Let go of the module of that name.",
        NULL,
    };
    call_help(c, lines);
}
