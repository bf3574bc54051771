/* SPDX-License-Identifier: MIT
 *
 * FAILOVER.
 */
#include "server/command/handlers.h"
#include "server/exec/call.h"
#include "server/repl/replicas.h"
#include "server/server.h"

/* --- FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds] ----------------------------------------------- */

struct failover {
    int64_t timeout_ms, port;
    bool has_target, force;
};

static bool parse_failover(struct call *c, struct failover *f)
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

void cmd_failover(struct call *c)
{
    struct failover f = {0};
    if (c->argc == 2 && bytes_is_word(c->argv[1], "abort")) {
        call_error(c, "ERR No failover in progress.");
        return;
    }
    if (!parse_failover(c, &f)) return;
    if (!replicas_count(c->w)) call_error(c, "ERR FAILOVER requires connected replicas.");
    else if (f.force && (!f.timeout_ms || !f.has_target))
        call_error(c, "ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    else call_lacks_error(c, "ERR FAILOVER requires replicas that acknowledge, and those of this server cannot.");
}
