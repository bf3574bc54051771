/* SPDX-License-Identifier: MIT
 *
 * What DEBUG's files have from one another; arguments are as debug.c's table has them.
 */
#ifndef SERVER_CMD_DEBUG_PARTS_H
#define SERVER_CMD_DEBUG_PARTS_H

#include "server/command/handlers.h"

struct entry;

/* The key of argv[2], even if its time is over and nobody has seen that yet, or the error. */
const struct entry *debug_key(struct call *c);

/* How things lie in memory: debug_show.c. */
void debug_object(struct call *c);
void debug_sdslen(struct call *c);
void debug_listpack(struct call *c);
void debug_quicklist(struct call *c);
void debug_htstats(struct call *c);
void debug_htstats_key(struct call *c);
void debug_client_eviction(struct call *c);

/* The process begins anew: debug_restart.c. */
void debug_restart(struct call *c);
void debug_crash_and_recover(struct call *c);

#endif
