/* SPDX-License-Identifier: MIT
 *
 * While a library is loaded its globals are one table, `redis`, with what it needs to register functions and nothing
 * else; when a function is called they are those of every script. Both are set at the one place where all chunks look
 * them up.
 */
#include "server/script/function.h"

#include "server/script/scripts.h"
#include "server/server.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <strings.h>

#include "alloc/base/clock.h"
#include "server/ds/number.h"
#include "server/exec/call.h"
#include "server/exec/request.h"
#include "server/lazyfree.h"
#include "server/mem.h"
#include "server/rdb/libraries.h"
#include "server/script/api.h"
#include "server/script/flags.h"
#include "server/script/function_register.h"
#include "server/script/guard.h"
#include "server/script/sandbox.h"
#include "server/script/tails.h"
#include "server/script/values.h"
#include "server/script/vm.h"

#define LOAD_LOOK_EVERY 100000 /* instructions between two looks at the clock */

struct functions {
    struct script_vm *vm; /* NULL: nothing was loaded yet */
    int loading_globals;  /* a reference */
    struct function_load *load;
    uint64_t load_until_ns; /* 0: it has all the time */
};

static struct functions *functions_of(const struct server *srv) { return srv->scripts->functions; }

/* --- the state ---------------------------------------------------------------------------------------------------- */

static int register_function(lua_State *L) { return function_register(L, functions_of(script_vm_of(L)->w->srv)->load); }

