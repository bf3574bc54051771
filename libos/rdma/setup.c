/* SPDX-License-Identifier: MIT
 *
 * Addresses and connections.
 *
 * A peer that asks for a connection is answered at once, up to the backlog, and waits ready for the program's accept;
 * what it sends meanwhile lies there, up to its window. So a listener owes its peers nothing that depends on the
 * program's pace.
 */
#include "libos/rdma/sock.h"

#include "alloc/base/log.h"
#include "alloc/heap.h"
#include "libos/runtime/handover.h"

#include <errno.h>
#include <string.h>

#define ACCEPT_RETRY_NS 10000000u

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static int read_address(const struct rdma_sock *s, const struct sockaddr *addr, socklen_t size, union rdma_addr *out)
{
    sa_family_t family;
    if (size < sizeof family) return -EINVAL;
    memcpy(&family, addr, sizeof family); /* it may lie anywhere */
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX) return -ENOTSUP;
    if (family != (s->six ? AF_INET6 : AF_INET)) return -EINVAL;
    if (size != (s->six ? sizeof out->v6 : sizeof out->v4)) return -EINVAL;
    memset(out, 0, sizeof *out);
    memcpy(out, addr, size);
    return 0;
}

static socklen_t address_size(const struct rdma_sock *s)
{
    return s->six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

/* --- ends of the device ------------------------------------------------------------------------------------------- */

/* An end for the socket, bound to s->local if it is BOUND. */
static int make_end(struct rdma_sock *s)
{
    struct rdma *r = s->r;
    struct rdma_conn *c = rdma_conn_new(r);
    bool bound = s->local.any.sa_family != AF_UNSPEC;
    if (!c) return -ENOMEM;
    int err =
        r->dev->ops->make(r->dev, conn_word(c), bound ? &s->local.any : NULL, bound ? address_size(s) : 0, &c->end);
    if (err) {
        c->end = NULL;
        rdma_conn_unhold(c);
        return err;
    }
    c->sock = s;
    s->conn = c;
    return 0;
}

/* The device may have gone since the bind. */
static int is_usable(const struct rdma_sock *s) { return s->conn->state == CONN_IDLE ? 0 : -ENETDOWN; }

int rdma_sock_bind(struct queue *q, const struct sockaddr *addr, socklen_t size)
{
    struct rdma_sock *s = sock_of(q);
    struct sockaddr_storage got;
    union rdma_addr local;
    int err = read_address(s, addr, size, &local);
    if (err) return err;
    if (s->state == SOCK_CONNECTED) return -EISCONN;
    if (s->state != SOCK_NEW) return -EINVAL;
    s->local = local;
    err = make_end(s);
    if (err) {
        s->local.any.sa_family = AF_UNSPEC;
        return err;
    }
    s->r->dev->ops->addresses(s->r->dev, s->conn->end, &got, NULL); /* the port, where it was left to us */
    if (got.ss_family == local.any.sa_family) memcpy(&s->local, &got, address_size(s));
    s->state = SOCK_BOUND;
    return 0;
}

/* --- what we say of ourselves ------------------------------------------------------------------------------------- */

static struct wire_greeting greeting(const struct rdma_conn *c)
{
    return (struct wire_greeting){
        .version = WIRE_VERSION,
        .receive_size = c->r->o.receive_size,
        .window = c->window_in,
        .word_addr = (uint64_t)(uintptr_t)c->word.in,
        .word_key = c->word.key,
    };
}

/* How much of the shared queue this peer may fill. Where a message without a receive breaks the connection, no more is
 * promised than there is; else a peer waits for a moment, and the promise is for the usual. 0: nothing is left. */
static uint32_t window_for(const struct rdma *r)
{
    uint32_t left = r->dev->caps.shared_depth > r->reserved ? r->dev->caps.shared_depth - r->reserved : 0;
    if (r->dev->caps.rnr || left >= r->o.window) return r->o.window;
    return left >= WIRE_WINDOW_MIN ? left : 0;
}

/* -ENOBUFS, or what the word costs. */
static int reserve(struct rdma_conn *c)
{
    struct rdma *r = c->r;
    uint32_t window = window_for(r);
    if (!window) return -ENOBUFS;
    int err = words_take(&r->words, &c->word);
    if (err) return err;
    c->window_in = window;
    c->window_half = window / 2;
    rdma_recv_told(c);
    r->reserved += window;
    return 0;
}

static void meet(struct rdma_conn *c, const struct wire_greeting *g)
{
    uint32_t most = c->r->dev->caps.message_max;
    c->window_out = (uint16_t)g->window;
    c->word_addr = g->word_addr;
    c->word_key = g->word_key;
    c->room_out = (g->receive_size < most ? g->receive_size : most) - WIRE_HEAD_SIZE;
}

/* --- listen, accept ----------------------------------------------------------------------------------------------- */

int rdma_sock_listen(struct queue *q, int backlog)
{
    struct rdma_sock *s = sock_of(q);
    ASSERT(backlog > 0 && backlog <= SOMAXCONN);
    if (s->state == SOCK_NEW) return -EDESTADDRREQ;
    if (s->state == SOCK_CONNECTED) return -EISCONN;
    if (s->state != SOCK_BOUND) return -EADDRINUSE;
    int err = s->conn ? is_usable(s) : make_end(s);
    if (!err) err = s->r->dev->ops->listen(s->r->dev, s->conn->end, backlog);
    if (err) return err;
    s->backlog = (uint16_t)backlog;
    s->conn->state = CONN_LISTENING;
    s->state = SOCK_LISTENING;
    return 0;
}

static void complete_accept(struct rdma_sock *s, struct rdma_sock *made)
{
    struct op *op = op_list_shift(&s->st.pops);
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    struct rdma_conn *c = made->conn;
    if (c->end) s->r->dev->ops->addresses(s->r->dev, c->end, NULL, &peer);
    memset(&op->value, 0, sizeof op->value);
    op->value.ares.qd = made->q.qd;
    if (s->six) {
        op->value.ares6.addr.sin6_family = AF_INET6;
        if (peer.ss_family == AF_INET6) memcpy(&op->value.ares6.addr, &peer, sizeof op->value.ares6.addr);
    } else {
        op->value.ares.addr.sin_family = AF_INET;
        if (peer.ss_family == AF_INET) memcpy(&op->value.ares.addr, &peer, sizeof op->value.ares.addr);
    }
    op_complete(ops_of(s->r), op);
}

static void rest(struct rdma_sock *s)
{
    struct rdma *r = s->r;
    r->accept_backoff++;
    list_remove(&s->hungry);
    list_push_back(&r->hungry, &s->hungry);
    if (!timer_runs(&r->retry))
        wheel_start(&r->base.rt->wheel, &r->retry, runtime_later(r->base.rt, ACCEPT_RETRY_NS), rdma_setup_retry);
}

static bool accept_one(struct rdma_sock *s)
{
    struct rdma_sock *made;
    struct list *l = list_first(&s->ready);
    if (!l) return false;
    if (rdma_sock_new(s->r, s->six, &made)) {
        rest(s);
        return false;
    }
    struct rdma_conn *c = list_entry(l, struct rdma_conn, ready);
    list_remove(&c->ready);
    s->pending--;
    c->listener = NULL;
    c->sock = made;
    made->conn = c;
    made->state = SOCK_CONNECTED;
    made->linger_s = s->linger_s;
    if (c->fin_received) made->st.flags |= STREAM_ENDED;
    if (c->state > CONN_UP) stream_fail(ops_of(s->r), &made->st, EPIPE, rdma_conn_is_readable(c));
    s->r->accepted++;
    complete_accept(s, made);
    return true;
}

static void accept_all(struct rdma_sock *s)
{
    while (s->st.pops.head && accept_one(s))
        ;
}

int rdma_sock_accept(struct queue *q, struct op *op)
{
    struct rdma_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_ACCEPT);
    if (s->state != SOCK_LISTENING) return -EINVAL;
    if (s->conn->state != CONN_LISTENING) return -ENETDOWN;
    op_list_append(&s->st.pops, op);
    accept_all(s);
    return 0;
}

