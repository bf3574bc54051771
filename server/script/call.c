/* SPDX-License-Identifier: MIT
 *
 * Arguments are Lua's own strings: they stay on its stack until the command has replied. Texts of numbers lie in a room
 * that is kept for the next call, and so do the keys. Which command a name is is looked up once: the string's address
 * says it again, as long as the string lives; `anchors`, a table of Lua's, holds those that are remembered.
 */
#include "server/script/call.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>

#include "server/ds/number.h"
#include "server/exec/exec.h"
#include "server/mem.h"
#include "server/script/debugger.h"
#include "server/script/engine.h"
#include "server/script/scripts.h"
#include "server/script/values.h"
#include "server/script/vm.h"
#include "server/server.h"

#define NAMES         64   /* remembered */
#define KEEP_ARGS     1024 /* room that is kept */
#define MANY_ARGS     7000 /* Lua's stack holds 8,000 values of a function: above more there is no room for a reply */
#define ROOM_AT_FIRST 16

struct call_name {
    const char *p; /* a string of Lua's; NULL: free */
    const struct command *cmd;
};

struct script_call_state {
    struct script_values values;
    struct bytes *argv;
    char (*numbers)[NUMBER_DOUBLE_SIZE]; /* as many as argv */
    int cap;
    int anchors; /* reference */
    struct key_refs keys;
    struct call_name names[NAMES];
};

static struct script_call_state *state_of(struct script_vm *vm)
{
    if (likely(vm->calls != NULL)) return vm->calls;
    struct script_call_state *s = mem_calloc(sizeof *s);
    script_values_init(&s->values, vm);
    vm->never_fails = true;
    lua_createtable(vm->L, NAMES, 0);
    s->anchors = luaL_ref(vm->L, LUA_REGISTRYINDEX);
    vm->never_fails = false;
    vm->calls = s;
    return s;
}

static void give_room_back(struct script_call_state *s)
{
    mem_free(s->argv);
    mem_free(s->numbers);
    s->argv = NULL;
    s->numbers = NULL;
    s->cap = 0;
}

void script_call_state_free(struct script_vm *vm)
{
    struct script_call_state *s = vm->calls;
    if (!s) return;
    give_room_back(s);
    key_refs_fini(&s->keys);
    mem_free(s);
    vm->calls = NULL;
}

