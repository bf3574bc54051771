/* SPDX-License-Identifier: MIT
 *
 * Scores are read as strtod() reads a C string, since Redis does: leading spaces, an empty string (0), values beyond
 * the largest double (infinity) and what follows a NUL byte are let through.
 */
#include "server/cmd/zset_bounds.h"

#include <math.h>
#include <stdlib.h>

#include "server/ds/number.h"
#include "server/mem.h"

#define TEXT_ON_STACK 128

static bool parse_number(struct bytes s, double *out)
{
    if (likely(number_parse_double(s, out))) return true;
    char on_stack[TEXT_ON_STACK];
    char *text = s.n < sizeof on_stack ? on_stack : mem_alloc(s.n + 1), *end;
    if (s.n) memcpy(text, s.p, s.n);
    text[s.n] = 0;
    *out = strtod(text, &end);
    bool ok = *end == 0 && !isnan(*out);
    if (text != on_stack) mem_free(text);
    return ok;
}

static bool parse_score(struct bytes s, double *out, bool *exclusive)
{
    *exclusive = s.n && s.p[0] == '(';
    return parse_number(*exclusive ? bytes_of(s.p + 1, s.n - 1) : s, out);
}

bool zset_score_bounds(struct call *c, struct bytes min, struct bytes max, struct ztree_score_range *out)
{
    if (parse_score(min, &out->min, &out->min_exclusive) && parse_score(max, &out->max, &out->max_exclusive))
        return true;
    call_error(c, "ERR min or max is not a float");
    return false;
}

static bool parse_lex(struct bytes s, enum ztree_lex *kind, struct bytes *out)
{
    if (!s.n) return false;
    *out = bytes_of(s.p + 1, s.n - 1);
    switch (s.p[0]) {
    case '-': *kind = ZTREE_LEX_LOWEST; return s.n == 1 || !s.p[1];
    case '+': *kind = ZTREE_LEX_HIGHEST; return s.n == 1 || !s.p[1];
    case '[': *kind = ZTREE_LEX_INCLUSIVE; return true;
    case '(': *kind = ZTREE_LEX_EXCLUSIVE; return true;
    default: return false;
    }
}

bool zset_lex_bounds(struct call *c, struct bytes min, struct bytes max, struct ztree_lex_range *out)
{
    if (parse_lex(min, &out->min_kind, &out->min) && parse_lex(max, &out->max_kind, &out->max)) return true;
    call_error(c, "ERR min or max not valid string range item");
    return false;
}
