/* SPDX-License-Identifier: MIT
 *
 * Sockets: naming, listening, accepting, options, closing.
 */
#include "libos/sim/world.h"

#include "libos/runtime/address.h"
#include "libos/runtime/handover.h"
#include "libos/runtime/ip_option.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

/* Whether a and b (host addresses or the wildcard) mean a common one. */
static bool overlap(in_addr_t a, in_addr_t b) { return a == b || a == INADDR_ANY || b == INADDR_ANY; }

static bool in_use(const struct sim_host *h, bool dgram, in_addr_t addr, in_port_t port, bool connections_too)
{
    list_for_each(it, &h->socks)
    {
        const struct sim_sock *s = list_entry(it, struct sim_sock, link);
        if (s->dgram != dgram || s->local.sin_port != port || !overlap(s->local.sin_addr.s_addr, addr)) continue;
        if (connections_too || s->dgram || s->state == SOCK_BOUND || s->state == SOCK_LISTENING) return true;
    }
    return false;
}

static int pick_port(struct sim_sock *s, in_addr_t addr, in_port_t *out)
{
    struct sim_host *h = s->host;
    for (unsigned i = 0; i < 30000; i++) {
        in_port_t port = htons(h->next_port);
        h->next_port = h->next_port == 65535 ? 32768 : h->next_port + 1;
        if (in_use(h, s->dgram, addr, port, true)) continue;
        *out = port;
        return 0;
    }
    return -EADDRNOTAVAIL;
}

int sim_sock_autobind(struct sim_sock *s)
{
    if (s->state != SOCK_NEW) return 0;
    in_port_t port;
    int err = pick_port(s, s->host->addr, &port);
    if (err) return err;
    s->local = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = s->host->addr};
    s->state = SOCK_BOUND;
    return 0;
}

static int sim_sock_bind(struct queue *q, const struct sockaddr *addr, socklen_t size)
{
    struct sim_sock *s = sock_of(q);
    int err = address_check(addr, size, AF_INET);
    if (err) return err;
    if (s->state == SOCK_CONNECTED && !s->dgram) return -EISCONN;
    if (s->state != SOCK_NEW) return -EINVAL;
    struct sockaddr_in in;
    memcpy(&in, addr, sizeof in);
    in_addr_t a = in.sin_addr.s_addr;
    if (a != INADDR_ANY && a != s->host->addr && ntohl(a) >> 24 != 127) return -EADDRNOTAVAIL;
    if (!in.sin_port) err = pick_port(s, a, &in.sin_port);
    else if (in_use(s->host, s->dgram, a, in.sin_port, false)) err = -EADDRINUSE;
    if (err) return err;
    s->local = in;
    s->state = SOCK_BOUND;
    s->bound = true;
    return 0;
}

static int sim_sock_listen(struct queue *q, int backlog)
{
    struct sim_sock *s = sock_of(q);
    ASSERT(backlog > 0 && backlog <= SOMAXCONN);
    unsigned most = sizeof s->waiting / sizeof *s->waiting;
    if (s->state == SOCK_NEW) return -EDESTADDRREQ;
    if (s->state == SOCK_CONNECTED) return -EISCONN;
    if (s->state != SOCK_BOUND) return -EADDRINUSE;
    s->backlog = (unsigned)backlog < most ? (unsigned)backlog : most;
    s->state = SOCK_LISTENING;
    return 0;
}

struct sim_sock *sim_sock_listener(struct sim_host *h, const struct sockaddr_in *addr)
{
    list_for_each(it, &h->socks)
    {
        struct sim_sock *s = list_entry(it, struct sim_sock, link);
        if (s->state == SOCK_LISTENING && s->local.sin_port == addr->sin_port &&
            overlap(s->local.sin_addr.s_addr, addr->sin_addr.s_addr))
            return s;
    }
    return NULL;
}

static int accept_one(struct sim_sock *l, struct op *op, struct sim_end *e)
{
    struct sim_sock *s = sim_sock_new(l->host, false);
    if (!s) return -EMFILE;
    struct sim_end *client = peer_of(e);
    s->state = SOCK_CONNECTED;
    s->local = e->addr;
    s->peer = client->addr;
    s->hops = l->hops;
    s->tos = l->tos;
    s->end = e;
    e->sock = s;
    if (e->fin_came) s->st.flags |= STREAM_ENDED;
    if (e->error) stream_fail(&s->q.rt->ops, &s->st, e->error, e->in_bytes);
    memset(&op->value, 0, sizeof op->value);
    op->value.ares.qd = s->q.qd;
    op->value.ares.addr = client->addr;
    op_complete(&l->q.rt->ops, op);
    return 0;
}

