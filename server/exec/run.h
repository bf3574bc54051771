/* SPDX-License-Identifier: MIT
 *
 * Runs a request for a session, without asking whether it may (server/exec/admit.h does): the call of the handler, its
 * statistics, its effects.
 */
#ifndef SERVER_EXEC_RUN_H
#define SERVER_EXEC_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "server/exec/call.h"
#include "server/exec/request.h"
#include "server/exec/session.h"

struct run_how {
    bool in_exec;       /* one of EXEC's queue */
    bool unblocking;    /* again, because a key it waits for is ready */
    bool deny_blocking; /* what would wait answers at once */
    bool replayed;      /* it was counted when it first ran */
    bool in_script;     /* a script has called it */
};

/* False: it blocked, and has given no reply. */
bool run_request(struct session *s, const struct request *r, struct run_how how);
/* The same for a plain command: how is all zero. */
bool run_plain(struct session *s, const struct request *r);

/* And for a script's. */
void run_for_script(struct session *s, const struct request *r);

/* A command that had blocked ended without having run again (its time was up, CLIENT UNBLOCK): it is counted now. */
void run_gave_up(struct session *s, const struct request *r, bool failed);

/* A command over the threshold of the slow log or the latency monitor. */
void run_slow(struct session *s, const struct request *r, uint64_t ticks);
/* After those thresholds or the clock's calibration changed. */
void run_update_slow_ticks(struct worker *w);

/* A call of the server's own (cron, eviction), for verbs that want one. */
struct call run_internal(struct worker *w, struct db *db);

#endif