struct reply *script_call_output(struct script_vm *vm, const struct reply *like)
{
    struct reply *out = &state_of(vm)->values.out;
    out->on_error = like->on_error;
    out->on_error_ctx = like->on_error_ctx;
    out->proto = 2;
    return out;
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static struct bytes *wrong(lua_State *L, const char *text)
{
    script_push_error(L, bytes_of_str(text), false);
    return NULL;
}

static void take_room(struct script_call_state *s, int argc)
{
    give_room_back(s);
    s->cap = argc < ROOM_AT_FIRST ? ROOM_AT_FIRST : argc;
    s->argv = mem_alloc((size_t)s->cap * sizeof *s->argv);
    s->numbers = mem_alloc((size_t)s->cap * sizeof *s->numbers);
}

/* Whole numbers in full: 7.2.4 writes 2e+8, which no command takes for an integer; 7.0 and 7.2.5 do not. */
static unsigned format_number(char *to, double v)
{
    if (likely(v == v)) return number_format_double(to, v);
    return (unsigned)snprintf(to, NUMBER_DOUBLE_SIZE, signbit(v) ? "-nan" : "nan");
}

struct bytes *script_call_argv(struct script_vm *vm, lua_State *L, int *argc)
{
    struct script_call_state *s = state_of(vm);
    int n = lua_gettop(L);
    if (unlikely(n == 0)) return wrong(L, "ERR Please specify at least one argument for this redis lib call");
    if (unlikely(n > s->cap || (s->cap > KEEP_ARGS && n <= KEEP_ARGS))) take_room(s, n);
    for (int i = 0; i < n; i++) {
        int type = lua_type(L, i + 1);
        if (likely(type == LUA_TSTRING)) {
            s->argv[i].p = lua_tolstring(L, i + 1, &s->argv[i].n);
        } else if (type == LUA_TNUMBER) {
            s->argv[i] = bytes_of(s->numbers[i], format_number(s->numbers[i], lua_tonumber(L, i + 1)));
        } else {
            lua_settop(L, 0);
            return wrong(L, "ERR Lua redis lib command arguments must be strings or integers");
        }
    }
    *argc = n;
    return s->argv;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static const struct command *find_command(struct script_call_state *s, lua_State *L, const struct bytes *argv, int argc)
{
    char text[8];
    const char *p = argv[0].p;
    size_t slot = ((uintptr_t)p >> 4 ^ (uintptr_t)p >> 10) % NAMES;
    struct call_name *name = &s->names[slot];
    if (unlikely(name->p != p || lua_type(L, 1) != LUA_TSTRING)) {
        const struct command *cmd = command_find(argv[0]);
        if (!cmd || lua_type(L, 1) != LUA_TSTRING) return exec_lookup(argv, argc, text, sizeof text);
        struct script_vm *vm = s->values.vm;
        vm->never_fails = true;
        lua_rawgeti(L, LUA_REGISTRYINDEX, s->anchors);
        lua_pushvalue(L, 1);
        lua_rawseti(L, -2, (int)slot + 1);
        lua_pop(L, 1);
        vm->never_fails = false;
        *name = (struct call_name){p, cmd};
    }
    if (likely(!name->cmd->sub_count)) return name->cmd;
    return exec_lookup(argv, argc, text, sizeof text);
}

/* What the command may have changed without the rest of the world being told (redis.set_repl()). */
static bool is_told(const struct script_run *run)
{
    const struct server *srv = run->vm->w->srv;
    bool replicas = srv->workers->notes_changes & NOTES_HISTORY, log = srv->workers->notes_changes & NOTES_LOG;
    return ((run->repl & EFFECT_TO_LOG) && (log || !replicas)) || ((run->repl & EFFECT_TO_REPLICAS) && replicas);
}

/* False: it was refused. */
static bool run_command(struct script_run *run, struct script_call_state *s, const struct command *cmd,
                        struct bytes *argv, int argc)
{
    struct effects *effects = &run->vm->w->effects;
    struct effects before = *effects;
    struct request r = {.argv = argv, .argc = argc, .cmd = cmd};
    if (likely(r.cmd != NULL)) {
        s->keys.used = 0;
        r.key_count = request_find_keys(run->session.db, r.cmd, argv, argc, &s->keys);
        r.keys = s->keys.v;
    }
    effects->withheld = EFFECT_TO_ALL & ~run->repl;
    bool ran = exec_for_script(&run->session, &r, run->over_memory);
    effects->withheld = 0;
    if (unlikely(run->repl != EFFECT_TO_ALL) && !is_told(run)) effects_cut(effects, &before);
    return ran;
}

/* The arguments stay where they are, but in a table instead of on the stack. */
static void move_into_table(lua_State *L, int argc)
{
    lua_createtable(L, argc, 0);
    lua_insert(L, 1);
    for (int i = argc; i > 0; i--) lua_rawseti(L, 1, i);
}

static int run_for(lua_State *L, bool raises)
{
    struct script_vm *vm = script_vm_of(L);
    struct script_run *run = vm->run;
    if (unlikely(!run)) return luaL_error(L, "redis.call/pcall can only be called inside a script invocation");
    int argc;
    struct bytes *argv = script_call_argv(vm, L, &argc);
    if (unlikely(!argv)) return raises ? lua_error(L) : 1;
    struct script_call_state *s = vm->calls;
    const struct command *cmd = find_command(s, L, argv, argc);
    if (unlikely(argc > MANY_ARGS)) move_into_table(L, argc);
    int base = lua_gettop(L);
    script_values_begin(&s->values, L);
    vm->never_fails = true;
    if (unlikely(run->debug != NULL)) debugger_note_call(run, &s->values, argv, argc);
    bool ran = run_command(run, s, cmd, argv, argc);
    if (unlikely(run->debug != NULL)) debugger_note_reply(run, &s->values, !ran);
    vm->never_fails = false;
    if (unlikely(s->values.out.over)) {
        lua_settop(L, base);
        return luaL_error(L, "not enough memory");
    }
    DASSERT(s->values.depth == 0);
    DASSERT(lua_gettop(L) == base + 1);
    if (unlikely(s->values.is_error) && raises) return lua_error(L);
    return 1;
}

int script_redis_call(lua_State *L) { return run_for(L, true); }
int script_redis_pcall(lua_State *L) { return run_for(L, false); }

#endif
