/* SPDX-License-Identifier: MIT */
#include "server/repl/failover.h"

#include <string.h>

#include "server/mem.h"
#include "server/observe/log.h"
#include "server/repl/replica.h"
#include "server/repl/replicas.h"
#include "server/repl/upstream.h"
#include "server/server.h"
#include "server/worker.h"

static void set_target(struct failover *f, const char *host, int port)
{
    size_t size = strlen(host) + 1;
    f->host = mem_alloc(size);
    memcpy(f->host, host, size);
    f->port = port;
}

void failover_fini(struct server *srv)
{
    mem_free(srv->failover.host);
    srv->failover = (struct failover){0};
}

static void end(struct worker *w)
{
    failover_fini(w->srv);
    worker_go_on(w, STANDSTILL_FAILOVER);
}

void failover_begin(struct worker *w, const char *host, int port, int64_t timeout_ms, bool forced)
{
    struct failover *f = &w->srv->failover;
    ASSERT(f->state == FAILOVER_NONE);
    *f = (struct failover){.state = FAILOVER_WAITS, .forced = forced};
    if (timeout_ms) f->until_ms = timeout_ms > INT64_MAX - w->now_ms ? INT64_MAX : w->now_ms + timeout_ms;
    if (host) set_target(f, host, port);
    worker_stand_still(w, STANDSTILL_FAILOVER);
    if (host) server_log(w->srv, LOG_NOTICE_LEVEL, "FAILOVER requested to %s:%d.", host, port);
    else server_log(w->srv, LOG_NOTICE_LEVEL, "FAILOVER requested.");
}

void failover_abort(struct worker *w, const char *why)
{
    enum failover_state was = w->srv->failover.state;
    if (was == FAILOVER_NONE) return;
    server_log(w->srv, LOG_NOTICE_LEVEL, "Failover aborted: %s", why);
    failover_fini(w->srv); /* before the role changes: nobody is asked any more */
    if (was == FAILOVER_ASKS) upstream_unset(w);
    end(w);
}

/* The target's answer. */
static void handed_over(struct worker *w, bool accepted)
{
    if (w->srv->failover.state != FAILOVER_ASKS) return;
    if (!accepted) {
        failover_abort(w, "Failover target rejected psync request");
        return;
    }
    server_log(w->srv, LOG_NOTICE_LEVEL, "Failover target accepted: it is the primary");
    end(w);
}

static void ask(struct worker *w)
{
    struct failover *f = &w->srv->failover;
    f->state = FAILOVER_ASKS;
    upstream_hand_over(w, f->host, f->port, handed_over);
}

static bool has_everything(const struct worker *w, const struct client *cl)
{
    const struct replica *r = cl->replica;
    return r->state == REPLICA_ONLINE && (uint64_t)r->ack_offset == history_offset(&w->srv->history);
}

/* Of the target, or of whichever does; NULL: none. */
static const struct client *who_has_everything(const struct worker *w)
{
    const struct failover *f = &w->srv->failover;
    const struct client *target = f->host ? replicas_find(w, f->host, f->port) : NULL;
    if (f->host) return target && has_everything(w, target) ? target : NULL;
    for (size_t i = 0; i < replicas_count(w); i++)
        if (has_everything(w, replicas_at(w, i))) return replicas_at(w, i);
    return NULL;
}

void failover_look(struct worker *w)
{
    char host[REPLICA_IP_MAX];
    struct failover *f = &w->srv->failover;
    if (likely(f->state != FAILOVER_WAITS)) return;
    const struct client *ready = who_has_everything(w);
    if (ready) {
        replica_address(ready, host, sizeof host);
        if (!f->host) set_target(f, host, ready->replica->port);
        server_log(w->srv, LOG_NOTICE_LEVEL, "Failover target %s:%d is synced, failing over.", f->host, f->port);
        ask(w);
        return;
    }
    if (!f->until_ms || w->now_ms < f->until_ms) return;
    if (!f->forced) {
        failover_abort(w, "Replica never caught up before timeout");
        return;
    }
    server_log(w->srv, LOG_NOTICE_LEVEL, "FAILOVER to %s:%d time out exceeded, failing over.", f->host, f->port);
    ask(w);
}

const char *failover_word(const struct server *srv)
{
    static const char *const words[] = {[FAILOVER_NONE] = "no-failover",
                                        [FAILOVER_WAITS] = "waiting-for-sync",
                                        [FAILOVER_ASKS] = "failover-in-progress"};
    return words[srv->failover.state];
}
