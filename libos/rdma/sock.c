/* SPDX-License-Identifier: MIT
 *
 * Life, names and options of sockets.
 */
#include "libos/rdma/sock.h"

#include "alloc/heap.h"
#include "demi/ext.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

static int sock_cancel(struct queue *q, struct op *op)
{
    struct rdma_sock *s = sock_of(q);
    switch (op->opcode) {
    case DEMI_OPC_ACCEPT:
        op_list_remove(&s->st.pops, op);
        op_fail(ops_of(s->r), op, ECANCELED);
        return 0;
    case DEMI_OPC_CONNECT: rdma_setup_abandon(s->conn, ECANCELED); return 0;
    default: return stream_cancel(ops_of(s->r), &s->st, op);
    }
}

static int sock_shutdown(struct queue *q, int how)
{
    struct rdma_sock *s = sock_of(q);
    struct rdma_conn *c = s->conn;
    if (s->state != SOCK_CONNECTED || c->state != CONN_UP) return -ENOTCONN;
    if (how != SHUT_WR && !(s->st.flags & STREAM_READ_SHUT)) rdma_stream_shutdown_read(s);
    if (how == SHUT_RD || s->st.flags & STREAM_WRITE_SHUT) return 0;
    s->st.flags |= STREAM_WRITE_SHUT;
    rdma_prompt_end(c);
    c->fin_due = true;
    rdma_send_mark(c);
    return 0;
}

static void sock_close(struct queue *q)
{
    struct rdma_sock *s = sock_of(q);
    struct rdma_conn *c = s->conn;
    struct op_table *ops = ops_of(s->r);
    if (s->state == SOCK_LISTENING) rdma_setup_unlisten(s);
    stream_close(ops, &s->st);
    if (s->connecting) op_fail(ops, s->connecting, ECANCELED);
    if (c) {
        c->sock = NULL;
        rdma_recv_doubt(c);
        if (s->st.flags & STREAM_READ_SHUT) rdma_recv_drop(c); /* what nobody wanted to read is none that was lost */
        rdma_conn_close(c, s->linger_s);
    }
    runtime_need_flush(q->rt);
    heap_free(s);
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static int put_address(const struct rdma_sock *s, const struct sockaddr_storage *from, struct sockaddr *addr,
                       socklen_t *len)
{
    union rdma_addr a = {.any.sa_family = s->six ? AF_INET6 : AF_INET};
    socklen_t size = s->six ? sizeof a.v6 : sizeof a.v4;
    if (*len < size) return -EINVAL;
    if (from->ss_family == a.any.sa_family) memcpy(&a, from, size);
    memcpy(addr, &a, size);
    *len = size;
    return 0;
}

static int sock_getpeername(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    struct rdma_sock *s = sock_of(q);
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    if (s->state != SOCK_CONNECTED || !s->conn->end) return -ENOTCONN;
    s->r->dev->ops->addresses(s->r->dev, s->conn->end, NULL, &peer);
    return put_address(s, &peer, addr, len);
}

static int sock_getsockname(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    struct rdma_sock *s = sock_of(q);
    struct sockaddr_storage local = {.ss_family = AF_UNSPEC};
    if (s->state >= SOCK_CONNECTING && s->conn->end) s->r->dev->ops->addresses(s->r->dev, s->conn->end, &local, NULL);
    else memcpy(&local, &s->local, sizeof s->local);
    return put_address(s, &local, addr, len);
}

/* --- options ------------------------------------------------------------------------------------------------------ */

static int copy_out(void *val, socklen_t *len, const void *from, size_t n)
{
    if (*len > n) *len = (socklen_t)n;
    memcpy(val, from, *len);
    return 0;
}

static int set_linger(struct rdma_sock *s, const void *val, socklen_t len)
{
    struct linger l;
    if (len < sizeof l) return -EINVAL;
    memcpy(&l, val, sizeof l);
    if (l.l_onoff && l.l_linger < 0) return -EINVAL;
    s->linger_s = l.l_onoff ? l.l_linger : -1;
    return 0;
}

/* Of a listener: what of those may hold together whom the program does not know yet. */
static int set_strangers(struct rdma_sock *s, int bytes)
{
    if (bytes < 0) return -EINVAL;
    if (s->state > SOCK_LISTENING) return -EISCONN;
    s->stranger_bytes = (uint32_t)bytes;
    return 0;
}

/* Of a connection: the program knows who it is. There is no way back. */
static int set_trusted(struct rdma_sock *s, int on)
{
    if (on != 1) return -EINVAL;
    if (s->state != SOCK_CONNECTED) return -ENOTCONN;
    if (s->conn->v) strangers_remove(s->conn);
    return 0;
}

/* Whom a listener takes that is yet to listen. */
static int set_valkey(struct rdma_sock *s, int bytes)
{
    if (bytes && (bytes < (int)VALKEY_BUFFER_MIN || bytes > (int)VALKEY_BUFFER_MAX)) return -EINVAL;
    if (s->state > SOCK_LISTENING) return -EISCONN;
    if (bytes && !s->r->dev->caps.immediate) return -EOPNOTSUPP;
    s->valkey_buffer = (uint32_t)bytes;
    return 0;
}

static int set_rdma(struct rdma_sock *s, int name, int v)
{
    switch (name) {
    case DEMI_RDMA_VALKEY: return set_valkey(s, v);
    case DEMI_RDMA_STRANGERS: return set_strangers(s, v);
    case DEMI_RDMA_TRUSTED: return set_trusted(s, v);
    default: return -ENOPROTOOPT;
    }
}

static int set_int(struct rdma_sock *s, int level, int name, int v)
{
    if (level == IPPROTO_TCP && name == TCP_NODELAY) s->nodelay = v; /* nothing is ever delayed */
    else if (level != SOL_SOCKET) return -ENOPROTOOPT;
    else if (name == SO_REUSEADDR) s->reuse_addr = v; /* what it asks for holds always: nothing is left of what was */
    else if (name == SO_KEEPALIVE) s->keepalive = v;  /* the libOS's own goes on in any case */
    else return -ENOPROTOOPT;
    return 0;
}

static int get_int(struct rdma_sock *s, int level, int name, int *out)
{
    if (level == IPPROTO_TCP && name == TCP_NODELAY) {
        *out = s->nodelay;
        return 0;
    }
    if (level == DEMI_SOL_RDMA && name == DEMI_RDMA_TRUSTED && s->state == SOCK_CONNECTED) {
        *out = !s->conn->v || !s->conn->v->is_stranger;
        return 0;
    }
    if (level == DEMI_SOL_RDMA && (name == DEMI_RDMA_VALKEY || name == DEMI_RDMA_STRANGERS)) {
        *out = (int)(name == DEMI_RDMA_VALKEY ? s->valkey_buffer : s->stranger_bytes);
        return 0;
    }
    if (level != SOL_SOCKET) return -ENOPROTOOPT;
    switch (name) {
    case SO_REUSEADDR: *out = s->reuse_addr; return 0;
    case SO_KEEPALIVE: *out = s->keepalive; return 0;
    case SO_ERROR:
        *out = s->st.error;
        s->st.error = 0;
        return 0;
    case SO_TYPE: *out = SOCK_STREAM; return 0;
    case SO_DOMAIN: *out = s->six ? AF_INET6 : AF_INET; return 0;
    case SO_ACCEPTCONN: *out = s->state == SOCK_LISTENING; return 0;
    default: return -ENOPROTOOPT;
    }
}

static bool is_level(int level)
{
    return level == SOL_SOCKET || level == IPPROTO_TCP || level == IPPROTO_IP || level == IPPROTO_IPV6 ||
           level == DEMI_SOL_RDMA;
}

int rdma_sock_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len)
{
    struct rdma_sock *s = sock_of(q);
    int v;
    if (!is_level(level)) return -ENOTSUP;
    if (level == SOL_SOCKET && name == SO_LINGER) return set_linger(s, val, len);
    if (len < sizeof v) return -EINVAL;
    memcpy(&v, val, sizeof v);
    if (level == DEMI_SOL_RDMA) return set_rdma(s, name, v);
    return set_int(s, level, name, v);
}

