/* SPDX-License-Identifier: MIT
 *
 * What is allowed is listed; the rest of what LuaJIT's libraries bring is dropped with the tables they came in.
 *
 *   script --> stand-in (empty) --metatable--> { __index = table, __newindex = error, [mark] = table }
 *                                                           |
 *                                            table: names, values; tables in it are stand-ins again
 *
 * The mark is an address: no script can have it as a key.
 */
#include "server/script/sandbox.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <math.h>
#include <time.h>

#include "server/script/api.h"
#include "server/script/guard.h"
#include "server/script/libs.h"
#include "server/script/tails.h"
#include "server/script/vm.h"

#define READONLY_TEXT "Attempt to modify a readonly table"

static const char mark;

/* --- stand-ins ---------------------------------------------------------------------------------------------------- */

/* Pushes the table behind a stand-in; false, nothing pushed: it is none. */
static bool push_behind(lua_State *L, int index)
{
    if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
    lua_pushlightuserdata(L, (void *)&mark);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (!lua_isnil(L, -1)) return true;
    lua_pop(L, 1);
    return false;
}

/* Without a position, as in Redis where a function does it. */
static int raise_readonly(lua_State *L)
{
    lua_pushliteral(L, READONLY_TEXT);
    return lua_error(L);
}

void script_check_writable(lua_State *L, int index)
{
    if (push_behind(L, index)) raise_readonly(L);
}

void script_look_behind(lua_State *L, int index)
{
    if (push_behind(L, index)) lua_replace(L, index);
}

static int refuse_change(lua_State *L) { return luaL_error(L, READONLY_TEXT); }

/* Pops a table, pushes its stand-in. */
static void stand_in(lua_State *L)
{
    lua_newtable(L);
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_change);
    lua_setfield(L, -2, "__newindex");
    lua_pushlightuserdata(L, (void *)&mark);
    lua_pushvalue(L, -4);
    lua_rawset(L, -3);
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

void script_make_readonly(lua_State *L)
{
    luaL_checkstack(L, 8, NULL);
    int t = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, t)) {
        if (lua_istable(L, -1) && !push_behind(L, -1)) {
            script_make_readonly(L);
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, t); /* of a key that is there: the walk may go on */
        } else {
            lua_settop(L, t + 1);
        }
    }
    stand_in(L);
}

/* --- what would see behind them ----------------------------------------------------------------------------------- */

static int sandbox_rawget(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    script_look_behind(L, 1);
    lua_rawget(L, 1);
    return 1;
}

static int sandbox_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    script_check_writable(L, 1);
    lua_rawset(L, 1);
    return 1;
}

static int sandbox_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    script_look_behind(L, 1);
    if (lua_next(L, 1)) return 2;
    lua_pushnil(L);
    return 1;
}

/* An ordinary table is walked by Lua's own next, which is fast (upvalue 1), a stand-in by ours (upvalue 2). */
static int sandbox_pairs(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    bool is_stand_in = push_behind(L, 1);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(is_stand_in ? 2 : 1));
    lua_insert(L, 1);
    lua_pushnil(L);
    return 3;
}

static int sandbox_setmetatable(lua_State *L)
{
    int type = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argcheck(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table expected");
    if (luaL_getmetafield(L, 1, "__metatable")) luaL_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    script_check_writable(L, 1);
    lua_setmetatable(L, 1);
    return 1;
}

/* Replaces a table that is everybody's by a stand-in of a copy, whose tables are stand-ins. */
static void show_copy(lua_State *L)
{
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, -3)) {
        if (lua_istable(L, -1)) {
            if (push_behind(L, -1)) lua_pop(L, 1);
            else stand_in(L);
        }
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_remove(L, -2);
    stand_in(L);
}

