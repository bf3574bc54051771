/* SPDX-License-Identifier: MIT
 *
 * The lines are read from the function's bytecode as lua_dump() writes it:
 *
 *   ESC "LJ" version flags [name]  ( size prototype )*  0
 *   prototype: flags params frame upvalues, constants (2 numbers), instructions (number),
 *              [debug size, first line, lines], instructions of 4 bytes, upvalues, constants, lines...
 *
 * Which instruction a tail call is differs between versions of LuaJIT, so it is learned from two small functions.
 */
#include "server/script/tails.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>

#include "server/script/vm.h"

#define STRIPPED    2 /* flag: without lines */
#define PROTO_BYTES 4 /* before the numbers */
#define CODE_BYTES  4 /* an instruction */

struct dump {
    const unsigned char *at, *end;
};

static int collect(lua_State *L, const void *p, size_t n, void *buffer)
{
    (void)L;
    luaL_addlstring(buffer, p, n);
    return 0;
}

static uint32_t number(struct dump *d)
{
    uint32_t v = 0;
    for (unsigned shift = 0; d->at < d->end && shift < 35; shift += 7) {
        unsigned char byte = *d->at++;
        if (shift < 32) v |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80) break;
    }
    return v;
}

static bool skip(struct dump *d, size_t n)
{
    if ((size_t)(d->end - d->at) < n) return false;
    d->at += n;
    return true;
}

struct proto {
    const unsigned char *code, *lines;
    uint32_t count, first_line, line_count;
};

/* The next prototype with lines; false: there is none. */
static bool next_proto(struct dump *d, bool stripped, struct proto *p)
{
    uint32_t size = number(d);
    struct dump in = {d->at, d->at + size};
    if (size == 0 || !skip(d, size) || size < PROTO_BYTES) return false;
    unsigned upvalues = in.at[3];
    in.at += PROTO_BYTES;
    number(&in);
    number(&in);
    *p = (struct proto){.count = number(&in)};
    uint32_t debug = stripped ? 0 : number(&in);
    if (debug) {
        p->first_line = number(&in);
        p->line_count = number(&in);
    }
    p->code = in.at;
    if ((size_t)(in.end - in.at) < (size_t)p->count * CODE_BYTES + upvalues * 2 + debug) return false;
    unsigned wide = p->line_count < 256 ? 1 : p->line_count < 65536 ? 2 : 4;
    if (debug && debug >= (size_t)p->count * wide) p->lines = in.end - debug;
    return true;
}

static int line_of(const struct proto *p, uint32_t i)
{
    if (!p->lines) return 0;
    uint32_t delta = p->line_count < 256     ? p->lines[i]
                     : p->line_count < 65536 ? load_u16((const char *)p->lines + 2 * i)
                                             : load_u32((const char *)p->lines + 4 * i);
    return (int)(p->first_line + delta);
}

static bool begin(struct dump *d, bool *stripped)
{
    if (!skip(d, 4)) return false;
    uint32_t flags = number(d);
    *stripped = flags & STRIPPED;
    return *stripped || skip(d, number(d));
}

/* Pushes the text of the function on the top. */
static struct dump push_dump(lua_State *L)
{
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer); /* it may put things on the stack above the function */
    struct dump d = {NULL, NULL};
    lua_pushvalue(L, -1);
    if (lua_dump(L, collect, &buffer) != 0) {
        lua_pushliteral(L, "");
        return d;
    }
    luaL_pushresult(&buffer);
    size_t n;
    d.at = (const unsigned char *)lua_tolstring(L, -1, &n);
    d.end = d.at + n;
    return d;
}

static unsigned char last_code(lua_State *L, const char *source)
{
    unsigned char code = 0;
    struct proto p;
    bool stripped;
    if (luaL_loadstring(L, source) != 0) return 0;
    struct dump d = push_dump(L);
    if (begin(&d, &stripped) && next_proto(&d, stripped, &p) && p.count) code = p.code[(p.count - 1) * CODE_BYTES];
    return code;
}

void script_tails_open(struct script_vm *vm, lua_State *L)
{
    int top = lua_gettop(L);
    vm->tail_codes[0] = last_code(L, "return f()");
    vm->tail_codes[1] = last_code(L, "return f(...)");
    lua_settop(L, top);
}

int script_tail_line(const struct script_vm *vm, lua_State *L)
{
    int top = lua_gettop(L), line = 0;
    bool stripped;
    struct dump d = push_dump(L);
    if (d.at && begin(&d, &stripped))
        for (struct proto p; next_proto(&d, stripped, &p);)
            for (uint32_t i = 0; i < p.count; i++) {
                unsigned char code = p.code[i * CODE_BYTES];
                if (code != vm->tail_codes[0] && code != vm->tail_codes[1]) continue;
                int at = line_of(&p, i);
                if (at > line) line = at;
            }
    lua_settop(L, top);
    return line;
}

#endif
