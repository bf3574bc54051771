/* SPDX-License-Identifier: MIT
 *
 * For fuzz targets of the libraries of scripts: a state of Lua that has them, whose memory is bounded by what an input
 * may cost.
 */
#ifndef TESTS_FUZZ_SCRIPT_FUZZ_H
#define TESTS_FUZZ_SCRIPT_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "alloc/base/assert.h"
#include "server/script/libs.h"
#include "server/script/vm.h"

#define SCRIPT_FUZZ_BYTES ((size_t)64 << 20)

static inline void *script_fuzz_allocate(void *ud, void *p, size_t old, size_t size)
{
    struct script_vm *vm = ud;
    if (!size) {
        free(p);
        vm->bytes -= old;
        return NULL;
    }
    if (size > old && vm->bytes + (size - old) > SCRIPT_FUZZ_BYTES) return NULL;
    vm->bytes += size - old;
    return realloc(p, size);
}

/* program is a function of one text; it is on the stack. */
static inline lua_State *script_fuzz_state(struct script_vm *vm, const char *program)
{
    memset(vm, 0, sizeof *vm);
    lua_State *L = lua_newstate(script_fuzz_allocate, vm);
    ASSERT(L != NULL);
    vm->stack_end = (char *)__builtin_frame_address(0) - SCRIPT_STACK_BYTES;
    luaL_openlibs(L);
    ASSERT(luaL_loadstring(L, "lua_find = string.find") == 0 && lua_pcall(L, 0, 0, 0) == 0);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    script_libs_open(L, lua_gettop(L));
    lua_pop(L, 1);
    ASSERT(luaL_loadstring(L, program) == 0);
    ASSERT(lua_pcall(L, 0, 1, 0) == 0);
    ASSERT(lua_isfunction(L, 1));
    return L;
}

/* The function is called with the input, in a state of its own: a leak is this input's. It may fail in any way but by
 * an error whose text has "broken". */
static inline void script_fuzz_input(const char *program, const uint8_t *data, size_t size)
{
    struct script_vm vm;
    lua_State *L = script_fuzz_state(&vm, program);
    lua_pushlstring(L, (const char *)data, size);
    if (lua_pcall(L, 1, 0, 0) != 0) {
        const char *text = lua_tostring(L, -1);
        if (text && strstr(text, "broken")) fprintf(stderr, "%s\n", text);
        ASSERT(!text || !strstr(text, "broken"));
    }
    lua_close(L);
    ASSERT(vm.bytes == 0);
}

#endif
