/* SPDX-License-Identifier: MIT
 *
 * struct 0.2 as Redis ships it: values to bytes and back by a format of one letter each.
 *
 *   < > !n        order of bytes, alignment from here on         b B h H l L T i[n] I[n]   integers (I: unsigned)
 *   f d           floating point                                 s   text that ends with a zero
 *   c[n]          n bytes; c0: all of the text, when read: as many as the number read before, which it takes
 *   x             a byte of nothing                              blanks are skipped
 *
 * An integer that does not fit wraps. A format is read once from its front; a value of n bytes costs n bytes.
 */
#include "server/script/libs.h"

#ifdef SCRIPT_LUA

#include <ctype.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "server/script/limits.h"
#include "server/script/number.h"
#include "server/script/text.h"

#define INTEGER_BYTES_MAX 32
#define ALIGN_MAX         8

struct format {
    const char *at;
    bool big;
    size_t align;
    uint32_t steps;
};

struct item {
    char letter;
    size_t size; /* 0: it depends, or the letter is none of a value */
    size_t pad;  /* bytes before it */
};

static size_t read_size(lua_State *L, struct format *f, size_t without)
{
    if (!isdigit((unsigned char)*f->at)) return without;
    int64_t n = 0;
    for (; isdigit((unsigned char)*f->at); f->at++) {
        n = n * 10 + (*f->at - '0');
        if (n > INT_MAX) luaL_error(L, "integral size overflow");
    }
    return (size_t)n;
}

static size_t size_of(lua_State *L, struct format *f, char letter)
{
    switch (letter) {
    case 'b':
    case 'B':
    case 'x': return 1;
    case 'h':
    case 'H': return sizeof(short);
    case 'l':
    case 'L': return sizeof(long);
    case 'T': return sizeof(size_t);
    case 'f': return sizeof(float);
    case 'd': return sizeof(double);
    case 'c': return read_size(L, f, 1);
    case 'i':
    case 'I': {
        size_t n = read_size(L, f, sizeof(int));
        if (n > INTEGER_BYTES_MAX)
            luaL_error(L, "integral size %d is larger than limit of %d", (int)n, INTEGER_BYTES_MAX);
        return n;
    }
    default: return 0;
    }
}

/* In Redis's words: sizes that are no power of two give odd paddings, too. */
static size_t pad_before(const struct format *f, char letter, size_t size, size_t offset)
{
    if (size == 0 || letter == 'c') return 0;
    if (size > f->align) size = f->align;
    return (size - (offset & (size - 1))) & (size - 1);
}

static struct item next_item(lua_State *L, struct format *f, size_t offset)
{
    struct item item = {.letter = *f->at++};
    item.size = size_of(L, f, item.letter);
    item.pad = pad_before(f, item.letter, item.size, offset);
    script_limits_step(L, &f->steps);
    return item;
}

/* A letter that stands for no value. */
static void read_control(lua_State *L, struct format *f, char letter)
{
    switch (letter) {
    case ' ': return;
    case '>': f->big = true; return;
    case '<': f->big = false; return;
    case '!': {
        size_t n = read_size(L, f, ALIGN_MAX);
        if (n == 0 || (n & (n - 1))) luaL_error(L, "alignment %d is not a power of 2", (int)n);
        f->align = n;
        return;
    }
    default: luaL_argerror(L, 1, lua_pushfstring(L, "invalid format option '%c'", letter));
    }
}

static struct format format_of(lua_State *L) { return (struct format){.at = luaL_checkstring(L, 1), .align = 1}; }

/* --- pack --------------------------------------------------------------------------------------------------------- */

static void put_in_order(struct script_text *t, const void *little, size_t n, bool big)
{
    const char *from = little;
    char *to = script_text_room(t, n);
    for (size_t i = 0; i < n; i++) to[big ? n - 1 - i : i] = from[i];
    t->n += n;
}

static uint64_t wrapped(double d)
{
    if (!(d < 18446744073709551616.0) || d < -9223372036854775808.0) return d == d && d > 0 ? 0 : (uint64_t)1 << 63;
    return d < 0 ? (uint64_t)(int64_t)d : (uint64_t)d;
}

static void put_integer(struct script_text *t, double d, size_t size, bool big)
{
    char little[INTEGER_BYTES_MAX];
    uint64_t v = wrapped(d);
    for (size_t i = 0; i < size; i++) {
        little[i] = (char)v;
        v >>= 8;
    }
    put_in_order(t, little, size, big);
}

static size_t put_string(lua_State *L, struct script_text *t, int arg, struct item item)
{
    size_t n;
    const char *s = luaL_checklstring(L, arg, &n);
    size_t size = item.size ? item.size : n;
    luaL_argcheck(L, n >= size, arg + 1, "string too short");
    script_text_put(t, s, size);
    if (item.letter == 's') script_text_byte(t, 0);
    return size;
}

