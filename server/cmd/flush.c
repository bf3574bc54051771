/* SPDX-License-Identifier: MIT
 *
 * Whole databases: FLUSHDB, FLUSHALL, SWAPDB, DBSIZE.
 */
#include "server/command/handlers.h"
#include "server/conf/config.h"
#include "server/db/db.h"
#include "server/db/hooks.h"
#include "server/net/tracking.h"

static bool parse_async(struct call *c, bool *async)
{
    *async = c->cfg->lazyfree_lazy_user_flush;
    if (c->argc == 1) return true;
    if (c->argc == 2 && bytes_is_word(c->argv[1], "sync")) {
        *async = false;
        return true;
    }
    if (c->argc == 2 && bytes_is_word(c->argv[1], "async")) {
        *async = true;
        return true;
    }
    call_syntax_error(c);
    return false;
}

/* Propagated even when there was nothing to delete: a replica may hold expired keys that we no longer have. */
static void propagate(struct call *c)
{
    if (effect_wanted(c)) effect_as(c, c->argc, c->argv);
}

void cmd_flushdb(struct call *c)
{
    bool async;
    if (!parse_async(c, &async)) return;
    c->dirty += (int64_t)db_flush(c, c->db, async);
    tracking_flushed(c);
    propagate(c);
    call_ok(c);
}

void cmd_flushall(struct call *c)
{
    bool async;
    if (!parse_async(c, &async)) return;
    struct db *db;
    for (int64_t id = 0; (db = srv_db(c, id)) != NULL; id++) c->dirty += (int64_t)db_flush(c, db, async);
    tracking_flushed(c);
    srv_flushed_all(c);
    propagate(c);
    call_ok(c);
}

void cmd_swapdb(struct call *c)
{
    int64_t a, b;
    if (srv_cluster_enabled(c)) {
        call_error(c, "ERR SWAPDB is not allowed in cluster mode");
        return;
    }
    if (!call_int_range(c, c->argv[1], INT32_MIN, INT32_MAX, &a, "ERR invalid first DB index")) return;
    if (!call_int_range(c, c->argv[2], INT32_MIN, INT32_MAX, &b, "ERR invalid second DB index")) return;
    struct db *first = srv_db(c, a), *second = srv_db(c, b);
    if (!first || !second) {
        call_error(c, "ERR DB index is out of range");
        return;
    }
    db_swap(c, first, second);
    if (first != second) tracking_flushed(c);
    c->dirty++;
    call_ok(c);
}

void cmd_dbsize(struct call *c) { call_integer(c, (int64_t)db_size(c->db)); }
