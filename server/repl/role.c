/* SPDX-License-Identifier: MIT */
#include "server/repl/role.h"

#include "server/db/own_expires.h"
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

/* Read-only again, it still deletes those that it remembers. */
static void update_own_expires(struct server *srv)
{
    for (int i = 0; i < srv->db_count; i++) {
        if (!srv->upstream) own_expires_end(&srv->dbs[i]);
        else if (!srv->config->replica_read_only) own_expires_begin(&srv->dbs[i]);
    }
}

void role_update(struct worker *w)
{
    struct server *srv = w->srv;
    update_own_expires(srv);
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
