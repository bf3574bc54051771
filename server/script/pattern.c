/* SPDX-License-Identifier: MIT
 *
 * A pattern is a row of parts. Parts that can match in one way only are gone through in a loop; where there are several
 * ways (repetitions, captures, which must be undone) the rest of the pattern is tried for each by a call of the
 * matcher in itself. So its depth is the number of such parts, and not the length of the text.
 */
#include "server/script/pattern.h"

#ifdef SCRIPT_LUA

#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "server/script/limits.h"

void pattern_begin(struct pattern_match *m, lua_State *L, const char *text, size_t n)
{
    script_limits_stack(L);
    m->L = L;
    m->text = text;
    m->end = text + n;
    m->steps = 0;
    m->depth = 0;
    m->captures = 0;
}

bool pattern_is_plain(const char *pattern) { return strpbrk(pattern, "^$*+?.([%-") == NULL; }

/* --- one character ------------------------------------------------------------------------------------------------ */

/* Where the set that begins behind '[' ends: behind its ']', which is not the first of its characters. */
static const char *set_end(struct pattern_match *m, const char *p)
{
    const char *first = p += *p == '^';
    while (*p != ']' || p == first) {
        if (*p == 0) luaL_error(m->L, "malformed pattern (missing ']')");
        p += p[0] == '%' && p[1] ? 2 : 1;
    }
    return p + 1;
}

/* Where the description of one character that begins at p ends. */
static const char *single_end(struct pattern_match *m, const char *p)
{
    switch (*p++) {
    case '%':
        if (*p == 0) luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 1;
    case '[': return set_end(m, p);
    default: return p;
    }
}

/* Whether c is of the class a letter names; what is no letter of a class is itself. */
static bool is_of_class(unsigned char c, unsigned char letter)
{
    bool is;
    switch (tolower(letter)) {
    case 'a': is = isalpha(c); break;
    case 'c': is = iscntrl(c); break;
    case 'd': is = isdigit(c); break;
    case 'l': is = islower(c); break;
    case 'p': is = ispunct(c); break;
    case 's': is = isspace(c); break;
    case 'u': is = isupper(c); break;
    case 'w': is = isalnum(c); break;
    case 'x': is = isxdigit(c); break;
    case 'z': is = c == 0; break;
    default: return letter == c;
    }
    return isupper(letter) ? !is : is;
}

/* p is at the '[', last at the ']'. */
static bool is_in_set(unsigned char c, const char *p, const char *last)
{
    bool in = true;
    p++;
    if (*p == '^') {
        in = false;
        p++;
    }
    for (; p < last; p++) {
        if (*p == '%') {
            p++;
            if (is_of_class(c, (unsigned char)*p)) return in;
        } else if (p[1] == '-' && p + 2 < last) {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2]) return in;
            p += 2;
        } else if ((unsigned char)*p == c) {
            return in;
        }
    }
    return !in;
}

static bool is_single(unsigned char c, const char *p, const char *end)
{
    switch (*p) {
    case '.': return true;
    case '%': return is_of_class(c, (unsigned char)p[1]);
    case '[': return is_in_set(c, p, end - 1);
    default: return (unsigned char)*p == c;
    }
}

/* --- captures ----------------------------------------------------------------------------------------------------- */

static const char *try_rest(struct pattern_match *m, const char *s, const char *p);

static const char *open_capture(struct pattern_match *m, const char *s, const char *p, ptrdiff_t what)
{
    int i = m->captures;
    if (i >= PATTERN_CAPTURES_MAX) luaL_error(m->L, "too many captures");
    m->capture[i].p = s;
    m->capture[i].n = what;
    m->captures = i + 1;
    const char *end = try_rest(m, s, p);
    if (!end) m->captures--;
    return end;
}

static const char *close_capture(struct pattern_match *m, const char *s, const char *p)
{
    int i = m->captures - 1;
    while (i >= 0 && m->capture[i].n != PATTERN_OPEN) i--;
    if (i < 0) luaL_error(m->L, "invalid pattern capture");
    m->capture[i].n = s - m->capture[i].p;
    const char *end = try_rest(m, s, p);
    if (!end) m->capture[i].n = PATTERN_OPEN;
    return end;
}

/* "%1": the text of an earlier capture. */
static const char *same_as_capture(struct pattern_match *m, const char *s, unsigned char digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->captures || m->capture[i].n == PATTERN_OPEN) luaL_error(m->L, "invalid capture index");
    size_t n = (size_t)m->capture[i].n;
    if ((size_t)(m->end - s) < n || memcmp(m->capture[i].p, s, n) != 0) return NULL;
    return s + n;
}

/* --- what repeats ------------------------------------------------------------------------------------------------- */

static const char *most_first(struct pattern_match *m, const char *s, const char *p, const char *end)
{
    ptrdiff_t n = 0;
    while (s + n < m->end && is_single((unsigned char)s[n], p, end)) {
        n++;
        script_limits_step(m->L, &m->steps);
    }
    for (; n >= 0; n--) {
        const char *rest = try_rest(m, s + n, end + 1);
        if (rest) return rest;
    }
    return NULL;
}

