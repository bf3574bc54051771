/* SPDX-License-Identifier: MIT
 *
 * CLUSTER, ASKING, READONLY, READWRITE: there is no cluster here, and they say so as a redis-server does whose
 * configuration has none.
 */
#include "server/command/handlers.h"
#include "server/exec/call.h"

void cmd_cluster_disabled(struct call *c) { call_error(c, "ERR This instance has cluster support disabled"); }