int rdma_sock_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len)
{
    struct rdma_sock *s = sock_of(q);
    int v = 0;
    if (!is_level(level)) return -ENOTSUP;
    if (level == SOL_SOCKET && name == SO_LINGER) {
        const struct linger l = {.l_onoff = s->linger_s >= 0, .l_linger = s->linger_s >= 0 ? s->linger_s : 0};
        return copy_out(val, len, &l, sizeof l);
    }
    int err = get_int(s, level, name, &v);
    return err ? err : copy_out(val, len, &v, sizeof v);
}

/* --- queues ------------------------------------------------------------------------------------------------------- */

static const struct queue_ops stream_ops = {
    .name = "rdma stream",
    .bind = rdma_sock_bind,
    .listen = rdma_sock_listen,
    .accept = rdma_sock_accept,
    .connect = rdma_sock_connect,
    .push = rdma_stream_push,
    .push_copy = rdma_stream_push_copy,
    .pop = rdma_stream_pop,
    .cancel = sock_cancel,
    .shutdown = sock_shutdown,
    .close = sock_close,
    .setsockopt = rdma_sock_setsockopt,
    .getsockopt = rdma_sock_getsockopt,
    .getpeername = sock_getpeername,
    .getsockname = sock_getsockname,
    .unsent = rdma_stream_unsent,
};

int rdma_sock_new(struct rdma *r, bool six, struct rdma_sock **out)
{
    struct rdma_sock *s = heap_calloc(1, sizeof *s);
    if (!s) return -ENOMEM;
    s->r = r;
    s->six = six;
    s->linger_s = -1;
    s->keepalive = r->o.keepalive_ns != 0;
    s->nodelay = true;
    list_init(&s->ready);
    list_init(&s->hungry);
    int err = queue_add(r->base.rt, &s->q, &stream_ops);
    if (err) {
        heap_free(s);
        return err;
    }
    *out = s;
    return 0;
}

int rdma_socket(struct libos *l, int domain, int type, int protocol, struct queue **out)
{
    struct rdma_sock *s;
    if (domain != AF_INET && domain != AF_INET6) return -EAFNOSUPPORT;
    if (type != SOCK_STREAM) return -ESOCKTNOSUPPORT;
    int err = rdma_sock_new((struct rdma *)l, domain == AF_INET6, &s);
    if (err) return err;
    *out = &s->q;
    return 0;
}
