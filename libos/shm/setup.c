/* SPDX-License-Identifier: MIT
 *
 * Naming, listening, accepting, connecting.
 *
 * A connect is over when the kernel has put it into the listener's backlog and the memory is on its way, as one of TCP
 * is before anybody accepts it; the operation ends with the next flush. A full backlog is tried again.
 */
#include "libos/shm/sock.h"

#include "libos/runtime/address.h"
#include "libos/runtime/handover.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ACCEPT_RETRY_NS   100000000u /* how long a listener rests when descriptors or memory have run out */
#define ACCEPT_ABORTS_MAX 64
#define CONNECT_RETRY_NS  1000000u
#define CONNECT_NS        60000000000u /* of a backlog that stays full */
#define FORK_NS           100000000u
#define PORT_FIRST        32768u
#define PORT_COUNT        28232u
#define PORT_TRIES        64u

static int check_addr(const struct shm_sock *s, const struct sockaddr *addr, socklen_t size,
                      struct sockaddr_storage *out)
{
    int err = address_check(addr, size, s->domain);
    if (err) return err;
    memset(out, 0, sizeof *out);
    memcpy(out, addr, size);
    return 0;
}

static int open_fd(struct shm_sock *s)
{
    if (s->watch.fd >= 0) return 0;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    s->watch.fd = fd;
    return 0;
}

/* Between a fork and its child's first moment, in which it closes its copies, a name that we have closed is still
 * there: that is waited for. */
static bool may_be_a_childs(const struct shm *p, const struct name *n)
{
    const struct timespec ms = {0, 1000000};
    if (p->closed.size != n->size || memcmp(&p->closed.un, &n->un, n->size) != 0) return false;
    if (p->base.rt->time.now_ns(p->base.rt->time.arg) - p->closed_ns > FORK_NS) return false;
    nanosleep(&ms, NULL);
    return true;
}

static int bind_name(struct shm_sock *s, const struct sockaddr_storage *addr, socklen_t size)
{
    struct name n;
    name_of(&n, (const struct sockaddr *)addr, size);
    while (bind(s->watch.fd, (struct sockaddr *)&n.un, n.size))
        if (errno != EADDRINUSE || s->domain == AF_UNIX || !may_be_a_childs(s->shm, &n)) return -errno;
    memcpy(&s->local, addr, sizeof s->local);
    s->local_size = size;
    return 0;
}

/* Ports begin somewhere else each time, so that two processes do not try the same ones. */
static int bind_any_port(struct shm_sock *s, struct sockaddr_storage *addr, socklen_t size)
{
    uint64_t at = s->shm->base.rt->time.now_ns(s->shm->base.rt->time.arg) * 0x9e3779b97f4a7c15u >> 32;
    int err = -EADDRINUSE;
    for (uint32_t i = 0; i < PORT_COUNT && err == -EADDRINUSE; i++) {
        if (i && i < PORT_TRIES) at = (at + 1) * 0x9e3779b1u & UINT32_MAX;
        else at++;
        name_set_port((struct sockaddr *)addr, htons((in_port_t)(PORT_FIRST + at % PORT_COUNT)));
        err = bind_name(s, addr, size);
    }
    return err;
}

int shm_bind(struct queue *q, const struct sockaddr *addr, socklen_t size)
{
    struct shm_sock *s = shm_sock_of(q);
    struct sockaddr_storage a;
    int err = check_addr(s, addr, size, &a);
    if (err) return err;
    if (s->state == SHM_CONNECTED) return -EISCONN;
    if (s->state != SHM_NEW) return -EINVAL;
    if (!name_is_local((struct sockaddr *)&a)) return -EADDRNOTAVAIL;
    err = open_fd(s);
    if (!err && s->domain != AF_UNIX && !name_port((struct sockaddr *)&a)) err = bind_any_port(s, &a, size);
    else if (!err) err = bind_name(s, &a, size);
    if (err) return err;
    s->state = SHM_BOUND;
    s->bound = true;
    return 0;
}

int shm_listen(struct queue *q, int backlog)
{
    struct shm_sock *s = shm_sock_of(q);
    ASSERT(backlog > 0 && backlog <= SOMAXCONN);
    if (s->state == SHM_NEW) return -EDESTADDRREQ;
    if (s->state == SHM_CONNECTED) return -EISCONN;
    if (s->state != SHM_BOUND) return -EADDRINUSE;
    if (listen(s->watch.fd, backlog)) return -errno;
    int err = shm_sock_watch(s, EPOLLIN);
    if (err) return err;
    s->state = SHM_LISTENING;
    return 0;
}

bool shm_may_meet(const struct shm *p, int fd, bool accepting)
{
    struct ucred c;
    socklen_t size = sizeof c;
    if (p->any_peer) return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &size)) return false;
    return c.uid == geteuid() || c.uid == 0 || (!accepting && geteuid() == 0);
}

