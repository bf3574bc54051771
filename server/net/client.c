/* SPDX-License-Identifier: MIT
 *
 * Clients: their buffers, their limits, their end.
 *
 * Input. A popped array is parsed where it lies; only a command that is not complete when the turn
 * ends is copied, into a buffer of the client's own, and what comes later is appended there until
 * that buffer is used up. So an idle client owns no buffer. Its bound is client-query-buffer-limit.
 *
 * Output and its bounds: client_output.c.
 */
#include "server/net/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "demi/libos.h"
#include "server/exec/blocked.h"
#include "server/exec/multi.h"
#include "server/mem.h"
#include "server/net/client_parts.h"
#include "server/net/client_weight.h"
#include "server/net/monitor.h"
#include "server/net/pubsub.h"
#include "server/net/tls.h"
#include "server/net/tracking.h"
#include "server/observe/errorstats.h"
#include "server/observe/log.h"
#include "server/repl/replica.h"
#include "server/repl/replicas.h"
#include "server/repl/upstream.h"
#include "server/server.h"
#include "server/worker.h"

#define POP_BYTES_MAX  ((size_t)64 << 10) /* what a pop gives at most */
#define LARGE_ARGUMENT (32 << 10)
/* What our primary only announces gets no more room than this; what comes then makes more. */
#define PRIMARY_ANNOUNCED_MAX ((size_t)64 << 20)

/* --- life --------------------------------------------------------------------------------------------------------- */

static void address_text(const struct sockaddr_storage *ss, const char *unix_path, char *out, size_t size)
{
    char ip[INET6_ADDRSTRLEN];
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
        snprintf(out, size, "%s:%u", ip, ntohs(in->sin_port));
    } else if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)ss;
        inet_ntop(AF_INET6, &in->sin6_addr, ip, sizeof ip);
        snprintf(out, size, "[%s]:%u", ip, ntohs(in->sin6_port));
    } else {
        snprintf(out, size, "%s:0", unix_path);
    }
}

bool client_is_on_this_host(const struct sockaddr_storage *ss)
{
    if (ss->ss_family == AF_INET) return ntohl(((const struct sockaddr_in *)ss)->sin_addr.s_addr) >> 24 == 127;
    if (ss->ss_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)ss)->sin6_addr);
    return ss->ss_family == AF_UNIX;
}

static void note_addresses(struct client *cl, const struct sockaddr_storage *peer)
{
    const char *path = cl->w->conf.cfg->unixsocket;
    struct sockaddr_storage local = {0};
    socklen_t n = sizeof local;
    if (peer->ss_family == AF_UNIX) cl->flags |= CLIENT_UNIX;
    if (client_is_on_this_host(peer)) cl->s.flags |= SESSION_LOCAL;
    if (demi_getsockname(cl->qd, (struct sockaddr *)&local, &n) != 0) local.ss_family = peer->ss_family;
    const char *bound = ((const struct sockaddr_un *)&local)->sun_path; /* of which of our paths */
    if (local.ss_family == AF_UNIX && *bound) path = bound;
    address_text(peer, path ? path : "", cl->peer, sizeof cl->peer);
    address_text(&local, path ? path : "", cl->local, sizeof cl->local);
}

enum client_class client_class_of(const struct client *cl)
{
    if (cl->s.flags & (SESSION_REPLICA | SESSION_MONITOR)) return CLASS_REPLICA; /* as Redis counts monitors */
    return (cl->s.flags & SESSION_PUBSUB) ? CLASS_PUBSUB : CLASS_NORMAL;
}

void client_log(const struct client *cl, int level, const char *before, const char *after)
{
    struct server *srv = cl->w->srv;
    char line[1024];
    if (level < (int)srv->config->loglevel) return;
    struct output_held held = {0};
    if (cl->unsent) held = client_output_held(cl->w);
    client_describe(cl, &held, line, sizeof line);
    server_log(srv, level, "%s%s%s", before, line, after);
}

