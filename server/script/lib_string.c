/* SPDX-License-Identifier: MIT
 *
 * string: what LuaJIT has differently or without bounds. Positions are 64 bits here (LuaJIT cuts them to 32), rep takes
 * no separator, and what looks for patterns is ours (pattern.h). string_format.c has format.
 */
#include "server/script/libs.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "server/script/limits.h"
#include "server/script/pattern.h"
#include "server/script/string_format.h"
#include "server/script/text.h"

/* --- pieces ------------------------------------------------------------------------------------------------------- */

static int64_t check_integer(lua_State *L, int arg) { return (int64_t)luaL_checkinteger(L, arg); }

static int64_t integer_or(lua_State *L, int arg, int64_t without)
{
    return lua_isnoneornil(L, arg) ? without : check_integer(L, arg);
}

/* A negative one counts from the end; 0 or less: it is before the text. */
static int64_t position(int64_t at, size_t n) { return at < 0 ? (at < -(int64_t)n ? 0 : at + (int64_t)n + 1) : at; }

struct string_part {
    const char *p;
    size_t n;
};

static struct string_part piece_of(const char *s, size_t n, int64_t first, int64_t last)
{
    if (first < 1) first = 1;
    if (last > (int64_t)n) last = (int64_t)n;
    if (first > last) return (struct string_part){.p = s};
    return (struct string_part){.p = s + first - 1, .n = (size_t)(last - first + 1)};
}

static int string_sub(lua_State *L)
{
    size_t n;
    const char *s = luaL_checklstring(L, 1, &n);
    int64_t first = position(check_integer(L, 2), n), last = position(integer_or(L, 3, -1), n);
    struct string_part piece = piece_of(s, n, first, last);
    lua_pushlstring(L, piece.p, piece.n);
    return 1;
}

static int string_byte(lua_State *L)
{
    size_t n;
    const char *s = luaL_checklstring(L, 1, &n);
    int64_t first = position(integer_or(L, 2, 1), n), last = position(integer_or(L, 3, first), n);
    struct string_part piece = piece_of(s, n, first, last);
    if (piece.n >= INT_MAX) return luaL_error(L, "string slice too long");
    luaL_checkstack(L, (int)piece.n, "string slice too long");
    for (size_t i = 0; i < piece.n; i++) lua_pushinteger(L, (unsigned char)piece.p[i]);
    return (int)piece.n;
}

static int string_rep(lua_State *L)
{
    size_t n;
    const char *s = luaL_checklstring(L, 1, &n);
    int64_t times = check_integer(L, 2);
    struct script_text t;
    script_text_init(&t, L);
    if (times > 0 && n > 0) {
        if ((uint64_t)times > INT_MAX / n) return luaL_error(L, "not enough memory");
        size_t size = n * (size_t)times;
        char *to = script_text_room(&t, size);
        memcpy(to, s, n);
        for (size_t done = n; done < size; done *= 2) memcpy(to + done, to, done < size - done ? done : size - done);
        t.n = size;
    }
    script_text_push(&t);
    return 1;
}

/* --- find, match -------------------------------------------------------------------------------------------------- */

static int look_for(lua_State *L, bool find)
{
    size_t n, pattern_size;
    const char *s = luaL_checklstring(L, 1, &n), *pattern = luaL_checklstring(L, 2, &pattern_size);
    int64_t from = position(integer_or(L, 3, 1), n) - 1;
    if (from < 0) from = 0;
    if (from > (int64_t)n) from = (int64_t)n;
    const char *at = s + from;
    if (find && (lua_toboolean(L, 4) || pattern_is_plain(pattern))) {
        const char *found = memmem(at, n - (size_t)from, pattern, pattern_size);
        if (!found) goto nothing;
        lua_pushinteger(L, found - s + 1);
        lua_pushinteger(L, found - s + (int64_t)pattern_size);
        return 2;
    }
    struct pattern_match m;
    bool anchored = *pattern == '^';
    pattern_begin(&m, L, s, n);
    const char *end = pattern_find(&m, &at, pattern + anchored, anchored);
    if (!end) goto nothing;
    if (!find) return pattern_push_captures(&m, at, end);
    lua_pushinteger(L, at - s + 1);
    lua_pushinteger(L, end - s);
    return 2 + pattern_push_captures(&m, NULL, NULL);
nothing:
    lua_pushnil(L);
    return 1;
}

