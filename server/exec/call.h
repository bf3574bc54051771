/* SPDX-License-Identifier: MIT
 *
 * One command in execution: what every handler is given. A handler checks everything first, replies with exactly one
 * reply (or blocks), and changes keys through server/db/db.h only. Arguments are views of the receive buffer: valid
 * until the handler returns, and what must live longer is copied.
 */
#ifndef SERVER_CALL_H
#define SERVER_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "server/command/command.h"
#include "server/db/key_ref.h"
#include "server/resp/reply.h"

struct server;
struct worker;
struct client;
struct session;
struct request;
struct db;
struct entry;
struct config;

struct call {
    struct server *srv;       /* shared by all cores */
    struct worker *w;         /* this core's */
    struct session *session;  /* who asks; NULL: the server itself (cron) */
    struct client *client;    /* its connection; NULL: it has none */
    const struct config *cfg; /* good until the handler returns or has run a command */
    struct db *db;            /* the selected database */
    const struct command *cmd;
    const struct bytes *argv; /* argv[0] is the command's name; subcommands at argv[1] */
    int argc;
    struct reply *out;          /* where the reply goes */
    int64_t now_ms;             /* wall clock, the same during one command (one EXEC, one script) */
    const struct key_ref *keys; /* those it names (server/exec/request.h); handlers ask call_key() */
    int key_count, key_at;
    uint64_t held;      /* slices this command holds, one bit each (debug builds check) */
    int64_t dirty;      /* changes made so far */
    bool in_exec;       /* runs inside EXEC */
    bool deny_blocking; /* MULTI, scripts: blocking commands answer at once */
    bool no_touch;      /* CLIENT NO-TOUCH: reading leaves an entry's idle time as it is */
    bool unblocking;    /* runs again because a key it waits for is ready */
    bool blocked;       /* set by call_block(): no reply was given */
    bool failed;        /* set by the error replies below */
#ifdef DEMI_DEBUG
    unsigned befores; /* changes announced (server/db/keyspace.h) */
#endif
    bool effects_given; /* effect_*() was called: argv itself is not propagated */
};

/* --- keys --------------------------------------------------------------------------------------------------------- */

/* Out of line: a key that is not the request's first, or that no specification named. */
const struct key_ref *call_key_find(struct call *c, int arg);
/* The key at argv[arg], as the request found it. Good until the handler returns; one that no specification named, until
 * CALL_KEYS_LATE more of those were asked for. */
#define CALL_KEYS_LATE 8
static inline const struct key_ref *call_key(struct call *c, int arg)
{
    if (likely(c->key_count != 0) && likely(c->keys->arg == arg)) return c->keys;
    return call_key_find(c, arg);
}
/* The same for a loop over many keys, in the order of the request: the next ones are fetched from memory ahead, so that
 * their cache misses overlap. *until is 0 at the loop's start. */
const struct key_ref *call_key_ahead(struct call *c, size_t *until, int arg);

/* --- argument helpers: reply with the error and return false ----------------------------------------------- */

/* "ERR value is not an integer or out of range" */
bool call_int(struct call *c, struct bytes arg, int64_t *out);
/* err NULL: the same text */
bool call_int_range(struct call *c, struct bytes arg, int64_t min, int64_t max, int64_t *out, const char *err);
/* >= 0; NULL: "ERR value is out of range, must be positive" */
bool call_positive(struct call *c, struct bytes arg, int64_t *out, const char *err);
/* NULL: "ERR value is not a valid float"; NaN refused */
bool call_double(struct call *c, struct bytes arg, double *out, const char *err);
bool call_long_double(struct call *c, struct bytes arg, long double *out);
/* Seconds. "ERR timeout is not a float or out of range" / "ERR timeout is negative"; 0: forever. *deadline_ms
 * absolute, 0: none. */
bool call_timeout(struct call *c, struct bytes arg, int64_t *deadline_ms);
/* The same in whole milliseconds: "ERR timeout is not an integer or out of range". */
bool call_timeout_ms(struct call *c, struct bytes arg, int64_t *deadline_ms);

/* --- replies ------------------------------------------------------------------------------------------------- */

/* An error: text with its code, "ERR syntax error", no trailing newline. Sets c->failed, counts in errorstats. */
void call_error(struct call *c, const char *text);
void call_errorf(struct call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void call_syntax_error(struct call *c); /* "ERR syntax error" */
/* The refusal of what the command's row says is lacking; the first of each kind is a line of the log. */
void call_lacks_error(struct call *c, const char *text);
void call_arity_error(struct call *c); /* "ERR wrong number of arguments for 'x' command" */
/* "ERR Unknown subcommand or wrong number of arguments for 'x'. Try X HELP." as 7.0.15 words it */
void call_unknown_sub(struct call *c);
/* Replies WRONGTYPE and returns true when e (not NULL) has another type. */
bool call_wrong_type(struct call *c, const struct entry *e, int type);
/* Replies with the HELP text: lines end with NULL; the standard head and tail are added as Redis does. */
void call_help(struct call *c, const char *const *lines);

/* The reply has outgrown the client's hard limit, which will be closed, or nobody wants it: a long loop may stop in the
 * middle of its reply. */
static inline bool call_output_over(const struct call *c) { return c->out->over; }

/* What was written to `text` as one verbatim string; text is freed. */
void call_text(struct call *c, struct reply *text);

static inline void call_ok(struct call *c) { reply_status(c->out, "OK"); }
static inline void call_bulk(struct call *c, struct bytes b) { reply_bulk(c->out, b); }
static inline void call_integer(struct call *c, int64_t v) { reply_int(c->out, v); }

/* --- effects: what AOF, replicas and their kin are told ------------------------------------------------------ */

/* By default a command that left c->dirty > 0 is propagated as it came. A handler whose effect is not its text
 * (SPOP, EXPIRE, INCRBYFLOAT, BLPOP …) says what to propagate instead, as often as needed, in order. n arguments,
 * command name first. */
void effect_as(struct call *c, int n, const struct bytes *argv);
void effect_deleted(struct call *c, struct bytes key, bool lazy); /* DEL, or UNLINK */
void effect_none(struct call *c);         /* changed keys, but nothing is to be propagated for it */
bool effect_wanted(const struct call *c); /* somebody listens: otherwise do not bother to build arguments */

/* --- blocking -------------------------------------------------------------------------------------------------- */

enum block_until {
    BLOCK_FOR_VALUE,  /* until a key has a value of the type */
    BLOCK_UNTIL_GONE, /* also until one is no more, or of another type (XREADGROUP) */
};
/* Suspends the client until one of the keys from argv[first_key] on gets a value of `type` or the deadline passes (0:
 * never). When a key becomes ready the whole command runs again with c->unblocking set, oldest client first; if it then
 * calls call_block() again the client keeps its place. On a timeout a null array is sent. With c->deny_blocking it is
 * sent at once. keys are copied. */
void call_block(struct call *c, int first_key, int count, int type, int64_t deadline_ms, enum block_until until);

/* Suspends the client until answer() has replied, which is asked whenever the log has come further; or the deadline has
 * passed, when it has to (`last`). Errors are replied by reply_error(). The client may not be one that cannot wait. */
typedef bool block_answer(struct client *cl, const struct request *r, struct reply *out, bool last);
void call_block_on_log(struct call *c, int64_t deadline_ms, block_answer *answer);

/* Random numbers for commands (SRANDMEMBER …): the worker's generator. */
uint64_t call_random(struct call *c);

#endif
