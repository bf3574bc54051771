/* SPDX-License-Identifier: MIT
 *
 * A session: who asks, in which database, under which rules, and where the answer goes. A connection has one in it
 * (struct client); it stands alone wherever commands run for somebody who has no connection: the tests, and whatever
 * replays or scripts commands. What a request meets on its way (server/exec/admit.h, server/exec/run.h) knows sessions
 * and not connections.
 */
#ifndef SERVER_EXEC_SESSION_H
#define SERVER_EXEC_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "alloc/base/assert.h"
#include "server/resp/reply.h"

struct acl_user;
struct client;
struct command;
struct db;
struct multi;
struct worker;

enum session_flag {
    SESSION_MULTI = 1u << 0,         /* between MULTI and EXEC */
    SESSION_DIRTY_EXEC = 1u << 1,    /* a queued command was refused: EXEC aborts */
    SESSION_DIRTY_CAS = 1u << 2,     /* a watched key changed: EXEC replies null */
    SESSION_AUTHENTICATED = 1u << 3, /* may run more than AUTH */
    SESSION_LET_IN = 1u << 12,       /* authenticated for as long as there is no password */
    SESSION_LOCAL = 1u << 4,         /* its peer is on this host: what `local` options ask for */
    SESSION_PUBSUB = 1u << 5,        /* has a subscription */
    SESSION_MONITOR = 1u << 6,       /* is shown what others do */
    SESSION_REPLICA = 1u << 7,       /* gets effects and no replies */
    SESSION_NO_TOUCH = 1u << 8,      /* its look-ups leave the idle time of keys as it is */
    SESSION_TRACKING = 1u << 13,     /* keys that it reads are remembered (server/net/tracking.h) */
    SESSION_REPLY_OFF = 1u << 9,
    SESSION_REPLY_SKIP_NEXT = 1u << 10,
    SESSION_REPLY_SKIP = 1u << 11,
    SESSION_SCRIPT = 1u << 16,        /* of a script: what it may is its caller's and its own affair (admit.h) */
    SESSION_READ_ONLY = 1u << 17,     /* a script that may not write */
    SESSION_ALLOW_OOM = 1u << 18,     /* or may also over maxmemory */
    SESSION_WROTE = 1u << 19,         /* or has written, and is not stopped half way any more */
    SESSION_RESTRICTED = 1u << 21,    /* its user may not do everything */
    SESSION_DEBUGS = 1u << 22,        /* its next EVAL is run in the debugger (SCRIPT DEBUG SYNC) */
    SESSION_DEBUG_REFUSED = 1u << 23, /* or is refused, since it asked for what there is not (SCRIPT DEBUG YES) */
    SESSION_PRIMARY = 1u << 24,       /* the link to our primary: nothing is refused to it, and nothing replied */
    SESSION_REPLY_ANY = SESSION_REPLY_OFF | SESSION_REPLY_SKIP_NEXT | SESSION_REPLY_SKIP,
};

struct session {
    struct worker *w;
    struct db *db; /* the selected one */
    struct client
        *client;         /* whose connection it is; NULL: it has none, so nothing can wait for it or be pushed to it */
    struct reply *out;   /* replies; ->proto is 2 or 3 */
    struct multi *multi; /* server/exec/multi.h; NULL: nothing is queued or watched */
    const struct command *last_cmd;
    uint32_t flags;         /* enum session_flag */
    uint64_t waited_ticks;  /* what a command that waits has used so far: counted when it is done */
    struct session *caller; /* of a script: whose command runs it; else NULL */
    struct acl_user *user;  /* as whom it runs; NULL: as nobody, whom nothing is refused (a log, the server itself) */
};

/* A session without a connection: authenticated, local, in database 0. out is the caller's, and initialised. */
void session_init(struct session *s, struct worker *w, struct reply *out);
/* It runs as u from now on; again when u's rules have changed. */
void session_set_user(struct session *s, struct acl_user *u);
/* Drops its transaction and what it watches. */
void session_fini(struct session *s);

/* Whom its commands are counted for: its client, or that of whoever called the script; NULL: nobody is connected. */
static inline struct client *session_origin(const struct session *s)
{
    return s->caller ? s->caller->client : s->client;
}

/* What it asks was asked of our primary first, and has happened there: nothing of it is refused, and no time has come
 * that has not come there. Of a script: what its caller is. */
static inline bool session_is_primary(const struct session *s)
{
    return ((s->caller ? s->caller : s)->flags & SESSION_PRIMARY) != 0;
}

struct reply *session_nowhere(struct session *s);
/* Where the reply to its command goes: s->out, or nowhere while CLIENT REPLY says so. */
static inline struct reply *session_reply(struct session *s)
{
    if (likely(!(s->flags & (SESSION_REPLY_OFF | SESSION_REPLY_SKIP | SESSION_REPLICA | SESSION_PRIMARY))))
        return s->out;
    return session_nowhere(s);
}

#endif
