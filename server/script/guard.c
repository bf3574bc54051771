/* SPDX-License-Identifier: MIT
 *
 * The budget is an address: a function compares its frame's with it, so nothing has to be counted back when errors
 * unwind. Handlers of xpcall run when the error has been unwound and not inside of it: a hook does not fire inside the
 * handler of an error that a hook has raised, so a handler that loops could not be ended.
 *
 * Texts are those of Lua 5.1, whose functions these are: the ones of LuaJIT differ in small things.
 */
#include "server/script/guard.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "server/script/sandbox.h"

void script_guard_begin(struct script_vm *vm)
{
    vm->stack_end = (char *)__builtin_frame_address(0) - SCRIPT_STACK_BYTES;
}

void script_stack_overflow(lua_State *L)
{
    lua_pushliteral(L, "C stack overflow");
    lua_error(L);
}

/* An error was caught: the one that ends the script goes on. */
static void let_kill_pass(lua_State *L)
{
    if (unlikely(script_vm_of(L)->killed)) lua_error(L);
}

/* --- pcall, xpcall ------------------------------------------------------------------------------------------------ */

/* pcall gives errors of redis.call as texts, as before Redis 7. */
static void error_as_text(lua_State *L)
{
    if (!lua_istable(L, -1)) return;
    lua_getfield(L, -1, "err");
    if (lua_isstring(L, -1)) lua_replace(L, -2);
    else lua_pop(L, 1);
}

static int guard_pcall(lua_State *L)
{
    script_check_stack(L);
    luaL_checkany(L, 1);
    int argc = lua_gettop(L);
    lua_pushboolean(L, 1); /* the place of the result */
    lua_insert(L, 1);
    if (lua_pcall(L, argc - 1, LUA_MULTRET, 0) == 0) return lua_gettop(L);
    let_kill_pass(L);
    error_as_text(L);
    lua_pushboolean(L, 0);
    lua_replace(L, 1);
    return 2;
}

static int guard_xpcall(lua_State *L)
{
    script_check_stack(L);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 0, LUA_MULTRET, 0) == 0) return lua_gettop(L) - 2;
    let_kill_pass(L);
    lua_pushvalue(L, 2);
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 1, 0) != 0) {
        let_kill_pass(L);
        lua_pop(L, 1);
        lua_pushliteral(L, "error in error handling");
    }
    lua_pushboolean(L, 0);
    lua_replace(L, 3);
    return 2;
}

/* --- coroutines --------------------------------------------------------------------------------------------------- */

enum co_status { CO_RUNNING, CO_SUSPENDED, CO_NORMAL, CO_DEAD };
static const char *const co_names[] = {"running", "suspended", "normal", "dead"};

static enum co_status co_status(lua_State *L, lua_State *co)
{
    lua_Debug ar;
    if (L == co) return CO_RUNNING;
    if (lua_status(co) == LUA_YIELD) return CO_SUSPENDED;
    if (lua_status(co) != 0) return CO_DEAD;
    if (lua_getstack(co, 0, &ar)) return CO_NORMAL;
    return lua_gettop(co) == 0 ? CO_DEAD : CO_SUSPENDED;
}

static lua_State *check_coroutine(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argcheck(L, co, 1, "coroutine expected");
    return co;
}

/* Hands the argc values on the top over; returns how many came back on top of L, or -1 with the error there. */
static int co_resume(lua_State *L, lua_State *co, int argc)
{
    enum co_status status = co_status(L, co);
    if (!lua_checkstack(co, argc)) luaL_error(L, "too many arguments to resume");
    if (status != CO_SUSPENDED) {
        lua_pushfstring(L, "cannot resume %s coroutine", co_names[status]);
        return -1;
    }
    lua_xmove(L, co, argc);
    int err = lua_resume(co, argc);
    if (err != 0 && err != LUA_YIELD) {
        lua_xmove(co, L, 1);
        let_kill_pass(L);
        return -1;
    }
    int count = lua_gettop(co);
    if (!lua_checkstack(L, count + 1)) luaL_error(L, "too many results to resume");
    lua_xmove(co, L, count);
    return count;
}

