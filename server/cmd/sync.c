/* SPDX-License-Identifier: MIT
 *
 * SYNC: all data as an RDB file in a bulk string, then every write since (server/repl/replicas.h). For tools and tests
 * that read the stream of writes; a redis-server that falls back to SYNC follows it, too.
 *
 * A snapshot is made into memory while clients are served; its size comes in front of it, so a replica waits until it
 * is whole. Who asks while another still reads or waits for one gets the same. Who has asked for functions only
 * (redis-cli --functions-rdb) gets a file of those, and no writes.
 */
#include <string.h>

#include "server/command/handlers.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/rdb/snapshot.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/worker.h"

#define REPLICA_IP_MAX 256 /* redis-server's bound */

static void release_payload(void *payload) { mem_free(payload); }

/* For tools: a file with the libraries, and the end. Whoever asks for a part of the data does not follow. */
static void sync_functions(struct call *c)
{
    struct rdb_sink s;
    struct rdb_writer w;
    rdb_sink_init(&s, NULL, NULL);
    s.version = (int)c->cfg->rdb_version;
    s.compress = c->cfg->rdbcompression;
    s.checksum = c->cfg->rdbchecksum;
    rdb_write_begin(&w, &s, c, false);
    rdb_write_end(&w);
    struct bytes file = rdb_sink_bytes(&s);
    s.buf = NULL; /* the reply's from here on */
    rdb_sink_fini(&s);
    reply_bulk_ref(c->out, file, release_payload, (void *)(uintptr_t)file.p);
    client_close_after_reply(c->client);
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
    if (cl->s.flags & SESSION_FUNCTIONS_ONLY) {
        sync_functions(c);
        return;
    }
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
        } else if (bytes_is_word(name, "rdb-filter-only")) {
            if (!bytes_is_word(value, "functions")) {
                call_errorf(c, "ERR Unsupported rdb-filter-only option: %.*s", (int)(value.n < 128 ? value.n : 128),
                            value.p);
                return;
            }
            cl->s.flags |= SESSION_FUNCTIONS_ONLY;
        } else if (bytes_is_word(name, "ack") || bytes_is_word(name, "getack")) {
            return;                                /* no reply */
        } else if (!bytes_is_word(name, "capa")) { /* what we do not make use of is nothing to refuse */
            call_errorf(c, "ERR Unrecognized REPLCONF option: %.*s", (int)(name.n < 128 ? name.n : 128), name.p);
            return;
        }
    }
    call_ok(c);
}