void rdma_setup_retry(struct timer *t)
{
    struct rdma *r = container_of(t, struct rdma, retry);
    struct list again;
    list_init(&again);
    list_splice_back(&again, &r->hungry);
    for (struct list *l; (l = list_pop_front(&again));) accept_all(list_entry(l, struct rdma_sock, hungry));
}

/* Says no, with our greeting, so that whoever is of another version can say of which. */
static void refuse(struct rdma_sock *s, struct msgdev_end *end)
{
    uint8_t answer[WIRE_GREETING_SIZE];
    const struct wire_greeting g = {
        .version = WIRE_VERSION, .receive_size = s->r->o.receive_size, .window = s->r->o.window};
    wire_put_greeting(answer, &g);
    s->r->rejected++;
    s->r->dev->ops->reject(s->r->dev, end, answer, sizeof answer);
}

static int accept_end(struct rdma_sock *s, struct rdma_conn *c, struct msgdev_end *end, const struct wire_greeting *g)
{
    struct rdma *r = s->r;
    uint8_t answer[WIRE_GREETING_SIZE];
    int err = reserve(c);
    if (err) {
        refuse(s, end);
        return err;
    }
    meet(c, g);
    const struct wire_greeting ours = greeting(c);
    wire_put_greeting(answer, &ours);
    const struct msgdev_params p = {.send_depth = c->depth, .private_data = answer, .private_len = sizeof answer};
    return r->dev->ops->accept(r->dev, end, conn_word(c), &p);
}