void sim_sock_answer_accepts(struct sim_sock *l)
{
    while (l->accepts.head && l->waiting_count) {
        struct sim_end *e = l->waiting[0];
        memmove(l->waiting, l->waiting + 1, --l->waiting_count * sizeof *l->waiting);
        if (e->dead) { /* was reset while it waited: as on a real host nobody gets to see it */
            sim_end_close(e, true);
            sim_conn_unref(e->conn);
            continue;
        }
        struct op *op = op_list_shift(&l->accepts);
        sim_host_wake(l->host);
        int err = accept_one(l, op, e); /* the backlog's reference is the socket's from here on */
        if (!err) continue;
        op_fail(&l->q.rt->ops, op, -err);
        sim_end_close(e, true);
        sim_conn_unref(e->conn);
    }
}

static int sim_sock_accept(struct queue *q, struct op *op)
{
    struct sim_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_ACCEPT);
    if (s->state != SOCK_LISTENING) return -EINVAL;
    op_list_append(&s->accepts, op);
    sim_sock_answer_accepts(s);
    return 0;
}

static int sim_sock_connect(struct queue *q, struct op *op, const struct sockaddr *addr, socklen_t size)
{
    struct sim_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_CONNECT);
    if (s->state == SOCK_CONNECTING) return -EINPROGRESS;
    if (s->state == SOCK_CONNECTED && !s->dgram) return -EISCONN;
    if (s->state == SOCK_LISTENING) return -EOPNOTSUPP;
    int err = address_check(addr, size, AF_INET);
    if (err) return err;
    struct sockaddr_in to;
    memcpy(&to, addr, sizeof to);
    if (!s->dgram) return sim_conn_start(s, op, &to);
    err = sim_sock_autobind(s);
    if (err) return err;
    s->peer = to;
    s->state = SOCK_CONNECTED;
    op_complete_plain(&q->rt->ops, op, 0);
    return 0;
}

static int sim_sock_cancel(struct queue *q, struct op *op)
{
    struct sim_sock *s = sock_of(q);
    switch (op->opcode) {
    case DEMI_OPC_ACCEPT:
        op_list_remove(&s->accepts, op);
        op_fail(&q->rt->ops, op, ECANCELED);
        return 0;
    case DEMI_OPC_CONNECT: sim_conn_cancel(s); return 0;
    default: return stream_cancel(&q->rt->ops, &s->st, op);
    }
}

static int sim_sock_shutdown(struct queue *q, int how)
{
    struct sim_sock *s = sock_of(q);
    if (s->state != SOCK_CONNECTED || s->dgram) return -ENOTCONN;
    if (how != SHUT_WR) s->end->ended = true, s->st.flags |= STREAM_READ_SHUT;
    if (how != SHUT_RD) s->end->shut = true, s->st.flags |= STREAM_WRITE_SHUT;
    sim_sock_dirty(s);
    sim_stream_answer_pops(s);
    return 0;
}

void sim_sock_check(const struct sim_sock *s)
{
    if (s->dgram || s->state != SOCK_CONNECTED) return;
    const struct sim_end *e = s->end;
    ASSERT(e->sock == s && !e->closed);
    ASSERT(e->sent <= e->queued);
    ASSERT(e->out.count <= SIM_UNSENT_MAX);
    ASSERT((e->queued == e->sent) == !e->out.count);
    ASSERT(!s->st.pushes.tail || s->st.pushes.tail->arg <= e->queued);
    ASSERT(!s->st.pushes.head || s->st.pushes.head->arg > e->sent);
    ASSERT(!e->shut == !(s->st.flags & STREAM_WRITE_SHUT));
    stream_check(&s->st, e->in_bytes);
}

static void sim_sock_close(struct queue *q)
{
    struct sim_sock *s = sock_of(q);
    struct op_table *ops = &q->rt->ops;
    list_remove(&s->link);
    list_remove(&s->dirty);
    while (s->waiting_count) {
        struct sim_end *e = s->waiting[--s->waiting_count];
        sim_end_close(e, true);
        sim_conn_unref(e->conn);
    }
    if (s->end) {
        sim_end_close(s->end, s->linger_none);
        sim_conn_unref(s->end->conn);
    }
    sim_dgram_drop(s);
    stream_close(ops, &s->st);
    op_fail_all(ops, &s->accepts, ECANCELED);
    if (s->connecting) op_fail(ops, s->connecting, ECANCELED);
    free(s);
}

