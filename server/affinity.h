/* SPDX-License-Identifier: MIT
 *
 * On which CPUs the threads of the process run: server_cpulist, bio_cpulist, bgsave_cpulist, aof_rewrite_cpulist.
 */
#ifndef SERVER_AFFINITY_H
#define SERVER_AFFINITY_H

#include <sched.h>
#include <stdbool.h>

struct server;

/* Before the first helper thread is started: where helpers run. CPUs that are named and not there are told in the log.
 */
void affinity_begin(struct server *srv);
/* The calling thread, which is the loop's, moves to its own. */
void affinity_pin_loop(struct server *srv);
/* And back to where the process was at its start. */
void affinity_unpin_loop(struct server *srv);
/* The CPUs of an option; NULL: it is not set. set is the caller's room for them. */
const cpu_set_t *affinity_of(const char *list, cpu_set_t *set);
/* How many CPUs the loop and its helpers have together. */
int affinity_cores(void);

#endif
