/* SPDX-License-Identifier: MIT */
#include "server/script/api.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "server/command/command.h"
#include "server/exec/exec.h"
#include "server/observe/log.h"
#include "server/script/call.h"
#include "server/script/debugger.h"
#include "server/script/engine.h"
#include "server/script/scripts.h"
#include "server/script/values.h"
#include "server/script/vm.h"
#include "server/server.h"
#include "server/sha1.h"

static int api_raise(lua_State *L, const char *text)
{
    script_push_error(L, bytes_of_str(text), false);
    return lua_error(L);
}

static struct script_run *run_of(lua_State *L)
{
    struct script_run *run = script_vm_of(L)->run;
    if (!run) api_raise(L, "ERR this function can only be called inside a script invocation");
    return run;
}

/* The run under way if somebody debugs it. */
static struct script_run *debugged_run(lua_State *L)
{
    struct script_run *run = script_vm_of(L)->run;
    return run && run->debug ? run : NULL;
}

static int api_sha1hex(lua_State *L)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[SHA1_SIZE];
    char text[2 * SHA1_SIZE];
    if (lua_gettop(L) != 1) return api_raise(L, "ERR wrong number of arguments");
    size_t n = 0;
    const char *s = lua_tolstring(L, 1, &n);
    sha1(bytes_of(s ? s : "", s ? n : 0), sum);
    for (int i = 0; i < SHA1_SIZE; i++) {
        text[2 * i] = digits[sum[i] >> 4];
        text[2 * i + 1] = digits[sum[i] & 15];
    }
    lua_pushlstring(L, text, sizeof text);
    return 1;
}

static bool is_one_string(lua_State *L) { return lua_gettop(L) == 1 && lua_type(L, 1) == LUA_TSTRING; }

static int wrong_arguments(lua_State *L)
{
    script_push_error(L, BYTES("ERR wrong number or type of arguments"), false);
    return 1;
}

static int api_status_reply(lua_State *L)
{
    if (!is_one_string(L)) return wrong_arguments(L);
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "ok");
    return 1;
}

/* The code is the first word; a text of one word gets ERR. Texts end at a zero byte, and newlines around the message
 * go, as in Redis. */
static int api_error_reply(lua_State *L)
{
    if (!is_one_string(L)) return wrong_arguments(L);
    const char *text = lua_tostring(L, 1);
    if (text[0] == '-') text++;
    const char *space = strchr(text, ' '), *message = space ? space + 1 : text;
    size_t n = strlen(message);
    while (n && (message[0] == '\r' || message[0] == '\n')) message++, n--;
    while (n && (message[n - 1] == '\r' || message[n - 1] == '\n')) n--;
    struct script_run *debugged = debugged_run(L);
    if (debugged) debugger_note_error(debugged, "-", bytes_of_str(text));
    lua_createtable(L, 0, 1);
    lua_pushlstring(L, space ? text : "ERR", space ? (size_t)(space - text) : 3);
    lua_pushliteral(L, " ");
    lua_pushlstring(L, message, n);
    lua_concat(L, 3);
    lua_setfield(L, -2, "err");
    return 1;
}

