/* SPDX-License-Identifier: MIT
 *
 * REPLICAOF and SLAVEOF: NO ONE, or host and port.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/command/handlers.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/repl/upstream.h"
#include "server/server.h"
#include "server/worker.h"

static void log_request(struct call *c, const char *what)
{
    char line[1024] = "";
    if (c->client) client_describe(c->client, &(struct output_held){0}, line, sizeof line);
    server_log(c->srv, LOG_NOTICE_LEVEL, "%s enabled (user request from '%s')", what, line);
}

static void promote(struct call *c)
{
    if (c->srv->upstream) {
        upstream_unset(c->w);
        log_request(c, "MASTER MODE");
    }
    call_ok(c);
}

static bool follows_already(const struct server *srv, const char *host, int64_t port)
{
    return srv->upstream && strcasecmp(srv->upstream->host, host) == 0 && srv->upstream->port == port;
}

static void follow(struct call *c, const char *host, int port)
{
    char what[512];
    if (follows_already(c->srv, host, port)) {
        server_log(c->srv, LOG_NOTICE_LEVEL,
                   "REPLICAOF would result into synchronization with the master we are already connected with. No "
                   "operation performed.");
        reply_status(c->out, "OK Already connected to specified master");
        return;
    }
    upstream_set(c->w, host, port);
    snprintf(what, sizeof what, "REPLICAOF %.400s:%d", host, port);
    log_request(c, what);
    call_ok(c);
}

void cmd_replicaof(struct call *c)
{
    int64_t port;
    struct bytes host = c->argv[1];
    if (c->srv->failover.state != FAILOVER_NONE) {
        call_error(c, "ERR REPLICAOF not allowed while failing over.");
        return;
    }
    if (bytes_is_word(host, "no") && bytes_is_word(c->argv[2], "one")) {
        promote(c);
        return;
    }
    if (c->session->flags & SESSION_REPLICA) {
        call_error(c, "ERR Command is not valid when client is a replica.");
        return;
    }
    if (!call_int_range(c, c->argv[2], 0, 65535, &port, "ERR Invalid master port")) return;
    /* As a C string, like redis-server: what stands behind a 0 byte is nobody's name. */
    char *name = mem_calloc(host.n + 1);
    memcpy(name, host.p, host.n);
    follow(c, name, (int)port);
    mem_free(name);
}
