/* SPDX-License-Identifier: MIT
 *
 * A table is what its fields say, looked at in Redis's order and without metamethods: err, ok, double, big_number,
 * verbatim_string, map, set; else an array up to the first nil. Counts are found before anything is written. The keys
 * of maps and sets come in one order (numbers, then texts by their bytes), since LuaJIT's own differs from process to
 * process.
 *
 * A table inside of itself ends where Lua's stack does: so far, and with an error for what is deeper, as in Redis.
 */
#include "server/script/answer.h"

#ifdef SCRIPT_LUA

#include <lua.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/mem.h"
#include "server/script/vm.h"

#define SLOTS 5 /* of Lua's stack that one value may take */

static void answer(lua_State *L, struct reply *out, int proto);

static struct bytes text_at(lua_State *L, int index)
{
    size_t n;
    const char *p = lua_tolstring(L, index, &n);
    return bytes_of(p, n);
}

/* Pushes the field of the table on the top; false, and nothing pushed, if it is of another type. */
static bool push_field_of_type(lua_State *L, const char *name, int type)
{
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    if (lua_type(L, -1) == type) return true;
    lua_pop(L, 1);
    return false;
}

/* A number counts as a text, as everywhere in Lua. */
static bool push_text_field(lua_State *L, const char *name)
{
    return push_field_of_type(L, name, LUA_TSTRING) || push_field_of_type(L, name, LUA_TNUMBER);
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

/* By the command that gave it. */
static bool is_counted(lua_State *L)
{
    return push_field_of_type(L, "ignore_error_stats_update", LUA_TBOOLEAN) && lua_toboolean(L, -1);
}

/* -text; the table is on the top and stays. */
static void reply_error_of(lua_State *L, struct reply *out, struct bytes text, struct bytes where)
{
    int top = lua_gettop(L);
    void (*tell)(void *ctx, struct bytes text) = out->on_error;
    bool counted = is_counted(L);
    lua_settop(L, top);
    if (counted) out->on_error = NULL;
    size_t n = text.n + where.n + 1;
    char *line = mem_alloc(n);
    line[0] = '-';
    if (text.n) memcpy(line + 1, text.p, text.n);
    if (where.n) memcpy(line + 1 + text.n, where.p, where.n);
    while (n > 1 && (line[n - 1] == '\r' || line[n - 1] == '\n')) n--;
    for (size_t i = 0; i < n; i++)
        if (line[i] == '\r' || line[i] == '\n') line[i] = ' ';
    reply_error_bytes(out, bytes_of(line, n));
    mem_free(line);
    out->on_error = tell;
}

void script_answer_error(struct script_vm *vm, struct reply *out, const char *name)
{
    lua_State *L = vm->L;
    int top = lua_gettop(L);
    vm->never_fails = true;
    if (!lua_istable(L, -1)) {
        struct bytes text = lua_isstring(L, -1) ? text_at(L, -1) : BYTES("execution failure");
        reply_errorf(out, "Error running script %s, %.*s", name, (int)(text.n < 100 ? text.n : 100), text.p);
    } else {
        char where[256] = "";
        struct bytes text = push_text_field(L, "err") ? text_at(L, -1) : BYTES("ERR unknown error");
        lua_pushvalue(L, top);
        if (push_text_field(L, "source")) {
            struct bytes source = text_at(L, -1);
            lua_pushvalue(L, top);
            if (push_text_field(L, "line"))
                snprintf(where, sizeof where, " script: %s, on %.*s:%s.", name, (int)(source.n < 100 ? source.n : 100),
                         source.p, text_at(L, -1).p);
        }
        lua_pushvalue(L, top);
        reply_error_of(L, out, text, bytes_of_str(where));
    }
    lua_settop(L, top - 1);
    vm->never_fails = false;
}

/* --- maps and sets ------------------------------------------------------------------------------------------------ */

struct answer_key {
    struct bytes text; /* p NULL: a number */
    double number;
};

static int compare_keys(const void *a, const void *b)
{
    const struct answer_key *x = a, *y = b;
    if (!x->text.p || !y->text.p) {
        if (x->text.p || y->text.p) return x->text.p ? 1 : -1;
        return x->number < y->number ? -1 : x->number > y->number;
    }
    size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    int order = n ? memcmp(x->text.p, y->text.p, n) : 0;
    if (order) return order;
    return x->text.n < y->text.n ? -1 : x->text.n > y->text.n;
}

static void answer_pair(lua_State *L, struct reply *out, int proto, bool values)
{
    /* table, key, value */
    lua_pushvalue(L, -2);
    answer(L, out, proto);
    if (values) answer(L, out, proto);
    else lua_pop(L, 1);
}

static size_t count_pairs(lua_State *L)
{
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pop(L, 1);
        n++;
    }
    return n;
}