static int guard_co_resume(lua_State *L)
{
    script_check_stack(L);
    lua_State *co = check_coroutine(L);
    int n = co_resume(L, co, lua_gettop(L) - 1);
    lua_pushboolean(L, n >= 0);
    if (n < 0) n = 1;
    lua_insert(L, -(n + 1));
    return n + 1;
}

static int call_wrapped(lua_State *L)
{
    script_check_stack(L);
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int n = co_resume(L, co, lua_gettop(L));
    if (n >= 0) return n;
    if (lua_isstring(L, -1)) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int guard_co_create(lua_State *L)
{
    luaL_argcheck(L, lua_isfunction(L, 1) && !lua_iscfunction(L, 1), 1, "Lua function expected");
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int guard_co_wrap(lua_State *L)
{
    guard_co_create(L);
    lua_pushcclosure(L, call_wrapped, 1);
    return 1;
}

static int guard_co_yield(lua_State *L)
{
    if (lua_isyieldable(L)) return lua_yield(L, lua_gettop(L));
    lua_pushliteral(L, "attempt to yield across metamethod/C-call boundary");
    return lua_error(L);
}

static int guard_co_status(lua_State *L)
{
    lua_pushstring(L, co_names[co_status(L, check_coroutine(L))]);
    return 1;
}

void script_guard_open_coroutine(lua_State *L)
{
    static const luaL_Reg functions[] = {{"create", guard_co_create}, {"resume", guard_co_resume},
                                         {"status", guard_co_status}, {"wrap", guard_co_wrap},
                                         {"yield", guard_co_yield},   {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}

/* --- load, loadstring --------------------------------------------------------------------------------------------- */

#define CHUNK_SHOWN 63 /* letters of a program in the name of its chunk */

static int loaded(lua_State *L, int err)
{
    if (err == 0) return 1;
    let_kill_pass(L);
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

/* Compiled code could do anything, and is refused in Lua 5.1's words for a byte that no program has. */
static int refuse_code(lua_State *L, const char *chunk_name)
{
    lua_pushnil(L);
    if (*chunk_name == '@' || *chunk_name == '=') {
        lua_pushfstring(L, "%s:1: unexpected symbol near 'char(27)'", chunk_name + 1);
    } else {
        size_t n = strcspn(chunk_name, "\n"), shown = n < CHUNK_SHOWN ? n : CHUNK_SHOWN;
        lua_pushliteral(L, "[string \"");
        lua_pushlstring(L, chunk_name, shown);
        lua_pushstring(L, chunk_name[shown] ? "...\"]" : "\"]");
        lua_pushliteral(L, ":1: unexpected symbol near 'char(27)'");
        lua_concat(L, 4);
    }
    return 2;
}

static int guard_loadstring(lua_State *L)
{
    size_t n;
    const char *s = luaL_checklstring(L, 1, &n), *chunk_name = luaL_optstring(L, 2, s);
    script_check_stack(L);
    if (n && s[0] == '\033') return refuse_code(L, chunk_name);
    return loaded(L, luaL_loadbufferx(L, s, n, chunk_name, "t"));
}

static const char *read_piece(lua_State *L, void *ud, size_t *size)
{
    (void)ud;
    luaL_checkstack(L, 2, "too many nested functions");
    lua_pushvalue(L, 1);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) {
        *size = 0;
        return NULL;
    }
    if (!lua_isstring(L, -1)) luaL_error(L, "reader function must return a string");
    lua_replace(L, 3); /* kept while it is read */
    return lua_tolstring(L, 3, size);
}

static int guard_load(lua_State *L)
{
    script_check_stack(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    const char *chunk_name = luaL_optstring(L, 2, "=(load)");
    lua_settop(L, 3);
    return loaded(L, lua_loadx(L, read_piece, NULL, chunk_name, "t"));
}

static int guard_assert(lua_State *L)
{
    luaL_checkany(L, 1);
    if (!lua_toboolean(L, 1)) return luaL_error(L, "%s", luaL_optstring(L, 2, "assertion failed!"));
    return lua_gettop(L);
}

/* The original is the upvalue; it is told what Lua 5.1 knows. */
static int guard_collectgarbage(lua_State *L)
{
    static const char *const options[] = {"stop", "restart",  "collect",    "count",
                                          "step", "setpause", "setstepmul", NULL};
    luaL_checkoption(L, 1, "collect", options);
    script_vm_of(L)->collector_touched = true;
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, LUA_MULTRET);
    return lua_gettop(L);
}

void script_guard_open_base(lua_State *L)
{
    static const luaL_Reg functions[] = {{"assert", guard_assert},         {"load", guard_load},
                                         {"loadstring", guard_loadstring}, {"pcall", guard_pcall},
                                         {"xpcall", guard_xpcall},         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    lua_getfield(L, -1, "collectgarbage");
    lua_pushcclosure(L, guard_collectgarbage, 1);
    lua_setfield(L, -2, "collectgarbage");
}

/* --- table -------------------------------------------------------------------------------------------------------- */

#define SHIFT_MAX (1 << 26) /* elements that insert and remove move */

/* A table that may be changed. */
static void check_own_table(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    script_check_writable(L, 1);
}

static int guard_sort(lua_State *L)
{
    script_check_stack(L);
    check_own_table(L);
    if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, 0);
    return 0;
}

static int guard_foreachi(lua_State *L)
{
    script_check_stack(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    script_look_behind(L, 1);
    int n = (int)lua_objlen(L, 1);
    for (int i = 1; i <= n; i++) {
        lua_pushvalue(L, 2);
        lua_pushinteger(L, i);
        lua_rawgeti(L, 1, i);
        lua_call(L, 2, 1);
        if (!lua_isnil(L, -1)) return 1;
        lua_pop(L, 1);
    }
    return 0;
}

static int guard_foreach(lua_State *L)
{
    script_check_stack(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    script_look_behind(L, 1);
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        lua_pushvalue(L, 2);
        lua_pushvalue(L, -3);
        lua_pushvalue(L, -3);
        lua_call(L, 2, 1);
        if (!lua_isnil(L, -1)) return 1;
        lua_pop(L, 2);
    }
    return 0;
}

/* Moves t[from ... to] by one place, up or down, and leaves the gap's value alone. */
static void shift(lua_State *L, int from, int to, int by)
{
    if (to - from > SHIFT_MAX) luaL_error(L, "position out of bounds");
    for (int i = by > 0 ? to : from; by > 0 ? i >= from : i <= to; i -= by) {
        lua_rawgeti(L, 1, i);
        lua_rawseti(L, 1, i + by);
    }
}

static int guard_insert(lua_State *L)
{
    check_own_table(L);
    int end = (int)lua_objlen(L, 1) + 1;
    switch (lua_gettop(L)) {
    case 2: lua_rawseti(L, 1, end); return 0;
    case 3: {
        int64_t at = luaL_checkint(L, 2);
        if (at > end) end = (int)at;
        if (end - at > SHIFT_MAX) return luaL_error(L, "position out of bounds");
        shift(L, (int)at, end - 1, 1);
        lua_settop(L, 3);
        lua_rawseti(L, 1, (int)at);
        return 0;
    }
    default: return luaL_error(L, "wrong number of arguments to 'insert'");
    }
}

static int guard_remove(lua_State *L)
{
    check_own_table(L);
    int end = (int)lua_objlen(L, 1), at = luaL_optint(L, 2, end);
    if (at < 1 || at > end) return 0;
    lua_rawgeti(L, 1, at);
    shift(L, at + 1, end, -1);
    lua_pushnil(L);
    lua_rawseti(L, 1, end);
    return 1;
}

static int guard_setn(lua_State *L)
{
    check_own_table(L);
    return luaL_error(L, "'setn' is obsolete");
}

void script_guard_open_table(lua_State *L)
{
    static const luaL_Reg functions[] = {{"foreach", guard_foreach}, {"foreachi", guard_foreachi},
                                         {"insert", guard_insert},   {"remove", guard_remove},
                                         {"setn", guard_setn},       {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    lua_getfield(L, -1, "sort");
    lua_pushcclosure(L, guard_sort, 1);
    lua_setfield(L, -2, "sort");
}

#endif
