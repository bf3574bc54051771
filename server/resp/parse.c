/* SPDX-License-Identifier: MIT
 *
 * The request parser. Three ways through it:
 *
 *   parse_whole    a multibulk that is all there, below 100 arguments, each below 1000 bytes: nearly every command. Two
 *                  or three compares a header, no division, no libc. Anything unusual, wrong ones included, falls
 *                  through.
 *   parse_args     everything else in multibulk: remembers in struct resp_parser how far it is sound, so that the bytes
 *                  of a command that comes in pieces are looked at once; when the last has come, collect_args() goes
 *                  over the headers a second time to make the slices (no list of offsets is kept meanwhile).
 *   parse_inline   a line.
 *
 * Redis looks for line ends with strchr(), so a NUL hides what is behind it until the line is too long; its test suite
 * relies on that, and so do we (find_eol). The two bytes behind a bulk are not looked at, and the one behind a '\r' is
 * not either. One deviation: a line end behind more than 64 KiB is too late even when all of it arrived at once; with
 * Redis that depends on how the bytes were read.
 */
#include "server/resp/parse.h"

#include <limits.h>

#include "alloc/base/assert.h"
#include "server/ds/number.h"
#include "server/mem.h"

#define LINE_MAX_BYTES  65536 /* PROTO_INLINE_MAX_SIZE */
#define UNAUTH_ARGS_MAX 10
#define UNAUTH_BULK_MAX 16384
#define FAST_ARGS_MAX   99
#define ARGV_CAP_MIN    128
#define ARGV_CAP_KEPT   16384 /* 256 KiB: a batch stops at 4096 arguments, so only a long request needs more */

void argv_vec_init(struct argv_vec *a) { *a = (struct argv_vec){0}; }

void argv_vec_fini(struct argv_vec *a)
{
    mem_free(a->v);
    *a = (struct argv_vec){0};
}

void argv_vec_reset(struct argv_vec *a)
{
    a->used = 0;
    if (unlikely(a->cap > ARGV_CAP_KEPT)) argv_vec_fini(a);
}

void argv_vec_reserve(struct argv_vec *a, size_t more)
{
    if (a->cap - a->used >= more) return;
    size_t cap = a->cap ? a->cap * 2 : ARGV_CAP_MIN;
    if (cap < a->used + more) cap = a->used + more;
    a->v = mem_realloc(a->v, cap * sizeof *a->v);
    a->cap = cap;
}

static void argv_add(struct argv_vec *a, const char *p, size_t n)
{
    if (a->used == a->cap) argv_vec_reserve(a, 1);
    a->v[a->used++] = bytes_of(p, n);
}

static enum resp_result fail(struct resp_request *out, const char *what)
{
    static const char prefix[] = "Protocol error: ";
    size_t n = strlen(what);
    ASSERT(sizeof prefix + n <= sizeof out->error);
    memcpy(out->error, prefix, sizeof prefix - 1);
    memcpy(out->error + sizeof prefix - 1, what, n + 1);
    return RESP_ERROR;
}

/* ---- whole commands ---- */

static inline unsigned digit_at(const char *p) { return (unsigned)(unsigned char)*p - '0'; }

/* "1\r\n" ... "999\r\n" at p, all digits at least 4 bytes from the end. Gives the bytes it took, 0: something else. */
static inline size_t short_number(const char *p, size_t *out)
{
    unsigned a = digit_at(p), b = digit_at(p + 1);
    if (a > 9) return 0;
    if (load_u16(p + 1) == 0x0a0d) {
        *out = a;
        return 3;
    }
    if (b > 9 || a == 0) return 0;
    if (load_u16(p + 2) == 0x0a0d) {
        *out = a * 10 + b;
        return 4;
    }
    unsigned c = digit_at(p + 2);
    if (c > 9 || p[3] != '\r' || p[4] != '\n') return 0;
    *out = a * 100 + b * 10 + c;
    return 5;
}

/* The command at p if it is whole and plain; the bytes it took, 0 otherwise. */
static inline size_t parse_whole(const char *p, size_t n, size_t args_max, struct argv_vec *argv, int32_t *argc)
{
    const char *at = p, *end = p + n;
    size_t args, took;
    if (n < 14 || at[0] != '*' || (took = short_number(at + 1, &args)) == 0) return 0;
    if (args == 0 || args > args_max) return 0;
    at += 1 + took;
    if (argv->cap - argv->used < args) {
        if ((size_t)(end - at) / 6 < args) return 0; /* "$0\r\n\r\n" is the least an argument takes */
        argv_vec_reserve(argv, args);
    }
    struct bytes *v = argv->v + argv->used;
    for (size_t i = 0; i < args; i++) {
        size_t len;
        if (end - at < 6 || at[0] != '$' || (took = short_number(at + 1, &len)) == 0) return 0;
        at += 1 + took;
        if ((size_t)(end - at) < len + 2) return 0;
        v[i] = bytes_of(at, len);
        at += len + 2;
    }
    argv->used += args;
    *argc = (int32_t)args;
    return (size_t)(at - p);
}

