/* SPDX-License-Identifier: MIT */
#include "server/repl/role.h"

#include "server/exec/blocked.h"
#include "server/repl/upstream.h"
#include "server/server.h"
#include "server/worker.h"

#define OF_A_REPLICA ((unsigned)(SERVER_READ_ONLY | SERVER_STALE | SERVER_LOADING_BESIDE))

static unsigned unusual_of(const struct server *srv)
{
    const struct upstream *u = srv->upstream;
    unsigned unusual = 0;
    if (!u) return 0;
    if (srv->config->replica_read_only) unusual |= SERVER_READ_ONLY;
    if (u->state != UPSTREAM_CONNECTED && !srv->config->replica_serve_stale_data) unusual |= SERVER_STALE;
    if (u->loads_beside) unusual |= SERVER_LOADING_BESIDE;
    return unusual;
}

void role_update(struct worker *w)
{
    struct server *srv = w->srv;
    srv->unusual = (srv->unusual & ~OF_A_REPLICA) | unusual_of(srv);
}

void role_disturb_waiting(struct worker *w)
{
    list_for_each_safe(it, &w->clients)
    {
        struct client *cl = list_entry(it, struct client, all);
        if (!blocked_unblock(cl, UNBLOCK_ROLE)) continue;
        client_close_after_reply(cl);
    }
}
