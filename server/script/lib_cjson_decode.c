/* SPDX-License-Identifier: MIT
 *
 * JSON to values, one token at a time. What Redis's parser takes beyond JSON is taken here: NaN, inf, hexadecimal,
 * leading zeros and a plus sign (unless decode_invalid_numbers is off), and any byte but zero inside strings. null is a
 * light userdata of NULL. A zero byte ends the text wherever a token may begin.
 *
 * A text of Lua ends with a zero byte that does not count: looking at the byte behind the last one is always allowed.
 */
#include "server/script/lib_cjson.h"

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/script/limits.h"
#include "server/script/number.h"
#include "server/script/text.h"

enum token_type {
    TOKEN_OBJECT_BEGIN,
    TOKEN_OBJECT_END,
    TOKEN_ARRAY_BEGIN,
    TOKEN_ARRAY_END,
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_BOOLEAN,
    TOKEN_NULL,
    TOKEN_COLON,
    TOKEN_COMMA,
    TOKEN_END,
    TOKEN_ERROR
};

static const char *const token_names[] = {"T_OBJ_BEGIN", "T_OBJ_END", "T_ARR_BEGIN", "T_ARR_END",
                                          "T_STRING",    "T_NUMBER",  "T_BOOLEAN",   "T_NULL",
                                          "T_COLON",     "T_COMMA",   "T_END"};

struct token {
    enum token_type type;
    size_t at; /* where it begins */
    bool truth;
    double number;
    const char *why; /* of an error */
};

struct decoder {
    const struct cjson_settings *set;
    const char *begin, *p;
    struct script_text string; /* the last token's, unescaped */
    uint32_t steps;
};

static void raise_unexpected(lua_State *L, const char *wanted, const struct token *t)
{
    luaL_error(L, "Expected %s but found %s at character %d", wanted,
               t->type == TOKEN_ERROR ? t->why : token_names[t->type], (int)t->at + 1);
}

static struct token error_at(const struct decoder *d, const char *why)
{
    return (struct token){.type = TOKEN_ERROR, .at = (size_t)(d->p - d->begin), .why = why};
}

/* --- strings ------------------------------------------------------------------------------------------------------ */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four of them, or -1. They end where the text does: its zero is none. */
static int32_t hex4(const char *p)
{
    int32_t v = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0) return -1;
        v = v << 4 | digit;
    }
    return v;
}

static void put_utf8(struct script_text *t, uint32_t c)
{
    if (c < 0x80) {
        script_text_byte(t, (char)c);
        return;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char heads[] = {0, 0xc0, 0xe0, 0xf0};
    script_text_byte(t, (char)(heads[more] | c >> (6 * more)));
    while (more--) script_text_byte(t, (char)(0x80 | (c >> (6 * more) & 0x3f)));
}

/* "\uXXXX", or two of them that are one character; false: it is none, and d->p has not moved. */
static bool take_unicode(struct decoder *d)
{
    int32_t c = hex4(d->p + 2);
    size_t n = 6;
    if (c < 0) return false;
    if ((c & 0xf800) == 0xd800) {
        if (c & 0x400 || d->p[6] != '\\' || d->p[7] != 'u') return false;
        int32_t low = hex4(d->p + 8);
        if (low < 0 || (low & 0xfc00) != 0xdc00) return false;
        c = 0x10000 + ((c & 0x3ff) << 10) + (low & 0x3ff);
        n = 12;
    }
    put_utf8(&d->string, (uint32_t)c);
    d->p += n;
    return true;
}

/* What a letter behind a backslash stands for; 0: nothing. */
static char unescaped(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/': return c;
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return 0;
    }
}

