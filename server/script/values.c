/* SPDX-License-Identifier: MIT
 *
 * Aggregates that are not complete stand in `frames`, their tables on Lua's stack; a value that is complete is put into
 * the innermost, which may complete that one, and so on.
 *
 *   *2        frame *, left 2        stack: table
 *     $1 a    left 1                        table
 *     %1      frame %, left 1               table, outer, inner
 *       k v   left 0: inner into outer, outer into the table, left 0: the reply
 *
 * Nothing here may raise an error: it would jump out of the command that replies. So the stack has room before the
 * command begins, memory is given beyond the bound (vm->never_fails), and what Lua cannot hold is left out, `over`.
 */
#include "server/script/values.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "alloc/base/list.h"
#include "server/script/debugger.h"
#include "server/script/engine.h"
#include "server/script/vm.h"

#define STACK_SLOTS  (SCRIPT_VALUES_DEPTH * 3 + 8)
#define STRING_MAX   ((size_t)0x7fffff00) /* LuaJIT's longest */
#define ELEMENTS_MAX (1u << 26)           /* of a table: half of what LuaJIT takes */
#define ROOM_AHEAD   (1u << 14)           /* elements a table has room for before they are there */

static struct script_values *of(struct reply *r) { return container_of(r, struct script_values, out); }

static bool is_over(struct script_values *v)
{
    if (unlikely(v->vm->bytes > SCRIPT_MEMORY_MAX)) v->out.over = true;
    return unlikely(v->out.over);
}

/* The table on the top is the value of `name` in the one below it, which becomes the top. */
static void wrap(lua_State *L, const char *name) { lua_setfield(L, -2, name); }

/* Puts the value on the top into the innermost aggregate; true: that is complete, and the value on the top now. */
static bool put_value(struct script_values *v, struct script_values_frame *f)
{
    lua_State *L = v->L;
    switch (f->type) {
    case '%':
        f->has_key = !f->has_key;
        if (f->has_key) return false;
        if (unlikely(lua_isnil(L, -2))) lua_pop(L, 2);
        else lua_rawset(L, -3);
        break;
    case '~':
        if (unlikely(lua_isnil(L, -1))) {
            lua_pop(L, 1);
        } else {
            lua_pushboolean(L, 1);
            lua_rawset(L, -3);
        }
        break;
    case '|': /* attributes are dropped, keys and values */ lua_pop(L, 1); break;
    default:
        if (unlikely(f->index >= ELEMENTS_MAX)) v->out.over = true;
        lua_rawseti(L, -2, (int)++f->index);
    }
    return --f->left == 0;
}

static void complete(struct script_values *v)
{
    while (v->depth) {
        struct script_values_frame *f = &v->frames[v->depth - 1];
        if (!put_value(v, f)) return;
        v->depth--;
        if (f->type == '%') wrap(v->L, "map");
        else if (f->type == '~') wrap(v->L, "set");
        else if (f->type == '|') return; /* no value: what it is about follows */
    }
}

static void push_field(lua_State *L, const char *name, struct bytes s)
{
    lua_createtable(L, 0, 1);
    lua_pushlstring(L, s.p, s.n);
    lua_setfield(L, -2, name);
}

static void push_string(struct script_values *v, struct bytes s)
{
    if (unlikely(s.n > STRING_MAX)) {
        v->out.over = true;
        lua_pushboolean(v->L, 0);
        return;
    }
    lua_pushlstring(v->L, s.n ? s.p : "", s.n);
}

void script_push_error(lua_State *L, struct bytes text, bool counted)
{
    push_field(L, "err", text);
    if (!counted) {
        struct script_run *run = script_vm_of(L)->run;
        size_t code = text.n > 4 && memcmp(text.p, "ERR ", 4) == 0 ? 4 : 0;
        if (run && run->debug) debugger_note_error(run, "", bytes_of(text.p + code, text.n - code));
        return;
    }
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "ignore_error_stats_update");
}

/* --- what handlers reply ------------------------------------------------------------------------------------------ */

static void take_status(struct reply *r, struct bytes text)
{
    struct script_values *v = of(r);
    if (is_over(v)) return;
    push_field(v->L, "ok", text);
    complete(v);
}

static void take_error(struct reply *r, struct bytes text)
{
    struct script_values *v = of(r);
    if (is_over(v)) return;
    if (v->depth == 0) v->is_error = true;
    script_push_error(v->L, text, true);
    complete(v);
}

static void take_integer(struct reply *r, int64_t n)
{
    struct script_values *v = of(r);
    if (is_over(v)) return;
    lua_pushnumber(v->L, (lua_Number)n);
    complete(v);
}

static void take_bulk(struct reply *r, struct bytes s)
{
    struct script_values *v = of(r);
    if (is_over(v)) return;
    push_string(v, s);
    if (v->depth) complete(v);
}

