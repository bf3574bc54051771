/* SPDX-License-Identifier: MIT
 *
 * The room is there from the first connection on: server->metrics is NULL without one, and nothing looks.
 *
 * At most CONNECTIONS_MAX. When another one comes one that waits is closed for it, so that who keeps connections open,
 * or sends and reads a byte now and then, keeps nobody out; where all are busy the new one is told so.
 */
#include "server/metrics/metrics.h"

#include "demi/libos.h"
#include "server/mem.h"
#include "server/metrics/connection.h"
#include "server/server.h"
#include "server/worker.h"

enum { CONNECTIONS_MAX = 16 };

static struct metrics *room_of(struct worker *w)
{
    struct metrics *m = w->srv->metrics;
    if (m) return m;
    m = w->srv->metrics = mem_calloc(sizeof *m);
    list_init(&m->connections);
    scrape_scale_init(&m->common.scale, &w->ticks);
    return m;
}

/* How easily a connection is given up for another one; 0: not at all. Who asks in one segment is answered in the turn
 * in which it is read, and who reads its answer has it in a moment: what is left for longer does neither. */
static unsigned spareable(const struct connection *c)
{
    switch (c->state) {
    case CONNECTION_ENDING: return 4;
    case CONNECTION_IDLE: return 3;
    case CONNECTION_READING: return 2;
    case CONNECTION_ANSWERED: return connection_is_slow(c);
    }
    return 0;
}

/* Closes one, among equals the one that is nearest to its end. False: all are busy. */
static bool spare_one(struct metrics *m)
{
    struct connection *worst = NULL;
    list_for_each(it, &m->connections)
    {
        struct connection *c = list_entry(it, struct connection, all);
        unsigned now = spareable(c), before = worst ? spareable(worst) : 0;
        if (now > before || (now && now == before && c->deadline_ns < worst->deadline_ns)) worst = c;
    }
    if (worst) connection_close(worst);
    return worst != NULL;
}

void metrics_accept(struct worker *w, int qd, bool may_read)
{
    struct metrics *m = room_of(w);
    enum http_status refused = may_read ? HTTP_OK : HTTP_FORBIDDEN;
    if (m->common.connections >= CONNECTIONS_MAX && !spare_one(m)) refused = HTTP_UNAVAILABLE;
    if (m->common.connections >= 2 * CONNECTIONS_MAX) demi_close(qd); /* those that are told so are many, too */
    else connection_open(m, w, qd, refused);
}

void metrics_cron(struct worker *w)
{
    struct metrics *m = w->srv->metrics;
    if (!m) return;
    list_for_each_safe(it, &m->connections)
    {
        struct connection *c = list_entry(it, struct connection, all);
        if (w->turn_ns >= c->deadline_ns) connection_close(c);
    }
}

void metrics_stop(struct server *srv)
{
    struct metrics *m = srv->metrics;
    if (!m) return;
    list_for_each_safe(it, &m->connections) connection_close(list_entry(it, struct connection, all));
    mem_free(m);
    srv->metrics = NULL;
}
