/* SPDX-License-Identifier: MIT
 *
 * maxmemory: keys are removed, as maxmemory-policy says, until used memory is below the limit again.
 */
#ifndef SERVER_EVICT_H
#define SERVER_EVICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;
struct worker;

enum evict_result {
    EVICT_OK,      /* memory is below the limit, or close enough to go on */
    EVICT_RUNNING, /* time is up before it is; the loop calls again with w->evicting set */
    EVICT_FAILED,  /* over the limit, and the policy allows nothing that could be removed */
};

struct evict *evict_new(int db_count);
void evict_free(struct evict *e);
/* One bounded step (maxmemory-eviction-tenacity). Only with maxmemory set, and between commands. */
enum evict_result evict_run(struct worker *w);
/* Memory in use that maxmemory does not count: what replicas and the log have not taken yet, and what a save
 * keeps. */
size_t evict_not_counted(const struct server *srv);
/* For INFO: nanoseconds above the limit, all together and this time. */
uint64_t evict_over_ns(const struct worker *w, uint64_t *this_time);

#endif
