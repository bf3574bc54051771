/* SPDX-License-Identifier: MIT
 *
 * cmsgpack 0.4.0 as Redis ships it: values to MessagePack. (lib_cmsgpack_read.c is the way back.)
 *
 * The smallest form is taken: a whole number is an integer, unsigned from 0 on; another one is a float if that loses
 * nothing. A table is an array if its keys are 1 to n and a map otherwise, whose keys come in keys.h's order. Tables 16
 * deep, and what has no form (functions, userdata), are nil.
 */
#include "server/script/lib_cmsgpack.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "server/script/keys.h"
#include "server/script/libs.h"
#include "server/script/limits.h"
#include "server/script/sandbox.h"
#include "server/script/text.h"

#define DEPTH_MAX 16

struct msgpack_out {
    struct script_text out, keys;
    uint32_t steps;
};

static void put_head(struct script_text *t, unsigned char head, uint64_t v, unsigned bytes)
{
    unsigned char *to = (unsigned char *)script_text_room(t, bytes + 1);
    to[0] = head;
    for (unsigned i = bytes; i > 0; v >>= 8) to[i--] = (unsigned char)v;
    t->n += bytes + 1;
}

static void put_unsigned(struct script_text *t, uint64_t v)
{
    if (v <= 127) put_head(t, (unsigned char)v, 0, 0);
    else if (v <= UINT8_MAX) put_head(t, 0xcc, v, 1);
    else if (v <= UINT16_MAX) put_head(t, 0xcd, v, 2);
    else if (v <= UINT32_MAX) put_head(t, 0xce, v, 4);
    else put_head(t, 0xcf, v, 8);
}

static void put_negative(struct script_text *t, int64_t v)
{
    if (v >= -32) put_head(t, (unsigned char)v, 0, 0);
    else if (v >= INT8_MIN) put_head(t, 0xd0, (uint64_t)v, 1);
    else if (v >= INT16_MIN) put_head(t, 0xd1, (uint64_t)v, 2);
    else if (v >= INT32_MIN) put_head(t, 0xd2, (uint64_t)v, 4);
    else put_head(t, 0xd3, (uint64_t)v, 8);
}

static void put_float(struct script_text *t, double d)
{
    union {
        float f;
        uint32_t u;
    } single = {.f = (float)d};
    union {
        double d;
        uint64_t u;
    } twice = {.d = d};
    if ((double)single.f == d) put_head(t, 0xca, single.u, 4);
    else put_head(t, 0xcb, twice.u, 8);
}

static bool is_int64(double d) { return d >= -9223372036854775808.0 && d < 9223372036854775808.0 && d == trunc(d); }

static void put_number(struct script_text *t, double d)
{
    if (!is_int64(d)) put_float(t, d);
    else if (d >= 0) put_unsigned(t, (uint64_t)d);
    else put_negative(t, (int64_t)d);
}

static void put_string(struct script_text *t, const char *p, size_t n)
{
    if (n <= 31) put_head(t, (unsigned char)(0xa0 | n), 0, 0);
    else if (n <= UINT8_MAX) put_head(t, 0xd9, n, 1);
    else if (n <= UINT16_MAX) put_head(t, 0xda, n, 2);
    else put_head(t, 0xdb, n, 4);
    script_text_put(t, p, n);
}

static void put_count(struct script_text *t, unsigned char small, unsigned char large, size_t n)
{
    if (n <= 15) put_head(t, (unsigned char)(small | n), 0, 0);
    else if (n <= UINT16_MAX) put_head(t, large, n, 2);
    else put_head(t, (unsigned char)(large + 1), n, 4);
}

static void pack_value(lua_State *L, struct msgpack_out *p, int depth);

/* Whether the keys of the table on the top are 1 to *n. */
static bool is_array(lua_State *L, struct msgpack_out *p, size_t *n)
{
    double last = 0, count = 0;
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pop(L, 1);
        double key = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
        if (!(key > 0) || !is_int64(key)) {
            lua_pop(L, 1);
            return false;
        }
        if (key > last) last = key;
        count++;
        script_limits_step(L, &p->steps);
    }
    *n = (size_t)count;
    return last == count;
}

