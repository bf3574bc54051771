/* SPDX-License-Identifier: MIT
 *
 * For tests of the libraries: a state that has them, scripts that run in it, and their results in RESP2's words, so
 * that a case can be compared with what redis-server says.
 */
#ifndef SERVER_SCRIPT_LIBS_FIXTURE_H
#define SERVER_SCRIPT_LIBS_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "server/script/libs.h"
#include "server/script/vm.h"

#define CASE_REPLY_MAX (16 << 10)

struct libs_case {
    const char *script;
    const char *reply;
    size_t size; /* of the reply; 0: it has no zero byte */
};

static inline void *libs_allocate(void *ud, void *p, size_t old, size_t size)
{
    (void)ud, (void)old;
    if (size) return realloc(p, size);
    free(p);
    return NULL;
}

/* A state of nothing but libraries, without the sandbox; vm is what they ask for their limits. */
static inline lua_State *libs_state(void)
{
    static struct script_vm vm;
    lua_State *L = lua_newstate(libs_allocate, &vm);
    assert_non_null(L);
    luaL_openlibs(L);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    script_libs_open(L, lua_gettop(L));
    lua_pop(L, 1);
    return L;
}

struct libs_reply {
    char text[CASE_REPLY_MAX];
    size_t n;
};

static inline void libs_add(struct libs_reply *r, const char *s, size_t n)
{
    assert_true(n <= sizeof r->text - r->n);
    memcpy(r->text + r->n, s, n);
    r->n += n;
}

static inline void libs_addf(struct libs_reply *r, const char *format, long long v)
{
    char text[64];
    libs_add(r, text, (size_t)snprintf(text, sizeof text, format, v));
}

static inline void libs_reply_value(lua_State *L, struct libs_reply *r)
{
    size_t n;
    const char *s;
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        s = lua_tolstring(L, -1, &n);
        libs_addf(r, "$%lld\r\n", (long long)n);
        libs_add(r, s, n);
        libs_add(r, "\r\n", 2);
        break;
    case LUA_TNUMBER: libs_addf(r, ":%lld\r\n", (long long)lua_tonumber(L, -1)); break;
    case LUA_TBOOLEAN: libs_add(r, lua_toboolean(L, -1) ? ":1\r\n" : "$-1\r\n", lua_toboolean(L, -1) ? 4 : 5); break;
    case LUA_TTABLE: {
        int count = 0;
        for (lua_rawgeti(L, -1, 1); !lua_isnil(L, -1); lua_rawgeti(L, -1, count + 1)) lua_pop(L, 1), count++;
        lua_pop(L, 1);
        libs_addf(r, "*%lld\r\n", count);
        for (int i = 1; i <= count; i++) {
            lua_rawgeti(L, -1, i);
            libs_reply_value(L, r);
            lua_pop(L, 1);
        }
        break;
    }
    default: libs_add(r, "$-1\r\n", 5);
    }
}

/* As if a client had sent it. */
static inline void libs_run(lua_State *L, const char *script, struct libs_reply *r)
{
    r->n = 0;
    int top = lua_gettop(L);
    if (luaL_loadbuffer(L, script, strlen(script), "@user_script") == 0 && lua_pcall(L, 0, 1, 0) == 0) {
        libs_reply_value(L, r);
    } else {
        libs_add(r, "-ERR ", 5);
        libs_add(r, lua_tostring(L, -1), strlen(lua_tostring(L, -1)));
        libs_add(r, "\r\n", 2);
    }
    lua_settop(L, top);
}

static inline void libs_check(const struct libs_case *cases, size_t count)
{
    lua_State *L = libs_state();
    static struct libs_reply r;
    int failures = 0;
    for (size_t i = 0; i < count; i++) {
        const struct libs_case *c = &cases[i];
        size_t n = c->size ? c->size : strlen(c->reply);
        libs_run(L, c->script, &r);
        if (r.n == n && memcmp(r.text, c->reply, n) == 0) continue;
        failures++;
        print_error("%s\n  expected %.*s  got      %.*s", c->script, (int)n, c->reply, (int)r.n, r.text);
    }
    lua_close(L);
    assert_int_equal(failures, 0);
}

#define LIBS_CHECK(cases) libs_check(cases, sizeof(cases) / sizeof *(cases))

#endif
#endif