/* A peer of Valkey's framing: it says nothing of itself, and there is nothing to be said to it. */
static int accept_valkey(struct rdma_sock *s, struct rdma_conn *c, struct msgdev_end *end)
{
    struct rdma *r = s->r;
    int err = -ENOBUFS;
    if (strangers_have_room(r, s->valkey_buffer, s->stranger_bytes)) c->v = valkey_new(r, s->valkey_buffer, &err);
    if (!c->v) {
        refuse(s, end);
        return err;
    }
    if (s->stranger_bytes) strangers_add(c);
    const struct msgdev_params p = {.send_depth = c->depth};
    return r->dev->ops->accept(r->dev, end, conn_word(c), &p);
}

static void tell_refused(struct rdma *r, int err)
{
    r->open_failed++;
    if (!rdma_may_tell(r)) return;
    log_notice(NULL, "rdma: %s: a peer was refused: %s", r->dev->what,
               err == ENOSPC ? "the completion queue is full; with a smaller send_depth more find room"
                             : strerror(err));
}

void rdma_setup_requested(struct rdma_sock *s, const struct msgdev_completion *m)
{
    struct rdma *r = s->r;
    struct wire_greeting g;
    enum wire_verdict v = wire_get_greeting(m->private_data, m->private_len, &g);
    bool is_valkeys = v == WIRE_NOTHING && s->valkey_buffer && r->dev->caps.immediate;
    bool is_known = v == WIRE_OURS || is_valkeys;
    struct rdma_conn *c = is_known && s->pending < s->backlog ? rdma_conn_new(r) : NULL;
    r->foreign += !is_known;
    if (!c) {
        refuse(s, m->end);
        return;
    }
    int err = is_valkeys ? accept_valkey(s, c, m->end) : accept_end(s, c, m->end, &g);
    if (err) {
        tell_refused(r, -err);
        r->reserved -= c->window_in;
        rdma_conn_unhold(c);
        return;
    }
    r->valkey_accepted += is_valkeys;
    c->end = m->end;
    c->passive = true;
    c->state = CONN_OPENING;
    c->listener = s;
    s->pending++;
    wheel_start(&r->base.rt->wheel, &c->timer, runtime_later(r->base.rt, r->o.connect_ns), rdma_setup_late);
}

void rdma_setup_unlisten(struct rdma_sock *s)
{
    list_remove(&s->hungry);
    list_for_each_safe(it, &s->r->conns)
    {
        struct rdma_conn *c = list_entry(it, struct rdma_conn, all);
        if (c->listener != s) continue;
        list_remove(&c->ready);
        s->pending--;
        c->listener = NULL;
        if (c->state == CONN_GONE) rdma_conn_unhold(c);
        else rdma_conn_release(c);
    }
    ASSERT(!s->pending);
}

/* --- connect ------------------------------------------------------------------------------------------------------ */

static int connect_ours(struct rdma_conn *c, const struct sockaddr *peer, socklen_t size)
{
    uint8_t words[WIRE_GREETING_SIZE];
    int err = reserve(c);
    if (err) return err;
    const struct wire_greeting ours = greeting(c);
    wire_put_greeting(words, &ours);
    const struct msgdev_params p = {.send_depth = c->depth, .private_data = words, .private_len = sizeof words};
    return c->r->dev->ops->connect(c->r->dev, c->end, peer, size, &p);
}

static int connect_valkey(struct rdma_conn *c, uint32_t buffer, const struct sockaddr *peer, socklen_t size)
{
    int err;
    c->v = valkey_new(c->r, buffer, &err);
    if (!c->v) return err;
    const struct msgdev_params p = {.send_depth = c->depth};
    return c->r->dev->ops->connect(c->r->dev, c->end, peer, size, &p);
}

