/* SPDX-License-Identifier: MIT
 *
 * Sockets: making, naming and closing them, and their options. Arguments are checked before
 * anything else, in the order in which a caller would want to hear of them: NULL, the thread, the
 * descriptor, the rest.
 */
#include "demi/here.h"

#include "alloc/base/log.h"
#include "demi/which.h"
#include "libos/posix/posix.h"

/* A thread whose libOS drives a network card of its own still gets its Unix sockets from the
 * kernel, and one of shared memory its datagrams. Not in simulated time. */
static bool add_kernel_sockets(struct runtime *rt, int domain)
{
    bool asked = domain == AF_UNIX || (rt->libos_count && rt->libos[0]->kernel_beside);
    return asked && !rt->time.idle && !runtime_add_libos(rt, &posix_libos, NULL);
}

int demi_socket_on(int *qd_out, const char *libos, int domain, int type, int protocol)
{
    if (!qd_out || !libos) return EINVAL;
    HERE(rt);
    const struct libos_ops *ops = libos_find(libos);
    if (type != SOCK_STREAM && type != SOCK_DGRAM) return ENOTSUP;
    if (!ops || rt->time.idle) return ENOTSUP;
    struct libos *l;
    struct queue *q;
    *rt->why = 0;
    int err = runtime_get_libos(rt, ops, &l);
    if (err && *rt->why) log_warning(NULL, "%s: %s", ops->name, rt->why);
    if (!err) err = l->ops->socket(l, domain, type, protocol, &q);
    if (err == -EAFNOSUPPORT || err == -ESOCKTNOSUPPORT || err == -EPROTONOSUPPORT) err = -ENOTSUP;
    if (err) return turned(err);
    assert_queue_made(rt, &rt->queues, q);
    *qd_out = q->qd;
    return 0;
}

int demi_socket(int *qd_out, int domain, int type, int protocol)
{
    if (!qd_out) return EINVAL;
    HERE(rt);
    if (type != SOCK_STREAM && type != SOCK_DGRAM) return ENOTSUP;
    for (unsigned i = 0; i < rt->libos_count || add_kernel_sockets(rt, domain); i++) {
        struct libos *l = rt->libos[i];
        struct queue *q;
        if (!l->ops->socket) continue;
        int err = l->ops->socket(l, domain, type, protocol, &q);
        if (err == -EAFNOSUPPORT || err == -ESOCKTNOSUPPORT || err == -EPROTONOSUPPORT) continue;
        if (err) return turned(err);
        assert_queue_made(rt, &rt->queues, q);
        *qd_out = q->qd;
        return 0;
    }
    return ENOTSUP;
}

int demi_bind(int qd, const struct sockaddr *addr, socklen_t size)
{
    if (!addr) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    return q->ops->bind ? turned(q->ops->bind(q, addr, size)) : ENOTSUP;
}

int demi_listen(int qd, int backlog)
{
    HERE(rt);
    QUEUE(q, rt, qd);
    if (backlog < 1) return EINVAL;
    if (backlog > SOMAXCONN) backlog = SOMAXCONN;
    return q->ops->listen ? turned(q->ops->listen(q, backlog)) : ENOTSUP;
}

int demi_accept(demi_qtoken_t *qt_out, int qd)
{
    if (!qt_out) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    if (!q->ops->accept) return ENOTSUP;
    struct op *op = op_begin(rt, DEMI_OPC_ACCEPT, q, qd);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    assert_op_given(q, op, DEMI_OPC_ACCEPT);
    return started(rt, op, q->ops->accept(q, op), qt, qt_out);
}

int demi_connect(demi_qtoken_t *qt_out, int qd, const struct sockaddr *addr, socklen_t size)
{
    if (!qt_out || !addr) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    if (!q->ops->connect) return ENOTSUP;
    struct op *op = op_begin(rt, DEMI_OPC_CONNECT, q, qd);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    assert_op_given(q, op, DEMI_OPC_CONNECT);
    return started(rt, op, q->ops->connect(q, op, addr, size), qt, qt_out);
}

int demi_close(int qd)
{
    HERE(rt);
    QUEUE(q, rt, qd);
    queue_remove(q);
    q->ops->close(q);
    return 0;
}

int demi_shutdown(int qd, int how)
{
    HERE(rt);
    QUEUE(q, rt, qd);
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return EINVAL;
    return q->ops->shutdown ? turned(q->ops->shutdown(q, how)) : ENOTSUP;
}

int demi_setsockopt(int qd, int level, int optname, const void *optval, socklen_t optlen)
{
    if (!optval) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    return q->ops->setsockopt ? turned(q->ops->setsockopt(q, level, optname, optval, optlen)) : ENOTSUP;
}

int demi_getsockopt(int qd, int level, int optname, void *optval, socklen_t *optlen)
{
    if (!optval || !optlen) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    return q->ops->getsockopt ? turned(q->ops->getsockopt(q, level, optname, optval, optlen)) : ENOTSUP;
}

int demi_getpeername(int qd, struct sockaddr *addr, socklen_t *addrlen)
{
    if (!addr || !addrlen) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    return q->ops->getpeername ? turned(q->ops->getpeername(q, addr, addrlen)) : ENOTSUP;
}

int demi_getsockname(int qd, struct sockaddr *addr, socklen_t *addrlen)
{
    if (!addr || !addrlen) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    return q->ops->getsockname ? turned(q->ops->getsockname(q, addr, addrlen)) : ENOTSUP;
}

int demi_queue_fd(int qd)
{
    struct runtime *rt = runtime_current();
    struct queue *q = rt ? queue_find(&rt->queues, qd) : NULL;
    return q && q->ops->fd ? q->ops->fd(q) : -1;
}
