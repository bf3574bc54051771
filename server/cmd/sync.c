/* SPDX-License-Identifier: MIT
 *
 * PSYNC and SYNC: the history from where a replica stands, or all data as an RDB file and the history from where that
 * stands (server/repl/replicas.h). REPLCONF: what a replica says of itself in front of them, and behind them once a
 * second. Everything is looked at before the connection becomes a replica's: an error leaves it as it was.
 */
#include <string.h>

#include "server/command/handlers.h"
#include "server/ds/number.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/repl/replica.h"
#include "server/repl/full_sync.h"
#include "server/repl/replicas.h"
#include "server/repl/upstream.h"
#include "server/resp/parse.h"
#include "server/server.h"
#include "server/worker.h"

/* --- SYNC, PSYNC id offset [FAILOVER] ----------------------------------------------------------------------------- */

static bool is_refused(struct call *c)
{
    struct client *cl = c->client;
    const struct upstream *up = c->srv->upstream;
    if (c->srv->failover.state != FAILOVER_NONE) {
        call_error(c, "NOMASTERLINK Can't SYNC while failing over");
        return true;
    }
    if (up && up->state != UPSTREAM_CONNECTED) {
        call_error(c, "NOMASTERLINK Can't SYNC while not connected with my master");
        return true;
    }
    if ((cl->s.flags & SESSION_PUBSUB) || reply_bytes(&cl->out)) {
        call_error(c, "ERR SYNC and PSYNC are invalid with pending output");
        return true;
    }
    if (cl->replica && cl->replica->wants && !(cl->replica->capa & REPLICA_CAPA_EOF)) {
        call_error(c, "ERR Filtered replica requires EOF capability");
        return true;
    }
    server_log(c->srv, LOG_NOTICE_LEVEL, "Replica %s asks for synchronization", cl->peer);
    return false;
}

/* Redis does not answer that either. */
static bool follows_already(const struct call *c) { return c->session->flags & (SESSION_REPLICA | SESSION_MONITOR); }

void cmd_sync(struct call *c)
{
    if (follows_already(c) || is_refused(c)) return;
    replica_of(c->client)->by_psync = false;
    full_sync_attach(c->client);
}

/* A primary that steps down for us says so: its data are ours to the byte. False: it may not. */
static bool take_over(struct call *c)
{
    server_log(c->srv, LOG_NOTICE_LEVEL, "Failover request received for replid %.*s.", (int)c->argv[1].n, c->argv[1].p);
    if (!c->srv->upstream) {
        call_error(c, "ERR PSYNC FAILOVER can't be sent to a master.");
        return false;
    }
    if (!bytes_is_word(c->argv[1], c->srv->history.id)) {
        call_error(c, "ERR PSYNC FAILOVER replid must match my replid.");
        return false;
    }
    upstream_unset(c->w);
    server_log(c->srv, LOG_NOTICE_LEVEL, "MASTER MODE enabled (failover request from '%s')", c->client->peer);
    return true;
}

/* What it would lose may be all that is left: this server began without data, and the replica has followed another. Who
 * has followed nobody yet asks for the first byte. */
static bool is_void_for(const struct call *c, struct bytes id, int64_t from)
{
    const struct history *h = &c->srv->history;
    if (!c->srv->began_void || !c->cfg->repl_refuse_void || c->srv->upstream) return false;
    return from > 1 && !bytes_is_word(id, h->id) && !bytes_is_word(id, h->id2);
}

static bool is_refused_void(struct call *c, struct bytes id, int64_t from)
{
    if (!is_void_for(c, id, from)) return false;
    server_log(
        c->srv, LOG_WARNING_LEVEL,
        "Replica %s knows of %lld bytes of another history, and this server began without data: it is refused. If "
        "it is to copy what is here, say FLUSHALL, or CONFIG SET repl-refuse-void no",
        c->client->peer, (long long)from - 1);
    call_error(c, "NOMASTERLINK This server began without data and does not replace yours (repl-refuse-void)");
    return true;
}

void cmd_psync(struct call *c)
{
    struct bytes id = c->argv[1];
    int64_t from;
    if (follows_already(c)) return;
    if (c->argc > 3 && bytes_is_word(c->argv[3], "failover") && !take_over(c)) return;
    if (is_refused(c)) return;
    if (!call_int(c, c->argv[2], &from)) {
        server_log(c->srv, LOG_WARNING_LEVEL, "Replica %s asks for synchronization but with a wrong offset",
                   c->client->peer);
        return;
    }
    replica_of(c->client)->by_psync = true;
    if (history_continues(&c->srv->history, id.p, id.n, from)) {
        replicas_continue(c->client, (uint64_t)from);
        return;
    }
    if (is_refused_void(c, id, from)) return;
    if (id.n == 0 || id.p[0] != '?') {
        server_log(
            c->srv, LOG_NOTICE_LEVEL,
            "Partial resynchronization not accepted: replica %s asked for %.*s from %lld on, and there is %s up to "
            "%llu",
            c->client->peer, (int)(id.n < 40 ? id.n : 40), id.p, (long long)from, c->srv->history.id,
            (unsigned long long)history_offset(&c->srv->history));
        replicas_count_refused(c->w);
    }
    full_sync_attach(c->client);
}