static struct token string_token(struct decoder *d, size_t at)
{
    d->string.n = 0;
    d->p++;
    for (;;) {
        size_t plain = strcspn(d->p, "\"\\");
        script_text_put(&d->string, d->p, plain);
        d->p += plain;
        if (*d->p == '"') break;
        if (*d->p == 0) return error_at(d, "unexpected end of string");
        if (d->p[1] == 'u') {
            if (!take_unicode(d)) return error_at(d, "invalid unicode escape code");
            continue;
        }
        char c = unescaped(d->p[1]);
        if (!c) return error_at(d, "invalid escape code");
        script_text_byte(&d->string, c);
        d->p += 2;
    }
    d->p++;
    return (struct token){.type = TOKEN_STRING, .at = at};
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* What JSON has no word for: a plus, hexadecimal, leading zeros, infinity, NaN. */
static bool is_invalid_number(const char *p)
{
    if (*p == '+') return true;
    if (*p == '-') p++;
    if (*p == '0') return (p[1] | 32) == 'x' || is_digit(p[1]);
    if (is_digit(*p)) return false;
    return strncasecmp(p, "inf", 3) == 0 || strncasecmp(p, "nan", 3) == 0;
}

/* Up to 15 digits and nothing that goes on: most of what programs write. Returns where it ends, or NULL. */
static const char *small_integer(const char *p, double *v)
{
    bool negative = *p == '-';
    const char *first = p += negative;
    int64_t n = 0;
    while (is_digit(*p) && p - first < 16) n = n * 10 + (*p++ - '0');
    if (p == first || p - first > 15 || *p == '.' || (*p | 32) == 'e' || (*p | 32) == 'x') return NULL;
    *v = negative ? -(double)n : (double)n;
    return p;
}

static struct token number_token(struct decoder *d, size_t at)
{
    struct token t = {.type = TOKEN_NUMBER, .at = at};
    const char *end = small_integer(d->p, &t.number);
    if (!end) {
        char *stop;
        t.number = strtod(d->p, &stop);
        end = stop;
    }
    if (end == d->p) return error_at(d, "invalid number");
    d->p = end;
    return t;
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */

static struct token word_token(struct decoder *d, size_t at, enum token_type type, bool truth, size_t n)
{
    d->p += n;
    return (struct token){.type = type, .at = at, .truth = truth};
}

static struct token next_token(struct decoder *d)
{
    while (*d->p == ' ' || *d->p == '\t' || *d->p == '\n' || *d->p == '\r') d->p++;
    size_t at = (size_t)(d->p - d->begin);
    switch (*d->p) {
    case '{': return word_token(d, at, TOKEN_OBJECT_BEGIN, false, 1);
    case '}': return word_token(d, at, TOKEN_OBJECT_END, false, 1);
    case '[': return word_token(d, at, TOKEN_ARRAY_BEGIN, false, 1);
    case ']': return word_token(d, at, TOKEN_ARRAY_END, false, 1);
    case ',': return word_token(d, at, TOKEN_COMMA, false, 1);
    case ':': return word_token(d, at, TOKEN_COLON, false, 1);
    case 0: return word_token(d, at, TOKEN_END, false, 0);
    case '"': return string_token(d, at);
    default: break;
    }
    bool invalid = is_invalid_number(d->p);
    if (*d->p == '-' || is_digit(*d->p)) {
        if (invalid && d->set->decode_invalid == CJSON_INVALID_OFF) return error_at(d, "invalid number");
        return number_token(d, at);
    }
    if (strncmp(d->p, "true", 4) == 0) return word_token(d, at, TOKEN_BOOLEAN, true, 4);
    if (strncmp(d->p, "false", 5) == 0) return word_token(d, at, TOKEN_BOOLEAN, false, 5);
    if (strncmp(d->p, "null", 4) == 0) return word_token(d, at, TOKEN_NULL, false, 4);
    if (invalid && d->set->decode_invalid != CJSON_INVALID_OFF) return number_token(d, at);
    return error_at(d, "invalid token");
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static void push_token(lua_State *L, struct decoder *d, const struct token *t, int depth);

static void descend(lua_State *L, const struct decoder *d, int depth)
{
    if (depth > d->set->decode_depth_max || !lua_checkstack(L, 4))
        luaL_error(L, "Found too many nested data structures (%d) at character %d", depth, (int)(d->p - d->begin));
    script_limits_stack(L);
}

/* One more value of a list whose end is `end`: the token that begins it; false: the list is over. */
static bool next_of_list(lua_State *L, struct decoder *d, struct token *t, bool is_first, enum token_type end,
                         const char *wanted)
{
    *t = next_token(d);
    script_limits_step(L, &d->steps);
    if (t->type == end) return false;
    if (is_first) return true;
    if (t->type != TOKEN_COMMA) raise_unexpected(L, wanted, t);
    *t = next_token(d);
    return true;
}

static void push_object(lua_State *L, struct decoder *d, int depth)
{
    struct token t;
    descend(L, d, depth);
    lua_newtable(L);
    for (bool first = true; next_of_list(L, d, &t, first, TOKEN_OBJECT_END, "comma or object end"); first = false) {
        if (t.type != TOKEN_STRING) raise_unexpected(L, "object key string", &t);
        script_text_push(&d->string);
        t = next_token(d);
        if (t.type != TOKEN_COLON) raise_unexpected(L, "colon", &t);
        t = next_token(d);
        push_token(L, d, &t, depth);
        lua_rawset(L, -3);
    }
}

static void push_array(lua_State *L, struct decoder *d, int depth)
{
    struct token t;
    int i = 0;
    descend(L, d, depth);
    lua_newtable(L);
    for (bool first = true; next_of_list(L, d, &t, first, TOKEN_ARRAY_END, "comma or array end"); first = false) {
        push_token(L, d, &t, depth);
        lua_rawseti(L, -2, ++i);
    }
}

static void push_token(lua_State *L, struct decoder *d, const struct token *t, int depth)
{
    switch (t->type) {
    case TOKEN_STRING: script_text_push(&d->string); return;
    case TOKEN_NUMBER: script_number_push(L, t->number); return;
    case TOKEN_BOOLEAN: lua_pushboolean(L, t->truth); return;
    case TOKEN_NULL: lua_pushlightuserdata(L, NULL); return;
    case TOKEN_OBJECT_BEGIN: push_object(L, d, depth + 1); return;
    case TOKEN_ARRAY_BEGIN: push_array(L, d, depth + 1); return;
    default: raise_unexpected(L, "value", t);
    }
}

int cjson_decode(lua_State *L)
{
    struct decoder d;
    size_t n;
    luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
    d.begin = d.p = luaL_checklstring(L, 1, &n);
    d.set = lua_touserdata(L, lua_upvalueindex(1));
    d.steps = 0;
    if (n >= 2 && (!d.p[0] || !d.p[1])) luaL_error(L, "JSON parser does not support UTF-16 or UTF-32");
    script_text_init(&d.string, L);
    struct token t = next_token(&d);
    push_token(L, &d, &t, 0);
    t = next_token(&d);
    if (t.type != TOKEN_END) raise_unexpected(L, "the end", &t);
    return 1;
}

#endif