static void take_null(struct reply *r, bool array)
{
    struct script_values *v = of(r);
    (void)array;
    if (is_over(v)) return;
    if (r->proto == 2) lua_pushboolean(v->L, 0);
    else lua_pushnil(v->L);
    complete(v);
}

static void take_boolean(struct reply *r, bool b)
{
    struct script_values *v = of(r);
    if (is_over(v)) return;
    lua_pushboolean(v->L, b);
    complete(v);
}

static void take_real(struct reply *r, double n)
{
    struct script_values *v = of(r);
    if (is_over(v)) return;
    lua_createtable(v->L, 0, 1);
    lua_pushnumber(v->L, n);
    lua_setfield(v->L, -2, "double");
    complete(v);
}

static void take_big_number(struct reply *r, struct bytes digits)
{
    struct script_values *v = of(r);
    if (is_over(v)) return;
    push_field(v->L, "big_number", digits);
    complete(v);
}

static void take_verbatim(struct reply *r, struct bytes s, const char format[3])
{
    struct script_values *v = of(r);
    if (is_over(v)) return;
    lua_createtable(v->L, 0, 1);
    lua_createtable(v->L, 0, 2);
    push_string(v, s);
    lua_setfield(v->L, -2, "string");
    lua_pushlstring(v->L, format, 3);
    lua_setfield(v->L, -2, "format");
    lua_setfield(v->L, -2, "verbatim_string");
    complete(v);
}

static void take_aggregate(struct reply *r, char type, uint64_t count)
{
    struct script_values *v = of(r);
    if (is_over(v)) return;
    if (unlikely(v->depth == SCRIPT_VALUES_DEPTH)) {
        v->out.over = true;
        return;
    }
    if (unlikely(type == '|' && count == 0)) return;
    unsigned ahead = count < ROOM_AHEAD ? (unsigned)count : ROOM_AHEAD;
    if (type == '%' || type == '~') {
        lua_createtable(v->L, 0, 1);
        lua_createtable(v->L, 0, (int)ahead);
    } else if (type != '|') {
        lua_createtable(v->L, (int)ahead, 0);
    }
    v->frames[v->depth++] = (struct script_values_frame){.type = type, .left = type == '|' ? 2 * count : count};
    if (unlikely(count == 0)) {
        v->depth--;
        if (type == '%') wrap(v->L, "map");
        else if (type == '~') wrap(v->L, "set");
        complete(v);
    }
}

static void take_defer(struct reply *r)
{
    struct script_values *v = of(r);
    if (is_over(v)) return;
    if (unlikely(v->depth == SCRIPT_VALUES_DEPTH)) {
        v->out.over = true;
        return;
    }
    lua_newtable(v->L);
    v->frames[v->depth++] = (struct script_values_frame){.left = UINT64_MAX};
}

/* The table on the top, in which keys and values take turns, becomes {map = {key = value}}; for a set all are keys. */
static void pair_up(lua_State *L, uint64_t index, bool values)
{
    lua_createtable(L, 0, 1);
    lua_newtable(L);
    for (int i = 1; i <= (int)index; i += 1 + values) {
        lua_rawgeti(L, -3, i);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            continue;
        }
        if (values) lua_rawgeti(L, -4, i + 1);
        else lua_pushboolean(L, 1);
        lua_rawset(L, -3);
    }
    wrap(L, values ? "map" : "set");
    lua_remove(L, -2);
}

static void take_defer_end(struct reply *r, char type, uint64_t count)
{
    struct script_values *v = of(r);
    (void)count;
    if (is_over(v)) return;
    DASSERT(v->depth > 0);
    struct script_values_frame *f = &v->frames[--v->depth];
    DASSERT(f->type == 0 && (type != '*' || f->index == count));
    if (type == '%' || type == '~') pair_up(v->L, f->index, type == '%');
    complete(v);
}

const struct reply_values script_values_taken = {.status = take_status,
                                                 .error = take_error,
                                                 .integer = take_integer,
                                                 .bulk = take_bulk,
                                                 .null = take_null,
                                                 .boolean = take_boolean,
                                                 .real = take_real,
                                                 .big_number = take_big_number,
                                                 .verbatim = take_verbatim,
                                                 .aggregate = take_aggregate,
                                                 .defer = take_defer,
                                                 .defer_end = take_defer_end};

void script_values_init(struct script_values *v, struct script_vm *vm)
{
    reply_init_values(&v->out, &script_values_taken);
    v->vm = vm;
}

void script_values_begin(struct script_values *v, lua_State *L)
{
    luaL_checkstack(L, STACK_SLOTS, "no room for a reply");
    v->L = L;
    v->depth = 0;
    v->is_error = v->out.over = false;
}

#endif
