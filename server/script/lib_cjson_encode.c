/* SPDX-License-Identifier: MIT
 *
 * Values to JSON. A table whose keys are all positive integers is an array, unless it has many holes; every other one
 * is an object, and so is the empty table. The keys of an object come in keys.h's order: its array part is numbers and
 * so comes first.
 *
 * Depth is bounded by the settings, by Lua's stack (4 places a depth of at most 8000) and by the budget of C's.
 */
#include "server/script/lib_cjson.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <math.h>
#include <stdint.h>

#include "server/script/keys.h"
#include "server/script/limits.h"
#include "server/script/number.h"
#include "server/script/sandbox.h"
#include "server/script/text.h"

struct encoder {
    const struct cjson_settings *set;
    struct script_text out, keys;
    uint32_t steps;
};

static int raise_type(lua_State *L, int index, const char *why)
{
    return luaL_error(L, "Cannot serialise %s: %s", lua_typename(L, lua_type(L, index)), why);
}

/* --- strings ------------------------------------------------------------------------------------------------------ */

/* What stands behind the backslash; 'u': four digits; 0: the byte as it is. */
static char escape_of(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/': return (char)c;
    case '\b': return 'b';
    case '\t': return 't';
    case '\n': return 'n';
    case '\f': return 'f';
    case '\r': return 'r';
    case 0x7f: return 'u';
    default: return c < 0x20 ? 'u' : 0;
    }
}

static char *put_escaped(char *to, unsigned char c, char escape)
{
    static const char digits[] = "0123456789abcdef";
    *to++ = '\\';
    *to++ = escape;
    if (escape != 'u') return to;
    *to++ = '0';
    *to++ = '0';
    *to++ = digits[c >> 4];
    *to++ = digits[c & 15];
    return to;
}

#define PIECE ((size_t)64 << 10) /* bytes of a string between two looks for room, which may be six times that */

static void put_string(lua_State *L, struct encoder *e, const char *p, size_t n)
{
    script_text_byte(&e->out, '"');
    while (n) {
        size_t piece = n < PIECE ? n : PIECE;
        char *begin = script_text_room(&e->out, 6 * piece), *to = begin;
        for (size_t i = 0; i < piece; i++) {
            char escape = escape_of((unsigned char)p[i]);
            if (escape) to = put_escaped(to, (unsigned char)p[i], escape);
            else *to++ = p[i];
        }
        e->out.n += (size_t)(to - begin);
        p += piece;
        n -= piece;
        if (n) script_limits_go_on(L);
    }
    script_text_byte(&e->out, '"');
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static void put_number(lua_State *L, struct encoder *e, double d, int index)
{
    char text[SCRIPT_NUMBER_MAX];
    if (isnan(d) || isinf(d)) {
        if (e->set->encode_invalid == CJSON_INVALID_OFF) raise_type(L, index, "must not be NaN or Inf");
        if (e->set->encode_invalid == CJSON_INVALID_NULL || isnan(d)) {
            script_text_put(&e->out, e->set->encode_invalid == CJSON_INVALID_NULL ? "null" : "nan",
                            e->set->encode_invalid == CJSON_INVALID_NULL ? 4 : 3);
            return;
        }
    }
    size_t n = e->set->digits == 14 ? script_number_text(text, d) : script_number_digits(text, d, e->set->digits);
    script_text_put(&e->out, text, n);
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

static void put_value(lua_State *L, struct encoder *e, int depth);

/* The highest of keys that are all positive integers; 0 if there are none, -1 if some are something else. */
static int64_t array_length(lua_State *L, struct encoder *e)
{
    double max = 0, count = 0;
    const struct cjson_settings *set = e->set;
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pop(L, 1);
        double key = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
        if (!(key >= 1) || floor(key) != key) {
            lua_pop(L, 1);
            return -1;
        }
        if (key > max) max = key;
        count++;
        script_limits_step(L, &e->steps);
    }
    bool sparse = set->sparse_ratio > 0 && max > count * set->sparse_ratio && max > set->sparse_safe;
    if (!sparse && max <= INT_MAX) return (int64_t)max;
    if (!set->sparse_convert) raise_type(L, -1, "excessively sparse array");
    return -1;
}

static void put_array(lua_State *L, struct encoder *e, int64_t n, int depth)
{
    script_text_byte(&e->out, '[');
    for (int64_t i = 1; i <= n; i++) {
        if (i > 1) script_text_byte(&e->out, ',');
        lua_rawgeti(L, -1, (int)i);
        put_value(L, e, depth);
        lua_pop(L, 1);
        script_limits_step(L, &e->steps);
    }
    script_text_byte(&e->out, ']');
}

static void put_key(lua_State *L, struct encoder *e, const struct script_key *k)
{
    script_keys_push(L, k);
    if (k->type == LUA_TSTRING) {
        put_string(L, e, k->p, k->n);
    } else if (k->type == LUA_TNUMBER) {
        script_text_byte(&e->out, '"');
        put_number(L, e, k->number, -1);
        script_text_byte(&e->out, '"');
    } else {
        luaL_error(L, "Cannot serialise %s: table key must be a number or string", lua_typename(L, k->type));
    }
    script_text_byte(&e->out, ':');
}

static void put_object(lua_State *L, struct encoder *e, int depth)
{
    size_t first = e->keys.n, n = script_keys_collect(L, lua_gettop(L), &e->keys);
    script_text_byte(&e->out, '{');
    for (size_t i = 0; i < n; i++) {
        struct script_key k = script_keys_at(&e->keys, first, i);
        if (i) script_text_byte(&e->out, ',');
        put_key(L, e, &k);
        lua_rawget(L, -2);
        put_value(L, e, depth);
        lua_pop(L, 1);
    }
    script_text_byte(&e->out, '}');
    e->keys.n = first;
}

static void put_table(lua_State *L, struct encoder *e, int depth)
{
    if (depth > e->set->encode_depth_max || !lua_checkstack(L, 4))
        luaL_error(L, "Cannot serialise, excessive nesting (%d)", depth);
    script_limits_stack(L);
    script_look_behind(L, lua_gettop(L));
    int64_t n = array_length(L, e);
    if (n > 0) put_array(L, e, n, depth);
    else put_object(L, e, depth);
}

/* The value on the top, which stays. */
static void put_value(lua_State *L, struct encoder *e, int depth)
{
    switch (lua_type(L, -1)) {
    case LUA_TSTRING: {
        size_t n;
        const char *p = lua_tolstring(L, -1, &n);
        put_string(L, e, p, n);
        return;
    }
    case LUA_TNUMBER: put_number(L, e, lua_tonumber(L, -1), -1); return;
    case LUA_TBOOLEAN:
        if (lua_toboolean(L, -1)) script_text_put(&e->out, "true", 4);
        else script_text_put(&e->out, "false", 5);
        return;
    case LUA_TTABLE: put_table(L, e, depth + 1); return;
    case LUA_TNIL: script_text_put(&e->out, "null", 4); return;
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, -1)) {
            script_text_put(&e->out, "null", 4);
            return;
        }
    }
    raise_type(L, -1, "type not supported");
}

int cjson_encode(lua_State *L)
{
    struct encoder e;
    luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
    script_limits_stack(L);
    e.set = lua_touserdata(L, lua_upvalueindex(1));
    e.steps = 0;
    script_text_init(&e.out, L);
    script_text_init(&e.keys, L);
    lua_pushvalue(L, 1);
    put_value(L, &e, 0);
    script_text_push(&e.out);
    return 1;
}

#endif
