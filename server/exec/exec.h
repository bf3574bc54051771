/* SPDX-License-Identifier: MIT
 *
 * One command of a client: every check before it, the call, its statistics and effects.
 */
#ifndef SERVER_EXEC_EXEC_H
#define SERVER_EXEC_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "server/exec/call.h"
#include "server/exec/request.h"

struct client;
struct command;
struct db;
struct worker;

enum exec_verdict {
    EXEC_DONE, /* replied, queued or blocked: the input is used up */
    EXEC_HOLD, /* not now (CLIENT PAUSE): the same input again later */
};
/* r->cmd NULL: the batch did not find it, and no keys either. */
enum exec_verdict exec_command(struct worker *w, struct client *cl, const struct request *r);
/* Runs it: no checks; statistics, effects, served blockers. For EXEC and served blockers: in_exec, unblocking are
 * set in `how`. */
struct exec_how {
    bool in_exec, unblocking, deny_blocking;
    struct bytes ready_key; /* with unblocking */
};
/* Returns false when it blocked. */
bool exec_call(struct worker *w, struct client *cl, const struct request *r, struct exec_how how);
/* A command over the threshold of the slow log or the latency monitor. */
void exec_slow(struct worker *w, struct client *cl, const struct command *cmd, const struct bytes *argv, int argc,
               uint64_t ticks);
void exec_update_slow_ticks(struct worker *w); /* after those thresholds or the clock's calibration changed */
/* A call of the server's own, without a client (cron): for verbs that want one. */
struct call exec_internal(struct worker *w, struct db *db);
/* Looks the command up, subcommands too; NULL and the error text in err (size bytes) when there is none. */
const struct command *exec_lookup(const struct bytes *argv, int argc, char *err, size_t size);

#endif