static int string_find(lua_State *L) { return look_for(L, true); }
static int string_match(lua_State *L) { return look_for(L, false); }

/* Upvalues: the text, the pattern, where to go on. */
static int next_match(lua_State *L)
{
    size_t n;
    const char *s = lua_tolstring(L, lua_upvalueindex(1), &n), *pattern = lua_tostring(L, lua_upvalueindex(2));
    lua_Integer from = lua_tointeger(L, lua_upvalueindex(3));
    if (from > (lua_Integer)n) return 0;
    struct pattern_match m;
    const char *at = s + from;
    pattern_begin(&m, L, s, n);
    const char *end = pattern_find(&m, &at, pattern, false);
    lua_pushinteger(L, end ? end - s + (end == at) : (lua_Integer)n + 1);
    lua_replace(L, lua_upvalueindex(3));
    return end ? pattern_push_captures(&m, at, end) : 0;
}

static int string_gmatch(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_match, 3);
    return 1;
}

/* --- gsub --------------------------------------------------------------------------------------------------------- */

/* "%1" in a replacement is a capture, "%0" all of the match, and "%x" any other x itself. */
static void put_template(struct pattern_match *m, struct script_text *t, const char *begin, const char *end)
{
    size_t n;
    const char *template = lua_tolstring(m->L, 3, &n);
    for (size_t i = 0; i < n; i++) {
        char c = template[i];
        if (c != '%') {
            script_text_byte(t, c);
            continue;
        }
        c = template[++i]; /* the last one is followed by a zero byte, which is taken */
        if (c < '0' || c > '9') {
            script_text_byte(t, c);
        } else if (c == '0') {
            script_text_put(t, begin, (size_t)(end - begin));
        } else {
            size_t size;
            pattern_push_capture(m, c - '1', begin, end);
            const char *text = lua_tolstring(m->L, -1, &size);
            script_text_put(t, text, size);
            lua_pop(m->L, 1);
        }
    }
}

/* What a function or a table says; nil and false leave the match as it is. */
static void put_answer(struct pattern_match *m, struct script_text *t, const char *begin, const char *end)
{
    lua_State *L = m->L;
    size_t n;
    if (lua_type(L, 3) == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        int count = pattern_push_captures(m, begin, end);
        lua_call(L, count, 1);
    } else {
        pattern_push_capture(m, 0, begin, end);
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        script_text_put(t, begin, (size_t)(end - begin));
    } else if (lua_isstring(L, -1)) {
        const char *text = lua_tolstring(L, -1, &n);
        script_text_put(t, text, n);
    } else {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
    lua_pop(L, 1);
}

static int string_gsub(lua_State *L)
{
    size_t n;
    const char *s = luaL_checklstring(L, 1, &n), *pattern = luaL_checkstring(L, 2), *at = s;
    int type = lua_type(L, 3);
    luaL_argcheck(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
                  "string/function/table expected");
    int64_t max = lua_isnoneornil(L, 4) ? (int64_t)n + 1 : (int)luaL_checkinteger(L, 4);
    bool anchored = *pattern == '^';
    int64_t count = 0;
    struct pattern_match m;
    struct script_text t;
    lua_settop(L, 4);
    script_text_init(&t, L);
    pattern_begin(&m, L, s, n);
    while (count < max) {
        const char *end = pattern_match_at(&m, at, pattern + anchored);
        if (end) {
            count++;
            if (type == LUA_TFUNCTION || type == LUA_TTABLE) put_answer(&m, &t, at, end);
            else put_template(&m, &t, at, end);
        }
        if (end && end > at) at = end;
        else if (at < m.end) script_text_byte(&t, *at++);
        else break;
        if (anchored) break;
    }
    script_text_put(&t, at, (size_t)(m.end - at));
    script_text_push(&t);
    lua_pushinteger(L, count);
    return 2;
}

void script_open_string(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"byte", string_byte},     {"find", string_find}, {"format", string_format}, {"gfind", string_gmatch},
        {"gmatch", string_gmatch}, {"gsub", string_gsub}, {"match", string_match},   {"rep", string_rep},
        {"sub", string_sub},       {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}

#endif
