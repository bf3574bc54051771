/* SPDX-License-Identifier: MIT
 *
 * What handlers use of server/exec/call.h: arguments, error replies.
 */
#include "server/exec/call.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "server/db/db.h"
#include "server/ds/number.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/server.h"
#include "server/worker.h"

void call_error(struct call *c, const char *text)
{
    c->failed = true;
    reply_errorf(c->out, "-%s", text);
}

void call_errorf(struct call *c, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    call_error(c, text);
}

void call_syntax_error(struct call *c) { call_error(c, "ERR syntax error"); }

void call_lacks_error(struct call *c, const char *text)
{
    uint32_t bit = UINT32_C(1) << c->cmd->lacks;
    ASSERT(c->cmd->lacks != LACKS_NOTHING);
    if (!(atomic_fetch_or(&c->srv->lacks_told, bit) & bit))
        server_log(c->srv, LOG_WARNING_LEVEL,
                   "A client was refused '%s', which needs what demikv has not (README.md, What is missing). Further "
                   "refusals of its kind are not logged.",
                   c->cmd->full_name);
    call_error(c, text);
}

void call_arity_error(struct call *c)
{
    call_errorf(c, "ERR wrong number of arguments for '%s' command", c->cmd->full_name);
}

void call_unknown_sub(struct call *c)
{
    char upper[64];
    struct bytes name = c->argv[0];
    size_t n = name.n < sizeof upper - 1 ? name.n : sizeof upper - 1;
    for (size_t i = 0; i < n; i++) {
        char ch = name.p[i];
        upper[i] = ch >= 'a' && ch <= 'z' ? (char)(ch - 32) : ch;
    }
    upper[n] = 0;
    struct bytes sub = c->argc > 1 ? c->argv[1] : name;
    call_errorf(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
                (int)(sub.n < 128 ? sub.n : 128), sub.p, upper);
}

bool call_wrong_type(struct call *c, const struct entry *e, int type)
{
    if (likely(e->type == (unsigned)type)) return false;
    call_error(c, "WRONGTYPE Operation against a key holding the wrong kind of value");
    return true;
}

void call_help(struct call *c, const char *const *lines)
{
    int count = 0;
    while (lines[count]) count++;
    char name[64];
    struct bytes arg = c->argv[0];
    size_t n = arg.n < sizeof name - 1 ? arg.n : sizeof name - 1;
    for (size_t i = 0; i < n; i++) {
        char ch = arg.p[i];
        name[i] = ch >= 'a' && ch <= 'z' ? (char)(ch - 32) : ch;
    }
    name[n] = 0;
    char head[160];
    snprintf(head, sizeof head, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    reply_array(c->out, (size_t)count + 3);
    reply_status(c->out, head);
    for (int i = 0; i < count; i++) reply_status(c->out, lines[i]);
    reply_status(c->out, "HELP");
    reply_status(c->out, "    Print this help.");
}

void call_text(struct call *c, struct reply *text)
{
    size_t n = reply_bytes(text);
    char *flat = mem_alloc(n + 1);
    reply_copy_out(text, flat);
    reply_verbatim(c->out, bytes_of(flat, n), "txt");
    mem_free(flat);
    reply_fini(text);
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

/* A loop asks for one after the other: the search begins behind the last that was found. */
const struct key_ref *call_key_find(struct call *c, int arg)
{
    for (int n = c->key_count; n > 0; n--) {
        if (c->key_at >= c->key_count) c->key_at = 0;
        const struct key_ref *k = &c->keys[c->key_at++];
        if (k->arg == arg) return k;
    }
    struct key_ref *late = &c->w->late_keys[c->w->late_at++ % CALL_KEYS_LATE];
    *late = key_ref_of(c->db, c->argv[arg]);
    late->arg = arg;
    return late;
}

const struct key_ref *call_key_ahead(struct call *c, size_t *until, int arg)
{
    const struct key_ref *k = call_key_find(c, arg);
    size_t i = ((uintptr_t)k - (uintptr_t)c->keys) / sizeof *k;
    if (i >= (size_t)c->key_count) return k; /* one of late_keys, or of no keys at all */
    if (i >= *until) *until = db_fetch_ahead(c, i);
    return k;
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

bool call_int(struct call *c, struct bytes arg, int64_t *out)
{
    if (likely(number_parse_i64(arg, out))) return true;
    call_error(c, "ERR value is not an integer or out of range");
    return false;
}

bool call_int_range(struct call *c, struct bytes arg, int64_t min, int64_t max, int64_t *out, const char *err)
{
    int64_t v;
    if (number_parse_i64(arg, &v) && v >= min && v <= max) {
        *out = v;
        return true;
    }
    call_error(c, err ? err : "ERR value is not an integer or out of range");
    return false;
}

bool call_positive(struct call *c, struct bytes arg, int64_t *out, const char *err)
{
    return call_int_range(c, arg, 0, INT64_MAX, out, err ? err : "ERR value is out of range, must be positive");
}

bool call_double(struct call *c, struct bytes arg, double *out, const char *err)
{
    if (number_parse_double(arg, out)) return true;
    call_error(c, err ? err : "ERR value is not a valid float");
    return false;
}

bool call_long_double(struct call *c, struct bytes arg, long double *out)
{
    if (number_parse_ldouble(arg, out)) return true;
    call_error(c, "ERR value is not a valid float");
    return false;
}

static bool deadline_in(struct call *c, long double ms, int64_t *deadline_ms)
{
    if (ms < 0) {
        call_error(c, "ERR timeout is negative");
        return false;
    }
    if (ms >= 0x1p63L || (int64_t)ms > INT64_MAX - c->now_ms) {
        call_error(c, "ERR timeout is out of range");
        return false;
    }
    int64_t whole = (int64_t)ms;
    *deadline_ms = whole ? c->now_ms + whole : 0;
    return true;
}

bool call_timeout(struct call *c, struct bytes arg, int64_t *deadline_ms)
{
    long double seconds;
    if (!number_parse_ldouble(arg, &seconds)) {
        call_error(c, "ERR timeout is not a float or out of range");
        return false;
    }
    return deadline_in(c, ceill(seconds * 1000), deadline_ms);
}

bool call_timeout_ms(struct call *c, struct bytes arg, int64_t *deadline_ms)
{
    int64_t ms;
    return call_int_range(c, arg, INT64_MIN, INT64_MAX, &ms, "ERR timeout is not an integer or out of range") &&
           deadline_in(c, ms, deadline_ms);
}

uint64_t call_random(struct call *c) { return rng_u64(&c->w->rng); }
