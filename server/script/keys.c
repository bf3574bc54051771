/* SPDX-License-Identifier: MIT
 *
 * They are written as an array of structs into a text that the caller has for all depths, so a table in a table costs
 * no memory of its own. Sorting is C's: a heap or quick sort of n log n whatever the keys are.
 */
#include "server/script/keys.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "server/script/limits.h"
#include "server/script/text.h"

static int rank_of(int type)
{
    return type == LUA_TNUMBER ? 0 : type == LUA_TSTRING ? 1 : type == LUA_TBOOLEAN ? 2 : 3;
}

static int order(const void *one, const void *other)
{
    const struct script_key *a = one, *b = other;
    int rank = rank_of(a->type) - rank_of(b->type);
    if (rank) return rank;
    if (a->type == LUA_TSTRING) {
        int way = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);
        return way ? way : (a->n > b->n) - (a->n < b->n);
    }
    return (a->number > b->number) - (a->number < b->number);
}

static struct script_key key_at_top(lua_State *L, int index)
{
    struct script_key k = {.type = lua_type(L, index)};
    if (k.type == LUA_TNUMBER) k.number = lua_tonumber(L, index);
    else if (k.type == LUA_TBOOLEAN) k.number = lua_toboolean(L, index);
    else if (k.type == LUA_TSTRING) k.p = lua_tolstring(L, index, &k.n);
    return k;
}

size_t script_keys_collect(lua_State *L, int index, struct script_text *in)
{
    size_t first = in->n, count = 0;
    bool sorted = true;
    uint32_t steps = 0;
    luaL_checkstack(L, 3, NULL);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        struct script_key k = key_at_top(L, -2);
        if (count && sorted) {
            struct script_key last = script_keys_at(in, first, count - 1);
            sorted = order(&last, &k) < 0;
        }
        script_text_put(in, &k, sizeof k);
        count++;
        lua_pop(L, 1);
        script_limits_step(L, &steps);
    }
    if (!sorted) qsort(in->p + first, count, sizeof(struct script_key), order);
    return count;
}

struct script_key script_keys_at(const struct script_text *in, size_t first, size_t i)
{
    struct script_key k;
    memcpy(&k, in->p + first + i * sizeof k, sizeof k);
    return k;
}

void script_keys_push(lua_State *L, const struct script_key *k)
{
    if (k->type == LUA_TNUMBER) lua_pushnumber(L, k->number);
    else if (k->type == LUA_TBOOLEAN) lua_pushboolean(L, k->number != 0);
    else if (k->type == LUA_TSTRING) lua_pushlstring(L, k->p, k->n);
    else lua_pushnil(L);
}

#endif
