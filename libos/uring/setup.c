/* SPDX-License-Identifier: MIT
 *
 * Naming, listening, accepting, connecting.
 *
 * A connect is the kernel's own call, made at once on a descriptor that does not block, so that what it refuses is
 * refused here and now; the ring tells when it is over, and from then on the descriptor is one that blocks (sock.h).
 *
 * An accept goes on by itself (multishot) from the program's first one. Who comes while nobody accepts is kept; beyond
 * URING_PARKED_MAX the kernel's backlog keeps them.
 */
#include "libos/uring/sock.h"

#include "libos/runtime/address.h"
#include "libos/runtime/handover.h"

#include "alloc/heap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>

#define ACCEPT_RETRY_NS   100000000u /* how long a listener rests when descriptors or memory have run out */
#define ACCEPT_ABORTS_MAX 64u        /* connections that died in the backlog, in one go */

static void set_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

int uring_bind(struct queue *q, const struct sockaddr *addr, socklen_t size)
{
    struct uring_sock *s = uring_sock_of(q);
    int err = address_check(addr, size, s->domain);
    if (err) return err;
    if (s->state == URING_CONNECTED && !s->dgram) return -EISCONN;
    if (s->state != URING_NEW) return -EINVAL;
    err = kernel_bind(s->fd, s->domain, s->dgram, addr, size);
    if (err) return err;
    s->state = URING_BOUND;
    s->bound = true;
    if (s->dgram) uring_dirty(s);
    return 0;
}

int uring_listen(struct queue *q, int backlog)
{
    struct uring_sock *s = uring_sock_of(q);
    ASSERT(backlog > 0 && backlog <= SOMAXCONN);
    if (s->state == URING_NEW) return -EDESTADDRREQ;
    if (s->state == URING_CONNECTED) return -EISCONN;
    if (s->state != URING_BOUND) return -EADDRINUSE;
    int err = kernel_listen(s->fd, s->domain, backlog);
    if (err) return err;
    set_blocking(s->fd);
    s->state = URING_LISTENING;
    return 0;
}

/* --- accept --- */

static void complete_accept(struct uring_sock *s, struct op *op, const struct uring_sock *c)
{
    struct sockaddr_storage peer = {.ss_family = c->domain};
    socklen_t len = sizeof peer;
    getpeername(c->fd, (struct sockaddr *)&peer, &len); /* one that has gone already has none: zeros */
    memset(&op->value, 0, sizeof op->value);
    op->value.ares.qd = c->q.qd;
    if (peer.ss_family == AF_INET) memcpy(&op->value.ares.addr, &peer, sizeof op->value.ares.addr);
    else if (peer.ss_family == AF_INET6) memcpy(&op->value.ares6.addr, &peer, sizeof op->value.ares6.addr);
    else op->value.ares.addr.sin_family = peer.ss_family;
    op_complete(&s->q.rt->ops, op);
}

static void end_rest(struct timer *t) { uring_dirty(container_of(t, struct uring_sock, timer)); }

static void rest(struct uring_sock *s)
{
    s->uring->accept_backoff++;
    wheel_start(&s->q.rt->wheel, &s->timer, runtime_later(s->q.rt, ACCEPT_RETRY_NS), end_rest);
}

/* The oldest accept gets it. */
static void hand_over(struct uring_sock *s, int fd)
{
    struct uring_sock *c;
    if (uring_sock_new(s->uring, fd, s->domain, false, &c)) {
        close(fd);
        rest(s);
        return;
    }
    c->state = URING_CONNECTED;
    c->linger_s = s->linger_s; /* the kernel hands it on, too */
    s->uring->accepted++;
    uring_dirty(c);
    complete_accept(s, op_list_shift(&s->accepts), c);
}

static bool park(struct uring_sock *s, int fd)
{
    if (s->parked_count == s->parked_room) {
        uint32_t room = s->parked_room ? s->parked_room * 2 : URING_PARKED_MAX;
        int *more = heap_realloc(s->parked, room * sizeof *more);
        if (!more) return false;
        s->parked = more;
        s->parked_room = room;
    }
    s->parked[s->parked_count++] = fd;
    if (s->parked_count >= URING_PARKED_MAX) uring_dirty(s);
    return true;
}