static int api_set_repl(lua_State *L)
{
    struct script_run *run = run_of(L);
    if (lua_gettop(L) != 1) return api_raise(L, "ERR redis.set_repl() requires one argument.");
    lua_Number flags = lua_tonumber(L, 1);
    if (!(flags >= 0 && flags < 4))
        return api_raise(L, "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
    run->repl = (uint8_t)flags;
    return 0;
}

static int api_setresp(lua_State *L)
{
    struct script_run *run = run_of(L);
    if (lua_gettop(L) != 1) return api_raise(L, "ERR redis.setresp() requires one argument.");
    int proto = (int)lua_tointeger(L, 1);
    if (proto != 2 && proto != 3) return api_raise(L, "ERR RESP version must be 2 or 3.");
    run->session.out->proto = (uint8_t)proto;
    return 0;
}

static int api_replicate_commands(lua_State *L)
{
    lua_pushboolean(L, 1);
    return 1;
}

static int api_acl_check_cmd(lua_State *L)
{
    struct script_run *run = run_of(L);
    int argc;
    char text[8];
    struct bytes *argv = script_call_argv(run->vm, L, &argc);
    if (!argv) return lua_error(L);
    const struct command *cmd = exec_lookup(argv, argc, text, sizeof text);
    if (!cmd) return api_raise(L, "ERR Invalid command passed to redis.acl_check_cmd()");
    lua_pushboolean(L, exec_user_may(run->caller, cmd, argv, argc));
    return 1;
}

static int api_log(lua_State *L)
{
    struct worker *w = script_vm_of(L)->w;
    int argc = lua_gettop(L);
    if (argc < 2) return api_raise(L, "ERR redis.log() requires two arguments or more.");
    if (!lua_isnumber(L, 1)) return api_raise(L, "ERR First argument must be a number (log level).");
    lua_Number level = lua_tonumber(L, 1);
    if (!(level >= 0 && level < LOG_WARNING_LEVEL + 1)) return api_raise(L, "ERR Invalid debug level.");
    if ((int)level < (int)w->conf.cfg->loglevel) return 0;
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    for (int i = 2; i <= argc; i++) {
        size_t n;
        if (!lua_isstring(L, i)) continue;
        if (i > 2) luaL_addchar(&text, ' ');
        const char *s = lua_tolstring(L, i, &n);
        luaL_addlstring(&text, s, n);
    }
    luaL_pushresult(&text);
    size_t n;
    const char *line = lua_tolstring(L, -1, &n);
    server_log(w->srv, (int)level, "%.*s", n > 1024 ? 1024 : (int)n, line);
    return 0;
}

static int api_breakpoint(lua_State *L)
{
    struct script_run *run = debugged_run(L);
    if (run) debugger_break(run);
    lua_pushboolean(L, run != NULL);
    return 1;
}

static int api_debug(lua_State *L)
{
    struct script_run *run = debugged_run(L);
    if (run) debugger_print(run, L);
    return 0;
}

void script_api_open_loading(lua_State *L)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {{"LOG_DEBUG", 0}, {"LOG_VERBOSE", 1}, {"LOG_NOTICE", 2}, {"LOG_WARNING", 3}};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        lua_pushinteger(L, levels[i].level);
        lua_setfield(L, -2, levels[i].name);
    }
    lua_pushcfunction(L, api_log);
    lua_setfield(L, -2, "log");
    lua_pushliteral(L, REDIS_VERSION);
    lua_setfield(L, -2, "REDIS_VERSION");
    int major = 0, minor = 0, patch = 0;
    sscanf(REDIS_VERSION, "%d.%d.%d", &major, &minor, &patch);
    lua_pushinteger(L, major << 16 | minor << 8 | patch);
    lua_setfield(L, -2, "REDIS_VERSION_NUM");
}

void script_api_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"acl_check_cmd", api_acl_check_cmd},
                                         {"breakpoint", api_breakpoint},
                                         {"call", script_redis_call},
                                         {"debug", api_debug},
                                         {"error_reply", api_error_reply},
                                         {"pcall", script_redis_pcall},
                                         {"replicate_commands", api_replicate_commands},
                                         {"set_repl", api_set_repl},
                                         {"setresp", api_setresp},
                                         {"sha1hex", api_sha1hex},
                                         {"status_reply", api_status_reply},
                                         {NULL, NULL}};
    static const struct {
        const char *name;
        int value;
    } repl[] = {{"REPL_NONE", 0}, {"REPL_AOF", 1}, {"REPL_SLAVE", 2}, {"REPL_REPLICA", 2}, {"REPL_ALL", 3}};
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    for (size_t i = 0; i < sizeof repl / sizeof repl[0]; i++) {
        lua_pushinteger(L, repl[i].value);
        lua_setfield(L, -2, repl[i].name);
    }
    script_api_open_loading(L);
}

/* --- math.random -------------------------------------------------------------------------------------------------- */