static void pack_array(lua_State *L, struct msgpack_out *p, size_t n, int depth)
{
    put_count(&p->out, 0x90, 0xdc, n);
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, (int)i);
        pack_value(L, p, depth + 1);
    }
}

/* Keys that have no order come as the table has them. */
static void pack_other_keys(lua_State *L, struct msgpack_out *p, int depth)
{
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        int type = lua_type(L, -2);
        if (type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TBOOLEAN) {
            lua_pop(L, 1);
            continue;
        }
        lua_pushvalue(L, -2);
        pack_value(L, p, depth + 1);
        pack_value(L, p, depth + 1);
    }
}

static void pack_map(lua_State *L, struct msgpack_out *p, int depth)
{
    size_t first = p->keys.n, n = script_keys_collect(L, lua_gettop(L), &p->keys), i;
    put_count(&p->out, 0x80, 0xde, n);
    for (i = 0; i < n; i++) {
        struct script_key k = script_keys_at(&p->keys, first, i);
        if (k.type != LUA_TNUMBER && k.type != LUA_TSTRING && k.type != LUA_TBOOLEAN) break;
        script_keys_push(L, &k);
        lua_pushvalue(L, -1);
        lua_rawget(L, -3);
        lua_insert(L, -2);
        pack_value(L, p, depth + 1);
        pack_value(L, p, depth + 1);
    }
    p->keys.n = first;
    if (i < n) pack_other_keys(L, p, depth);
}

static void pack_table(lua_State *L, struct msgpack_out *p, int depth)
{
    size_t n;
    luaL_checkstack(L, 5, "in function mp_encode_lua_table");
    script_look_behind(L, lua_gettop(L));
    if (is_array(L, p, &n)) pack_array(L, p, n, depth);
    else pack_map(L, p, depth);
}

/* Pops it. */
static void pack_value(lua_State *L, struct msgpack_out *p, int depth)
{
    script_limits_step(L, &p->steps);
    switch (lua_type(L, -1)) {
    case LUA_TSTRING: {
        size_t n;
        const char *s = lua_tolstring(L, -1, &n);
        put_string(&p->out, s, n);
        break;
    }
    case LUA_TNUMBER: put_number(&p->out, lua_tonumber(L, -1)); break;
    case LUA_TBOOLEAN: put_head(&p->out, lua_toboolean(L, -1) ? 0xc3 : 0xc2, 0, 0); break;
    case LUA_TTABLE:
        if (depth < DEPTH_MAX) pack_table(L, p, depth);
        else put_head(&p->out, 0xc0, 0, 0);
        break;
    default: put_head(&p->out, 0xc0, 0, 0);
    }
    lua_pop(L, 1);
}

static int cmsgpack_pack(lua_State *L)
{
    int count = lua_gettop(L);
    struct msgpack_out p;
    p.steps = 0;
    script_limits_stack(L);
    if (count == 0) return luaL_argerror(L, 0, "MessagePack pack needs input.");
    if (!lua_checkstack(L, 8)) return luaL_argerror(L, 0, "Too many arguments for MessagePack pack.");
    script_text_init(&p.out, L);
    script_text_init(&p.keys, L);
    for (int i = 1; i <= count; i++) {
        lua_pushvalue(L, i);
        pack_value(L, &p, 0);
    }
    script_text_push(&p.out);
    return 1;
}

int script_open_cmsgpack(lua_State *L)
{
    static const luaL_Reg functions[] = {{"pack", cmsgpack_pack},
                                         {"unpack", cmsgpack_unpack},
                                         {"unpack_one", cmsgpack_unpack_one},
                                         {"unpack_limit", cmsgpack_unpack_limit},
                                         {NULL, NULL}};
    lua_createtable(L, 0, 8);
    luaL_setfuncs(L, functions, 0);
    lua_pushliteral(L, "cmsgpack");
    lua_setfield(L, -2, "_NAME");
    lua_pushliteral(L, "lua-cmsgpack 0.4.0");
    lua_setfield(L, -2, "_VERSION");
    lua_pushliteral(L, "Copyright (C) 2012, Salvatore Sanfilippo");
    lua_setfield(L, -2, "_COPYRIGHT");
    lua_pushliteral(L, "MessagePack C implementation for Lua");
    lua_setfield(L, -2, "_DESCRIPTION");
    return 1;
}

#endif