/* --- accepting ---------------------------------------------------------------------------------------------------- */

static void retry_accept(struct timer *t) { shm_accept_ready(container_of(t, struct shm_sock, timer)); }

static void rest(struct shm_sock *l)
{
    wheel_start(&l->q.rt->wheel, &l->timer, runtime_later(l->q.rt, ACCEPT_RETRY_NS), retry_accept);
}

static void hello_is_late(struct timer *t)
{
    struct shm_sock *s = container_of(t, struct shm_sock, timer), *l = s->listener;
    s->shm->refused++;
    shm_greeting_drop(s);
    shm_accept_ready(l);
}

static int complete_accept(struct shm_sock *l, struct shm_sock *c)
{
    int err = queue_add(l->q.rt, &c->q, &shm_stream_ops);
    if (err) return err;
    struct op *op = op_list_shift(&l->accepts);
    list_remove(&c->greeting);
    l->greeting_count--;
    c->listener = NULL;
    c->state = SHM_CONNECTED;
    shm_heat(c); /* if there is no memory for that, a ring finds it */
    l->shm->accepted++;
    memset(&op->value, 0, sizeof op->value);
    op->value.ares.qd = c->q.qd;
    if (c->domain == AF_INET) memcpy(&op->value.ares.addr, &c->peer, sizeof op->value.ares.addr);
    else if (c->domain == AF_INET6) memcpy(&op->value.ares6.addr, &c->peer, sizeof op->value.ares6.addr);
    else op->value.ares.addr.sin_family = AF_UNIX;
    op_complete(&l->q.rt->ops, op);
    return 0;
}

/* Those that have said hello, the oldest first. */
static int answer_accepts(struct shm_sock *l)
{
    list_for_each_safe(it, &l->greeting)
    {
        struct shm_sock *c = list_entry(it, struct shm_sock, greeting);
        if (!l->accepts.head) break;
        int err = c->state == SHM_WAITING ? complete_accept(l, c) : 0;
        if (err) return err;
    }
    return 0;
}

static int new_comer(struct shm_sock *l, int fd, const struct name *from)
{
    struct shm_sock *c = shm_sock_new(l->shm, l->domain);
    if (!c) return -ENOMEM;
    c->watch.fd = fd;
    c->state = SHM_GREETING;
    c->linger_s = l->linger_s;
    memcpy(c->options, l->options, sizeof c->options);
    memcpy(&c->local, &l->local, sizeof c->local);
    c->local_size = l->local_size;
    if (c->domain != AF_UNIX) name_set_loopback((struct sockaddr *)&c->local);
    bool known = name_parse(from, c->domain, &c->peer, &c->peer_size);
    if (!known || (c->domain != AF_UNIX && !shm_may_meet(l->shm, fd, true))) {
        l->shm->refused++;
        shm_sock_free(c);
        return -ECONNABORTED;
    }
    int err = shm_sock_watch(c, EPOLLIN | EPOLLRDHUP);
    if (err) {
        shm_sock_free(c);
        return err;
    }
    c->listener = l;
    list_push_back(&l->greeting, &c->greeting);
    l->greeting_count++;
    wheel_start(&c->q.rt->wheel, &c->timer, runtime_later(c->q.rt, SHM_HELLO_NS), hello_is_late);
    shm_greet(c, 0);
    return 0;
}

