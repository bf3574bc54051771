/* SPDX-License-Identifier: MIT
 *
 * SYNC: all data as of now as an RDB file in a bulk string, then every write as it happens (server/repl/replicas.h).
 * For tools and tests that read the stream of writes; a redis-server that falls back to SYNC follows it, too.
 *
 * The snapshot is made in one go, on the loop, into memory: nobody else is served meanwhile.
 */
#include <stdio.h>

#include "server/command/handlers.h"
#include "server/observe/log.h"
#include "server/rdb/snapshot.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/worker.h"

static int into_reply(void *arg, const char *p, size_t n)
{
    reply_raw(arg, bytes_of(p, n));
    return 0;
}

void cmd_sync(struct call *c)
{
    struct client *cl = c->client;
    if (cl->s.flags & (SESSION_REPLICA | SESSION_MONITOR)) return; /* Redis does not answer that either */
    if ((cl->s.flags & SESSION_PUBSUB) || reply_bytes(&cl->out)) {
        call_error(c, "ERR SYNC and PSYNC are invalid with pending output");
        return;
    }
    server_log(c->srv, LOG_NOTICE_LEVEL, "Replica %s asks for synchronization", cl->peer);
    struct reply rdb;
    struct rdb_sink s;
    reply_init(&rdb, 2);
    rdb_sink_init(&s, into_reply, &rdb);
    s.compress = c->cfg->rdbcompression;
    s.checksum = c->cfg->rdbchecksum;
    rdb_write_snapshot(&s, c);
    rdb_sink_finish(&s);
    rdb_sink_fini(&s);

    char head[32];
    int n = snprintf(head, sizeof head, "$%zu\r\n", reply_bytes(&rdb));
    reply_raw(&cl->out, bytes_of(head, (size_t)n));
    reply_append(&cl->out, &rdb);
    reply_fini(&rdb);
    worker_update_time(c->w);
    replicas_attach(cl);
}