static const char *fewest_first(struct pattern_match *m, const char *s, const char *p, const char *end)
{
    for (;; s++) {
        const char *rest = try_rest(m, s, end + 1);
        if (rest) return rest;
        if (s >= m->end || !is_single((unsigned char)*s, p, end)) return NULL;
    }
}

/* "%bxy", p at the x. */
static const char *balanced(struct pattern_match *m, const char *s, const char *p)
{
    if (p[0] == 0 || p[1] == 0) luaL_error(m->L, "unbalanced pattern");
    if (s >= m->end || *s != p[0]) return NULL;
    size_t open = 1;
    while (++s < m->end) {
        script_limits_step(m->L, &m->steps);
        if (*s == p[1]) {
            if (--open == 0) return s + 1;
        } else if (*s == p[0]) {
            open++;
        }
    }
    return NULL;
}

/* "%f[set]", p at the '['; end behind the set. */
static bool is_frontier(struct pattern_match *m, const char *s, const char *p, const char *end)
{
    unsigned char before = s == m->text ? 0 : (unsigned char)s[-1];
    return !is_in_set(before, p, end - 1) && is_in_set((unsigned char)*s, p, end - 1);
}

/* --- the matcher -------------------------------------------------------------------------------------------------- */

/* A part that can match in one way only; in *s and *p what comes behind. False: it does not match. */
static bool try_escape(struct pattern_match *m, const char **s, const char **p, bool *was_one)
{
    const char *at = *p, *end;
    *was_one = true;
    switch (at[1]) {
    case 'b':
        *s = balanced(m, *s, at + 2);
        *p = at + 4;
        return *s != NULL;
    case 'f':
        if (at[2] != '[') luaL_error(m->L, "missing '[' after '%%f' in pattern");
        end = single_end(m, at + 2);
        *p = end;
        return is_frontier(m, *s, at + 2, end);
    default:
        if (isdigit((unsigned char)at[1])) {
            *s = same_as_capture(m, *s, (unsigned char)at[1]);
            *p = at + 2;
            return *s != NULL;
        }
        *was_one = false;
        return true;
    }
}

static const char *try_parts(struct pattern_match *m, const char *s, const char *p)
{
    for (;;) {
        bool done;
        script_limits_step(m->L, &m->steps);
        switch (*p) {
        case 0: return s;
        case '(':
            return p[1] == ')' ? open_capture(m, s, p + 2, PATTERN_POSITION) : open_capture(m, s, p + 1, PATTERN_OPEN);
        case ')': return close_capture(m, s, p + 1);
        case '$':
            if (p[1] == 0) return s == m->end ? s : NULL;
            break;
        case '%':
            if (!try_escape(m, &s, &p, &done)) return NULL;
            if (done) continue;
            break;
        default: break;
        }
        const char *end = single_end(m, p);
        bool matches = s < m->end && is_single((unsigned char)*s, p, end);
        switch (*end) {
        case '?':
            if (matches) {
                const char *rest = try_rest(m, s + 1, end + 1);
                if (rest) return rest;
            }
            p = end + 1;
            continue;
        case '*': return most_first(m, s, p, end);
        case '+': return matches ? most_first(m, s + 1, p, end) : NULL;
        case '-': return fewest_first(m, s, p, end);
        default:
            if (!matches) return NULL;
            s++;
            p = end;
        }
    }
}

static const char *try_rest(struct pattern_match *m, const char *s, const char *p)
{
    if (++m->depth > PATTERN_DEPTH_MAX) luaL_error(m->L, "pattern too complex");
    const char *end = try_parts(m, s, p);
    m->depth--;
    return end;
}

const char *pattern_match_at(struct pattern_match *m, const char *at, const char *pattern)
{
    m->captures = 0;
    m->depth = 0;
    return try_rest(m, at, pattern);
}

const char *pattern_find(struct pattern_match *m, const char **at, const char *pattern, bool anchored)
{
    for (;; ++*at) {
        const char *end = pattern_match_at(m, *at, pattern);
        if (end || anchored || *at >= m->end) return end;
    }
}

/* --- what was matched --------------------------------------------------------------------------------------------- */

void pattern_push_capture(struct pattern_match *m, int i, const char *begin, const char *end)
{
    if (i >= m->captures) {
        if (i > 0) luaL_error(m->L, "invalid capture index");
        lua_pushlstring(m->L, begin, (size_t)(end - begin));
        return;
    }
    ptrdiff_t n = m->capture[i].n;
    if (n == PATTERN_OPEN) luaL_error(m->L, "unfinished capture");
    if (n == PATTERN_POSITION) lua_pushinteger(m->L, m->capture[i].p - m->text + 1);
    else lua_pushlstring(m->L, m->capture[i].p, (size_t)n);
}

int pattern_push_captures(struct pattern_match *m, const char *begin, const char *end)
{
    int count = m->captures == 0 && begin ? 1 : m->captures;
    luaL_checkstack(m->L, count, "too many captures");
    for (int i = 0; i < count; i++) pattern_push_capture(m, i, begin, end);
    return count;
}

#endif
