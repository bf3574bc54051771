/* SPDX-License-Identifier: MIT */
#include "server/repl/dial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "demi/libos.h"
#include "demi/wait.h"
#include "server/ds/number.h"
#include "server/mem.h"
#include "server/net/tls.h"
#include "server/observe/log.h"
#include "server/persist/load.h"
#include "server/repl/replicas.h"
#include "server/repl/upstream.h"
#include "server/resp/reply.h"
#include "server/server.h"
#include "server/worker.h"

#define STACK_SIZE ((size_t)128 << 10)

/* --- life --------------------------------------------------------------------------------------------------------- */

static int64_t run_dial(void *arg);

struct dial *dial_begin(struct worker *w, struct upstream *u)
{
    struct dial *a = mem_calloc(sizeof *a);
    size_t size = strlen(u->host) + 1;
    a->w = w;
    a->u = u;
    a->host = mem_alloc(size);
    memcpy(a->host, u->host, size);
    a->port = u->port;
    a->heard_ns = demi_clock_ns();
    a->stream_db = -1;
    link_init(&a->link);
    int err = demi_spawn(&a->task, run_dial, a, STACK_SIZE);
    if (!err) {
        a->next = w->srv->dials;
        w->srv->dials = a;
        return a;
    }
    server_log(w->srv, LOG_WARNING_LEVEL, "Unable to connect to MASTER: %s", strerror(err));
    mem_free(a->host);
    mem_free(a);
    return NULL;
}

static void forget(struct dial *a)
{
    struct dial **at = &a->w->srv->dials;
    while (*at != a) at = &(*at)->next;
    *at = a->next;
}

void dial_ended(struct dial *a, int err)
{
    struct upstream *u = a->u;
    ASSERT(!a->load && !a->dbs && !*a->file);
    link_close(&a->link);
    forget(a);
    if (u) upstream_dial_ended(a->w, err);
    mem_free(a->host);
    mem_free(a);
}

void dial_call_off(struct dial *a, int why)
{
    a->stop = true;
    a->why = why;
    if (a->load) load_give_up(a->load);
    link_stop(&a->link);
}

void dials_wait(struct worker *w)
{
    for (struct dial *a; (a = w->srv->dials);) {
        demi_qresult_t qr;
        if (a->load || a->settling) load_cancel(a->load ? a->load : a->settling);
        else if (demi_wait(&qr, a->task, NULL) != 0) return;
    }
}

/* --- what comes --------------------------------------------------------------------------------------------------- */

void dial_heard(struct dial *a, int64_t bytes_of_payload)
{
    struct upstream *u = a->u;
    a->heard_ns = demi_clock_ns();
    if (!u) return;
    u->io_ms = demi_wall_us() / 1000;
    if (!bytes_of_payload) return;
    u->transfer.io_ms = u->io_ms;
    u->transfer.read += bytes_of_payload;
}

/* Why it has to end: called off, which may have happened in the very turn in which all went well, or what failed; 0. To
 * be asked behind everything that waits: a->u may be gone. */
static int reason(const struct dial *a, int err) { return a->stop ? a->why : err; }

int dial_read(struct dial *a, size_t max, struct bytes *out)
{
    int err = reason(a, a->stop ? 0 : link_read(&a->link, max, DIAL_PATIENCE_MS, out));
    if (err) return err;
    dial_heard(a, 0);
    a->w->stats.net_in += out->n;
    return 0;
}

int dial_read_line(struct dial *a, char line[LINK_LINE_MAX])
{
    int err = reason(a, a->stop ? 0 : link_read_line(&a->link, line, LINK_LINE_MAX, DIAL_PATIENCE_MS));
    if (err) return err;
    dial_heard(a, 0);
    return 0;
}

/* --- what is said ------------------------------------------------------------------------------------------------- */

/* Commands that wait to be sent together. */
static void add_command(struct reply *out, const struct bytes *argv, int argc)
{
    reply_array(out, (size_t)argc);
    for (int i = 0; i < argc; i++) reply_bulk(out, argv[i]);
}

static int send_commands(struct dial *a, struct reply *out)
{
    size_t n = reply_bytes(out);
    char *flat = mem_alloc(n);
    reply_copy_out(out, flat);
    reply_fini(out);
    int err = a->stop ? 0 : link_send(&a->link, flat, n, DIAL_PATIENCE_MS);
    mem_free(flat);
    return reason(a, err);
}

static int send_command(struct dial *a, const struct bytes *argv, int argc)
{
    struct reply out;
    reply_init(&out, 2);
    add_command(&out, argv, argc);
    return send_commands(a, &out);
}

/* --- the handshake ------------------------------------------------------------------------------------------------ */