static bool is_level(int level)
{
    return level == SOL_SOCKET || level == IPPROTO_TCP || level == IPPROTO_IPV6 || level == IPPROTO_IP;
}

/* What shapes a real connection is taken and changes nothing here; a linger time of 0 makes close a reset. There are no
 * packets that would have the options of the IP header: they are only kept. */
static int sim_sock_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len)
{
    struct sim_sock *s = sock_of(q);
    enum ip_option option = ip_option_of(AF_INET, level, name);
    if (option) return ip_option_read(option, AF_INET, val, len, option == IP_OPTION_TOS ? &s->tos : &s->hops);
    if (!is_level(level)) return -ENOTSUP;
    if (level == IPPROTO_IP || level == IPPROTO_IPV6) return -ENOPROTOOPT;
    if (level != SOL_SOCKET || name != SO_LINGER) return len < sizeof(int) ? -EINVAL : 0;
    struct linger l;
    if (len != sizeof l) return -EINVAL;
    memcpy(&l, val, sizeof l);
    s->linger_none = l.l_onoff && !l.l_linger;
    return 0;
}

static int sim_sock_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len)
{
    const struct sim_sock *s = sock_of(q);
    enum ip_option option = ip_option_of(AF_INET, level, name);
    if (!option) return is_level(level) ? -ENOPROTOOPT : -ENOTSUP;
    const int v = option == IP_OPTION_TOS ? s->tos : s->hops;
    if (*len > sizeof v) *len = sizeof v;
    memcpy(val, &v, *len);
    return 0;
}

static int give_name(const struct sockaddr_in *from, struct sockaddr *addr, socklen_t *len)
{
    if (*len < sizeof *from) return -EINVAL;
    memcpy(addr, from, sizeof *from);
    *len = sizeof *from;
    return 0;
}

static int sim_sock_getpeername(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    struct sim_sock *s = sock_of(q);
    bool gone = s->state != SOCK_CONNECTED || (s->end && s->end->dead);
    return gone ? -ENOTCONN : give_name(&s->peer, addr, len);
}

static int sim_sock_getsockname(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    return give_name(&sock_of(q)->local, addr, len);
}

static size_t sim_sock_unsent(struct queue *q)
{
    const struct sim_end *e = sock_of(q)->end;
    return e ? e->queued - e->sent : 0;
}

static const struct queue_ops stream_ops = {
    .name = "sim stream",
    .bind = sim_sock_bind,
    .listen = sim_sock_listen,
    .accept = sim_sock_accept,
    .connect = sim_sock_connect,
    .push = sim_stream_push,
    .pop = sim_stream_pop,
    .cancel = sim_sock_cancel,
    .shutdown = sim_sock_shutdown,
    .close = sim_sock_close,
    .setsockopt = sim_sock_setsockopt,
    .getsockopt = sim_sock_getsockopt,
    .getpeername = sim_sock_getpeername,
    .getsockname = sim_sock_getsockname,
    .unsent = sim_sock_unsent,
};
static const struct queue_ops dgram_ops = {
    .name = "sim datagram",
    .bind = sim_sock_bind,
    .connect = sim_sock_connect,
    .push = sim_dgram_push,
    .pop = sim_dgram_pop,
    .cancel = sim_sock_cancel,
    .close = sim_sock_close,
    .setsockopt = sim_sock_setsockopt,
    .getsockopt = sim_sock_getsockopt,
    .getpeername = sim_sock_getpeername,
    .getsockname = sim_sock_getsockname,
};

struct sim_sock *sim_sock_new(struct sim_host *h, bool dgram)
{
    struct sim_sock *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->host = h;
    s->dgram = dgram;
    s->hops = IP_HOPS_DEFAULT;
    s->local.sin_family = AF_INET;
    s->dgrams_tail = &s->dgrams;
    list_init(&s->dirty);
    if (queue_add(h->rt, &s->q, dgram ? &dgram_ops : &stream_ops)) {
        free(s);
        return NULL;
    }
    list_push_back(&h->socks, &s->link);
    return s;
}

void sim_sock_dirty(struct sim_sock *s)
{
    struct sim_libos *sl = (struct sim_libos *)s->q.rt->libos[0];
    if (!list_is_empty(&s->dirty)) return;
    list_push_back(&sl->dirty, &s->dirty);
    runtime_need_flush(s->q.rt);
}