/* What it does not read shall not be kept for it: demi_close() would go on sending it. */
void client_close_without_rest(struct client *cl)
{
    const struct linger hard = {.l_onoff = 1};
    demi_setsockopt(cl->qd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    client_close_soon(cl);
}

void client_kill(struct client *cl)
{
    size_t unsent = 0;
    if (cl->flags & CLIENT_CLOSE_NOW) return;
    blocked_forget(cl);
    pubsub_forget(cl);
    tracking_stop(cl);
    monitor_remove(cl);
    demi_unsent(cl->qd, &unsent);
    if (unsent) client_close_without_rest(cl);
    else client_close_soon(cl);
}

static void on_error_reply(void *ctx, struct bytes text)
{
    struct worker *w = ctx;
    w->stats.errors++;
    errorstats_count(w->srv, text);
}

void client_ask_for_input(struct client *cl)
{
    if (cl->pop || (cl->flags & (CLIENT_CLOSE_NOW | CLIENT_CLOSE_AFTER | CLIENT_STALLED))) return;
    if (unlikely(cl->flags & CLIENT_OWING) && ((cl->flags & CLIENT_ENDED) || !client_is_stuck(cl))) return;
    if (demi_pop(&cl->pop, cl->qd) != 0) {
        cl->pop = 0;
        client_close_soon(cl);
    }
}

/* --- by number ---------------------------------------------------------------------------------------------------- */

static struct bytes id_bytes(const uint64_t *id) { return bytes_of((const char *)id, sizeof *id); }
static struct bytes id_of(const void *entry) { return id_bytes(&((const struct client *)entry)->id); }
static const struct table_ops by_id_ops = {.key = id_of};

void client_index_init(struct worker *w) { table_init(&w->by_id, &by_id_ops, 0); }
void client_index_fini(struct worker *w) { table_fini(&w->by_id, NULL, NULL); }

/* --- life --------------------------------------------------------------------------------------------------------- */
static void completed(struct endpoint *e, struct worker *w, const demi_qresult_t *qr);

struct client *client_new(struct worker *w, int qd, const struct sockaddr_storage *peer)
{
    struct client *cl = mem_calloc(sizeof *cl);
    cl->w = w;
    cl->qd = qd;
    cl->id = atomic_fetch_add(&w->srv->next_client_id, 1);
    reply_init(&cl->out, 2);
    cl->s = (struct session){.w = w, .db = &w->srv->dbs[0], .client = cl, .out = &cl->out};
    cl->out.may_grow = client_may_grow;
    cl->out.on_error = on_error_reply;
    cl->out.on_error_ctx = w;
    resp_parser_init(&cl->parser);
    client_weight_begin(cl);
    cl->created_ms = cl->active_ms = w->now_ms;
    note_addresses(cl, peer);
    session_set_user(&cl->s, w->srv->acl.default_user);
    if (acl_is_open(&w->srv->acl)) cl->s.flags |= SESSION_AUTHENTICATED;
    list_push_back(&w->clients, &cl->all);
    table_insert(&w->by_id, table_hash(&w->by_id, id_bytes(&cl->id)), cl);
    w->client_count++;
    cl->endpoint.completed = completed;
    endpoint_set(&w->endpoints, qd, &cl->endpoint);
    client_ask_for_input(cl);
    return cl;
}

static void drop_input(struct client *cl)
{
    if (cl->in_sga.sga_buf) demi_sgafree(&cl->in_sga);
    memset(&cl->in_sga, 0, sizeof cl->in_sga);
    mem_free(cl->in_own);
    cl->in_own = NULL;
    cl->in = NULL;
    cl->in_off = cl->in_len = cl->in_cap = cl->in_want = 0;
}

void client_free(struct client *cl)
{
    struct worker *w = cl->w;
    if (unlikely(cl->flags & CLIENT_HELD)) client_forget_held(cl);
    if (unlikely(cl->s.flags & SESSION_PRIMARY)) upstream_lost(cl);
    multi_free(&cl->s);
    blocked_forget(cl);
    pubsub_forget(cl);
    tracking_stop(cl);
    client_weight_forget(cl);
    if (unlikely(cl->flags & CLIENT_READY_QUEUED)) worker_not_ready(w, cl);
    monitor_remove(cl);
    replicas_forget(cl);
    drop_input(cl);
    reply_fini(&cl->out);
    endpoint_set(&w->endpoints, cl->qd, NULL);
    demi_close(cl->qd);
    list_remove(&cl->all);
    table_delete(&w->by_id, table_hash(&w->by_id, id_bytes(&cl->id)), id_bytes(&cl->id));
    w->client_count--;
    if (cl->put_off) endpoint_release(cl->put_off);
    mem_free(cl->put_off);
    mem_free(cl->name);
    mem_free(cl->lib_name);
    mem_free(cl->lib_ver);
    replica_free(cl);
    mem_free_sized(cl, sizeof *cl);
}

void client_close_soon(struct client *cl)
{
    if (cl->flags & CLIENT_CLOSE_NOW) return;
    cl->flags |= CLIENT_CLOSE_NOW;
    cl->next_dying = cl->w->dying;
    cl->w->dying = cl;
    cl->w->before_end = true;
    if (unlikely(cl->flags & CLIENT_WEIGHED)) client_weight_forget(cl);
}

void client_close_after_reply(struct client *cl)
{
    cl->flags |= CLIENT_CLOSE_AFTER;
    client_output(cl);
}

/* --- input -------------------------------------------------------------------------------------------------------- */

/* What it only announces gets no more room than it may use. */
static size_t announced(const struct client *cl)
{
    size_t limit = (size_t)cl->w->conf.cfg->client_query_buffer_limit;
    if (unlikely(cl->s.flags & SESSION_PRIMARY)) limit = PRIMARY_ANNOUNCED_MAX;
    if (cl->in_off == cl->in_len) return 0;
    return cl->in_want < limit ? cl->in_want : limit;
}

/* For `need` bytes, with room for more: what grows again and again is copied a few times in all, not at each piece that
 * comes. */
static size_t room_for(const struct client *cl, size_t left, size_t need, bool all)
{
    size_t slack = !left ? 0 : need < (1u << 20) ? need / 2 : cl->in_own ? need / 8 : 0;
    if (all && slack > POP_BYTES_MAX) slack = POP_BYTES_MAX;
    return demi_good_size(need < 1024 ? 1024 : need + slack);
}

size_t client_input_memory(const struct client *cl)
{
    size_t want = announced(cl), room = cl->in_cap > cl->in_len ? cl->in_cap : cl->in_len;
    return room >= want ? room : room_for(cl, cl->in_len - cl->in_off, want, true);
}

/* Moves what is left of the input into in_own, with room for `more` bytes behind it. */
static void own_input(struct client *cl, size_t more)
{
    size_t left = cl->in_len - cl->in_off, need = left + more, want = announced(cl);
    bool all = need < want; /* of this command: what comes behind it is one pop at most */
    if (all) need = want;
    if (cl->in_own && cl->in == cl->in_own && cl->in_off == 0 && need <= cl->in_cap) return;
    if (cl->in_own && cl->in == cl->in_own && need <= cl->in_cap) {
        memmove(cl->in_own, cl->in + cl->in_off, left);
    } else {
        size_t cap = room_for(cl, left, need, all);
        char *p = mem_alloc(cap);
        if (left) memcpy(p, cl->in + cl->in_off, left);
        if (cl->in_sga.sga_buf) demi_sgafree(&cl->in_sga);
        memset(&cl->in_sga, 0, sizeof cl->in_sga);
        mem_free(cl->in_own);
        cl->in_own = p;
        cl->in_cap = cap;
    }
    cl->in = cl->in_own;
    cl->in_off = 0;
    cl->in_len = left;
}

static void append_input(struct client *cl, demi_sgarray_t *sga)
{
    size_t n = sga->sga_segs[0].sgaseg_len;
    own_input(cl, n);
    memcpy(cl->in_own + cl->in_len, sga->sga_segs[0].sgaseg_buf, n);
    cl->in_len += n;
    demi_sgafree(sga);
}

void client_take_input(struct client *cl, const demi_sgarray_t *in, size_t taken)
{
    ASSERT(cl->in_len == 0);
    if (!in->sga_numsegs) return;
    cl->in_sga = *in;
    cl->in = in->sga_segs[0].sgaseg_buf;
    cl->in_off = taken;
    cl->in_len = in->sga_segs[0].sgaseg_len;
    cl->net_in += cl->in_len - taken;
    worker_ready(cl->w, cl);
}

static void take_input(struct client *cl, const demi_sgarray_t *from)
{
    demi_sgarray_t sga = *from;
    size_t n = sga.sga_segs[0].sgaseg_len;
    struct worker *w = cl->w;
    w->stats.net_in += n;
    w->stats.reads++;
    cl->net_in += n;
    if (unlikely(cl->s.flags & SESSION_PRIMARY)) w->stats.repl_in += n;
    cl->active_ms = w->now_ms;
    if (cl->in_off == cl->in_len && !cl->in_own) {
        cl->in_sga = sga;
        cl->in = sga.sga_segs[0].sgaseg_buf;
        cl->in_off = 0;
        cl->in_len = n;
    } else {
        append_input(cl, &sga);
    }
    size_t held = cl->in_len - cl->in_off;
    if (unlikely(held > (size_t)w->conf.cfg->client_query_buffer_limit) && !(cl->s.flags & SESSION_PRIMARY)) {
        client_log(cl, LOG_WARNING_LEVEL, "Closing client that reached max query buffer length: ", "");
        w->stats.query_limit_closed++;
        client_kill(cl);
        return;
    }
    worker_ready(w, cl);
}

static void log_failure(const struct client *cl, int err)
{
    char why[192];
    struct server *srv = cl->w->srv;
    int when = tls_failure(cl->qd, why, sizeof why);
    if (when == 1)
        server_log(srv, LOG_WARNING_LEVEL, "Error accepting a client connection: %s (addr=%s laddr=%s)", why, cl->peer,
                   cl->local);
    else server_log(srv, LOG_VERBOSE_LEVEL, "Reading from client: %s", when ? why : strerror(err));
}

/* The result of its pop. */
static void popped(struct client *cl, const demi_qresult_t *qr)
{
    cl->pop = 0;
    client_output(cl); /* settles what is left and asks for more, whether there is a whole command or not */
    if (qr->qr_opcode != DEMI_OPC_POP) {
        log_failure(cl, (int)qr->qr_ret);
        client_close_soon(cl);
        return;
    }
    if (qr->qr_value.sga.sga_segs[0].sgaseg_len == 0) {
        demi_sgarray_t sga = qr->qr_value.sga;
        if (sga.sga_buf) demi_sgafree(&sga);
        if (unlikely(cl->flags & CLIENT_OWING) && cl->in_off < cl->in_len) {
            cl->flags |= CLIENT_ENDED; /* found again when that was served */
            return;
        }
        client_log(cl, LOG_VERBOSE_LEVEL, "Client closed connection ", "");
        client_close_soon(cl);
        return;
    }
    take_input(cl, &qr->qr_value.sga);
}

void client_unparse(struct client *cl, const char *text, size_t n, size_t rest)
{
    size_t left = cl->in_len - rest;
    size_t cap = demi_good_size(n + left);
    char *p = mem_alloc(cap);
    memcpy(p, text, n);
    if (left) memcpy(p + n, cl->in + rest, left);
    drop_input(cl);
    cl->in = cl->in_own = p;
    cl->in_cap = cap;
    cl->in_len = n + left;
}

/* What was executed is dropped; what is left must not stay in a receive buffer. */
void client_settle_input(struct client *cl)
{
    if (cl->in_off == cl->in_len) {
        drop_input(cl);
        return;
    }
    if (cl->in_sga.sga_buf || cl->in_off > cl->in_cap / 2) own_input(cl, 0);
}

static void take_result(struct client *cl, const demi_qresult_t *qr)
{
    if (likely(qr->qr_qt == cl->pop)) popped(cl, qr);
    else client_pushed(cl, qr);
}

/* A result of an earlier owner of the descriptor is nobody's. */
static void completed(struct endpoint *e, struct worker *w, const demi_qresult_t *qr)
{
    struct client *cl = container_of(e, struct client, endpoint);
    (void)w;
    if (unlikely(qr->qr_qt != cl->pop && qr->qr_qt != cl->push)) {
        endpoint_release(qr);
    } else if (unlikely(cl->flags & CLIENT_IN_SCRIPT) && qr->qr_qt == cl->pop) {
        ASSERT(!cl->put_off);
        cl->put_off = mem_alloc(sizeof *qr);
        *cl->put_off = *qr;
    } else {
        take_result(cl, qr);
    }
}

void client_enter_script(struct client *cl) { cl->flags |= CLIENT_IN_SCRIPT; }

void client_leave_script(struct client *cl)
{
    cl->flags &= ~(uint32_t)CLIENT_IN_SCRIPT;
    worker_ready(cl->w, cl);
}

void client_take_put_off(struct client *cl)
{
    demi_qresult_t *qr = cl->put_off;
    if (likely(!qr)) return;
    cl->put_off = NULL;
    take_result(cl, qr);
    mem_free(qr);
}

/* What came in is counted as take_input() does it. */
static enum client_heard hear_put_off(struct client *cl, bool (*hear)(void *ctx, struct bytes said), void *ctx)
{
    demi_qresult_t *qr = cl->put_off;
    demi_sgarray_t *sga = &qr->qr_value.sga;
    if (qr->qr_opcode != DEMI_OPC_POP || sga->sga_segs[0].sgaseg_len == 0) return CLIENT_GONE; /* settled later */
    struct bytes said = bytes_of(sga->sga_segs[0].sgaseg_buf, sga->sga_segs[0].sgaseg_len);
    cl->w->stats.net_in += said.n;
    cl->w->stats.reads++;
    cl->net_in += said.n;
    bool taken = hear(ctx, said);
    demi_sgafree(sga);
    mem_free(qr);
    cl->put_off = NULL;
    cl->pop = 0;
    return taken ? CLIENT_HEARD : CLIENT_HEARD_TOO_MUCH;
}

enum client_heard client_hear(struct client *cl, bool (*hear)(void *ctx, struct bytes said), void *ctx)
{
    if (cl->flags & CLIENT_CLOSE_NOW) return CLIENT_GONE;
    if (cl->in_off < cl->in_len) {
        struct bytes said = bytes_of(cl->in + cl->in_off, cl->in_len - cl->in_off);
        cl->in_off = cl->in_len;
        return hear(ctx, said) ? CLIENT_HEARD : CLIENT_HEARD_TOO_MUCH;
    }
    if (cl->put_off) return hear_put_off(cl, hear, ctx);
    client_ask_for_input(cl);
    return (cl->flags & CLIENT_CLOSE_NOW) ? CLIENT_GONE : CLIENT_HEARD_NOTHING;
}

/* --- upkeep ------------------------------------------------------------------------------------------------------- */

void client_cron(struct client *cl)
{
    struct worker *w = cl->w;
    const struct config *cfg = w->conf.cfg;
    client_check_output(cl);
    if (unlikely(cl->flags & CLIENT_OWING)) client_ask_for_input(cl);
    if (unlikely(cl->flags & CLIENT_WEIGHED)) client_weigh(cl);
    if (cfg->timeout && !(cl->flags & CLIENT_WAITS) &&
        !(cl->s.flags & (SESSION_PUBSUB | SESSION_MONITOR | SESSION_REPLICA | SESSION_PRIMARY)) &&
        w->now_ms - cl->active_ms > cfg->timeout * 1000) {
        server_log(w->srv, LOG_VERBOSE_LEVEL, "Closing idle client");
        client_kill(cl);
    }
}

void client_trust(struct client *cl)
{
    int on = 1;
    if (cl->flags & CLIENT_RDMA) demi_setsockopt(cl->qd, DEMI_SOL_RDMA, DEMI_RDMA_TRUSTED, &on, sizeof on);
}

void client_users_changed(struct worker *w)
{
    bool open = acl_is_open(&w->srv->acl);
    list_for_each(it, &w->clients)
    {
        struct session *s = &list_entry(it, struct client, all)->s;
        session_set_user(s, s->user);
        if (open && !(s->flags & SESSION_AUTHENTICATED)) s->flags |= SESSION_AUTHENTICATED | SESSION_LET_IN;
        else if (!open && (s->flags & SESSION_LET_IN)) s->flags &= ~(uint32_t)(SESSION_AUTHENTICATED | SESSION_LET_IN);
    }
}

size_t client_memory(const struct client *cl, const struct output_held *held)
{
    return sizeof *cl + client_input_memory(cl) + multi_memory(&cl->s) + pubsub_client_memory(cl) +
           tracking_client_memory(cl) + client_output_memory(cl, held);
}

struct client *client_find(struct server *srv, uint64_t id)
{
    for (int i = 0; i < srv->worker_count; i++) {
        struct table *t = &srv->workers[i].by_id;
        struct bytes key = id_bytes(&id);
        struct client *cl = table_find(t, table_hash(t, key), key);
        if (cl) return cl;
    }
    return NULL;
}

static void flag_letters(const struct client *cl, char *out)
{
    static const struct {
        uint32_t session, client, tracking;
        char letter;
    } letters[] = {
        {SESSION_REPLICA, 0, 0, 'S'},   {SESSION_MONITOR, 0, 0, 'O'},    {SESSION_PRIMARY, 0, 0, 'M'},
        {SESSION_PUBSUB, 0, 0, 'P'},    {SESSION_MULTI, 0, 0, 'x'},      {0, CLIENT_WAITS, 0, 'b'},
        {0, 0, TRACKING_ON, 't'},       {0, 0, TRACKING_BROKEN, 'R'},    {0, 0, TRACKING_BCAST, 'B'},
        {SESSION_DIRTY_CAS, 0, 0, 'd'}, {0, CLIENT_CLOSE_AFTER, 0, 'c'}, {0, CLIENT_CLOSE_NOW, 0, 'A'},
        {0, CLIENT_UNIX, 0, 'U'},       {0, CLIENT_NO_EVICT, 0, 'e'},    {SESSION_NO_TOUCH, 0, 0, 'T'},
    };
    char *p = out;
    uint32_t tracking = cl->tracking ? cl->tracking->flags : 0;
    uint32_t session = cl->s.flags | (multi_exec_argv(&cl->s) ? SESSION_MULTI : 0); /* while its queue is run, too */
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if ((session & letters[i].session) || (cl->flags & letters[i].client) || (tracking & letters[i].tracking))
            *p++ = letters[i].letter;
    if (p == out) *p++ = 'N';
    *p = 0;
}

/* What redis-server has cut off already, so that a large argument lies where it stays. */
static size_t bytes_before_argument(const struct client *cl)
{
    return cl->in_off < cl->in_len && cl->parser.bulk >= LARGE_ARGUMENT ? cl->in_off + cl->parser.at : 0;
}

size_t client_describe(const struct client *cl, const struct output_held *held, char *out, size_t size)
{
    char flags[16];
    flag_letters(cl, flags);
    /* With the command in execution, as Redis counts it; an idle client has no buffer. */
    size_t qbuf = cl->in_len - bytes_before_argument(cl), qfree = cl->in_cap > cl->in_len ? cl->in_cap - cl->in_len : 0;
    size_t built = reply_bytes(&cl->out);
    const struct command *cmd = cl->s.last_cmd;
    bool in_multi = (cl->s.flags & SESSION_MULTI) || multi_exec_argv(&cl->s);
    int n = snprintf(
        out, size,
        "id=%llu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%lld flags=%s db=%d sub=%zu "
        "psub=%zu ssub=%zu multi=%lld qbuf=%zu "
        "qbuf-free=%zu argv-mem=%zu multi-mem=%zu rbs=%zu rbp=%zu obl=%zu oll=%d omem=%zu "
        "tot-mem=%zu events=%s cmd=%s "
        "user=%s redir=%lld resp=%d lib-name=%s lib-ver=%s",
        (unsigned long long)cl->id, cl->peer, cl->local, demi_queue_fd(cl->qd), cl->name ? cl->name : "",
        (long long)((cl->w->now_ms - cl->created_ms) / 1000), (long long)((cl->w->now_ms - cl->active_ms) / 1000),
        flags, cl->s.db->id, pubsub_client_count(cl, PUBSUB_CHANNELS), pubsub_client_count(cl, PUBSUB_PATTERNS),
        pubsub_client_count(cl, PUBSUB_SHARDED), in_multi ? (long long)multi_count(&cl->s) : -1LL, qbuf, qfree,
        cl->args_bytes, multi_memory(&cl->s), built, built, built, cl->unsent ? 1 : 0, client_output_memory(cl, held),
        client_memory(cl, held), cl->unsent ? "rw" : "r", cmd ? cmd->full_name : "NULL",
        cl->s.user ? cl->s.user->name.p : "(superuser)", cl->tracking ? (long long)cl->tracking->redirect : -1LL,
        cl->out.proto, cl->lib_name ? cl->lib_name : "", cl->lib_ver ? cl->lib_ver : "");
    return n > 0 ? (size_t)n : 0;
}