static int accept_one(struct shm_sock *l)
{
    struct name from = {.size = sizeof from.un};
    int fd = accept4(l->watch.fd, (struct sockaddr *)&from.un, &from.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return -errno;
    return new_comer(l, fd, &from); /* it owns fd whatever happens, but for want of memory */
}

void shm_accept_ready(struct shm_sock *l)
{
    unsigned aborted = 0;
    if (timer_runs(&l->timer)) return;
    while (!answer_accepts(l) && l->accepts.head && l->readable && l->greeting_count < SHM_GREETING_MAX) {
        switch (accept_one(l)) {
        case 0: break;
        case -EAGAIN: l->readable = false; return;
        case -EMFILE:
        case -ENFILE:
        case -ENOBUFS:
        case -ENOMEM:
        case -ENOSPC: rest(l); return;
        default:
            if (++aborted < ACCEPT_ABORTS_MAX) break;
            rest(l);
            return;
        }
    }
}

int shm_accept(struct queue *q, struct op *op)
{
    struct shm_sock *s = shm_sock_of(q);
    assert_op_given(q, op, DEMI_OPC_ACCEPT);
    if (s->state != SHM_LISTENING) return -EINVAL;
    op_list_append(&s->accepts, op);
    if (s->readable || s->greeting_count) shm_accept_ready(s);
    return 0;
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

/* There is no connection, and will be none: the socket is what it was, and may try again. */
static void not_connected(struct shm_sock *s, int err)
{
    struct op *op = s->connecting;
    s->connecting = NULL;
    list_remove(&s->work);
    wheel_stop(&s->q.rt->wheel, &s->timer);
    shm_detach(s);
    shm_close_fd(s);
    s->state = SHM_NEW;
    if (s->bound && !open_fd(s) && !bind_name(s, &s->local, s->local_size)) s->state = SHM_BOUND;
    s->bound = s->state == SHM_BOUND;
    op_fail(&s->q.rt->ops, op, err);
}

static int connect_name(struct shm_sock *s, const struct sockaddr_storage *to)
{
    struct name n;
    name_of(&n, (const struct sockaddr *)to, s->peer_size);
    return connect(s->watch.fd, (struct sockaddr *)&n.un, n.size) ? -errno : 0;
}

/* To whom listens there, or on all addresses. */
static int find_peer(struct shm_sock *s)
{
    struct sockaddr_storage all;
    int err = connect_name(s, &s->peer);
    if (err != -ECONNREFUSED || s->domain == AF_UNIX) return err;
    memcpy(&all, &s->peer, sizeof all);
    name_set_wildcard((struct sockaddr *)&all);
    return connect_name(s, &all);
}

static int connect_try(struct shm_sock *s)
{
    int err = open_fd(s), area_fd;
    if (!err && s->domain != AF_UNIX && !s->bound) {
        struct sockaddr_storage from;
        memcpy(&from, &s->peer, sizeof from);
        err = s->local_size ? 0 : bind_any_port(s, &from, s->peer_size);
    }
    if (!err) err = find_peer(s);
    if (err) return err;
    if (s->domain != AF_UNIX && !shm_may_meet(s->shm, s->watch.fd, false)) return -EACCES;
    struct area *a;
    err = area_make(s->shm->ring_size, &a, &area_fd);
    if (err) return err;
    shm_attach(s, a, s->shm->ring_size, 0);
    err = shm_say_hello(s->watch.fd, area_fd, s->ring_size);
    close(area_fd);
    return err;
}

/* What the kernel said of it. */
static void connect_answered(struct shm_sock *s, int err);

static void retry_connect(struct timer *t)
{
    struct shm_sock *s = container_of(t, struct shm_sock, timer);
    connect_answered(s, connect_try(s));
}

static void connect_answered(struct shm_sock *s, int err)
{
    uint64_t now = runtime_clock(s->q.rt);
    if (!err) {
        list_push_back(&s->shm->connecting, &s->work);
        runtime_need_flush(s->q.rt);
    } else if (err == -EAGAIN && now < s->until_ns) {
        wheel_start(&s->q.rt->wheel, &s->timer, now + CONNECT_RETRY_NS, retry_connect);
    } else {
        if (!s->bound) s->local_size = 0;
        not_connected(s, err == -EAGAIN ? ETIMEDOUT : -err);
    }
}

int shm_connect(struct queue *q, struct op *op, const struct sockaddr *addr, socklen_t size)
{
    struct shm_sock *s = shm_sock_of(q);
    struct sockaddr_storage to;
    assert_op_given(q, op, DEMI_OPC_CONNECT);
    if (s->state == SHM_CONNECTING) return -EINPROGRESS;
    if (s->state == SHM_CONNECTED) return -EISCONN;
    if (s->state == SHM_LISTENING) return -EOPNOTSUPP;
    int err = check_addr(s, addr, size, &to);
    if (err) return err;
    memcpy(&s->peer, &to, sizeof to);
    s->peer_size = size;
    if (s->domain != AF_UNIX) name_set_loopback((struct sockaddr *)&s->peer);
    if (!s->bound) s->local_size = 0;
    s->state = SHM_CONNECTING;
    s->connecting = op;
    s->until_ns = runtime_later(q->rt, CONNECT_NS);
    if (!name_is_local((struct sockaddr *)&s->peer)) err = -EHOSTUNREACH;
    else if (s->domain != AF_UNIX && !name_port((struct sockaddr *)&s->peer)) err = -ECONNREFUSED;
    connect_answered(s, err ? err : connect_try(s));
    return 0;
}

void shm_connect_done(struct shm_sock *s)
{
    int err = shm_sock_watch(s, EPOLLIN | EPOLLRDHUP);
    if (!err) err = shm_heat(s);
    if (err) {
        not_connected(s, -err);
        return;
    }
    struct op *op = s->connecting;
    s->connecting = NULL;
    list_remove(&s->work);
    s->state = SHM_CONNECTED;
    s->shm->connected++;
    op_complete_plain(&s->q.rt->ops, op, 0);
}

int shm_connect_cancel(struct shm_sock *s)
{
    not_connected(s, ECANCELED); /* who was to accept it sees a hang-up without an end */
    return 0;
}
