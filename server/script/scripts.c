/* SPDX-License-Identifier: MIT */
#include "server/script/scripts.h"

#include "server/command/handlers.h"
#include "server/exec/call.h"
#include "server/exec/request.h"
#include "server/mem.h"
#include "server/script/engine.h"
#include "server/script/eval.h"
#include "server/script/function.h"
#include "server/script/vm.h"
#include "server/server.h"

#define RANDOM_AT_FIRST UINT64_C(0x1234ABCD330E) /* srand48's constants, as in Redis: nobody has given a seed */

static uint32_t flags_of_program(const struct server *srv, const struct request *r)
{
    bool is_function = r->cmd->handler == cmd_fcall || r->cmd->handler == cmd_fcall_ro;
    return is_function ? function_command_flags(srv, r) : script_eval_flags(srv, r);
}

void scripts_init(struct server *srv)
{
    struct scripts *s = mem_calloc(sizeof *s);
    s->srv = srv;
    s->random = RANDOM_AT_FIRST;
    srv->scripts = s;
    srv->script_flags = flags_of_program;
    functions_init(srv);
}

void scripts_fini(struct server *srv)
{
    if (!srv->scripts) return;
    functions_fini(srv);
    script_eval_fini(srv);
#ifdef SCRIPT_LUA
    script_busy_fini(srv->scripts);
#endif
    mem_free(srv->scripts);
    srv->scripts = NULL;
    srv->script_flags = NULL;
}

int64_t scripts_now_us(const struct server *srv) { return srv->scripts->run->now_us; }

bool scripts_available(struct call *c)
{
#ifdef SCRIPT_LUA
    (void)c;
    return true;
#else
    call_error(c, "ERR this server was built without LuaJIT and runs no scripts");
    return false;
#endif
}

#ifdef SCRIPT_LUA
struct script_vm *scripts_eval_vm(struct server *srv)
{
    struct scripts *s = srv->scripts;
    if (!s->eval) s->eval = script_vm_new(srv->workers);
    return s->eval;
}

void scripts_begin(struct server *srv, struct script_run *run)
{
    struct scripts *s = srv->scripts;
    script_busy_begin(s);
    s->serial = s->serial + 1;
    s->run = run;
}

void scripts_end(struct server *srv, struct script_run *run)
{
    srv->scripts->run = NULL;
    script_busy_end(srv->scripts, run);
}
#endif

struct scripts_memory scripts_memory(const struct server *srv)
{
    const struct scripts *s = srv->scripts;
    return (struct scripts_memory){.eval_vm = s->eval ? s->eval->bytes : 0,
                                   .function_vm = functions_vm_memory(srv),
                                   .eval_scripts = script_eval_memory(srv),
                                   .functions = libraries_memory(&srv->libraries),
                                   .function_count = srv->libraries.function_count,
                                   .cached = script_eval_count(srv),
                                   .evicted = s->evicted};
}