/* ---- commands in pieces ---- */

enum eol { EOL_FOUND, EOL_NOT_YET, EOL_TOO_FAR };

/* Looks for `ch` from `at` on, beginning where the last call gave up. */
static enum eol find_eol(struct resp_parser *ps, const char *in, size_t n, char ch, size_t *eol)
{
    size_t from = ps->scanned > ps->at ? ps->scanned : ps->at;
    const char *found = memchr(in + from, ch, n - from);
    size_t to = found ? (size_t)(found - in) : n;
    const char *nul = memchr(in + from, 0, to - from);
    if (nul) {
        found = NULL;
        ps->scanned = (size_t)(nul - in);
    } else {
        ps->scanned = to;
    }
    if ((found ? to : n) - ps->at > LINE_MAX_BYTES) return EOL_TOO_FAR;
    if (!found) return EOL_NOT_YET;
    *eol = to;
    return EOL_FOUND;
}

/* Reads the number of "*12\r\n" or "$12\r\n" at ps->at and moves behind it. */
static enum eol read_count(struct resp_parser *ps, const char *in, size_t n, size_t *digits, size_t *digits_end)
{
    size_t eol;
    enum eol r = find_eol(ps, in, n, '\r', &eol);
    if (r != EOL_FOUND) return r;
    if (eol + 2 > n) return EOL_NOT_YET;
    *digits = ps->at + 1;
    *digits_end = eol > ps->at ? eol : ps->at + 1; /* a '\r' in the type's place */
    ps->at = ps->scanned = eol + 2;
    return EOL_FOUND;
}

static bool parse_digits(const char *in, size_t from, size_t to, int64_t *out)
{
    return number_parse_i64(bytes_of(in + from, to - from), out);
}

/* The "*n" header. ps->args stays 0 for a command without arguments. */
static enum resp_result parse_header(struct resp_parser *ps, const struct resp_limits *limits, const char *in, size_t n,
                                     struct resp_request *out)
{
    size_t from = 0, to = 0;
    int64_t args;
    switch (read_count(ps, in, n, &from, &to)) {
    case EOL_NOT_YET: return RESP_NEED_MORE;
    case EOL_TOO_FAR: return fail(out, "too big mbulk count string");
    case EOL_FOUND: break;
    }
    if (!parse_digits(in, from, to, &args) || args > INT_MAX) return fail(out, "invalid multibulk length");
    if (args > UNAUTH_ARGS_MAX && limits->unauthenticated) return fail(out, "unauthenticated multibulk length");
    ps->args = args > 0 ? (int32_t)args : 0;
    ps->args_done = 0;
    ps->bulk = -1;
    return RESP_COMMAND;
}

static enum resp_result parse_bulk_header(struct resp_parser *ps, const struct resp_limits *limits, const char *in,
                                          size_t n, struct resp_request *out)
{
    size_t from = 0, to = 0, type = ps->at;
    int64_t len;
    switch (read_count(ps, in, n, &from, &to)) {
    case EOL_NOT_YET: return RESP_NEED_MORE;
    case EOL_TOO_FAR: return fail(out, "too big bulk count string");
    case EOL_FOUND: break;
    }
    if (in[type] != '$') {
        char text[] = "expected '$', got '?'";
        text[sizeof text - 3] = in[type];
        return fail(out, text);
    }
    if (!parse_digits(in, from, to, &len) || len < 0 || len > limits->bulk_bytes_max)
        return fail(out, "invalid bulk length");
    if (len > UNAUTH_BULK_MAX && limits->unauthenticated) return fail(out, "unauthenticated bulk length");
    ps->bulk = len;
    return RESP_COMMAND;
}

/* argv NULL: only check and count. */
static enum resp_result parse_args(struct resp_parser *ps, const struct resp_limits *limits, const char *in, size_t n,
                                   struct argv_vec *argv, struct resp_request *out)
{
    while (ps->args_done < ps->args) {
        if (ps->bulk < 0) {
            enum resp_result r = parse_bulk_header(ps, limits, in, n, out);
            if (r != RESP_COMMAND) return r;
        }
        size_t len = (size_t)ps->bulk;
        if (n - ps->at < 2 || n - ps->at - 2 < len) {
            out->want = ps->at + len + 2;
            return RESP_NEED_MORE;
        }
        if (argv) argv_add(argv, in + ps->at, len);
        ps->at += len + 2;
        ps->bulk = -1;
        ps->args_done++;
    }
    return RESP_COMMAND;
}

/* Makes the slices of a command that parse_args() has found sound. */
static void collect_args(const char *in, int32_t args, struct argv_vec *argv)
{
    argv_vec_reserve(argv, (size_t)args);
    const char *p = in;
    while (*p++ != '\r') {
    }
    p++;
    for (int32_t i = 0; i < args; i++) {
        size_t len = 0;
        for (p++; *p != '\r'; p++) len = len * 10 + digit_at(p);
        p += 2;
        argv->v[argv->used++] = bytes_of(p, len);
        p += len + 2;
    }
}

