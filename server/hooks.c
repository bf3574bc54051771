/* SPDX-License-Identifier: MIT
 *
 * What the keyspace asks of the server (server/db/hooks.h): statistics, effects of expiry and eviction, and the
 * answers that depend on loading, scripts and users.
 */
#include "server/db/hooks.h"
#include "server/server.h"
#include "server/worker.h"

void stat_hit(struct call *c) { c->w->stats.hits++; }
void stat_miss(struct call *c) { c->w->stats.misses++; }
void stat_expired(struct call *c, size_t n) { c->w->stats.expired += n; }

void effect_gone(struct call *c, struct db *db, struct bytes key, bool lazy)
{
    if (!effect_wanted(c)) return;
    struct bytes argv[2] = {lazy ? BYTES("UNLINK") : BYTES("DEL"), key};
    effects_add(c, db->id, argv, 2);
}

void srv_flushed_all(struct call *c)
{
    c->srv->began_void = false;
    persist_flushed_all(c);
}

/* A command counts once it has run: what went by itself just before it had the number that it has. */
uint64_t srv_command_serial(const struct call *c)
{
    return c->session ? c->w->stats.commands + c->w->replayed + c->w->waits : UINT64_MAX;
}

struct db *srv_db(const struct call *c, int64_t id)
{
    return id >= 0 && id < c->srv->db_count ? &c->srv->dbs[id] : NULL;
}

/* The log takes no more: each that expires would be another record. */
bool srv_active_expire(const struct call *c)
{
    return c->srv->active_expire && !c->srv->upstream && !server_is_paused(c->srv) &&
           !(c->srv->unusual & SERVER_AOF_FULL);
}

/* It came from our primary, where it has happened. */
static bool obeys(const struct call *c) { return c->session && session_is_primary(c->session); }

enum expired_is srv_expired_is(const struct call *c, bool write)
{
    const struct server *srv = c->srv;
    if (srv->persist.loading || srv->persist.replaying) return EXPIRED_VALID;
    if (srv->upstream) {
        if (obeys(c)) return EXPIRED_VALID;
        if (!write || srv->config->replica_read_only) return EXPIRED_HIDDEN;
    }
    return server_is_paused(srv) ? EXPIRED_HIDDEN : EXPIRED_GONE;
}

bool srv_past_deletes(const struct call *c)
{
    return !c->srv->persist.loading && !c->srv->persist.replaying && !c->srv->upstream;
}

bool srv_cluster_enabled(const struct call *c) { return false; }
bool srv_reads_all_keys(const struct call *c)
{
    return !c->session || acl_user_check_all_keys(c->session->user, c->cmd, c->argv, c->argc, KEY_ACCESS);
}
bool srv_in_script(const struct call *c) { return c->session && (c->session->flags & SESSION_SCRIPT); }
bool srv_is_own_client(const struct call *c) { return c->session && !srv_must_obey(c); }
bool srv_must_obey(const struct call *c) { return c->srv->persist.replaying || obeys(c); }
