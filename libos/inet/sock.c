/* SPDX-License-Identifier: MIT
 *
 * Life and names of sockets.
 */
#include "libos/inet/sock.h"

#include "alloc/buf.h"
#include "alloc/heap.h"
#include "libos/inet/kport.h"
#include "libos/inet/share.h"

#include <errno.h>
#include <netinet/in.h>

static const struct queue_ops stream_ops = {
    .name = "inet stream",
    .bind = inet_sock_bind,
    .listen = inet_sock_listen,
    .accept = inet_sock_accept,
    .connect = inet_sock_connect,
    .push = inet_stream_push,
    .push_copy = inet_stream_push_copy,
    .pop = inet_stream_pop,
    .cancel = inet_sock_cancel,
    .shutdown = inet_stream_shutdown,
    .close = inet_sock_close,
    .setsockopt = inet_sock_setsockopt,
    .getsockopt = inet_sock_getsockopt,
    .getpeername = inet_sock_getpeername,
    .getsockname = inet_sock_getsockname,
    .unsent = inet_stream_unsent,
};
static const struct queue_ops dgram_ops = {
    .name = "inet datagram",
    .bind = inet_sock_bind,
    .connect = inet_sock_connect,
    .push = inet_dgram_push,
    .pop = inet_dgram_pop,
    .cancel = inet_sock_cancel,
    .shutdown = inet_dgram_shutdown,
    .close = inet_sock_close,
    .setsockopt = inet_sock_setsockopt,
    .getsockopt = inet_sock_getsockopt,
    .getpeername = inet_sock_getpeername,
    .getsockname = inet_sock_getsockname,
};

int inet_sock_new(struct inet *in, bool six, bool dgram, struct inet_sock **out)
{
    struct inet_sock *s = heap_calloc(1, sizeof *s);
    if (!s) return -ENOMEM;
    s->inet = in;
    s->six = six;
    s->dgram = dgram;
    s->linger_s = in->linger_s;
    int err = queue_add(in->base.rt, &s->q, dgram ? &dgram_ops : &stream_ops);
    if (err) {
        heap_free(s);
        return err;
    }
    *out = s;
    return 0;
}

static void setup_free(struct inet_sock *s)
{
    if (!s->setup) return;
    list_remove(&s->setup->bound);
    list_remove(&s->setup->hungry);
    heap_free(s->setup);
    s->setup = NULL;
}

void inet_sock_drop(struct inet_sock *s)
{
    queue_remove(&s->q);
    setup_free(s);
    heap_free(s);
}

struct sock_setup *inet_sock_setup(struct inet_sock *s)
{
    if (s->setup) return s->setup;
    struct sock_setup *u = heap_calloc(1, sizeof *u);
    if (!u) return NULL;
    u->sock = s;
    u->opts = s->inet->defaults;
    list_init(&u->bound);
    list_init(&u->hungry);
    s->setup = u;
    return u;
}

int inet_claim(struct inet *in, bool dgram, uint16_t port, bool on)
{
    uint8_t proto = dgram ? IPPROTO_UDP : IPPROTO_TCP;
    struct netdev *d = in->dev;
    if (!d->ops->claim) return 0;
    bool kernels = port && d->ifindex && !d->caps.own_mac; /* who has it there must not lose it, nor get it */
    int err = on && kernels ? kport_take(d->ifindex, proto, port) : 0;
    if (err) return err;
    err = d->ops->claim(d, proto, port, on);
    if (kernels && (err || !on)) kport_give(d->ifindex, proto, port);
    return err;
}

int inet_port_take(struct inet_sock *s, uint16_t port)
{
    struct inet *in = s->inet;
    int err = in->share ? share_own(in->share, s->dgram, port, s->reuse_port) : 0;
    if (err) return err;
    err = inet_claim(in, s->dgram, port, true);
    if (err && in->share) share_disown(in->share, s->dgram, port);
    return err;
}

void inet_port_give(struct inet_sock *s, uint16_t port)
{
    if (s->inet->share) share_disown(s->inet->share, s->dgram, port);
    inet_claim(s->inet, s->dgram, port, false);
}

/* --- cancel, close ------------------------------------------------------------------------------------------------ */

int inet_sock_cancel(struct queue *q, struct op *op)
{
    struct inet_sock *s = sock_of(q);
    switch (op->opcode) {
    case DEMI_OPC_ACCEPT:
        op_list_remove(&s->st.pops, op);
        op_fail(ops_of(s), op, ECANCELED);
        return 0;
    case DEMI_OPC_CONNECT: /* the stack forgets it; who answers later hears a reset (RFC 9293 3.10.7.1) */
        conn_abort(s->conn);
        inet_sock_connected(s, ECANCELED);
        runtime_need_flush(q->rt);
        return 0;
    default: return stream_cancel(ops_of(s), &s->st, op);
    }
}

static nsec linger_ns(const struct inet_sock *s)
{
    return s->linger_s < 0 ? NSEC_NEVER : (nsec)s->linger_s * NSEC_PER_SEC;
}

