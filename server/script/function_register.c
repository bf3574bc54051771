/* SPDX-License-Identifier: MIT
 *
 * register_function(name, callback), or register_function{function_name=, callback=, description=, flags=}. Everything
 * is looked at on Lua's stack first, and memory of C's is taken when nothing can fail any more.
 *
 * Names that were registered are keys of a table of the registry while the library is loaded: two of the same name
 * are found in one step.
 */
#include "server/script/function_register.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "server/mem.h"
#include "server/script/flags.h"
#include "server/script/function.h"
#include "server/script/limits.h"
#include "server/script/tails.h"
#include "server/script/values.h"
#include "server/script/vm.h"

#define FUNCTIONS_MAX (1u << 20) /* of one library */

enum { NAME = 1, CALLBACK, DESCRIPTION, FLAGS, PLACES = FLAGS }; /* on the stack; nil: it was not given */

static int refuse(lua_State *L, const char *text)
{
    char said[256];
    size_t n = strlen(text);
    memcpy(said, "ERR ", 4);
    memcpy(said + 4, text, n + 1);
    script_push_error(L, bytes_of(said, n + 4), false);
    return lua_error(L);
}

static void read_positions(lua_State *L)
{
    if (!lua_isstring(L, 1)) refuse(L, "first argument to redis.register_function must be a string");
    if (!lua_isfunction(L, 2)) refuse(L, "second argument to redis.register_function must be a function");
    lua_settop(L, PLACES);
}

/* The names in the table at index. */
static uint32_t read_flags(lua_State *L, int index)
{
    uint32_t flags = 0;
    for (int i = 1;; i++) {
        size_t n;
        lua_rawgeti(L, index, i);
        if (lua_isnil(L, -1)) break;
        const char *name = lua_tolstring(L, -1, &n);
        uint32_t flag = name ? script_flag_named(bytes_of(name, n), true) : 0; /* as Redis has it */
        if (!flag) refuse(L, "unknown flag given");
        flags |= flag;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return flags;
}

/* A named argument is key and value on the top; which place it has, or an error. */
static int place_of_argument(lua_State *L)
{
    if (!lua_isstring(L, -2)) refuse(L, "named argument key given to redis.register_function is not a string");
    lua_pushvalue(L, -2); /* a number must stay one for the walk */
    const char *key = lua_tostring(L, -1);
    int place = strcasecmp(key, "function_name") == 0 ? NAME
                : strcasecmp(key, "callback") == 0    ? CALLBACK
                : strcasecmp(key, "description") == 0 ? DESCRIPTION
                : strcasecmp(key, "flags") == 0       ? FLAGS
                                                      : 0;
    lua_pop(L, 1);
    if (place == NAME && !lua_isstring(L, -1))
        refuse(L, "function_name argument given to redis.register_function must be a string");
    if (place == DESCRIPTION && !lua_isstring(L, -1))
        refuse(L, "description argument given to redis.register_function must be a string");
    if (place == CALLBACK && !lua_isfunction(L, -1))
        refuse(L, "callback argument given to redis.register_function must be a function");
    if (place == FLAGS && !lua_istable(L, -1))
        refuse(L, "flags argument to redis.register_function must be a table representing function flags");
    if (place == FLAGS) read_flags(L, lua_gettop(L));
    if (!place) refuse(L, "unknown argument given to redis.register_function");
    return place;
}

static void read_names(lua_State *L)
{
    if (!lua_istable(L, 1))
        refuse(L,
               "calling redis.register_function with a single argument is only applicable to Lua table (representing "
               "named arguments).");
    for (int i = 0; i < PLACES; i++) lua_pushnil(L);
    lua_pushnil(L);
    while (lua_next(L, 1)) lua_replace(L, place_of_argument(L) + 1); /* the table is below the places */
    lua_remove(L, 1);
    if (lua_isnil(L, NAME)) refuse(L, "redis.register_function must get a function name argument");
    if (lua_isnil(L, CALLBACK)) refuse(L, "redis.register_function must get a callback argument");
}

static void check_name(lua_State *L)
{
    size_t n;
    const char *name = lua_tolstring(L, NAME, &n);
    bool good = n > 0;
    for (size_t i = 0; i < n; i++) {
        char c = name[i], low = (char)(c | 32);
        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && c != '_') good = false;
    }
    if (!good)
        refuse(L,
               "Library names can only contain letters, numbers, or underscores(_) and must be at least one character "
               "long");
}

/* The table of names has the load itself as its key. */
static void check_new(lua_State *L, struct function_load *load)
{
    if (load->count >= FUNCTIONS_MAX) refuse(L, "more functions than one library may have");
    lua_pushlightuserdata(L, load);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushlightuserdata(L, load);
        lua_pushvalue(L, -2);
        lua_rawset(L, LUA_REGISTRYINDEX);
    }
    lua_pushvalue(L, NAME);
    lua_rawget(L, -2);
    if (!lua_isnil(L, -1)) refuse(L, "Function already exists in the library");
    lua_pop(L, 1);
    lua_pushvalue(L, NAME);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static void keep(struct function_load *load, struct function *function)
{
    if (load->count == load->cap) {
        load->cap = load->cap ? 2 * load->cap : 4;
        load->all = mem_realloc(load->all, load->cap * sizeof(struct function *));
    }
    load->all[load->count++] = function;
}

static char *copy_of(const char *s, size_t n)
{
    char *copy = mem_alloc(n + 1);
    memcpy(copy, s, n + 1);
    return copy;
}

static void make(lua_State *L, struct function_load *load, uint32_t flags)
{
    size_t n, description_size = 0;
    const char *name = lua_tolstring(L, NAME, &n), *description = lua_tolstring(L, DESCRIPTION, &description_size);
    lua_pushvalue(L, CALLBACK);
    int tail_line = lua_iscfunction(L, -1) ? 0 : script_tail_line(script_vm_of(L), L);
    int reference = luaL_ref(L, LUA_REGISTRYINDEX);
    struct function *function = mem_calloc(sizeof *function + n + 1);
    memcpy(function->name, name, n + 1);
    function->name_size = n;
    if (description) function->description = copy_of(description, description_size);
    function->description_size = description_size;
    function->what =
        (struct script_what){.name = function->name, .function = reference, .tail_line = tail_line, .flags = flags};
    keep(load, function);
}

int function_register(lua_State *L, struct function_load *load)
{
    int argc = lua_gettop(L);
    if (!load) return refuse(L, "redis.register_function can only be called on FUNCTION LOAD command");
    if (argc < 1 || argc > 2) return refuse(L, "wrong number of arguments to redis.register_function");
    luaL_checkstack(L, PLACES + 8, NULL);
    script_limits_go_on(L); /* a large function costs more than the instructions that register it */
    if (argc == 1) read_names(L);
    else read_positions(L);
    uint32_t flags = lua_isnil(L, FLAGS) ? 0 : read_flags(L, FLAGS);
    check_name(L);
    check_new(L, load);
    make(L, load, flags);
    return 0;
}

void function_load_fini(lua_State *L, struct function_load *load)
{
    lua_pushlightuserdata(L, load);
    lua_pushnil(L);
    lua_rawset(L, LUA_REGISTRYINDEX);
    mem_free(load->all);
}

#endif