static int connect_link(struct dial *a)
{
    struct server *srv = a->w->srv;
    int err = link_connect(&a->link, srv, a->host, (uint16_t)a->port, DIAL_PATIENCE_MS, &a->stop);
    if (a->stop) return a->why;
    if (!err && a->w->conf.cfg->tls_replication) err = -tls_connect(srv, a->link.qd);
    if (err) {
        server_log(srv, LOG_WARNING_LEVEL, "Error condition on socket for SYNC: %s", strerror(-err));
        return err;
    }
    server_log(srv, LOG_NOTICE_LEVEL, "Connected to MASTER %s:%d", a->host, a->port);
    dial_heard(a, 0);
    return 0;
}

static int ping(struct dial *a)
{
    char line[LINK_LINE_MAX] = "";
    struct bytes argv = BYTES("PING");
    int err = send_command(a, &argv, 1);
    if (!err) err = dial_read_line(a, line);
    if (err) return err;
    if (handshake_may_go_on(line)) {
        server_log(a->w->srv, LOG_NOTICE_LEVEL, "Master replied to PING, replication can continue...");
        return 0;
    }
    server_log(a->w->srv, LOG_WARNING_LEVEL, "Error reply to PING from master: '%s'", line);
    return -EPROTO;
}

enum introduced { AS_USER = 1, AS_PORT = 2, AS_IP = 4 };

/* Everything that a primary is told of us, in one piece; which of it was said. */
static unsigned add_introduction(struct worker *w, struct reply *out)
{
    const struct config *cfg = w->conf.cfg;
    char port[NUMBER_I64_SIZE];
    unsigned said = AS_PORT;
    if (cfg->masterauth.p) {
        struct bytes argv[3] = {BYTES("AUTH")};
        int argc = 1;
        if (cfg->masteruser && *cfg->masteruser) argv[argc++] = bytes_of_str(cfg->masteruser);
        argv[argc++] = cfg->masterauth;
        add_command(out, argv, argc);
        said |= AS_USER;
    }
    int64_t listens = cfg->tls_replication && cfg->tls_port ? cfg->tls_port : cfg->port;
    if (cfg->replica_announce_port) listens = cfg->replica_announce_port;
    struct bytes digits = bytes_of(port, number_format_i64(port, listens));
    add_command(out, (struct bytes[]){BYTES("REPLCONF"), BYTES("listening-port"), digits}, 3);
    if (cfg->replica_announce_ip && *cfg->replica_announce_ip) {
        struct bytes ip = bytes_of_str(cfg->replica_announce_ip);
        add_command(out, (struct bytes[]){BYTES("REPLCONF"), BYTES("ip-address"), ip}, 3);
        said |= AS_IP;
    }
    add_command(out, (struct bytes[]){BYTES("REPLCONF"), BYTES("capa"), BYTES("eof"), BYTES("capa"), BYTES("psync2")},
                5);
    /* Who knows this (Valkey 8, and we) writes files of the newest version that we say we read; others refuse it. */
    add_command(out, (struct bytes[]){BYTES("REPLCONF"), BYTES("version"), BYTES(REDIS_VERSION)}, 3);
    return said;
}

/* A primary that does not know the option is none the worse. */
static int take_answer(struct dial *a, const char *option)
{
    char line[LINK_LINE_MAX];
    int err = dial_read_line(a, line);
    if (!err && line[0] == '-' && option)
        server_log(a->w->srv, LOG_NOTICE_LEVEL, "(Non critical) Master does not understand REPLCONF %s: %s", option,
                   line);
    return err;
}

static int introduce(struct dial *a)
{
    struct reply out;
    char line[LINK_LINE_MAX];
    reply_init(&out, 2);
    unsigned said = add_introduction(a->w, &out);
    int err = send_commands(a, &out);
    if (!err && (said & AS_USER)) {
        err = dial_read_line(a, line);
        if (!err && line[0] == '-') {
            server_log(a->w->srv, LOG_WARNING_LEVEL, "Unable to AUTH to MASTER: %s", line);
            return -EACCES;
        }
    }
    if (!err) err = take_answer(a, "listening-port");
    if (!err && (said & AS_IP)) err = take_answer(a, "ip-address");
    if (!err) err = take_answer(a, "capa");
    if (!err) err = take_answer(a, NULL);
    return err;
}

/* --- PSYNC -------------------------------------------------------------------------------------------------------- */

/* *asked: for the rest of what we have. */
static int ask(struct dial *a, bool *asked)
{
    char offset[NUMBER_I64_SIZE];
    struct server *srv = a->w->srv;
    struct bytes argv[4] = {BYTES("PSYNC"), BYTES("?"), BYTES("-1"), BYTES("FAILOVER")};
    *asked = a->u->may_continue;
    if (*asked) {
        int64_t from = (int64_t)history_offset(&srv->history) + 1;
        argv[1] = bytes_of_str(srv->history.id);
        argv[2] = bytes_of(offset, number_format_i64(offset, from));
        server_log(srv, LOG_NOTICE_LEVEL, "Trying a partial resynchronization (request %s:%lld).", srv->history.id,
                   (long long)from);
    } else {
        server_log(srv, LOG_NOTICE_LEVEL, "Partial resynchronization not possible (no cached master)");
    }
    return send_command(a, argv, a->u->hands_over ? 4 : 3);
}

