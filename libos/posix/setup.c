/* SPDX-License-Identifier: MIT
 *
 * Naming, listening, accepting, connecting.
 */
#include "libos/posix/sock.h"

#include "libos/runtime/address.h"
#include "libos/runtime/handover.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ACCEPT_RETRY_NS   100000000u /* how long a listener rests when descriptors or memory have run out */
#define ACCEPT_ABORTS_MAX 64         /* connections that died in the backlog, in one go */

int sock_bind(struct queue *q, const struct sockaddr *addr, socklen_t size)
{
    struct posix_sock *s = sock_of(q);
    int err = address_check(addr, size, s->domain);
    if (err) return err;
    if (s->state == SOCK_CONNECTED && !s->dgram) return -EISCONN;
    if (s->state == SOCK_LISTENING) return -EINVAL;
    if (s->state != SOCK_NEW) return -EINVAL;
    err = kernel_bind(s->watch.fd, s->domain, s->dgram, addr, size);
    if (err) return err;
    s->state = SOCK_BOUND;
    s->bound = true;
    if (!s->dgram) return 0;
    return sock_watch(s, EPOLLIN);
}

int sock_listen(struct queue *q, int backlog)
{
    struct posix_sock *s = sock_of(q);
    ASSERT(backlog > 0 && backlog <= SOMAXCONN);
    if (s->state == SOCK_NEW) return -EDESTADDRREQ;
    if (s->state == SOCK_CONNECTED) return -EISCONN;
    if (s->state != SOCK_BOUND) return -EADDRINUSE;
    int err = kernel_listen(s->watch.fd, s->domain, backlog);
    if (err) return err;
    err = sock_watch(s, EPOLLIN);
    if (err) return err;
    s->state = SOCK_LISTENING;
    return 0;
}

static void complete_accept(struct posix_sock *s, struct op *op, int qd, const struct sockaddr_storage *peer)
{
    memset(&op->value, 0, sizeof op->value);
    op->value.ares.qd = qd;
    if (peer->ss_family == AF_INET) memcpy(&op->value.ares.addr, peer, sizeof op->value.ares.addr);
    else if (peer->ss_family == AF_INET6) memcpy(&op->value.ares6.addr, peer, sizeof op->value.ares6.addr);
    else op->value.ares.addr.sin_family = peer->ss_family;
    op_complete(&s->q.rt->ops, op);
}

static void retry_accept(struct timer *t)
{
    struct posix_sock *s = (struct posix_sock *)((char *)t - offsetof(struct posix_sock, timer));
    sock_accept_ready(s);
}

static void rest(struct posix_sock *s)
{
    s->posix->accept_backoff++;
    wheel_start(&s->q.rt->wheel, &s->timer, runtime_later(s->q.rt, ACCEPT_RETRY_NS), retry_accept);
}

/* One connection for one operation. 0, or -errno of accept4 or of what follows. */
static int accept_one(struct posix_sock *s)
{
    struct sockaddr_storage peer = {.ss_family = (sa_family_t)s->domain};
    socklen_t len = sizeof peer;
    int fd = accept4(s->watch.fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return -errno;
    struct posix_sock *c;
    int err = sock_new(s->posix, fd, s->domain, false, &c);
    if (err) {
        close(fd);
        return err;
    }
    c->state = SOCK_CONNECTED;
    c->linger_s = s->linger_s; /* the kernel hands it on, too */
    err = sock_watch(c, EPOLLIN | EPOLLRDHUP);
    if (err) {
        queue_remove(&c->q);
        c->q.ops->close(&c->q);
        return err;
    }
    s->posix->accepted++;
    complete_accept(s, op_list_shift(&s->accepts), c->q.qd, &peer);
    return 0;
}

void sock_accept_ready(struct posix_sock *s)
{
    unsigned aborted = 0;
    if (timer_runs(&s->timer)) return;
    while (s->accepts.head && s->readable) {
        switch (accept_one(s)) {
        case 0: break;
        case -EAGAIN: s->readable = false; break;
        case -EMFILE:
        case -ENFILE:
        case -ENOBUFS:
        case -ENOMEM:
        case -ENOSPC: rest(s); return;
        default: /* ECONNABORTED, EPROTO and kin are about a connection that is gone (accept(2)) */
            if (++aborted < ACCEPT_ABORTS_MAX) break;
            rest(s);
            return;
        }
    }
}

int sock_accept(struct queue *q, struct op *op)
{
    struct posix_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_ACCEPT);
    if (s->state != SOCK_LISTENING) return -EINVAL;
    op_list_append(&s->accepts, op);
    if (s->readable) sock_accept_ready(s);
    return 0;
}

static int connected(struct posix_sock *s)
{
    s->state = SOCK_CONNECTED;
    s->posix->connected++;
    return sock_watch(s, EPOLLIN | EPOLLRDHUP);
}

int sock_connect(struct queue *q, struct op *op, const struct sockaddr *addr, socklen_t size)
{
    struct posix_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_CONNECT);
    if (s->state == SOCK_CONNECTING) return -EINPROGRESS;
    if (s->state == SOCK_CONNECTED && !s->dgram) return -EISCONN;
    if (s->state == SOCK_LISTENING) return -EOPNOTSUPP;
    int err = address_check(addr, size, s->domain);
    if (err) return err;
    struct op_table *ops = &q->rt->ops;
    int failed = connect(s->watch.fd, addr, size);
    /* After an attempt that failed the kernel tells the next one so, once. */
    if (failed && errno == ECONNABORTED) failed = connect(s->watch.fd, addr, size);
    if (!failed) {
        err = connected(s);
        if (err) return err;
        op_complete_plain(ops, op, 0);
        return 0;
    }
    if (errno == EINVAL || errno == EAFNOSUPPORT) return -errno;
    if (errno != EINPROGRESS) {
        op_fail(ops, op, errno);
        return 0;
    }
    err = sock_watch(s, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    if (err) return err;
    s->state = SOCK_CONNECTING;
    s->connecting = op;
    return 0;
}

/* There is no connection, and will be none: the socket is what it was, and may try again. A port that the kernel chose
 * went with the attempt. */
static void not_connected(struct posix_sock *s, int err)
{
    struct op *op = s->connecting;
    s->connecting = NULL;
    s->state = s->bound ? SOCK_BOUND : SOCK_NEW;
    op_fail(&s->q.rt->ops, op, err);
}

void sock_connect_ready(struct posix_sock *s)
{
    int err = 0;
    socklen_t len = sizeof err;
    getsockopt(s->watch.fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (!err) err = -connected(s);
    if (err) {
        not_connected(s, err);
        return;
    }
    struct op *op = s->connecting;
    s->connecting = NULL;
    op_complete_plain(&s->q.rt->ops, op, 0);
}

/* AF_UNSPEC takes a connection back (connect(2)): one that stands already, and nobody here has heard of it yet, is
 * reset. The error that the kernel notes of it is not the next attempt's. */
int sock_connect_cancel(struct posix_sock *s)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    int err = 0;
    socklen_t len = sizeof err;
    if (connect(s->watch.fd, &nobody, sizeof nobody)) return -EBUSY;
    getsockopt(s->watch.fd, SOL_SOCKET, SO_ERROR, &err, &len);
    not_connected(s, ECANCELED);
    return 0;
}
