/* SPDX-License-Identifier: MIT
 *
 * Glob matching without recursion. Only the last '*' met can still matter: when what follows it fails, it takes one
 * more byte and what follows is tried again there; an earlier '*' taking more could only move the same search to the
 * right. So the state is two pairs of indexes and the work at most length times length, where a recursive matcher is
 * exponential in stars. Debug builds count the steps.
 *
 * Sets compare bytes as signed, "[a-]" is a range that ends in ']', and nothing but the empty pattern matches an empty
 * string (not even "*"): all three are what Redis does.
 */
#include "server/ds/glob.h"

#include "alloc/base/assert.h"

static signed char fold(char ch, bool nocase)
{
    return (signed char)(nocase && ch >= 'A' && ch <= 'Z' ? ch | 0x20 : ch);
}

/* p[at] is behind '['. Gives the index behind the set. */
static size_t match_set(struct bytes p, size_t at, char ch, bool nocase, bool *matched)
{
    bool inverted = at < p.n && p.p[at] == '^', found = false;
    at += inverted;
    for (; at < p.n && p.p[at] != ']'; at++) {
        if (p.p[at] == '\\' && at + 1 < p.n) {
            at++;
            found |= p.p[at] == ch; /* not folded */
        } else if (at + 2 < p.n && p.p[at + 1] == '-') {
            signed char lo = (signed char)p.p[at], hi = (signed char)p.p[at + 2];
            if (lo > hi) {
                signed char swap = lo;
                lo = hi, hi = swap;
            }
            signed char c = fold(ch, nocase);
            found |= c >= fold(lo, nocase) && c <= fold(hi, nocase);
            at += 2;
        } else {
            found |= fold(p.p[at], nocase) == fold(ch, nocase);
        }
    }
    *matched = found != inverted;
    return at < p.n ? at + 1 : at;
}

/* Matches ch with the pattern's element at `at`, which is not '*'. Gives the index behind the element. */
static size_t match_one(struct bytes p, size_t at, char ch, bool nocase, bool *matched)
{
    switch (p.p[at]) {
    case '?': *matched = true; return at + 1;
    case '[': return match_set(p, at + 1, ch, nocase, matched);
    case '\\':
        if (at + 1 < p.n) at++;
        /* fall through */
    default: *matched = fold(p.p[at], nocase) == fold(ch, nocase); return at + 1;
    }
}

bool glob_match(struct bytes pattern, struct bytes s, bool nocase)
{
    const size_t none = (size_t)-1;
    size_t p = 0, i = 0, behind_star = none, star_end = 0, steps = 0;
    if (s.n == 0) return pattern.n == 0;
    while (i < s.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            while (p < pattern.n && pattern.p[p] == '*') p++, steps++;
            if (p == pattern.n) return true;
            behind_star = p, star_end = i;
            continue;
        }
        bool matched = false;
        size_t at = p;
        if (p < pattern.n) p = match_one(pattern, p, s.p[i], nocase, &matched);
        steps += p > at ? p - at : 1;
        /* From each place in the string where what follows a star may begin, at most the whole pattern. */
        DASSERT(steps <= (pattern.n + 2) * (s.n + 2));
        if (matched) {
            i++;
            continue;
        }
        if (behind_star == none) return false;
        p = behind_star, i = ++star_end;
    }
    while (p < pattern.n && pattern.p[p] == '*') p++;
    (void)steps;
    return p == pattern.n;
}

bool glob_is_literal(struct bytes pattern)
{
    for (size_t i = 0; i < pattern.n; i++) {
        char ch = pattern.p[i];
        if (ch == '*' || ch == '?' || ch == '[' || ch == '\\') return false;
    }
    return true;
}
