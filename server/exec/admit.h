/* SPDX-License-Identifier: MIT
 *
 * May this session run this request now? Answered from the session, the request and what the server's state means to
 * such questions; nothing is changed and nothing is replied, so that whoever wants to know (a client's command, a
 * queued one, a script's call, a test) asks in the same way. The flags of the command's row drive it.
 *
 * The order of the checks is Redis's, because clients see which error comes first. To the link to our primary
 * (SESSION_PRIMARY) nothing is refused that could be run: what it sends has happened there.
 */
#ifndef SERVER_EXEC_ADMIT_H
#define SERVER_EXEC_ADMIT_H

#include <stdbool.h>
#include <stddef.h>

#include "server/exec/request.h"
#include "server/exec/session.h"

enum admit_pause { ADMIT_PAUSE_NONE, ADMIT_PAUSE_WRITES, ADMIT_PAUSE_ALL };
enum admit_protected { ADMIT_PROTECTED_NO, ADMIT_PROTECTED_LOCAL, ADMIT_PROTECTED_YES };

enum admit_busy { ADMIT_BUSY_NO, ADMIT_BUSY_SCRIPT, ADMIT_BUSY_FUNCTION };

/* The server's state, as the checks see it. */
struct admit_state {
    enum admit_protected debug;  /* enable-debug-command */
    enum admit_protected module; /* enable-module-command */
    enum admit_pause pause;      /* CLIENT PAUSE */
    bool over_memory;            /* over maxmemory, and nothing could be evicted */
    bool disk_error;             /* saving fails, and writes are to be refused for it */
    bool few_replicas;           /* fewer than min-replicas-to-write acknowledge */
    int aof_error;               /* -errno: the log cannot be written, and writes are to be refused for it */
    bool loading;                /* the data are not all there yet */
    bool loading_beside;         /* others are loaded that will replace them */
    bool read_only;              /* a replica, whose data only its primary changes */
    bool stale;                  /* a replica that has lost its primary and is not to serve what it has */
    bool replaying;              /* scripts are a log's, and what they do has happened */
    bool deny_nothing;           /* scripts may run what they may not (DEBUG SET-DISABLE-DENY-SCRIPTS) */
    enum admit_busy busy;        /* a script runs for too long */
    uint32_t flags;              /* enum cmd_flag that the script a command runs is worth; 0: the command's own */
};

enum admit_verdict {
    ADMIT_RUN,
    ADMIT_QUEUE,  /* inside MULTI: keep it for EXEC */
    ADMIT_HOLD,   /* not now: the same request again later */
    ADMIT_REFUSE, /* with the error of the reason */
};

enum admit_reason {
    ADMIT_OK,
    ADMIT_ARITY,
    ADMIT_NO_CLIENT, /* it works on a connection, and there is none */
    ADMIT_DEBUG,
    ADMIT_MODULE,
    ADMIT_NOAUTH,
    ADMIT_NO_MULTI,
    ADMIT_NOPERM_COMMAND, /* the rules of its user (server/acl/) */
    ADMIT_NOPERM_KEY,
    ADMIT_NOPERM_CHANNEL,
    ADMIT_OOM,
    ADMIT_DISK_ERROR,
    ADMIT_AOF_ERROR,
    ADMIT_FEW_REPLICAS,
    ADMIT_READ_ONLY,
    ADMIT_SUBSCRIBED,
    ADMIT_STALE,
    ADMIT_LOADING,
    ADMIT_REPLICA,
    ADMIT_SCRIPT_BUSY,
    ADMIT_FUNCTION_BUSY,
    ADMIT_SCRIPT_ARITY, /* these are a script's commands */
    ADMIT_NO_SCRIPT,
    ADMIT_SCRIPT_READ_ONLY,
    ADMIT_SCRIPT_STALE,
    ADMIT_REASONS,
};

struct admission {
    enum admit_verdict verdict;
    enum admit_reason reason; /* ADMIT_OK unless refused */
    int arg;                  /* ADMIT_NOPERM_...: the argument it is about */
};

/* r->cmd is known. */
struct admission admit(const struct session *s, const struct request *r, const struct admit_state *st);

/* The error's text for a reason, with its code and without the '-', into text (size bytes). */
void admit_text(enum admit_reason why, const struct session *s, const struct request *r, const struct admit_state *st,
                char *text, size_t size);

#endif