/* ---- inline ---- */

static bool is_space(char ch) { return ch == ' ' || (ch >= '\t' && ch <= '\r'); }
static bool ends_word(char ch) { return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r'; }

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9') return ch - '0';
    ch |= 0x20;
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static char escaped(char ch)
{
    switch (ch) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return ch;
    }
}

/* From behind the opening quote to behind the closing one; NULL: there is none, or something is glued to it. */
static const char *unquote(const char *r, const char *end, char quote, char **to)
{
    char *w = *to;
    for (; r < end; r++) {
        if (*r == quote) {
            if (r + 1 < end && !is_space(r[1])) return NULL;
            *to = w;
            return r + 1;
        }
        if (*r != '\\' || r + 1 == end) {
            *w++ = *r;
        } else if (quote == '\'') {
            if (r[1] == '\'') r++;
            *w++ = *r;
        } else if (r[1] == 'x' && end - r > 3 && hex_digit(r[2]) >= 0 && hex_digit(r[3]) >= 0) {
            *w++ = (char)(hex_digit(r[2]) << 4 | hex_digit(r[3]));
            r += 3;
        } else {
            *w++ = escaped(*++r);
        }
    }
    return NULL;
}

bool resp_split_args(char *line, size_t n, struct argv_vec *argv)
{
    const char *r = line, *end = line + strnlen(line, n);
    for (;;) {
        while (r < end && is_space(*r)) r++;
        if (r == end) return true;
        char *word = line + (r - line), *w = word;
        while (r < end && !ends_word(*r)) {
            char ch = *r++;
            if (ch != '"' && ch != '\'') {
                *w++ = ch;
                continue;
            }
            r = unquote(r, end, ch, &w);
            if (!r) return false;
            break;
        }
        argv_add(argv, word, (size_t)(w - word));
    }
}

static enum resp_result parse_inline(struct resp_parser *ps, char *in, size_t n, struct argv_vec *argv,
                                     struct resp_request *out)
{
    size_t eol;
    switch (find_eol(ps, in, n, '\n', &eol)) {
    case EOL_NOT_YET: return RESP_NEED_MORE;
    case EOL_TOO_FAR: return fail(out, "too big inline request");
    case EOL_FOUND: break;
    }
    size_t len = eol > 0 && in[eol - 1] == '\r' ? eol - 1 : eol;
    if (!resp_split_args(in, len, argv)) return fail(out, "unbalanced quotes in request");
    ps->at = eol + 1;
    return RESP_COMMAND;
}

/* ---- one command or empty one ---- */

/* RESP_COMMAND with no arguments added: an empty command. ps->at tells what was used. */
static enum resp_result parse_one(struct resp_parser *ps, const struct resp_limits *limits, char *in, size_t n,
                                  struct argv_vec *argv, struct resp_request *out)
{
    bool fresh = ps->args == 0;
    if (fresh) {
        if (n == 0) return RESP_NEED_MORE;
        out->is_inline = in[0] != '*';
        if (out->is_inline && limits->multibulk_only) return fail(out, "inline request");
        if (out->is_inline) return parse_inline(ps, in, n, argv, out);
        enum resp_result r = parse_header(ps, limits, in, n, out);
        if (r != RESP_COMMAND || ps->args == 0) return r;
    } else {
        out->is_inline = false; /* an inline command is never resumed inside */
    }
    size_t first = argv->used;
    enum resp_result r = parse_args(ps, limits, in, n, fresh ? argv : NULL, out);
    if (r != RESP_COMMAND) argv->used = first;
    else if (!fresh) collect_args(in, ps->args, argv);
    return r;
}

enum resp_result resp_parse(struct resp_parser *ps, const struct resp_limits *limits, char *in, size_t n,
                            struct argv_vec *argv, struct resp_request *out)
{
    out->first = argv->used;
    if (likely(!resp_parser_is_inside(ps))) {
        size_t args_max = limits->unauthenticated ? UNAUTH_ARGS_MAX : FAST_ARGS_MAX;
        size_t took = parse_whole(in, n, args_max, argv, &out->argc);
        if (likely(took)) {
            out->consumed = took;
            out->is_inline = false;
            return RESP_COMMAND;
        }
    }
    size_t start = 0;
    for (;;) {
        out->want = 0;
        enum resp_result r = parse_one(ps, limits, in + start, n - start, argv, out);
        out->consumed = start;
        if (r == RESP_ERROR) return r;
        if (r == RESP_NEED_MORE) {
            if (out->want == 0) out->want = n - start + 1;
            return r;
        }
        start += ps->at;
        resp_parser_init(ps);
        out->consumed = start;
        out->argc = (int32_t)(argv->used - out->first);
        if (out->argc) return r;
    }
}
