/* SPDX-License-Identifier: MIT */
#include "server/script/engine.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "server/db/hooks.h"
#include "server/exec/exec.h"
#include "server/script/answer.h"
#include "server/script/call.h"
#include "server/script/debugger.h"
#include "server/script/flags.h"
#include "server/script/guard.h"
#include "server/script/sandbox.h"
#include "server/script/scripts.h"
#include "server/script/vm.h"
#include "server/server.h"

/* A program that says what it does is refused here as a whole; another is looked at command by command. */
static bool may_begin(struct call *c, const struct script_what *what, bool over_memory)
{
    const struct server *srv = c->srv;
    bool stale = srv->unusual & SERVER_STALE, obeys = srv_must_obey(c);
    if (what->flags & SCRIPT_COMPAT) {
        if (stale) call_error(c, "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");
        return !stale;
    }
    if (srv_cluster_enabled(c) && (what->flags & SCRIPT_NO_CLUSTER)) {
        call_error(c, "ERR Can not run script on cluster, 'no-cluster' flag is set.");
        return false;
    }
    if (stale && !(what->flags & SCRIPT_ALLOW_STALE)) {
        call_error(
            c, "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag "
               "is not set on the script.");
        return false;
    }
    if (what->flags & SCRIPT_NO_WRITES) return true;
    if (!obeys && (srv->unusual & SERVER_READ_ONLY)) {
        call_error(c, "READONLY Can not run script with write flag on readonly replica");
        return false;
    }
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
    if ((srv->unusual & SERVER_FEW_REPLICAS) && !srv->upstream) {
        call_error(c, "NOREPLICAS Not enough good replicas to write.");
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
               (c->session->flags & (SESSION_LOCAL | SESSION_NO_TOUCH | SESSION_RESTRICTED | SESSION_TRACKING));
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

/* The globals, on the top, have an array of this name from now on. */
static void set_array(struct script_vm *vm, int name, const struct bytes *v, int count)
{
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, name);
    push_array(vm->L, v, count);
    lua_rawset(vm->L, -3);
}

/* Nobody has put anything into the table at this reference, nor given it a metatable. */
static bool is_untouched(lua_State *L, int ref)
{
    int top = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    bool touched = lua_getmetatable(L, -1);
    if (!touched) {
        lua_pushnil(L);
        touched = lua_next(L, -2);
    }
    lua_settop(L, top);
    return !touched;
}

/* Both without arguments: the tables of the last such run serve again. */
static void set_none(struct script_vm *vm)
{
    lua_State *L = vm->L;
    if (vm->has_none && is_untouched(L, vm->no_keys) && is_untouched(L, vm->no_args)) return;
    script_push_globals(L);
    int globals = lua_gettop(L);
    set_array(vm, vm->keys_name, NULL, 0);
    set_array(vm, vm->argv_name, NULL, 0);
    if (vm->no_keys) luaL_unref(L, LUA_REGISTRYINDEX, vm->no_keys);
    if (vm->no_args) luaL_unref(L, LUA_REGISTRYINDEX, vm->no_args);
    lua_getfield(L, globals, "KEYS");
    vm->no_keys = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, globals, "ARGV");
    vm->no_args = luaL_ref(L, LUA_REGISTRYINDEX);
    vm->has_none = true;
    lua_settop(L, globals - 1);
}

static void set_globals(struct script_vm *vm, const struct bytes *args, int arg_count, int numkeys)
{
    if (arg_count == 0) {
        set_none(vm);
        return;
    }
    script_push_globals(vm->L);
    set_array(vm, vm->keys_name, args, numkeys);
    set_array(vm, vm->argv_name, args + numkeys, arg_count - numkeys);
    lua_pop(vm->L, 1);
    vm->has_none = false;
}

/* Pushes the error handler, the function and its arguments; their number. */
static int push_call(struct script_vm *vm, const struct script_what *what, const struct bytes *args, int arg_count,
                     int numkeys)
{
    lua_State *L = vm->L;
    vm->never_fails = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->error_handler);
    if (what->is_eval) set_globals(vm, args, arg_count, numkeys);
    lua_rawgeti(L, LUA_REGISTRYINDEX, what->function);
    if (!what->is_eval) {
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
                             .now_us = c->w->now_us,
                             .debug = what->is_eval ? c->srv->scripts->debugger : NULL,
                             .repl = EFFECT_TO_ALL};
    begin_session(&run, c);
    ASSERT(!vm->run);
    ASSERT(lua_gettop(vm->L) == 0);
    vm->run = &run;
    vm->killed = false;
    int pushed = push_call(vm, what, args, arg_count, numkeys);
    scripts_begin(c->srv, &run);
    script_guard_begin(vm);
    if (unlikely(run.debug != NULL)) debugger_begin(&run);
    int err = lua_pcall(vm->L, pushed, 1, 1);
    if (unlikely(run.debug != NULL)) debugger_end(&run);
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