static int struct_pack(lua_State *L)
{
    struct format f = format_of(L);
    struct script_text t;
    int arg = 2;
    lua_pushnil(L); /* what a missing argument is called */
    script_text_init(&t, L);
    while (*f.at) {
        struct item item = next_item(L, &f, t.n);
        memset(script_text_room(&t, item.pad), 0, item.pad);
        t.n += item.pad;
        switch (item.letter) {
        case 'b':
        case 'B':
        case 'h':
        case 'H':
        case 'l':
        case 'L':
        case 'T':
        case 'i':
        case 'I': put_integer(&t, luaL_checknumber(L, arg++), item.size, f.big); break;
        case 'x': script_text_byte(&t, 0); break;
        case 'f': {
            float v = (float)luaL_checknumber(L, arg++);
            put_in_order(&t, &v, sizeof v, f.big);
            break;
        }
        case 'd': {
            double v = luaL_checknumber(L, arg++);
            put_in_order(&t, &v, sizeof v, f.big);
            break;
        }
        case 'c':
        case 's': put_string(L, &t, arg++, item); break;
        default: read_control(L, &f, item.letter);
        }
    }
    script_text_push(&t);
    return 1;
}

/* --- unpack ------------------------------------------------------------------------------------------------------- */

static double integer_at(const char *p, size_t size, bool is_signed, bool big)
{
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++) v = v << 8 | (unsigned char)p[big ? i : size - 1 - i];
    if (!is_signed) return (double)v;
    unsigned sign = size == 0 || size >= sizeof v ? 63 : (unsigned)size * 8 - 1;
    if (v >> sign & 1) v |= ~(uint64_t)0 << sign;
    return (double)(int64_t)v;
}

static void bytes_in_order(void *to, const char *p, size_t n, bool big)
{
    for (size_t i = 0; i < n; i++) ((char *)to)[big ? n - 1 - i : i] = p[i];
}

struct packed {
    const char *data;
    size_t size, at;
    int count; /* values on the stack's top */
};

static void check_there(lua_State *L, const struct packed *r, size_t n)
{
    luaL_argcheck(L, n <= r->size && r->at <= r->size - n, 2, "data string too short");
}

/* c0: the number read before is no value but the length. */
static size_t length_before(lua_State *L, struct packed *r)
{
    if (r->count == 0 || !lua_isnumber(L, -1)) luaL_error(L, "format 'c0' needs a previous size");
    double d = lua_tonumber(L, -1);
    lua_pop(L, 1);
    r->count--;
    luaL_argcheck(L, d > -1 && d <= (double)r->size, 2, "data string too short");
    check_there(L, r, (size_t)d);
    return (size_t)d;
}

/* Pushes it; returns its bytes. */
static size_t read_item(lua_State *L, const struct format *f, struct packed *r, struct item item)
{
    const char *p = r->data + r->at;
    switch (item.letter) {
    case 'f': {
        float v;
        bytes_in_order(&v, p, sizeof v, f->big);
        script_number_push(L, (double)v);
        return sizeof v;
    }
    case 'd': {
        double v;
        bytes_in_order(&v, p, sizeof v, f->big);
        script_number_push(L, v);
        return sizeof v;
    }
    case 'c': {
        size_t n = item.size ? item.size : length_before(L, r);
        lua_pushlstring(L, p, n);
        return n;
    }
    case 's': {
        const char *end = memchr(p, 0, r->size - r->at);
        if (!end) luaL_error(L, "unfinished string in data");
        lua_pushlstring(L, p, (size_t)(end - p));
        return (size_t)(end - p) + 1;
    }
    default: lua_pushnumber(L, integer_at(p, item.size, islower((unsigned char)item.letter), f->big)); return item.size;
    }
}

static int struct_unpack(lua_State *L)
{
    struct format f = format_of(L);
    struct packed r = {0};
    r.data = luaL_checklstring(L, 2, &r.size);
    r.at = (size_t)luaL_optinteger(L, 3, 1);
    luaL_argcheck(L, r.at > 0, 3, "offset must be 1 or greater");
    r.at--;
    lua_settop(L, 2);
    while (*f.at) {
        struct item item = next_item(L, &f, r.at);
        r.at += item.pad;
        check_there(L, &r, item.size);
        luaL_checkstack(L, 2, "too many results");
        if (item.letter == 'x') {
            r.at += 1;
        } else if (strchr("bBhHlLTiIfdcs", item.letter)) {
            r.at += read_item(L, &f, &r, item);
            r.count++;
        } else {
            read_control(L, &f, item.letter);
        }
    }
    lua_pushinteger(L, (lua_Integer)r.at + 1);
    return r.count + 1;
}

/* --- size --------------------------------------------------------------------------------------------------------- */

static int struct_size(lua_State *L)
{
    struct format f = format_of(L);
    size_t n = 0;
    while (*f.at) {
        struct item item = next_item(L, &f, n);
        luaL_argcheck(L, item.letter != 's', 1, "option 's' has no fixed size");
        luaL_argcheck(L, item.letter != 'c' || item.size, 1, "option 'c0' has no fixed size");
        if (!isalnum((unsigned char)item.letter)) read_control(L, &f, item.letter);
        n += item.pad + item.size;
    }
    lua_pushinteger(L, (lua_Integer)n);
    return 1;
}

int script_open_struct(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"pack", struct_pack}, {"unpack", struct_unpack}, {"size", struct_size}, {NULL, NULL}};
    lua_createtable(L, 0, 3);
    luaL_setfuncs(L, functions, 0);
    return 1;
}

#endif
