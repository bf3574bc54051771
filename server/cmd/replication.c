/* SPDX-License-Identifier: MIT
 *
 * FAILOVER.
 */
#include <stdio.h>

#include "server/command/handlers.h"
#include "server/exec/call.h"
#include "server/repl/failover.h"
#include "server/repl/replica.h"
#include "server/repl/replicas.h"
#include "server/server.h"

/* --- FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds] ----------------------------------------------- */

struct failover_words {
    int64_t timeout_ms, port;
    char host[REPLICA_IP_MAX];
    bool has_target, force;
};

static bool parse_failover(struct call *c, struct failover_words *f)
{
    for (int i = 1; i < c->argc; i++) {
        struct bytes word = c->argv[i];
        if (bytes_is_word(word, "timeout") && i + 1 < c->argc && !f->timeout_ms) {
            if (!call_int(c, c->argv[++i], &f->timeout_ms)) return false;
            if (f->timeout_ms > 0) continue;
            call_error(c, "ERR FAILOVER timeout must be greater than 0");
            return false;
        } else if (bytes_is_word(word, "to") && i + 2 < c->argc && !f->has_target) {
            if (!call_int(c, c->argv[i + 2], &f->port)) return false;
            f->has_target = true;
            snprintf(f->host, sizeof f->host, "%.*s", c->argv[i + 1].n < sizeof f->host ? (int)c->argv[i + 1].n : 0,
                     c->argv[i + 1].p); /* what is longer is no replica's */
            i += 2;
        } else if (bytes_is_word(word, "force") && !f->force) {
            f->force = true;
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    return true;
}

static void failover_abort_by_hand(struct call *c)
{
    if (c->srv->failover.state == FAILOVER_NONE) {
        call_error(c, "ERR No failover in progress.");
        return;
    }
    failover_abort(c->w, "Failover manually aborted");
    call_ok(c);
}

/* The replica that it is to be; false: it is none, or does not follow yet. */
static bool find_target(struct call *c, const struct failover_words *f)
{
    const struct client *cl = replicas_find(c->w, f->host, (int)f->port);
    if (!cl) call_error(c, "ERR FAILOVER target HOST and PORT is not a replica.");
    else if (cl->replica->state != REPLICA_ONLINE) call_error(c, "ERR FAILOVER target replica is not online.");
    else return true;
    return false;
}

void cmd_failover(struct call *c)
{
    struct failover_words f = {0};
    if (c->argc == 2 && bytes_is_word(c->argv[1], "abort")) {
        failover_abort_by_hand(c);
        return;
    }
    if (!parse_failover(c, &f)) return;
    if (c->srv->failover.state != FAILOVER_NONE) call_error(c, "ERR FAILOVER already in progress.");
    else if (c->srv->upstream) call_error(c, "ERR FAILOVER is not valid when server is a replica.");
    else if (!replicas_count(c->w)) call_error(c, "ERR FAILOVER requires connected replicas.");
    else if (f.force && (!f.timeout_ms || !f.has_target))
        call_error(c, "ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    else if (!f.has_target || find_target(c, &f)) {
        failover_begin(c->w, f.has_target ? f.host : NULL, (int)f.port, f.timeout_ms, f.force);
        call_ok(c);
    }
}