/* --- REPLCONF ----------------------------------------------------------------------------------------------------- */

static int shown(struct bytes b) { return (int)(b.n < 128 ? b.n : 128); }

/* All return false after an error. */
static bool take_port(struct call *c, struct bytes value)
{
    int64_t port;
    if (!call_int(c, value, &port)) return false;
    replica_of(c->client)->port = (int)port;
    return true;
}

static bool take_ip(struct call *c, struct bytes value)
{
    if (value.n < REPLICA_IP_MAX) {
        replica_set_ip(replica_of(c->client), value);
        return true;
    }
    call_errorf(c, "ERR REPLCONF ip-address provided by replica instance is too long: %zu bytes", value.n);
    return false;
}

/* What we do not make use of is nothing to refuse. */
static bool take_capa(struct call *c, struct bytes value)
{
    if (bytes_is_word(value, "eof")) replica_of(c->client)->capa |= REPLICA_CAPA_EOF;
    if (bytes_is_word(value, "psync2")) replica_of(c->client)->capa |= REPLICA_CAPA_PSYNC2;
    return true;
}

/* Whoever says which he is (Valkey 8, and we) reads the newest files that we write. */
static bool take_version(struct call *c, struct bytes value)
{
    (void)value;
    replica_of(c->client)->has_version = true;
    return true;
}

static bool take_rdb_only(struct call *c, struct bytes value)
{
    int64_t on;
    static const char bad[] = "ERR value is out of range, value must between 0 and 1";
    if (!call_int(c, value, &on) || !call_int_range(c, value, 0, 1, &on, bad)) return false;
    replica_of(c->client)->rdb_only = on;
    return true;
}

/* A list of what is wanted, in words as on a command line; of nothing, too. */
static bool take_filter(struct call *c, struct bytes value)
{
    struct replica *r = replica_of(c->client);
    struct argv_vec words;
    char *text = mem_alloc(value.n + 1); /* words are unquoted where they stand */
    if (value.n) memcpy(text, value.p, value.n);
    argv_vec_init(&words);
    bool fine = resp_split_args(text, value.n, &words);
    if (!fine) call_error(c, "ERR Missing rdb-filter-only values");
    else r->wants |= REPLICA_WANTS_NO_DATA | REPLICA_WANTS_NO_FUNCTIONS;
    for (size_t i = 0; fine && i < words.used; i++) {
        fine = bytes_is_word(words.v[i], "functions");
        if (fine) r->wants &= ~(unsigned)REPLICA_WANTS_NO_FUNCTIONS;
        else call_errorf(c, "ERR Unsupported rdb-filter-only option: %.*s", shown(words.v[i]), words.v[i].p);
    }
    argv_vec_fini(&words);
    mem_free(text);
    return fine;
}

/* ack offset [fack offset], of a replica; nobody answers. */
static void take_ack(struct call *c, int i)
{
    int64_t offset, logged = 0;
    if (!(c->session->flags & SESSION_REPLICA) || !number_parse_i64(c->argv[i + 1], &offset)) return;
    if (c->argc > i + 3 && bytes_is_word(c->argv[i + 2], "fack") && !number_parse_i64(c->argv[i + 3], &logged)) return;
    replicas_take_ack(c->client, offset, logged);
}

void cmd_replconf(struct call *c)
{
    static const struct {
        const char *name;
        bool (*take)(struct call *c, struct bytes value);
    } options[] = {{"listening-port", take_port}, {"ip-address", take_ip},     {"capa", take_capa},
                   {"version", take_version},     {"rdb-only", take_rdb_only}, {"rdb-filter-only", take_filter}};
    if (c->argc % 2 == 0) {
        call_syntax_error(c);
        return;
    }
    for (int i = 1; i < c->argc; i += 2) {
        struct bytes name = c->argv[i];
        size_t k = 0;
        if (bytes_is_word(name, "ack")) {
            take_ack(c, i);
            return;
        }
        if (bytes_is_word(name, "getack")) {
            if (c->session->flags & SESSION_PRIMARY) upstream_acknowledge(c->w);
            return;
        }
        while (k < sizeof options / sizeof *options && !bytes_is_word(name, options[k].name)) k++;
        if (k == sizeof options / sizeof *options) {
            call_errorf(c, "ERR Unrecognized REPLCONF option: %.*s", shown(name), name.p);
            return;
        }
        if (!options[k].take(c, c->argv[i + 1])) return;
    }
    call_ok(c);
}