/* A target of FAILOVER that takes over answers as a primary; any other answer is a refusal. */
static int tell_handed_over(struct dial *a, enum psync_answer answer)
{
    upstream_handed_over *tell = a->u->hands_over;
    if (!tell) return 0;
    a->u->hands_over = NULL;
    tell(a->w, answer == PSYNC_FULL || answer == PSYNC_CONTINUES);
    return a->stop ? a->why : 0;
}

static int continue_stream(struct dial *a)
{
    struct server *srv = a->w->srv;
    if (*a->id && strncmp(a->id, srv->history.id, HISTORY_ID_SIZE) != 0) {
        server_log(srv, LOG_NOTICE_LEVEL, "Master replication ID changed to %s", a->id);
        replicas_close_all(a->w);
        history_branch_to(&srv->history, a->id);
    }
    history_keep(&srv->history);
    server_log(srv, LOG_NOTICE_LEVEL, "Successful partial resynchronization with master.");
    return upstream_take_up(a);
}

static int synchronize(struct dial *a)
{
    char line[LINK_LINE_MAX];
    bool asked;
    struct server *srv = a->w->srv;
    enum psync_answer answer = PSYNC_WAIT;
    int err = ask(a, &asked);
    while (!err && answer == PSYNC_WAIT) {
        err = dial_read_line(a, line);
        if (!err) answer = handshake_psync(line, a->id, &a->offset);
    }
    if (!err) err = tell_handed_over(a, answer);
    if (err) return err;
    a->by_psync = true;
    switch (answer) {
    case PSYNC_CONTINUES:
        if (asked) return continue_stream(a);
        break;
    case PSYNC_FULL:
        server_log(srv, LOG_NOTICE_LEVEL, "Full resync from master: %s:%lld", a->id, (long long)a->offset);
        return arrival_receive(a);
    case PSYNC_LATER:
        server_log(srv, LOG_NOTICE_LEVEL, "Master is currently unable to PSYNC but should be in the future: %s", line);
        return -EAGAIN;
    case PSYNC_UNKNOWN: {
        struct bytes argv = BYTES("SYNC");
        server_log(srv, LOG_NOTICE_LEVEL, "Master does not support PSYNC or is in error state (reply: %s)", line);
        server_log(srv, LOG_NOTICE_LEVEL, "Retrying with SYNC...");
        a->by_psync = false;
        err = send_command(a, &argv, 1);
        return err ? err : arrival_receive(a);
    }
    default: break;
    }
    server_log(srv, LOG_WARNING_LEVEL, "Unexpected reply to PSYNC from master: %s", line);
    return -EPROTO;
}

static int go(struct dial *a)
{
    server_log(a->w->srv, LOG_NOTICE_LEVEL, "MASTER <-> REPLICA sync started");
    a->u->state = UPSTREAM_CONNECTING;
    int err = connect_link(a);
    if (err) return err;
    a->u->state = UPSTREAM_HANDSHAKE;
    err = ping(a);
    if (!err) err = introduce(a);
    return err ? err : synchronize(a);
}

static int64_t run_dial(void *arg)
{
    struct dial *a = arg;
    int err = a->stop ? a->why : go(a);
    if (a->load) a->task_ended = true; /* it goes on there */
    else dial_ended(a, err);
    return 0;
}

/* --- some times a second ------------------------------------------------------------------------------------------ */

static void log_silence(const struct dial *a)
{
    const char *text = a->u && a->u->state == UPSTREAM_TRANSFER
                           ? "Timeout receiving bulk data from MASTER... If the problem persists try to set the "
                             "'repl-timeout' parameter in redis.conf to a larger value."
                           : "Timeout connecting to the MASTER...";
    server_log(a->w->srv, LOG_WARNING_LEVEL, "%s", text);
}

void dial_cron(struct dial *a)
{
    uint64_t now = demi_clock_ns(), most = (uint64_t)a->w->conf.cfg->repl_timeout * 1000000000;
    if (a->stop) return;
    bool loads = a->load && (a->from_socket || !a->feeding);
    if (loads && now - a->said_ns >= 1000000000 && link_is_open(&a->link)) {
        demi_qtoken_t none;
        a->said_ns = now;
        demi_pushv(&none, a->link.qd, &(struct iovec){(void *)(uintptr_t) "\n", 1}, 1,
                   DEMI_PUSH_HANDED_OVER | DEMI_PUSH_NO_TOKEN);
    }
    if (a->load && !a->listening) return;
    if (now - a->heard_ns <= most) return;
    log_silence(a);
    dial_call_off(a, -ETIMEDOUT);
}
