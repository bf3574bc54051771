/* SPDX-License-Identifier: MIT */
#include "server/script/engine.h"

#ifdef SCRIPT_LUA

#include <lua.h>
#include <string.h>

#include "server/db/hooks.h"
#include "server/exec/exec.h"
#include "server/script/answer.h"
#include "server/script/call.h"
#include "server/script/flags.h"
#include "server/script/sandbox.h"
#include "server/script/scripts.h"
#include "server/script/vm.h"
#include "server/server.h"

/* A program that says what it does is refused here as a whole; another is looked at command by command. */
static bool may_begin(struct call *c, const struct script_what *what, bool over_memory)
{
    if (what->flags & SCRIPT_COMPAT) return true;
    if (srv_cluster_enabled(c) && (what->flags & SCRIPT_NO_CLUSTER)) {
        call_error(c, "ERR Can not run script on cluster, 'no-cluster' flag is set.");
        return false;
    }
    if (what->flags & SCRIPT_NO_WRITES) return true;
    const struct server *srv = c->srv;
    bool obeys = srv_must_obey(c);
    if (!obeys && (srv->unusual & SERVER_DISK_ERROR)) {
        call_error(c,
                   "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. "
                   "Writable scripts are blocked. Use 'no-writes' flag for read only scripts.");
        return false;
    }
    if (!obeys && srv->aof.error) {
        call_errorf(c,
                    "MISCONF Redis is configured to persist data to AOF, but it's currently unable to persist to disk. "
                    "Writable scripts are blocked. Use 'no-writes' flag for read only scripts. AOF error: %s",
                    strerror(-srv->aof.error));
        return false;
    }
    if (what->read_only) {
        call_error(c, "ERR Can not execute a script with write flag using *_ro command.");
        return false;
    }
    if (!obeys && over_memory && !(what->flags & SCRIPT_ALLOW_OOM)) {
        call_error(c, "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'");
        return false;
    }
    return true;
}

static void begin_session(struct script_run *run, struct call *c)
{
    const struct script_what *what = run->what;
    bool says = !(what->flags & SCRIPT_COMPAT);
    struct session *s = &run->session;
    *s = *c->session;
    s->client = NULL;
    s->multi = NULL;
    s->caller = c->session;
    s->out = script_call_output(run->vm, c->session->out);
    s->flags = SESSION_AUTHENTICATED | SESSION_SCRIPT |
               (c->session->flags & (SESSION_LOCAL | SESSION_NO_TOUCH | SESSION_RESTRICTED));
    if (what->read_only || (says && (what->flags & SCRIPT_NO_WRITES))) s->flags |= SESSION_READ_ONLY;
    if (says && (what->flags & SCRIPT_ALLOW_OOM)) s->flags |= SESSION_ALLOW_OOM;
}

static void push_array(lua_State *L, const struct bytes *v, int count)
{
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushlstring(L, v[i].n ? v[i].p : "", v[i].n);
        lua_rawseti(L, -2, i + 1);
    }
}

/* The globals' one of this name is the table on the top, which is popped. */
static void set_global(struct script_vm *vm, int name)
{
    lua_State *L = vm->L;
    script_push_globals(L);
    lua_insert(L, -2);
    lua_rawgeti(L, LUA_REGISTRYINDEX, name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* Pushes the function and its arguments; their number. */
static int push_call(struct script_vm *vm, const struct script_what *what, const struct bytes *args, int arg_count,
                     int numkeys)
{
    lua_State *L = vm->L;
    vm->never_fails = true;
    if (what->is_eval) {
        push_array(L, args, numkeys);
        set_global(vm, vm->keys_name);
        push_array(L, args + numkeys, arg_count - numkeys);
        set_global(vm, vm->argv_name);
        lua_rawgeti(L, LUA_REGISTRYINDEX, what->function);
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, what->function);
        push_array(L, args, numkeys);
        push_array(L, args + numkeys, arg_count - numkeys);
    }
    vm->never_fails = false;
    return what->is_eval ? 0 : 2;
}

void script_run(struct call *c, struct script_vm *vm, const struct script_what *what, const struct bytes *args,
                int arg_count, int numkeys)
{
    bool over_memory = exec_over_memory(c->w);
    if (!may_begin(c, what, over_memory)) return;
    struct reply *out = c->out;
    struct script_run run = {.vm = vm,
                             .call = c,
                             .caller = c->session,
                             .argv = c->argv,
                             .argc = c->argc,
                             .what = what,
                             .over_memory = over_memory,
                             .repl = SCRIPT_REPL_ALL};
    begin_session(&run, c);
    ASSERT(!vm->run);
    ASSERT(lua_gettop(vm->L) == 0);
    vm->run = &run;
    vm->killed = false;
    int pushed = push_call(vm, what, args, arg_count, numkeys);
    scripts_begin(c->srv, &run);
    int err = script_vm_call(vm, pushed);
    scripts_end(c->srv, &run);
    if (err) script_answer_error(vm, out, what->name);
    else script_answer(vm, out, run.session.out->proto);
    vm->run = NULL;
    lua_settop(vm->L, 0);
    script_vm_tidy(vm);
}

#endif

#include "server/exec/call.h"
#include "server/ds/number.h"

bool script_numkeys(struct call *c, int at, int *numkeys)
{
    int64_t n;
    if (!call_int(c, c->argv[at], &n)) return false;
    if (n > c->argc - at - 1) {
        call_error(c, "ERR Number of keys can't be greater than number of args");
        return false;
    }
    if (n < 0) {
        call_error(c, "ERR Number of keys can't be negative");
        return false;
    }
    *numkeys = (int)n;
    return true;
}
