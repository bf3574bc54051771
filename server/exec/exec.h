/* SPDX-License-Identifier: MIT
 *
 * A request of a session, from its name to its reply.
 */
#ifndef SERVER_EXEC_EXEC_H
#define SERVER_EXEC_EXEC_H

#include <stddef.h>

#include "server/exec/admit.h"
#include "server/exec/request.h"
#include "server/exec/session.h"

enum exec_verdict {
    EXEC_DONE,    /* replied, refused, queued or blocked: the input is used up */
    EXEC_APPLIED, /* as DONE, and it was a command of the link to our primary */
    EXEC_HOLD,    /* not now (CLIENT PAUSE, a save): the same input again later */
};
/* Looks it up if r->cmd is NULL (then no keys are known either), checks, runs. The reply goes to session_reply(s). */
enum exec_verdict exec_request(struct session *s, const struct request *r);
/* The same from words alone: for who has no batch. */
enum exec_verdict exec_argv(struct session *s, const struct bytes *argv, int argc);

/* A command of a script, whose session s is: checked as such (admit.h), run, replied to by s->out. r->cmd NULL: there
 * is none of this name. over_memory: the script began over maxmemory. False: it was refused, and the reply says why. */
bool exec_for_script(struct session *s, const struct request *r, bool over_memory);
/* Over maxmemory, and nothing can be evicted. */
bool exec_over_memory(struct worker *w);
/* It was refused for the rules of its user: ACL LOG, and INFO. Harmless for all other reasons. */
void exec_note_denied(struct session *s, const struct request *r, struct admission a);
/* Somebody gave a wrong password for this user, or there is no such user. */
void exec_note_not_authenticated(struct session *s, struct bytes user, struct bytes command);
/* Asked again when EXEC comes to it, since rules may have changed; false: the error has been replied. */
bool exec_permits_queued(struct session *s, const struct request *r);
/* The same before a command that has waited runs again. */
bool exec_permits_again(struct session *s, const struct request *r);
/* Its user's rules allow it. */
bool exec_user_may(const struct session *s, const struct command *cmd, const struct bytes *argv, int argc);

/* Runs it without any check, as it ran before (append-only files). 0; -ENOENT, -EINVAL: no such command, or one that
 * works on a connection: why, in words. */
int exec_replay(struct session *s, const struct bytes *argv, int argc, char *why, size_t size);

/* CLIENT REPLY SKIP swallows the reply of one command: it has ended. A command that blocks ends when it is served. */
void exec_step_reply_skip(struct session *s);

/* Looks the command up, subcommands too; NULL and the error text in err (size bytes) when there is none. */
const struct command *exec_lookup(const struct bytes *argv, int argc, char *err, size_t size);

#endif
