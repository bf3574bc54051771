/* SPDX-License-Identifier: MIT
 *
 * MessagePack to values. Bytes come from anywhere: nothing is asserted, a count is believed only as far as there are
 * bytes, and depth is bounded by Lua's own stack (two places a depth of some 4000) and by the budget of C's.
 */
#include "server/script/lib_cmsgpack.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/script/limits.h"
#include "server/script/number.h"

struct msgpack_in {
    const unsigned char *p, *end;
    uint32_t steps;
};

static void raise_short(lua_State *L) { luaL_error(L, "Missing bytes in input."); }

static void need(lua_State *L, const struct msgpack_in *r, size_t n)
{
    if ((size_t)(r->end - r->p) < n) raise_short(L);
}

static uint64_t take_unsigned(lua_State *L, struct msgpack_in *r, unsigned bytes)
{
    uint64_t v = 0;
    need(L, r, bytes);
    for (unsigned i = 0; i < bytes; i++) v = v << 8 | *r->p++;
    return v;
}

static void push_float(lua_State *L, uint32_t bits)
{
    union {
        uint32_t u;
        float f;
    } v = {.u = bits};
    script_number_push(L, (double)v.f);
}

static void push_double(lua_State *L, uint64_t bits)
{
    union {
        uint64_t u;
        double d;
    } v = {.u = bits};
    script_number_push(L, v.d);
}

static void push_string(lua_State *L, struct msgpack_in *r, size_t n)
{
    need(L, r, n);
    lua_pushlstring(L, (const char *)r->p, n);
    r->p += n;
}

static void push_value(lua_State *L, struct msgpack_in *r);

static void push_array(lua_State *L, struct msgpack_in *r, size_t n)
{
    lua_newtable(L);
    luaL_checkstack(L, 2, "in function mp_decode_to_lua_array");
    for (size_t i = 1; i <= n; i++) {
        lua_pushnumber(L, (lua_Number)i);
        push_value(L, r);
        lua_rawset(L, -3);
    }
}

static void push_map(lua_State *L, struct msgpack_in *r, size_t n)
{
    lua_newtable(L);
    luaL_checkstack(L, 3, "in function mp_decode_to_lua_hash");
    for (size_t i = 0; i < n; i++) {
        push_value(L, r);
        push_value(L, r);
        lua_settable(L, -3); /* a key that is nil or NaN is an error here */
    }
}

static void push_small(lua_State *L, struct msgpack_in *r, unsigned char head)
{
    if (head <= 0x7f) lua_pushinteger(L, head);
    else if (head >= 0xe0) lua_pushinteger(L, (signed char)head);
    else if ((head & 0xe0) == 0xa0) push_string(L, r, head & 0x1f);
    else if ((head & 0xf0) == 0x90) push_array(L, r, head & 0x0f);
    else if ((head & 0xf0) == 0x80) push_map(L, r, head & 0x0f);
    else luaL_error(L, "Bad data format in input.");
}

static void push_value(lua_State *L, struct msgpack_in *r)
{
    need(L, r, 1);
    script_limits_stack(L);
    script_limits_step(L, &r->steps);
    unsigned char head = *r->p++;
    switch (head) {
    case 0xc0: lua_pushnil(L); break;
    case 0xc2:
    case 0xc3: lua_pushboolean(L, head == 0xc3); break;
    case 0xca: push_float(L, (uint32_t)take_unsigned(L, r, 4)); break;
    case 0xcb: push_double(L, take_unsigned(L, r, 8)); break;
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf: lua_pushinteger(L, (lua_Integer)take_unsigned(L, r, 1u << (head - 0xcc))); break;
    case 0xd0: lua_pushinteger(L, (int8_t)take_unsigned(L, r, 1)); break;
    case 0xd1: lua_pushinteger(L, (int16_t)take_unsigned(L, r, 2)); break;
    case 0xd2: lua_pushinteger(L, (int32_t)take_unsigned(L, r, 4)); break;
    case 0xd3: lua_pushinteger(L, (lua_Integer)take_unsigned(L, r, 8)); break;
    case 0xd9:
    case 0xda:
    case 0xdb: push_string(L, r, (size_t)take_unsigned(L, r, 1u << (head - 0xd9))); break;
    case 0xdc:
    case 0xdd: push_array(L, r, (size_t)take_unsigned(L, r, 2u << (head - 0xdc))); break;
    case 0xde:
    case 0xdf: push_map(L, r, (size_t)take_unsigned(L, r, 2u << (head - 0xde))); break;
    default: push_small(L, r, head);
    }
}

/* Replaces the arguments by the values; the first one stays below them as long as it is read. */
static int unpack_some(lua_State *L, int limit, int offset)
{
    size_t size;
    const char *s = luaL_checklstring(L, 1, &size);
    bool all = limit == 0 && offset == 0;
    if (offset < 0 || limit < 0)
        luaL_error(L, "Invalid request to unpack with offset of %d and limit of %d.", offset, (int)size);
    if ((size_t)offset > size) luaL_error(L, "Start offset %d greater than input length %d.", offset, (int)size);
    if (all) limit = INT_MAX;
    struct msgpack_in r = {.p = (const unsigned char *)s + offset, .end = (const unsigned char *)s + size};
    int count = 0;
    lua_settop(L, 1);
    if (!all) lua_pushnil(L);
    for (; r.p < r.end && count < limit; count++) {
        luaL_checkstack(L, 1, "too many return values at once; use unpack_one or unpack_limit instead.");
        push_value(L, &r);
    }
    if (all) return count;
    lua_pushinteger(L, r.p == r.end ? -1 : (lua_Integer)(r.p - (const unsigned char *)s));
    lua_replace(L, 2);
    return count + 1;
}

int cmsgpack_unpack(lua_State *L) { return unpack_some(L, 0, 0); }

int cmsgpack_unpack_one(lua_State *L) { return unpack_some(L, 1, (int)luaL_optinteger(L, 2, 0)); }

int cmsgpack_unpack_limit(lua_State *L)
{
    int limit = (int)luaL_checkinteger(L, 2);
    return unpack_some(L, limit, (int)luaL_optinteger(L, 3, 0));
}

#endif