static int open_loading(lua_State *L)
{
    struct functions *f = lua_touserdata(L, 1);
    lua_newtable(L);
    lua_newtable(L);
    lua_pushcfunction(L, register_function);
    lua_setfield(L, -2, "register_function");
    script_api_open_loading(L);
    script_refuse_unknown(L);
    script_make_readonly(L);
    lua_setfield(L, -2, "redis");
    script_refuse_unknown(L);
    f->loading_globals = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static struct script_vm *vm_for_loading(struct server *srv)
{
    struct functions *f = functions_of(srv);
    if (f->vm) return f->vm;
    f->vm = script_vm_new(srv->workers);
    f->vm->never_fails = true;
    int err = lua_cpcall(f->vm->L, open_loading, f);
    ASSERT(err == 0);
    f->vm->never_fails = false;
    return f->vm;
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

/* Once it is late it is late at every line: nothing a library does goes on. */
static void look_at_clock(lua_State *L, lua_Debug *at)
{
    struct script_vm *vm = script_vm_of(L);
    const struct functions *f = functions_of(vm->w->srv);
    (void)at;
    if (!f->load_until_ns || clock_mono_ns() < f->load_until_ns) return;
    vm->killed = true;
    lua_sethook(L, look_at_clock, LUA_MASKLINE, 0);
    script_push_error(L, BYTES("ERR FUNCTION LOAD timeout"), false);
    lua_error(L);
}

/* The text of the error on the top, which is a text or a table that has one. */
static void read_error(lua_State *L, char *err, size_t size)
{
    if (lua_istable(L, -1)) {
        lua_pushliteral(L, "err");
        lua_rawget(L, -2);
    }
    const char *text = lua_tostring(L, -1);
    snprintf(err, size, "Error registering functions: %s", text ? text : "ERR unknown error");
}

static void use_globals(struct functions *f, bool loading)
{
    lua_State *L = f->vm->L;
    if (loading) lua_rawgeti(L, LUA_REGISTRYINDEX, f->loading_globals);
    else script_push_globals(L);
    script_use_globals(L);
}

static bool run_program(struct functions *f, struct bytes program, char *err, size_t size)
{
    lua_State *L = f->vm->L;
    if (!script_vm_load(f->vm, program, "@user_function")) {
        snprintf(err, size, "Error compiling function: %s", lua_tostring(L, -1));
        return false;
    }
    lua_sethook(L, look_at_clock, LUA_MASKCOUNT, LOAD_LOOK_EVERY);
    bool ok = script_vm_call(f->vm, 0) == 0;
    lua_sethook(L, NULL, 0, 0);
    if (!ok) read_error(L, err, size);
    return ok;
}

static void drop(void *who, void *what)
{
    struct server *srv = who;
    struct function *function = what;
    struct functions *f = functions_of(srv);
    if (f->vm) luaL_unref(f->vm->L, LUA_REGISTRYINDEX, function->what.function);
    mem_free(function->description);
    mem_free(function);
}

static void hand_over(struct library *library, const struct function_load *load)
{
    library->functions = mem_alloc(load->count * sizeof *library->functions);
    for (unsigned i = 0; i < load->count; i++) {
        struct function *function = load->all[i];
        library->functions[i] =
            (struct library_function){.name = bytes_of(function->name, function->name_size), .what = function};
    }
    library->function_count = load->count;
}

static bool load(void *who, struct library *library, struct bytes program, bool limited, char *err, size_t size)
{
    struct server *srv = who;
    struct functions *f = functions_of(srv);
    struct script_vm *vm = vm_for_loading(srv);
    struct function_load load = {0};
    ASSERT(!f->load && !vm->run);
    ASSERT(lua_gettop(vm->L) == 0);
    f->load = &load;
    f->load_until_ns = limited ? clock_mono_ns() + FUNCTION_LOAD_MS * UINT64_C(1000000) : 0;
    vm->killed = false;
    use_globals(f, true);
    bool ok = run_program(f, program, err, size);
    lua_settop(vm->L, 0);
    use_globals(f, false);
    vm->killed = false;
    f->load = NULL;
    if (ok && load.count) hand_over(library, &load);
    for (unsigned i = 0; !ok && i < load.count; i++) drop(srv, load.all[i]);
    function_load_fini(vm->L, &load);
    script_vm_tidy(vm);
    return ok;
}

static const struct libraries_ops ops = {.load = load, .drop = drop};

/* --- the set ------------------------------------------------------------------------------------------------------ */

void functions_init(struct server *srv)
{
    srv->scripts->functions = mem_calloc(sizeof(struct functions));
    srv->libraries.ops = &ops;
    srv->libraries.who = srv;
}

static void free_vm(void *vm) { script_vm_free(vm); }

void functions_flush(struct server *srv, bool elsewhere)
{
    struct functions *f = functions_of(srv);
    struct script_vm *vm = f->vm;
    f->vm = NULL; /* what is dropped has no place in it any more */
    libraries_clear(&srv->libraries);
    if (!vm) return;
    if (elsewhere) lazyfree_other(srv, free_vm, vm);
    else script_vm_free(vm);
}

void functions_fini(struct server *srv)
{
    functions_flush(srv, false);
    mem_free(srv->scripts->functions);
    srv->scripts->functions = NULL;
    srv->libraries.ops = NULL;
}

struct libraries functions_another_set(struct server *srv) { return (struct libraries){.ops = &ops, .who = srv}; }

/* --- calling ------------------------------------------------------------------------------------------------------ */

void function_call(struct call *c, bool read_only)
{
    int64_t n;
    int numkeys;
    const struct function *function = libraries_function(&c->srv->libraries, c->argv[1]);
    if (!function) {
        call_error(c, "ERR Function not found");
        return;
    }
    if (!number_parse_i64(c->argv[2], &n)) {
        call_error(c, "ERR Bad number of keys provided");
        return;
    }
    if (!script_numkeys(c, 2, &numkeys)) return;
    struct script_what what = function->what;
    what.read_only = read_only;
    script_run(c, functions_of(c->srv)->vm, &what, &c->argv[3], c->argc - 3, numkeys);
}

uint32_t function_command_flags(const struct server *srv, const struct request *r)
{
    const struct function *function = r->argc > 1 ? libraries_function(&srv->libraries, r->argv[1]) : NULL;
    return function ? script_command_flags(r->cmd->flags, function->what.flags) : r->cmd->flags;
}

size_t functions_vm_memory(const struct server *srv)
{
    const struct functions *f = functions_of(srv);
    return f->vm ? f->vm->bytes : 0;
}

#else

void functions_init(struct server *srv) { (void)srv; }
void functions_fini(struct server *srv) { (void)srv; }
void functions_flush(struct server *srv, bool elsewhere)
{
    (void)elsewhere;
    libraries_clear(&srv->libraries);
}
struct libraries functions_another_set(struct server *srv)
{
    (void)srv;
    return (struct libraries){0};
}
void function_call(struct call *c, bool read_only) { (void)c, (void)read_only; }
uint32_t function_command_flags(const struct server *srv, const struct request *r)
{
    (void)srv;
    return r->cmd->flags;
}
size_t functions_vm_memory(const struct server *srv)
{
    (void)srv;
    return 0;
}

#endif
