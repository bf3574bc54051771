/* SPDX-License-Identifier: MIT
 *
 * string.format as Lua 5.1 has it over C's printf: decimal digits are C's (LuaJIT rounds ties away from zero), %s and
 * %c end at a zero byte unless a long text has no precision, %s takes texts and numbers only.
 *
 * A conversion is '%', flags, up to two digits of width, a point and two digits, a letter; so one number has at most
 * 309 digits before the point and 99 behind it.
 */
#include "server/script/string_format.h"

#ifdef SCRIPT_LUA

#include <assert.h>
#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "server/ds/number.h"
#include "server/script/limits.h"
#include "server/script/text.h"

#define FLAGS    "-+ #0"
#define ITEM_MAX 512 /* bytes of one conversion of a number */
#define LONG     100 /* bytes of a text from which it is taken as it is */

static_assert(ITEM_MAX > 1 + 309 + 1 + 99 + 1, "a number fits");

struct conversion {
    char text[24]; /* what printf is given */
    size_t n;
    bool has_precision;
};

static_assert(sizeof(((struct conversion *)0)->text) > 1 + sizeof FLAGS - 1 + 2 + 1 + 2 + 1 + 1, "a conversion fits");

static const char *take_digits(struct conversion *c, const char *p)
{
    for (int i = 0; i < 2 && isdigit((unsigned char)*p); i++) c->text[c->n++] = *p++;
    return p;
}

/* From behind the '%' to the letter, which is not taken. */
static const char *read_conversion(lua_State *L, struct conversion *c, const char *p)
{
    size_t flags = strspn(p, FLAGS);
    if (flags >= sizeof FLAGS) luaL_error(L, "invalid format (repeated flags)");
    *c = (struct conversion){.text = "%", .n = 1};
    memcpy(c->text + c->n, p, flags);
    c->n += flags;
    p = take_digits(c, p + flags);
    if (*p == '.') {
        c->has_precision = true;
        c->text[c->n++] = *p++;
        p = take_digits(c, p);
    }
    if (isdigit((unsigned char)*p)) luaL_error(L, "invalid format (width or precision too long)");
    return p;
}

static void end_conversion(struct conversion *c, const char *letters)
{
    size_t n = strlen(letters);
    memcpy(c->text + c->n, letters, n + 1);
}

/* As x86-64 converts: what does not fit is the least integer. */
static int64_t signed_of(double d)
{
    if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0)) return INT64_MIN;
    return (int64_t)d;
}

static uint64_t unsigned_of(double d)
{
    if (d >= 18446744073709551616.0) return 0;
    return d >= 9223372036854775808.0 ? (uint64_t)d : (uint64_t)signed_of(d);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static void put_integer(lua_State *L, struct script_text *t, struct conversion *c, char letter, int arg)
{
    char long_letter[] = {'l', letter, 0};
    double d = luaL_checknumber(L, arg);
    char *to = script_text_room(t, ITEM_MAX);
    end_conversion(c, long_letter);
    int n = letter == 'd' || letter == 'i' ? snprintf(to, ITEM_MAX, c->text, (long)signed_of(d))
                                           : snprintf(to, ITEM_MAX, c->text, (unsigned long)unsigned_of(d));
    t->n += (size_t)n;
}

static void put_float(lua_State *L, struct script_text *t, struct conversion *c, char letter, int arg)
{
    char one_letter[] = {letter, 0};
    double d = luaL_checknumber(L, arg);
    char *to = script_text_room(t, ITEM_MAX);
    end_conversion(c, one_letter);
    t->n += (size_t)snprintf(to, ITEM_MAX, c->text, d);
}

static void put_char(lua_State *L, struct script_text *t, struct conversion *c, int arg)
{
    double d = luaL_checknumber(L, arg);
    char *to = script_text_room(t, ITEM_MAX);
    end_conversion(c, "c");
    snprintf(to, ITEM_MAX, c->text, (int)signed_of(d));
    t->n += strlen(to);
}

static void put_text(lua_State *L, struct script_text *t, struct conversion *c, int arg)
{
    size_t n;
    const char *s = luaL_checklstring(L, arg, &n);
    if (!c->has_precision && n >= LONG) {
        script_text_put(t, s, n);
        return;
    }
    char *to = script_text_room(t, ITEM_MAX); /* of at most 99 bytes, by its length, its precision or its width */
    end_conversion(c, "s");
    t->n += (size_t)snprintf(to, ITEM_MAX, c->text, s);
}

#pragma GCC diagnostic pop

/* As a text of a program. */
static void put_quoted(lua_State *L, struct script_text *t, int arg)
{
    size_t n;
    const char *s = luaL_checklstring(L, arg, &n);
    script_text_byte(t, '"');
    for (size_t i = 0; i < n; i++) {
        switch (s[i]) {
        case '"':
        case '\\':
        case '\n':
            script_text_byte(t, '\\');
            script_text_byte(t, s[i]);
            break;
        case '\r': script_text_put(t, "\\r", 2); break;
        case 0: script_text_put(t, "\\000", 4); break;
        default: script_text_byte(t, s[i]);
        }
    }
    script_text_byte(t, '"');
}

static void put_conversion(lua_State *L, struct script_text *t, struct conversion *c, char letter, int arg)
{
    char shown[2] = {letter, 0};
    switch (letter) {
    case 'd':
    case 'i':
    case 'o':
    case 'u':
    case 'x':
    case 'X': put_integer(L, t, c, letter, arg); return;
    case 'e':
    case 'E':
    case 'f':
    case 'g':
    case 'G': put_float(L, t, c, letter, arg); return;
    case 'c': put_char(L, t, c, arg); return;
    case 'q': put_quoted(L, t, arg); return;
    case 's': put_text(L, t, c, arg); return;
    default: luaL_error(L, "invalid option '%%%s' to 'format'", shown);
    }
}

/* Most conversions are "%d" and "%s" with nothing between, of what needs no printf. */
static bool put_plain(lua_State *L, struct script_text *t, char letter, int arg)
{
    int type = lua_type(L, arg);
    if (letter == 'd' && type == LUA_TNUMBER) {
        t->n += number_format_i64(script_text_room(t, NUMBER_I64_SIZE), signed_of(lua_tonumber(L, arg)));
        return true;
    }
    if (letter != 's' || type != LUA_TSTRING) return false;
    size_t n;
    const char *s = lua_tolstring(L, arg, &n);
    script_text_put(t, s, n < LONG ? strlen(s) : n);
    return true;
}

int string_format(lua_State *L)
{
    size_t n;
    int arg = 1, count = lua_gettop(L);
    uint32_t steps = 0;
    const char *p = luaL_checklstring(L, 1, &n), *end = p + n;
    struct script_text t;
    script_text_init(&t, L);
    while (p < end) {
        const char *mark = memchr(p, '%', (size_t)(end - p));
        size_t plain = (size_t)((mark ? mark : end) - p);
        script_text_put(&t, p, plain);
        p += plain;
        if (!mark) break;
        script_limits_step(L, &steps);
        if (p[1] == '%') {
            script_text_byte(&t, '%');
            p += 2;
            continue;
        }
        struct conversion c;
        if (++arg > count) return luaL_argerror(L, arg, "no value");
        if (put_plain(L, &t, p[1], arg)) {
            p += 2;
            continue;
        }
        p = read_conversion(L, &c, p + 1);
        put_conversion(L, &t, &c, *p, arg);
        p++;
    }
    script_text_push(&t);
    return 1;
}

#endif