static void close_stream(struct inet_sock *s)
{
    switch (s->state) {
    case SOCK_LISTENING:
        listener_close(s->listener);
        inet_port_give(s, s->setup->local.port);
        break;
    case SOCK_CONNECTING: conn_abort(s->conn); break;
    case SOCK_CONNECTED:
        stack_set_now(s->inet->stack, runtime_clock(s->q.rt));
        /* bytes we have taken over and nobody has popped count as those that the stack still has */
        if (s->rest && !(s->st.flags & STREAM_READ_SHUT)) conn_abort(s->conn);
        else conn_close(s->conn, linger_ns(s));
        break;
    default: break;
    }
}

static void close_dgram(struct inet_sock *s)
{
    if (!s->udp) return;
    inet_port_give(s, udp_local(s->udp)->port);
    udp_close(s->udp);
}

void inet_sock_close(struct queue *q)
{
    struct inet_sock *s = sock_of(q);
    struct op_table *ops = ops_of(s);
    if (s->dgram) close_dgram(s);
    else close_stream(s);
    if (s->port_taken) inet_port_give(s, s->setup->local.port);
    for (struct buf *b; (b = s->rest);) {
        s->rest = b->next;
        b->next = NULL;
        buf_unref(b);
    }
    stream_close(ops, &s->st);
    setup_free(s);
    runtime_need_flush(q->rt);
    heap_free(s);
}

void inet_sock_check(const struct inet_sock *s)
{
    ASSERT(s->state <= SOCK_ENDED);
    if (s->dgram) {
        ASSERT(!s->st.pops.head || s->udp);
        ASSERT(!s->st.pushes.head || s->udp);
        return;
    }
    ASSERT(s->state != SOCK_LISTENING || (s->listener && listener_user(s->listener) == s));
    ASSERT(s->state != SOCK_CONNECTING || (s->conn && s->st.pushes.head && !s->st.pops.head));
    if (s->state < SOCK_CONNECTED) return;
    stream_check(&s->st, s->rest);
    ASSERT((s->state == SOCK_ENDED) == ((s->st.flags & STREAM_FAILED) != 0));
    if (s->state != SOCK_CONNECTED) return;
    ASSERT(s->conn && conn_user(s->conn) == s);
    ASSERT(!s->st.pushes.tail || s->st.pushes.tail->arg <= conn_queued(s->conn));
    ASSERT(!s->st.pushes.head || s->st.pushes.head->arg > conn_acked(s->conn));
}

void inet_check(const struct libos *l)
{
    const struct queue_table *t = &l->rt->queues;
    for (uint32_t i = 0; i < t->used; i++) {
        struct queue *q = queue_find(t, QUEUE_BASE + (int)i);
        if (q && (q->ops == &stream_ops || q->ops == &dgram_ops)) inet_sock_check(sock_of(q));
    }
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

int inet_sock_endpoint(const struct inet_sock *s, const struct sockaddr *addr, socklen_t size, struct ip_port *out)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    sa_family_t family;
    if (size < sizeof family) return -EINVAL;
    memcpy(&family, addr, sizeof family); /* it may lie anywhere */
    switch (family) {
    case AF_INET:
        if (size != sizeof v4 || s->six) return -EINVAL;
        memcpy(&v4, addr, sizeof v4);
        *out = (struct ip_port){.addr = addr_v4(v4.sin_addr.s_addr), .port = ntohs(v4.sin_port)};
        return 0;
    case AF_INET6:
        if (size != sizeof v6 || !s->six) return -EINVAL;
        memcpy(&v6, addr, sizeof v6);
        *out = (struct ip_port){.port = ntohs(v6.sin6_port)};
        memcpy(out->addr.b, &v6.sin6_addr, sizeof out->addr.b);
        return 0;
    case AF_UNIX: return -EINVAL;
    default: return -ENOTSUP;
    }
}

static void fill_v4(const struct ip_port *e, struct sockaddr_in *out)
{
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(e->port)};
    if (addr_is_v4(&e->addr)) out->sin_addr.s_addr = e->addr.w[3];
}

int inet_sock_address(const struct inet_sock *s, const struct ip_port *e, struct sockaddr *addr, socklen_t *len)
{
    union {
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } u;
    socklen_t size;
    if (s->six) {
        u.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(e->port)};
        memcpy(&u.v6.sin6_addr, e->addr.b, sizeof e->addr.b);
        size = sizeof u.v6;
    } else {
        fill_v4(e, &u.v4);
        size = sizeof u.v4;
    }
    if (*len < size) return -EINVAL;
    memcpy(addr, &u, size);
    *len = size;
    return 0;
}

int inet_sock_getpeername(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    struct inet_sock *s = sock_of(q);
    if (s->state != SOCK_CONNECTED) return -ENOTCONN;
    return inet_sock_address(s, s->dgram ? udp_peer(s->udp) : conn_remote(s->conn), addr, len);
}

int inet_sock_getsockname(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    struct inet_sock *s = sock_of(q);
    const struct ip_port none = {.addr = s->six ? (struct ip_addr){.q = {0, 0}} : addr_v4(0)};
    const struct ip_port *local = s->setup && s->setup->local.port ? &s->setup->local : &none;
    if (s->dgram && s->udp) local = udp_local(s->udp);
    else if (!s->dgram && (s->state == SOCK_CONNECTED || s->state == SOCK_CONNECTING)) local = conn_local(s->conn);
    return inet_sock_address(s, local, addr, len);
}
