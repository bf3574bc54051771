/* SPDX-License-Identifier: MIT
 *
 * /metrics for Prometheus: who scrapes, and how many may at once.
 */
#ifndef SERVER_METRICS_METRICS_H
#define SERVER_METRICS_METRICS_H

#include <stdbool.h>

#include "alloc/base/list.h"
#include "server/metrics/scrape.h"

struct server;
struct worker;

struct metrics {
    struct list connections;
    struct scrape_common common; /* how many connections there are, too */
};

/* A connection of the metrics' listener is this room's from here on. !may_read: it is told that it may not (protected
 * mode). */
void metrics_accept(struct worker *w, int qd, bool may_read);
/* Closes whose time is up. */
void metrics_cron(struct worker *w);
/* Nobody is served any more: metrics-port is 0, or the server ends. */
void metrics_stop(struct server *srv);

#endif