/* drand48's generator, and of its 48 bits the upper 31, as Redis has it: one sequence for each seed on any machine. */
#define RANDOM_MASK ((UINT64_C(1) << 48) - 1)
#define RANDOM_MAX  INT32_MAX

static uint64_t *random_state(lua_State *L) { return &script_vm_of(L)->w->srv->scripts->random; }

static double next_random(lua_State *L)
{
    uint64_t *x = random_state(L);
    *x = (*x * UINT64_C(0x5DEECE66D) + 0xB) & RANDOM_MASK;
    return (double)((int32_t)(*x >> 17) % RANDOM_MAX) / (double)RANDOM_MAX;
}

static int math_random(lua_State *L)
{
    double r = next_random(L);
    switch (lua_gettop(L)) {
    case 0: lua_pushnumber(L, r); return 1;
    case 1: {
        int up = luaL_checkint(L, 1);
        luaL_argcheck(L, 1 <= up, 1, "interval is empty");
        lua_pushnumber(L, floor(r * up) + 1);
        return 1;
    }
    case 2: {
        int low = luaL_checkint(L, 1), up = luaL_checkint(L, 2);
        luaL_argcheck(L, low <= up, 2, "interval is empty");
        lua_pushnumber(L, floor(r * (int)((unsigned)up - (unsigned)low + 1)) + low);
        return 1;
    }
    default: return luaL_error(L, "wrong number of arguments");
    }
}

static int math_randomseed(lua_State *L)
{
    *random_state(L) = (uint64_t)(uint32_t)luaL_checkint(L, 1) << 16 | 0x330E;
    return 0;
}

void script_api_open_random(lua_State *L)
{
    static const luaL_Reg functions[] = {{"random", math_random}, {"randomseed", math_randomseed}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}

/* --- where an error happened -------------------------------------------------------------------------------------- */

static const char *source_of(const struct script_vm *vm)
{
    return vm->run->what->is_eval ? "@user_script" : "@user_function";
}

/* Where the innermost function of Lua's is; line 0: nobody knows. *guessed: a tail call has taken its frame away, and
 * the line is that of the last such call there is. */
static int find_place(lua_State *L, lua_Debug *ar, bool *guessed)
{
    const struct script_vm *vm = script_vm_of(L);
    *guessed = false;
    for (int level = 1; lua_getstack(L, level, ar); level++) {
        lua_getinfo(L, "Sl", ar);
        if (ar->currentline > 0) return ar->currentline; /* some of LuaJIT's own are in Lua, without lines */
    }
    if (!vm->run) return 0;
    *guessed = true;
    ar->source = source_of(vm);
    return vm->run->what->tail_line;
}

/* The text of an error that is no table. What Lua would have put in front of it is lost with the frame. */
static void push_text_of(lua_State *L, const char *source, int line)
{
    const char *text = lua_tostring(L, 1);
    if (!text) text = lua_isboolean(L, 1) ? (lua_toboolean(L, 1) ? "true" : "false") : luaL_typename(L, 1);
    size_t n = strlen(source + 1);
    if (line && strncmp(text, source + 1, n) != 0) lua_pushfstring(L, "ERR %s:%d: %s", source + 1, line, text);
    else lua_pushfstring(L, "ERR %s", text);
}

static int handle_error(lua_State *L)
{
    lua_Debug ar;
    bool guessed;
    lua_settop(L, 1);
    int line = find_place(L, &ar, &guessed);
    if (!lua_istable(L, 1)) {
        lua_createtable(L, 0, 3);
        push_text_of(L, line ? ar.source : "@", guessed && lua_type(L, 1) == LUA_TSTRING ? line : 0);
        lua_setfield(L, -2, "err");
        lua_replace(L, 1);
    }
    if (!line) return 1;
    lua_pushliteral(L, "source");
    lua_pushstring(L, ar.source);
    lua_rawset(L, 1);
    lua_pushliteral(L, "line");
    lua_pushinteger(L, line);
    lua_rawset(L, 1);
    return 1;
}

int script_api_error_handler(lua_State *L)
{
    lua_pushcfunction(L, handle_error);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

#endif
