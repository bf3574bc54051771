/* SPDX-License-Identifier: MIT
 *
 * Patterns of Lua 5.1: what string.find, match, gmatch and gsub look for. A pattern ends at its first zero byte, as
 * there. One that tries everything asks now and then whether the script goes on (limits.h), and one whose parts nest
 * too deep is refused.
 */
#ifndef SERVER_SCRIPT_PATTERN_H
#define SERVER_SCRIPT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lua_State;

#define PATTERN_CAPTURES_MAX 32
#define PATTERN_DEPTH_MAX    400 /* of the matcher in itself: parts of a pattern that may match in several ways */

struct pattern_match {
    struct lua_State *L;
    const char *text, *end;
    uint32_t steps;
    int depth;
    int captures; /* how many there are */
    struct {
        const char *p;
        ptrdiff_t n; /* or one of the two below */
    } capture[PATTERN_CAPTURES_MAX];
};

#define PATTERN_OPEN     (-1) /* a capture that has not ended */
#define PATTERN_POSITION (-2)

void pattern_begin(struct pattern_match *m, struct lua_State *L, const char *text, size_t n);
/* Where a match of the pattern that begins at `at` ends; NULL: there is none. Errors of the pattern are raised. */
const char *pattern_match_at(struct pattern_match *m, const char *at, const char *pattern);
/* The first match at or behind `at`, which becomes where it begins; an anchored pattern is tried there only. */
const char *pattern_find(struct pattern_match *m, const char **at, const char *pattern, bool anchored);
/* Pushes capture i, counted from 0; if the pattern has none, 0 is the whole match from begin to end. */
void pattern_push_capture(struct pattern_match *m, int i, const char *begin, const char *end);
/* Pushes all of them, or the whole match if there are none and begin is not NULL; returns how many. */
int pattern_push_captures(struct pattern_match *m, const char *begin, const char *end);
/* Whether a text has no character that means something in a pattern. */
bool pattern_is_plain(const char *pattern);

#endif