/* The table on the top stays. Keys of other kinds (booleans, tables) come last, as they come. */
static void answer_pairs(lua_State *L, struct reply *out, int proto, bool values)
{
    size_t n = count_pairs(L), used = 0;
    if (values) reply_map(out, n);
    else reply_set(out, n);
    if (n == 0) return;
    struct answer_key *keys = mem_alloc(n * sizeof *keys);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        int type = lua_type(L, -2);
        if (type == LUA_TSTRING) keys[used++] = (struct answer_key){.text = text_at(L, -2)};
        if (type == LUA_TNUMBER) keys[used++] = (struct answer_key){.number = lua_tonumber(L, -2)};
        lua_pop(L, 1);
    }
    qsort(keys, used, sizeof *keys, compare_keys);
    for (size_t i = 0; i < used; i++) {
        if (keys[i].text.p) lua_pushlstring(L, keys[i].text.p, keys[i].text.n);
        else lua_pushnumber(L, keys[i].number);
        lua_pushvalue(L, -1);
        lua_rawget(L, -3);
        answer_pair(L, out, proto, values);
        lua_pop(L, 1);
    }
    mem_free(keys);
    if (used == n) return;
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        int type = lua_type(L, -2);
        if (type == LUA_TSTRING || type == LUA_TNUMBER) lua_pop(L, 1);
        else answer_pair(L, out, proto, values);
    }
}

/* --- values ------------------------------------------------------------------------------------------------------- */

/* Of the table on the top: its fields make it something else than an array. What is pushed the caller drops. */
static bool answer_special(lua_State *L, struct reply *out, int proto)
{
    if (push_field_of_type(L, "err", LUA_TSTRING)) {
        struct bytes text = text_at(L, -1);
        lua_pushvalue(L, -2);
        reply_error_of(L, out, text, bytes_of(NULL, 0));
        return true;
    }
    if (push_field_of_type(L, "ok", LUA_TSTRING)) {
        reply_status_bytes(out, text_at(L, -1));
        return true;
    }
    if (push_field_of_type(L, "double", LUA_TNUMBER)) {
        reply_double(out, lua_tonumber(L, -1));
        return true;
    }
    if (push_field_of_type(L, "big_number", LUA_TSTRING)) {
        struct bytes digits = text_at(L, -1);
        char *line = mem_alloc(digits.n + 1);
        for (size_t i = 0; i < digits.n; i++) line[i] = digits.p[i] == '\r' || digits.p[i] == '\n' ? ' ' : digits.p[i];
        reply_big_number(out, bytes_of(line, digits.n));
        mem_free(line);
        return true;
    }
    if (push_field_of_type(L, "verbatim_string", LUA_TTABLE)) {
        if (push_field_of_type(L, "format", LUA_TSTRING)) {
            char format[4] = "   ";
            struct bytes given = text_at(L, -1);
            memcpy(format, given.p, given.n < 3 ? given.n : 3);
            lua_pushvalue(L, -2);
            if (push_field_of_type(L, "string", LUA_TSTRING)) {
                reply_verbatim(out, text_at(L, -1), format);
                return true;
            }
            lua_pop(L, 2);
        }
        lua_pop(L, 1);
    }
    bool is_map = push_field_of_type(L, "map", LUA_TTABLE);
    if (is_map || push_field_of_type(L, "set", LUA_TTABLE)) {
        answer_pairs(L, out, proto, is_map);
        return true;
    }
    return false;
}

static void answer_array(lua_State *L, struct reply *out, int proto)
{
    int count = 0;
    for (;; count++) {
        lua_rawgeti(L, -1, count + 1);
        bool is_end = lua_isnil(L, -1);
        lua_pop(L, 1);
        if (is_end) break;
    }
    reply_array(out, (size_t)count);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, i);
        answer(L, out, proto);
    }
}

/* Toward zero; what no integer is (NaN, too) is the least, as the processor has it. */
static int64_t whole(double v) { return v > -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN; }

static void answer(lua_State *L, struct reply *out, int proto)
{
    if (!lua_checkstack(L, SLOTS)) {
        reply_error(out, "reached lua stack limit");
        lua_pop(L, 1);
        return;
    }
    switch (lua_type(L, -1)) {
    case LUA_TSTRING: reply_bulk(out, text_at(L, -1)); break;
    case LUA_TNUMBER: reply_int(out, whole(lua_tonumber(L, -1))); break;
    case LUA_TBOOLEAN:
        if (proto == 3) reply_bool(out, lua_toboolean(L, -1));
        else if (lua_toboolean(L, -1)) reply_int(out, 1);
        else reply_null(out);
        break;
    case LUA_TTABLE: {
        int top = lua_gettop(L);
        if (!answer_special(L, out, proto)) answer_array(L, out, proto);
        lua_settop(L, top);
        break;
    }
    default: reply_null(out);
    }
    lua_pop(L, 1);
}

void script_answer(struct script_vm *vm, struct reply *out, int proto)
{
    vm->never_fails = true;
    answer(vm->L, out, proto);
    vm->never_fails = false;
}

#endif
