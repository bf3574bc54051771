/* SPDX-License-Identifier: MIT
 *
 * A string of a command is skipped where it lies; only a command's name, and of it no more than EXEC and MULTI have, is
 * looked at. The words are redis-check-aof's. Unlike it, a count below one is no command, and a mark without the end of
 * its line is not whole: the server that goes on writing there would make one line of it and of the next command.
 */
#include "server/persist/aof_scan.h"

#include <stdarg.h>
#include <stdio.h>

#include "alloc/base/bytes.h"
#include "server/ds/number.h"

#define DIGITS_MAX 20 /* of a length */
#define WORDS_MAX  INT32_MAX
#define LONGEST    5 /* name that matters: MULTI */

void aof_scan_init(struct aof_scan *s, long (*more)(void *arg, char *buf, size_t size), void *arg, uint64_t start)
{
    memset(s, 0, offsetof(struct aof_scan, window));
    s->lines = 1;
    s->whole = s->past = start;
    s->more = more;
    s->arg = arg;
    s->at = s->end = s->window;
}

static uint64_t offset(const struct aof_scan *s) { return s->past + (uint64_t)(s->at - s->window); }

__attribute__((format(printf, 2, 3))) static bool broken(struct aof_scan *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->why, sizeof s->why, format, args);
    va_end(args);
    return false;
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

/* Is there one? */
static bool at_hand(struct aof_scan *s)
{
    if (s->at < s->end) return true;
    if (s->ended || s->failed) return false;
    s->past += (uint64_t)(s->end - s->window);
    s->at = s->end = s->window;
    long n = s->more(s->arg, s->window, sizeof s->window);
    s->failed = n < 0;
    s->ended = n == 0;
    if (n > 0) s->end += n;
    return n > 0;
}

/* -1: there is none. */
static int peek(struct aof_scan *s) { return at_hand(s) ? (unsigned char)*s->at : -1; }

static int next(struct aof_scan *s) { return at_hand(s) ? (unsigned char)*s->at++ : -1; }

/* The first `room` of n bytes go into out. Returns how many there were. */
static uint64_t take(struct aof_scan *s, uint64_t n, char *out, size_t room)
{
    uint64_t left = n;
    while (left && at_hand(s)) {
        size_t part = (size_t)(s->end - s->at);
        if (part > left) part = (size_t)left;
        uint64_t done = n - left;
        if (done < room) memcpy(out + done, s->at, part < room - done ? part : (size_t)(room - done));
        s->at += part;
        left -= part;
    }
    return n - left;
}

/* --- lines and strings -------------------------------------------------------------------------------------------- */

static bool take_newline(struct aof_scan *s)
{
    int cr = next(s), lf = cr == '\r' ? next(s) : peek(s);
    if (cr == '\r' && lf == '\n') {
        s->lines++;
        return true;
    }
    return broken(s, "Expected \\r\\n, got: %02x%02x", cr < 0 ? 0 : cr, lf < 0 ? 0 : lf);
}

/* "*3\r\n", "$5\r\n": false without words where not a byte of it is there. What no int64_t holds is INT64_MAX. */
static bool take_number(struct aof_scan *s, char prefix, int64_t *v)
{
    s->why_at = offset(s);
    char text[DIGITS_MAX + 1];
    size_t n = 0;
    int c = next(s);
    if (c < 0) return false;
    if (c != prefix)
        return broken(s,
                      c >= ' ' && c <= '~' ? "Expected prefix '%c', got: '%c'" : "Expected prefix '%c', got: '\\x%02x'",
                      prefix, c);
    while (n < sizeof text && ((c = peek(s)) == '-' || (c >= '0' && c <= '9'))) text[n++] = (char)next(s);
    if (n == 0 && peek(s) != '\r') return take_newline(s); /* which says what is there */
    if (!number_parse_i64(bytes_of(text, n), v)) {
        if (n < 19 || text[0] == '-') return broken(s, "Expected a number after '%c'", prefix);
        *v = INT64_MAX;
    }
    return take_newline(s);
}