/* A metatable that is everybody's (of strings, of a library) is shown by a stand-in. */
static int sandbox_getmetatable(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    bool shared = lua_type(L, 1) != LUA_TTABLE && lua_type(L, 1) != LUA_TUSERDATA;
    if (push_behind(L, 1)) {
        lua_replace(L, 1);
        shared = true;
    }
    if (!lua_getmetatable(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    if (luaL_getmetafield(L, 1, "__metatable")) return 1;
    if (shared) show_copy(L);
    return 1;
}

static int no_such_global(lua_State *L)
{
    const char *name = lua_tostring(L, 2);
    if (!name) return luaL_error(L, "Second argument to luaProtectedTableError must be a string or number");
    return luaL_error(L, "Script attempted to access nonexistent global variable '%s'", name);
}

/* --- libraries ---------------------------------------------------------------------------------------------------- */

static const char *const base_names[] = {"assert",     "collectgarbage", "error",  "gcinfo",   "ipairs",   "load",
                                         "loadstring", "next",           "pcall",  "rawequal", "select",   "tonumber",
                                         "tostring",   "type",           "unpack", "xpcall",   "_VERSION", NULL};
static const char *const coroutine_names[] = {"create", "resume", "running", "status", "wrap", "yield", NULL};
static const char *const table_names[] = {"concat", "foreach", "foreachi", "getn", "insert",
                                          "maxn",   "remove",  "setn",     "sort", NULL};
static const char *const string_names[] = {"byte", "char",  "dump",  "find", "format",  "gfind", "gmatch", "gsub",
                                           "len",  "lower", "match", "rep",  "reverse", "sub",   "upper",  NULL};
static const char *const math_names[] = {"abs",   "acos", "asin",  "atan", "atan2", "ceil", "cos",   "cosh",
                                         "deg",   "exp",  "floor", "fmod", "frexp", "huge", "ldexp", "log",
                                         "log10", "max",  "min",   "modf", "pi",    "pow",  "rad",   "sin",
                                         "sinh",  "sqrt", "tan",   "tanh", NULL};
static const char *const bit_names[] = {"arshift", "band", "bnot",   "bor",   "bswap", "bxor", "lshift",
                                        "rol",     "ror",  "rshift", "tobit", "tohex", NULL};

/* Replaces the table on the top by one with these of its names. */
static void keep_names(lua_State *L, const char *const *names)
{
    lua_newtable(L);
    for (; *names; names++) {
        lua_getfield(L, -2, *names);
        if (lua_isnil(L, -1)) lua_pop(L, 1);
        else lua_setfield(L, -2, *names);
    }
    lua_remove(L, -2);
}

static void open_library(lua_State *L, lua_CFunction open, const char *name)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

static int one_argument_log(lua_State *L)
{
    lua_pushnumber(L, log(luaL_checknumber(L, 1)));
    return 1;
}

/* LuaJIT's are in Lua, multiply where Lua divides, and do not look at what they are given. */
#define RADIANS_OF_A_DEGREE (3.14159265358979323846 / 180.0)

static int to_degrees(lua_State *L)
{
    lua_pushnumber(L, luaL_checknumber(L, 1) / RADIANS_OF_A_DEGREE);
    return 1;
}

static int to_radians(lua_State *L)
{
    lua_pushnumber(L, luaL_checknumber(L, 1) * RADIANS_OF_A_DEGREE);
    return 1;
}

static void finish_math(lua_State *L)
{
    lua_pushcfunction(L, to_degrees);
    lua_setfield(L, -2, "deg");
    lua_pushcfunction(L, to_radians);
    lua_setfield(L, -2, "rad");
    lua_pushcfunction(L, one_argument_log);
    lua_setfield(L, -2, "log");
    lua_getfield(L, -1, "fmod");
    lua_setfield(L, -2, "mod");
    script_api_open_random(L);
}

static int processor_time(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)clock() / CLOCKS_PER_SEC);
    return 1;
}

static void open_os(lua_State *L, int to)
{
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, processor_time);
    lua_setfield(L, -2, "clock");
    lua_setfield(L, to, "os");
}

/* From the globals of LuaJIT's libraries into the table at `to`. */
static void take_library(lua_State *L, int to, const char *name, const char *const *names, void (*finish)(lua_State *))
{
    lua_getglobal(L, name);
    keep_names(L, names);
    if (finish) finish(L);
    lua_setfield(L, to, name);
}

static void open_base(lua_State *L)
{
    static const luaL_Reg functions[] = {{"getmetatable", sandbox_getmetatable},
                                         {"next", sandbox_next},
                                         {"rawget", sandbox_rawget},
                                         {"rawset", sandbox_rawset},
                                         {"setmetatable", sandbox_setmetatable},
                                         {NULL, NULL}};
    lua_getfield(L, -1, "next");
    lua_pushcfunction(L, sandbox_next);
    lua_pushcclosure(L, sandbox_pairs, 2);
    lua_setfield(L, -2, "pairs");
    luaL_setfuncs(L, functions, 0);
    script_guard_open_base(L);
}

/* The methods of strings are those of the library, and nothing of the original is left. */
static void strings_use(lua_State *L, int to)
{
    lua_pushliteral(L, "");
    lua_createtable(L, 0, 1);
    lua_getfield(L, to, "string");
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

void script_sandbox_open(lua_State *L)
{
    struct script_vm *vm = script_vm_of(L);
    open_library(L, luaopen_base, "");
    open_library(L, luaopen_table, LUA_TABLIBNAME);
    open_library(L, luaopen_string, LUA_STRLIBNAME);
    open_library(L, luaopen_math, LUA_MATHLIBNAME);
    open_library(L, luaopen_bit, LUA_BITLIBNAME);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    keep_names(L, base_names);
    open_base(L);
    int to = lua_gettop(L);
    take_library(L, to, LUA_COLIBNAME, coroutine_names, script_guard_open_coroutine);
    take_library(L, to, LUA_TABLIBNAME, table_names, script_guard_open_table);
    take_library(L, to, LUA_STRLIBNAME, string_names, NULL);
    take_library(L, to, LUA_MATHLIBNAME, math_names, finish_math);
    take_library(L, to, LUA_BITLIBNAME, bit_names, NULL);
    open_os(L, to);
    script_libs_open(L, to);
    strings_use(L, to);
    script_api_open(L);
    lua_setfield(L, to, "redis");
    vm->error_handler = script_api_error_handler(L);
    lua_pushliteral(L, "KEYS");
    vm->keys_name = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushliteral(L, "ARGV");
    vm->argv_name = luaL_ref(L, LUA_REGISTRYINDEX);
    script_tails_open(vm, L);
    script_make_readonly(L);
    lua_pushlightuserdata(L, (void *)&mark);
    lua_getmetatable(L, -2);
    lua_insert(L, -2);
    lua_rawget(L, -2);
    lua_remove(L, -2); /* stand-in, table */
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "_G");
    script_refuse_unknown(L);
    vm->globals = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_replace(L, LUA_GLOBALSINDEX);
    lua_gc(L, LUA_GCCOLLECT, 0);
}

void script_push_globals(lua_State *L) { lua_rawgeti(L, LUA_REGISTRYINDEX, script_vm_of(L)->globals); }

void script_use_globals(lua_State *L)
{
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushlightuserdata(L, (void *)&mark);
    lua_pushvalue(L, -4);
    lua_rawset(L, -3);
    lua_pop(L, 3);
}

void script_refuse_unknown(lua_State *L)
{
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, no_such_global);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

#endif