int rdma_sock_connect(struct queue *q, struct op *op, const struct sockaddr *addr, socklen_t size)
{
    struct rdma_sock *s = sock_of(q);
    struct rdma *r = s->r;
    union rdma_addr peer;
    assert_op_given(q, op, DEMI_OPC_CONNECT);
    if (s->state == SOCK_CONNECTING) return -EINPROGRESS;
    if (s->state == SOCK_CONNECTED) return -EISCONN;
    if (s->state == SOCK_LISTENING) return -EOPNOTSUPP;
    int err = read_address(s, addr, size, &peer);
    if (err) return err;
    err = s->conn ? is_usable(s) : make_end(s);
    if (err) return err;
    struct rdma_conn *c = s->conn;
    err = s->valkey_buffer ? connect_valkey(c, s->valkey_buffer, &peer.any, size) : connect_ours(c, &peer.any, size);
    s->state = SOCK_CONNECTING;
    s->connecting = op;
    c->state = CONN_OPENING;
    if (err) rdma_setup_abandon(c, -err);
    else wheel_start(&r->base.rt->wheel, &c->timer, runtime_later(r->base.rt, r->o.connect_ns), rdma_setup_late);
    return 0;
}

void rdma_setup_abandon(struct rdma_conn *c, int err)
{
    struct rdma_sock *s = c->sock;
    c->r->open_failed++;
    if (c->listener) {
        c->listener->pending--;
        c->listener = NULL;
    }
    if (s) { /* it may try again, with another end */
        struct op *op = s->connecting;
        c->sock = NULL;
        s->conn = NULL;
        s->connecting = NULL;
        s->state = s->local.any.sa_family != AF_UNSPEC ? SOCK_BOUND : SOCK_NEW;
        if (op) op_fail(ops_of(c->r), op, err);
    }
    rdma_recv_drop(c);
    rdma_conn_release(c);
}

void rdma_setup_late(struct timer *t)
{
    struct rdma_conn *c = container_of(t, struct rdma_conn, timer);
    c->r->status[MSGDEV_UNREACHABLE]++;
    rdma_setup_abandon(c, ETIMEDOUT);
}

void rdma_setup_failed(struct rdma_conn *c, const struct msgdev_completion *m)
{
    struct wire_greeting g;
    if (c->state != CONN_OPENING) return;
    uint8_t status = m->status < MSGDEV_STATUS_COUNT && m->status ? m->status : MSGDEV_FAILED_OTHERWISE;
    c->r->status[status]++;
    if (status == MSGDEV_REJECTED && wire_get_greeting(m->private_data, m->private_len, &g) == WIRE_OTHER_VERSION &&
        rdma_may_tell(c->r))
        log_notice(NULL, "rdma: %s: the peer speaks another version of the framing", c->r->dev->what);
    rdma_setup_abandon(c, rdma_status_errno(status, m->err));
}

static void up(struct rdma_conn *c)
{
    c->state = CONN_UP;
    rdma_conn_start_keepalive(c);
    if (c->fin_seen_due || c->consumed || c->v) rdma_send_mark(c);
}

void rdma_setup_established(struct rdma_conn *c, const struct msgdev_completion *m)
{
    struct rdma *r = c->r;
    struct rdma_sock *s = c->sock;
    if (c->state != CONN_OPENING) return;
    if (c->listener) {
        up(c);
        list_push_back(&c->listener->ready, &c->ready);
        accept_all(c->listener);
        return;
    }
    struct wire_greeting g;
    enum wire_verdict v = wire_get_greeting(m->private_data, m->private_len, &g);
    if (v != (c->v ? WIRE_NOTHING : WIRE_OURS)) {
        r->foreign++;
        if (rdma_may_tell(r))
            log_notice(NULL, "rdma: %s: the peer does not speak %s framing", r->dev->what,
                       c->v ? "Valkey's" : "this library's");
        rdma_setup_abandon(c, EPROTO);
        return;
    }
    if (!c->v) meet(c, &g);
    up(c);
    s->state = SOCK_CONNECTED;
    r->connected++;
    struct op *op = s->connecting;
    s->connecting = NULL;
    if (c->fin_received) s->st.flags |= STREAM_ENDED;
    if (op) op_complete_plain(ops_of(r), op, 0);
}
