/* SPDX-License-Identifier: MIT
 *
 * FAILOVER: the primary and a replica change places, and nothing that was acknowledged is lost. Writes are held, so
 * that the history stands still, until a replica has all of it; that one is asked to take over (PSYNC ... FAILOVER),
 * and the primary follows it.
 *
 *     NONE --FAILOVER--> WAITS --a replica has everything, or the time is up and it is forced--> ASKS
 *       ^                  |                                                                      |
 *       '--ABORT, time up--'------------------------- it has taken over, or refuses, ABORT -------'
 */
#ifndef SERVER_REPL_FAILOVER_H
#define SERVER_REPL_FAILOVER_H

#include <stdbool.h>
#include <stdint.h>

struct server;
struct worker;

enum failover_state { FAILOVER_NONE, FAILOVER_WAITS, FAILOVER_ASKS };

struct failover { /* srv->failover */
    enum failover_state state;
    char *host; /* of the target; NULL: whichever has everything first */
    int port;
    int64_t until_ms; /* 0: it may take any time */
    bool forced;      /* then it is asked all the same */
};

/* host NULL: any replica. timeout_ms 0: none. */
void failover_begin(struct worker *w, const char *host, int port, int64_t timeout_ms, bool forced);
/* Some times a second, and when a replica has acknowledged. */
void failover_look(struct worker *w);
/* It ends, and we are the primary, under a new id if another was asked already. Harmless when there is none. */
void failover_abort(struct worker *w, const char *why);
const char *failover_word(const struct server *srv); /* INFO's */
void failover_fini(struct server *srv);

#endif
