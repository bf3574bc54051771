/* SPDX-License-Identifier: MIT
 *
 * The loader of programs: any text is compiled or refused with a text, its first line is read or refused, and what was
 * compiled has the line of its last tail call in it. Nothing is run.
 */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef SCRIPT_LUA

#include <lua.h>

#include "alloc/base/assert.h"
#include "server/script/flags.h"
#include "server/script/vm.h"
#include "server/worker.h"

static int lines_of(struct bytes code)
{
    int lines = 1;
    for (size_t i = 0; i < code.n; i++) lines += code.p[i] == '\n' || code.p[i] == '\r';
    return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct worker w;
    uint32_t flags;
    struct bytes body = bytes_of((const char *)data, size), code;
    char err[256];
    if (size > 1 << 14) return 0;
    if (!script_read_shebang(body, &flags, &code, err, sizeof err)) return 0;
    ASSERT(code.n <= size);
    struct script_vm *vm = script_vm_new(&w);
    vm->loaded_tail_line = 0;
    bool compiled = script_vm_load(vm, code, "@user_script");
    ASSERT(lua_gettop(vm->L) == 1);
    if (compiled) {
        ASSERT(lua_isfunction(vm->L, 1));
        ASSERT(vm->loaded_tail_line >= 0 && vm->loaded_tail_line <= lines_of(code));
    } else {
        ASSERT(lua_isstring(vm->L, 1));
    }
    lua_settop(vm->L, 0);
    script_vm_free(vm);
    return 0;
}

#else

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)data, (void)size;
    return 0;
}

#endif
