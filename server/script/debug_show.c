/* SPDX-License-Identifier: MIT
 *
 * A table's keys have an order where Redis has one, too: as an array they ascend. Others are sorted if they are few and
 * of a kind that has an order, so that one table looks the same each time.
 */
#include "server/script/debug_show.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>

#include "server/script/keys.h"
#include "server/script/sandbox.h"
#include "server/script/text.h"

#define LEVELS     10   /* tables in each other: Redis's bound */
#define SORTED_MAX 1000 /* keys */

static bool is_full(const struct conf_text *to) { return to->n >= DEBUG_SHOW_MAX; }

static void show_at(struct conf_text *to, lua_State *L, int index, int level);

struct shape {
    size_t count;
    bool is_array;   /* the keys are 1 to count, in the order in which Lua has them */
    bool has_places; /* or in another one */
    bool can_sort;
};

static struct shape shape_of(lua_State *L, int index)
{
    struct shape s = {.is_array = true, .has_places = true, .can_sort = true};
    double sum = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        int type = lua_type(L, -1);
        double n = type == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
        s.count++;
        sum += n;
        if (n != (double)s.count) s.is_array = false;
        if (!(n >= 1 && n <= 1e9 && n == (double)(int)n)) s.has_places = false;
        if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TBOOLEAN) s.can_sort = false;
    }
    /* Different whole numbers from 1 on, count of them: they are 1 to count if they are in sum as small as can be. */
    if (sum != (double)s.count * ((double)s.count + 1) / 2) s.has_places = false;
    return s;
}

/* The key and the value on the top, which stay. */
static void show_pair(struct conf_text *to, lua_State *L, bool is_first, bool is_array, int level)
{
    int value = lua_gettop(L);
    if (!is_first) conf_text_add_str(to, "; ");
    if (!is_array) {
        conf_text_add_str(to, "[");
        show_at(to, L, value - 1, level);
        conf_text_add_str(to, "]=");
    }
    show_at(to, L, value, level);
}

static void show_sorted(struct conf_text *to, lua_State *L, int index, int level)
{
    struct script_text keys;
    script_text_init(&keys, L);
    size_t count = script_keys_collect(L, index, &keys);
    for (size_t i = 0; i < count && !is_full(to); i++) {
        struct script_key k = script_keys_at(&keys, 0, i);
        script_keys_push(L, &k);
        lua_pushvalue(L, -1);
        lua_rawget(L, index);
        show_pair(to, L, i == 0, false, level);
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
}

static void show_table(struct conf_text *to, lua_State *L, int index, int level)
{
    struct shape s = shape_of(L, index);
    conf_text_add_str(to, "{");
    if (s.has_places && !s.is_array) {
        for (size_t i = 1; i <= s.count && !is_full(to); i++) {
            lua_pushnil(L);
            lua_rawgeti(L, index, (int)i);
            show_pair(to, L, i == 1, true, level);
            lua_pop(L, 2);
        }
    } else if (!s.is_array && s.can_sort && s.count <= SORTED_MAX) {
        show_sorted(to, L, index, level);
    } else {
        bool is_first = true;
        lua_pushnil(L);
        while (lua_next(L, index)) {
            if (!is_full(to)) show_pair(to, L, is_first, s.is_array, level);
            is_first = false;
            lua_pop(L, 1);
        }
    }
    conf_text_add_str(to, "}");
}

static void show_address(struct conf_text *to, lua_State *L, int index)
{
    static const char *const names[] = {[LUA_TFUNCTION] = "function",
                                        [LUA_TUSERDATA] = "userdata",
                                        [LUA_TTHREAD] = "thread",
                                        [LUA_TLIGHTUSERDATA] = "light-userdata"};
    int type = lua_type(L, index);
    const char *name = type >= 0 && type < (int)(sizeof names / sizeof *names) ? names[type] : NULL;
    if (name) conf_text_printf(to, "\"%s@%p\"", name, lua_topointer(L, index));
    else conf_text_add_str(to, "\"<unknown-lua-type>\"");
}

/* index counts from the stack's bottom. */
static void show_at(struct conf_text *to, lua_State *L, int index, int level)
{
    if (is_full(to)) return;
    if (level == LEVELS || !lua_checkstack(L, LUA_MINSTACK)) {
        conf_text_add_str(to, "<max recursion level reached! Nested table?>");
        return;
    }
    switch (lua_type(L, index)) {
    case LUA_TSTRING: {
        size_t n;
        const char *p = lua_tolstring(L, index, &n);
        conf_text_add_quoted(to, bytes_of(p, n < DEBUG_SHOW_MAX ? n : DEBUG_SHOW_MAX));
        break;
    }
    case LUA_TBOOLEAN: conf_text_add_str(to, lua_toboolean(L, index) ? "true" : "false"); break;
    case LUA_TNUMBER: conf_text_printf(to, "%g", lua_tonumber(L, index)); break;
    case LUA_TNIL: conf_text_add_str(to, "nil"); break;
    case LUA_TTABLE:
        lua_pushvalue(L, index);
        script_look_behind(L, lua_gettop(L));
        show_table(to, L, lua_gettop(L), level + 1);
        lua_pop(L, 1);
        break;
    default: show_address(to, L, index);
    }
}

void debug_show_value(struct conf_text *to, lua_State *L, int index)
{
    show_at(to, L, index > 0 ? index : lua_gettop(L) + 1 + index, 0);
}

#endif