/* Of its bytes the first `room` are kept; *n of them it has. */
static bool take_string(struct aof_scan *s, char *out, size_t room, uint64_t *n)
{
    int64_t size;
    if (!take_number(s, '$', &size)) return false;
    if (size < 0 || size > INT64_MAX - 2)
        return broken(s, "Expected to read string of %lld bytes, which is not in the suitable range", (long long)size);
    s->why_at = offset(s);
    char end[2];
    *n = take(s, (uint64_t)size, out, room);
    uint64_t got = *n + (*n == (uint64_t)size ? take(s, 2, end, 2) : 0);
    if (got < (uint64_t)size + 2)
        return broken(s, "Expected to read %lld bytes, got %llu bytes", (long long)size + 2, (unsigned long long)got);
    if (end[0] != '\r' || end[1] != '\n')
        return broken(s, "Expected \\r\\n, got: %02x%02x", (unsigned char)end[0], (unsigned char)end[1]);
    s->lines++;
    return true;
}

/* --- records ------------------------------------------------------------------------------------------------------ */

/* A transaction has one beginning and one end. */
static bool take_name(struct aof_scan *s, struct bytes name)
{
    bool begins = bytes_is_word(name, "multi"), ends = bytes_is_word(name, "exec");
    if (begins && s->in_multi) return broken(s, "Unexpected MULTI in AOF");
    if (ends && !s->in_multi) return broken(s, "Unexpected EXEC in AOF");
    s->in_multi = begins || (s->in_multi && !ends);
    return true;
}

static bool take_command(struct aof_scan *s)
{
    uint64_t n;
    int64_t words;
    char name[LONGEST];
    if (!take_number(s, '*', &words)) return false;
    if (words < 1 || words > WORDS_MAX)
        return broken(s, "Expected a command of at least one word, got a count of %lld", (long long)words);
    if (!take_string(s, name, sizeof name, &n)) return false;
    if (n <= sizeof name && !take_name(s, bytes_of(name, (size_t)n))) return false;
    while (--words)
        if (!take_string(s, NULL, 0, &n)) return false;
    return true;
}

static enum aof_scan_end judge_mark(const struct aof_scan *s, struct bytes line)
{
    int64_t at_s;
    if (!s->until_s || line.n < 4 || memcmp(line.p, "#TS:", 4) != 0) return AOF_SCAN_WHOLE;
    struct bytes time = bytes_of(line.p + 4, line.n - 4);
    if (time.n < 2 || time.p[time.n - 2] != '\r' || !number_parse_i64(bytes_of(time.p, time.n - 2), &at_s))
        return AOF_SCAN_BAD_MARK;
    return at_s <= s->until_s ? AOF_SCAN_WHOLE : AOF_SCAN_LATER;
}

static enum aof_scan_end take_mark(struct aof_scan *s)
{
    char line[AOF_SCAN_MARK_MAX];
    s->why_at = offset(s);
    size_t n = 0;
    int c = 0;
    while (c != '\n' && n < sizeof line && (c = next(s)) >= 0) line[n++] = (char)c;
    if (c == '\n') return judge_mark(s, bytes_of(line, n));
    broken(s, c < 0 ? "Reached EOF before the end of an annotation" : "Too long an annotation");
    return AOF_SCAN_BROKEN;
}

static enum aof_scan_end take_record(struct aof_scan *s)
{
    switch (peek(s)) {
    case '#': return take_mark(s);
    case '*': return take_command(s) ? AOF_SCAN_WHOLE : AOF_SCAN_BROKEN;
    default: s->foreign = true; return AOF_SCAN_BROKEN;
    }
}

enum aof_scan_end aof_scan_run(struct aof_scan *s)
{
    enum aof_scan_end end = AOF_SCAN_WHOLE;
    while (end == AOF_SCAN_WHOLE && at_hand(s)) {
        end = take_record(s);
        if (end == AOF_SCAN_WHOLE && !s->in_multi) s->whole = offset(s);
    }
    if (s->failed) return AOF_SCAN_FAILED;
    if (s->ended && s->in_multi && !s->why[0]) {
        broken(s, "Reached EOF before reading EXEC for MULTI");
        return AOF_SCAN_BROKEN;
    }
    return end;
}