void uring_accepted(struct uring_sock *s, int32_t res)
{
    if (likely(res >= 0)) {
        s->aborts = 0;
        if (s->accepts.head) hand_over(s, res);
        else if (!park(s, res)) close(res);
        return;
    }
    switch (res) {
    case -ECANCELED:
    case -EAGAIN:
    case -EINTR: return;
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
    case -ENOSPC: rest(s); return;
    default: /* ECONNABORTED, EPROTO and kin are about a connection that is gone (accept(2)) */
        if (++s->aborts < ACCEPT_ABORTS_MAX) return;
        s->aborts = 0;
        rest(s);
    }
}

int uring_accept(struct queue *q, struct op *op)
{
    struct uring_sock *s = uring_sock_of(q);
    assert_op_given(q, op, DEMI_OPC_ACCEPT);
    if (s->state != URING_LISTENING) return -EINVAL;
    op_list_append(&s->accepts, op);
    if (s->parked_count) {
        int fd = s->parked[0];
        memmove(s->parked, s->parked + 1, --s->parked_count * sizeof *s->parked);
        hand_over(s, fd);
    } else if (!s->accepting) {
        uring_dirty(s);
    }
    return 0;
}

void uring_drop_parked(struct uring_sock *s)
{
    for (uint32_t i = 0; i < s->parked_count; i++) {
        kernel_set_linger(s->parked[i], true); /* as the kernel does with its backlog */
        close(s->parked[i]);
    }
    heap_free(s->parked);
    s->parked = NULL;
    s->parked_count = s->parked_room = 0;
}

/* --- connect --- */

static void stands(struct uring_sock *s)
{
    s->state = URING_CONNECTED;
    s->uring->connected++;
    if (!s->dgram) set_blocking(s->fd);
    uring_dirty(s);
}

int uring_connect(struct queue *q, struct op *op, const struct sockaddr *addr, socklen_t size)
{
    struct uring_sock *s = uring_sock_of(q);
    assert_op_given(q, op, DEMI_OPC_CONNECT);
    if (s->state == URING_CONNECTING) return -EINPROGRESS;
    if (s->state == URING_CONNECTED && !s->dgram) return -EISCONN;
    if (s->state == URING_LISTENING) return -EOPNOTSUPP;
    int err = address_check(addr, size, s->domain);
    if (err) return err;
    if (!connect(s->fd, addr, size)) {
        stands(s);
        op_complete_plain(&q->rt->ops, op, 0);
        return 0;
    }
    if (errno == EINVAL || errno == EAFNOSUPPORT) return -errno;
    if (errno != EINPROGRESS) {
        op_fail(&q->rt->ops, op, errno);
        return 0;
    }
    s->state = URING_CONNECTING;
    s->connecting = op;
    uring_dirty(s);
    return 0;
}

/* There is no connection, and will be none: the socket is what it was, and may try again. A port that the kernel chose
 * went with the attempt. */
static void not_connected(struct uring_sock *s, int err)
{
    struct op *op = s->connecting;
    s->connecting = NULL;
    s->state = s->bound ? URING_BOUND : URING_NEW;
    op_fail(&s->q.rt->ops, op, err);
}

/* Something has happened to an attempt: to this one, or to one before it that was cancelled. */
void uring_connected(struct uring_sock *s)
{
    int err = 0;
    socklen_t len = sizeof err;
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    if (s->state != URING_CONNECTING) return;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err) {
        not_connected(s, err);
        return;
    }
    if (getpeername(s->fd, (struct sockaddr *)&peer, &size) && errno == ENOTCONN) {
        uring_dirty(s); /* it goes on */
        return;
    }
    struct op *op = s->connecting;
    s->connecting = NULL;
    stands(s);
    op_complete_plain(&s->q.rt->ops, op, 0);
}

/* AF_UNSPEC takes a connection back (connect(2)): one that stands already, and nobody here has heard of it yet, is
 * reset. The error that the kernel notes of it is not the next attempt's. */
int uring_connect_cancel(struct uring_sock *s)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    int err = 0;
    socklen_t len = sizeof err;
    if (connect(s->fd, &nobody, sizeof nobody)) return -EBUSY;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    not_connected(s, ECANCELED);
    return 0;
}
