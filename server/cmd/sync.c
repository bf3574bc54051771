/* SPDX-License-Identifier: MIT
 *
 * SYNC: all data as an RDB file in a bulk string, then every write since (server/repl/replicas.h). For tools and tests
 * that read the stream of writes; a redis-server that falls back to SYNC follows it, too.
 *
 * A snapshot is made into memory while clients are served; its size comes in front of it, so a replica waits until it
 * is whole. Who asks while another still reads or waits for one gets the same.
 */
#include <string.h>

#include "server/command/handlers.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/worker.h"

#define REPLICA_IP_MAX 256 /* redis-server's bound */

void cmd_sync(struct call *c)
{
    struct client *cl = c->client;
    if (cl->s.flags & (SESSION_REPLICA | SESSION_MONITOR)) return; /* Redis does not answer that either */
    if ((cl->s.flags & SESSION_PUBSUB) || reply_bytes(&cl->out)) {
        call_error(c, "ERR SYNC and PSYNC are invalid with pending output");
        return;
    }
    server_log(c->srv, LOG_NOTICE_LEVEL, "Replica %s asks for synchronization", cl->peer);
    if (replicas_attach(cl)) return;
    server_log(c->srv, LOG_WARNING_LEVEL,
               "No snapshot for replica %s: those that others have not taken yet are as "
               "much as client-output-buffer-limit allows",
               cl->peer);
    call_error(c, "ERR Unable to SYNC: other replicas have not taken their snapshots yet");
}

/* What a replica says of itself in front of SYNC, and behind it once a second ("ack", which nobody answers). */
void cmd_replconf(struct call *c)
{
    struct client *cl = c->client;
    if (c->argc % 2 == 0) {
        call_syntax_error(c);
        return;
    }
    for (int i = 1; i < c->argc; i += 2) {
        struct bytes name = c->argv[i], value = c->argv[i + 1];
        int64_t port;
        if (bytes_is_word(name, "listening-port")) {
            if (!call_int_range(c, value, 0, 65535, &port, NULL)) return;
            cl->replica_port = (int)port;
        } else if (bytes_is_word(name, "ip-address")) {
            if (value.n >= REPLICA_IP_MAX) {
                call_errorf(c, "ERR REPLCONF ip-address provided by replica instance is too long: %zu bytes", value.n);
                return;
            }
            mem_free(cl->replica_ip);
            cl->replica_ip = mem_calloc(value.n + 1);
            memcpy(cl->replica_ip, value.p, value.n);
        } else if (bytes_is_word(name, "ack") || bytes_is_word(name, "getack")) {
            return;                                /* no reply */
        } else if (!bytes_is_word(name, "capa")) { /* what we do not make use of is nothing to refuse */
            call_errorf(c, "ERR Unrecognized REPLCONF option: %.*s", (int)(name.n < 128 ? name.n : 128), name.p);
            return;
        }
    }
    call_ok(c);
}
