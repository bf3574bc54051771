/* SPDX-License-Identifier: MIT
 *
 * Lua's memory comes from the server's heap with its size, so that freeing looks nothing up. The bound is told by
 * refusing, which Lua answers with an error that a script may catch; while a command writes its reply into Lua's stack
 * nothing is refused, since the error would jump out of the command: who writes looks at the bound afterwards.
 *
 * The collector runs as scripts allocate. So that it need not do much at once in a large state, each 50th run makes a
 * step there, as in Redis.
 */
#include "server/script/vm.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>

#include "server/mem.h"
#include "server/script/call.h"
#include "server/script/guard.h"
#include "server/script/sandbox.h"
#include "server/script/tails.h"

#define COLLECT_EVERY 50                /* runs */
#define SMALL         ((size_t)1 << 20) /* bytes: a whole collection takes a millisecond */
#define PAUSE         200               /* Lua's own */
#define STEP_MULTIPLE 200

static void *allocate(void *ud, void *p, size_t old, size_t size)
{
    struct script_vm *vm = ud;
    if (unlikely(size == 0)) {
        vm->bytes -= old;
        if (p) mem_free_sized(p, old);
        return NULL;
    }
    if (unlikely(size > old && vm->bytes + (size - old) > SCRIPT_MEMORY_MAX && !vm->never_fails)) return NULL;
    vm->bytes += size - old;
    return p ? mem_realloc(p, size) : mem_alloc(size);
}

static int panic(lua_State *L)
{
    (void)L;
    ASSERT(!"an error of Lua that nobody catches");
    return 0;
}

static int open_all(lua_State *L)
{
    script_sandbox_open(L);
    return 0;
}

struct script_vm *script_vm_new(struct worker *w)
{
    struct script_vm *vm = mem_calloc(sizeof *vm);
    vm->w = w;
    vm->never_fails = true;
    vm->L = lua_newstate(allocate, vm);
    ASSERT(vm->L != NULL);
    lua_atpanic(vm->L, panic);
    luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    script_guard_begin(vm);
    int err = lua_cpcall(vm->L, open_all, NULL);
    ASSERT(err == 0);
    ASSERT(lua_gettop(vm->L) == 0);
    vm->never_fails = false;
    return vm;
}

void script_vm_free(struct script_vm *vm)
{
    if (!vm) return;
    ASSERT(!vm->run);
    script_call_state_free(vm);
    lua_close(vm->L);
    DASSERT(vm->bytes == 0);
    mem_free(vm);
}

struct script_vm *script_vm_of(lua_State *L)
{
    void *vm;
    lua_getallocf(L, &vm);
    return vm;
}

struct script_source {
    struct script_vm *vm;
    struct bytes source;
    const char *chunk_name;
    bool ok;
};

/* Under lua_cpcall(): what Lua raises while it compiles for want of memory is an error like any other. */
static int compile(lua_State *L)
{
    struct script_source *l = lua_touserdata(L, 1);
    l->ok = luaL_loadbufferx(L, l->source.p ? l->source.p : "", l->source.n, l->chunk_name, "t") == 0;
    if (l->ok) l->vm->loaded_tail_line = script_tail_line(l->vm, L);
    lua_pushlightuserdata(L, l); /* a place of the registry that is nobody else's */
    lua_insert(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    return 0;
}

bool script_vm_load(struct script_vm *vm, struct bytes source, const char *chunk_name)
{
    lua_State *L = vm->L;
    struct script_source l = {.vm = vm, .source = source, .chunk_name = chunk_name};
    script_guard_begin(vm);
    if (lua_cpcall(L, compile, &l) != 0) return false;
    lua_pushlightuserdata(L, &l);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_pushlightuserdata(L, &l);
    lua_pushnil(L);
    lua_rawset(L, LUA_REGISTRYINDEX);
    return l.ok;
}

int script_vm_call(struct script_vm *vm, int arg_count)
{
    lua_State *L = vm->L;
    int handler = lua_gettop(L) - arg_count;
    script_guard_begin(vm);
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->error_handler);
    lua_insert(L, handler);
    int err = lua_pcall(L, arg_count, 1, handler);
    lua_remove(L, handler);
    return err;
}

/* LuaJIT has no collection of last resort: who fills the state would leave no room to whoever comes next. What is left
 * behind beyond half of the room is collected now, as long as that takes; it took longer to make. */
static void collect_all(struct script_vm *vm)
{
    lua_gc(vm->L, LUA_GCCOLLECT, 0);
    size_t room = vm->bytes < SCRIPT_MEMORY_MAX ? SCRIPT_MEMORY_MAX - vm->bytes : 0; /* never_fails goes beyond it */
    vm->collect_at = vm->bytes + room / 2;
}

void script_vm_tidy(struct script_vm *vm)
{
    if (unlikely(vm->bytes > SCRIPT_MEMORY_MAX / 2) && vm->bytes > vm->collect_at) collect_all(vm);
    if (unlikely(vm->bytes > SMALL) && ++vm->runs >= COLLECT_EVERY) {
        vm->runs = 0;
        lua_gc(vm->L, LUA_GCSTEP, COLLECT_EVERY);
    }
    if (unlikely(vm->collector_touched)) {
        vm->collector_touched = false;
        lua_gc(vm->L, LUA_GCSETPAUSE, PAUSE);
        lua_gc(vm->L, LUA_GCSETSTEPMUL, STEP_MULTIPLE);
        lua_gc(vm->L, LUA_GCRESTART, 0);
    }
}

#endif
