/* SPDX-License-Identifier: MIT
 *
 * Sockets in the manner of POSIX over listeners, connections and UDP sockets. Errors of a connection are told once, by
 * whichever call comes first (as SO_ERROR does), then it reads as ended and refuses writes.
 *
 * Left out: ancillary data; urgent data apart from the stream (RFC 6093).
 */
#include "tests/packets/runner/host_impl.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

struct host_sock *host_sock(struct host *h, int fd)
{
    if (fd < HOST_FD_FIRST || fd >= HOST_FDS || h->socks[fd].kind == SOCK_FREE) return NULL;
    return &h->socks[fd];
}

bool host_is_open(struct host *h, int fd) { return host_sock(h, fd); }

bool host_is_listener(struct host *h, int fd)
{
    const struct host_sock *s = host_sock(h, fd);
    return s && s->kind == SOCK_LISTENER;
}

struct conn *host_conn(struct host *h, int fd)
{
    const struct host_sock *s = fd < 0 ? h->newest : host_sock(h, fd);
    return s && s->kind == SOCK_CONN ? s->conn : NULL;
}

bool host_nonblock(struct host *h, int fd, int set)
{
    struct host_sock *s = host_sock(h, fd);
    if (!s) return false;
    if (set >= 0) s->nonblock = set;
    return s->nonblock;
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void on_acceptable(void *arg, struct listener *l)
{
    struct host_sock *s = listener_user(l);
    s->acceptable++;
}

static void on_connected(void *arg, struct conn *c, int err)
{
    struct host_sock *s = conn_user(c);
    s->connecting = false;
    s->connected = !err;
    s->error = err;
    if (err) s->conn = NULL;
}

static void on_closed(void *arg, struct conn *c, int err)
{
    struct host_sock *s = conn_user(c);
    s->closed = true;
    if (err) s->error = err;
}

static void on_nothing(void *arg, struct conn *c) {}
static void on_udp(void *arg, struct udp_sock *u) {}

const struct stack_hooks host_hooks = {
    .acceptable = on_acceptable,
    .connected = on_connected,
    .readable = on_nothing,
    .acked = on_nothing,
    .closed = on_closed,
    .udp_readable = on_udp,
};

static int take_error(struct host_sock *s)
{
    int err = s->error;
    s->error = 0;
    return -err;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static int take_fd(struct host *h, struct host_sock **out)
{
    for (int fd = HOST_FD_FIRST; fd < HOST_FDS; fd++) {
        if (h->socks[fd].kind != SOCK_FREE) continue;
        h->socks[fd] = (struct host_sock){.kind = SOCK_NEW};
        *out = &h->socks[fd];
        return fd;
    }
    return -EMFILE;
}

static struct ip_port any_of(int domain)
{
    struct ip_port e = {.port = 0};
    if (domain == AF_INET) e.addr = addr_v4(0);
    return e;
}

int host_socket(struct host *h, int domain, int type, int protocol)
{
    struct host_sock *s;
    bool nonblock = type & SOCK_NONBLOCK;
    type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (domain != AF_INET && domain != AF_INET6) return -EAFNOSUPPORT;
    if (type != SOCK_STREAM && type != SOCK_DGRAM) return -EINVAL;
    if (protocol && protocol != (type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP)) return -EPROTONOSUPPORT;
    int fd = take_fd(h, &s);
    if (fd < 0) return fd;
    s->domain = domain;
    s->type = type;
    s->nonblock = nonblock;
    s->local = any_of(domain);
    s->opts = (struct conn_opts){.delay = h->conf.nagle};
    if (type == SOCK_DGRAM) s->kind = SOCK_UDP;
    return fd;
}

static int open_udp(struct host *h, struct host_sock *s)
{
    if (s->udp) return 0;
    int err = udp_open(h->stack, &s->local, s->v6_only, s->reuse_port, s, &s->udp);
    if (!err) s->local = *udp_local(s->udp);
    return err;
}

int host_bind(struct host *h, int fd, const struct ip_port *e)
{
    struct host_sock *s = host_sock(h, fd);
    if (!s) return -EBADF;
    if (s->bound || s->kind == SOCK_CONN || s->kind == SOCK_LISTENER) return -EINVAL;
    if (!addr_is_any(&e->addr) && !stack_is_local(h->stack, &e->addr)) return -EADDRNOTAVAIL;
    s->local = *e;
    if (s->kind == SOCK_UDP) {
        int err = open_udp(h, s);
        if (err) {
            s->local = any_of(s->domain);
            return err;
        }
    }
    s->bound = true;
    return 0;
}

int host_listen(struct host *h, int fd, int backlog)
{
    struct host_sock *s = host_sock(h, fd);
    if (!s) return -EBADF;
    if (s->kind == SOCK_UDP) return -EOPNOTSUPP;
    if (s->kind != SOCK_NEW) return s->kind == SOCK_LISTENER ? 0 : -EINVAL;
    struct listen_opts o = {.backlog = backlog > 0 ? (unsigned)backlog : 1,
                            .v6_only = s->v6_only,
                            .reuse_port = s->reuse_port,
                            .conn = &s->opts};
    int err = listener_open(h->stack, &s->local, &o, s, &s->listener);
    if (err) return err;
    s->local = *listener_local(s->listener);
    s->kind = SOCK_LISTENER;
    return 0;
}

int host_accept(struct host *h, int fd, struct ip_port *peer)
{
    struct host_sock *s = host_sock(h, fd), *n;
    if (!s) return -EBADF;
    if (s->kind != SOCK_LISTENER) return -EINVAL;
    int got = take_fd(h, &n);
    if (got < 0) return got;
    n->conn = listener_accept(s->listener, n);
    if (!n->conn) {
        n->kind = SOCK_FREE;
        s->acceptable = 0;
        return -EAGAIN;
    }
    if (s->acceptable) s->acceptable--;
    n->kind = SOCK_CONN;
    n->domain = s->domain;
    n->type = SOCK_STREAM;
    n->connected = true;
    n->opts = s->opts;
    n->linger_on = s->linger_on;
    n->linger_s = s->linger_s;
    n->local = *conn_local(n->conn);
    n->peer = *conn_remote(n->conn);
    n->error = conn_error(n->conn);
    h->newest = n;
    if (peer) *peer = n->peer;
    return got;
}

static int start_connect(struct host *h, struct host_sock *s, const struct ip_port *e)
{
    if (s->kind != SOCK_NEW) return -EINVAL;
    int err = conn_connect(h->stack, &s->local, e, &s->opts, s, &s->conn);
    if (err) return err;
    s->kind = SOCK_CONN;
    s->connecting = true;
    s->peer = *e;
    s->local = *conn_local(s->conn);
    h->newest = s;
    return -EINPROGRESS;
}

int host_connect(struct host *h, int fd, const struct ip_port *e)
{
    struct host_sock *s = host_sock(h, fd);
    if (!s) return -EBADF;
    if (s->kind == SOCK_UDP) {
        int err = open_udp(h, s);
        if (!err) err = udp_connect(s->udp, e);
        if (!err) s->peer = *e;
        return err;
    }
    if (s->kind == SOCK_LISTENER) return -EISCONN;
    if (s->kind == SOCK_NEW) return start_connect(h, s, e);
    if (s->connecting) return -EALREADY;
    if (s->connected) return -EISCONN;
    return s->error ? take_error(s) : -ECONNABORTED;
}

static void close_conn(struct host_sock *s)
{
    if (!s->conn) return;
    if (s->rest) conn_abort(s->conn); /* bytes that nobody read: RFC 2525 2.17 */
    else conn_close(s->conn, s->linger_on ? s->linger_s * NSEC_PER_SEC : NSEC_NEVER);
}

int host_close(struct host *h, int fd)
{
    struct host_sock *s = host_sock(h, fd);
    if (!s) return -EBADF;
    if (s->kind == SOCK_CONN) close_conn(s);
    if (s->kind == SOCK_LISTENER) listener_close(s->listener);
    if (s->kind == SOCK_UDP && s->udp) udp_close(s->udp);
    buf_unref(s->rest);
    if (h->newest == s) h->newest = NULL;
    *s = (struct host_sock){.kind = SOCK_FREE};
    return 0;
}

int host_shutdown(struct host *h, int fd, int how)
{
    struct host_sock *s = host_sock(h, fd);
    if (!s) return -EBADF;
    if (s->kind != SOCK_CONN || !s->conn || s->closed || !s->connected) return -ENOTCONN;
    if (how == SHUT_RD || how == SHUT_RDWR) s->read_shut = true;
    if (how == SHUT_RD) return 0;
    int err = s->write_shut ? 0 : conn_shutdown(s->conn);
    s->write_shut = true;
    return err;
}

/* --- data --------------------------------------------------------------------------------------------------------- */

static size_t read_some(struct host_sock *s, uint8_t *p, size_t n)
{
    size_t got = 0;
    while (got < n) {
        if (!s->rest) s->rest = s->conn ? conn_pop(s->conn) : NULL;
        if (!s->rest) break;
        size_t part = s->rest->len < n - got ? s->rest->len : n - got;
        memcpy(p + got, s->rest->data, part);
        buf_trim_front(s->rest, part);
        got += part;
        if (s->rest->len) continue;
        buf_unref(s->rest);
        s->rest = NULL;
    }
    return got;
}

static size_t peek_some(struct host_sock *s, uint8_t *p, size_t n)
{
    if (!s->rest) s->rest = s->conn ? conn_pop(s->conn) : NULL;
    if (!s->rest) return 0;
    if (n > s->rest->len) n = s->rest->len;
    memcpy(p, s->rest->data, n);
    return n;
}

long host_read(struct host *h, int fd, void *p, size_t n, bool peek)
{
    struct host_sock *s = host_sock(h, fd);
    if (!s) return -EBADF;
    if (s->kind == SOCK_UDP) return host_recvfrom(h, fd, p, n, NULL);
    if (s->kind != SOCK_CONN) return -ENOTCONN;
    size_t got = peek ? peek_some(s, p, n) : read_some(s, p, n);
    if (got) return (long)got;
    if (s->error) return take_error(s);
    if (s->read_shut || s->closed || !s->conn || conn_ended(s->conn)) return 0;
    return -EAGAIN;
}

static long write_refused(struct host_sock *s)
{
    if (s->kind == SOCK_NEW || s->kind == SOCK_LISTENER) return -EPIPE;
    if (s->error) return take_error(s);
    if (s->write_shut || s->closed || !s->conn) return -EPIPE;
    return s->connecting ? -EAGAIN : 0;
}

static struct buf *buf_of(const void *p, size_t n)
{
    struct buf *b = buf_take(n);
    if (b) memcpy(buf_put_back(b, n), p, n);
    return b;
}

long host_write(struct host *h, int fd, const void *p, size_t n, bool more)
{
    struct host_sock *s = host_sock(h, fd);
    if (!s) return -EBADF;
    if (s->kind == SOCK_UDP) return host_sendto(h, fd, p, n, NULL);
    long err = write_refused(s);
    if (err) return err;
    if (!n) return 0;
    struct buf *b = buf_of(p, n);
    if (!b) return -ENOMEM;
    err = conn_push(s->conn, b, NULL);
    if (!err && more) conn_expect_more(s->conn);
    if (!err) return (long)n;
    buf_unref(b);
    return err == -EBUSY ? -EAGAIN : err;
}

long host_recvfrom(struct host *h, int fd, void *p, size_t n, struct ip_port *from)
{
    struct host_sock *s = host_sock(h, fd);
    struct ip_port peer;
    int err = 0;
    if (!s) return -EBADF;
    if (s->kind != SOCK_UDP) return host_read(h, fd, p, n, false);
    struct buf *b = s->udp ? udp_pop(s->udp, &peer, &err) : NULL;
    if (!b) return err ? -err : -EAGAIN;
    if (n > b->len) n = b->len;
    memcpy(p, b->data, n);
    buf_unref(b);
    if (from) *from = peer;
    return (long)n;
}

long host_sendto(struct host *h, int fd, const void *p, size_t n, const struct ip_port *to)
{
    struct host_sock *s = host_sock(h, fd);
    if (!s) return -EBADF;
    if (s->kind != SOCK_UDP) return host_write(h, fd, p, n, false);
    long err = open_udp(h, s);
    if (err) return err;
    if (n > 65507) return -EMSGSIZE;
    struct buf *b = buf_of(p, n);
    if (!b) return -ENOMEM;
    err = udp_push(s->udp, b, to, s->broadcast);
    if (!err) return (long)n;
    buf_unref(b);
    return err;
}

/* --- readiness ---------------------------------------------------------------------------------------------------- */

static int poll_conn(const struct host_sock *s)
{
    int r = 0;
    bool ended = s->closed || !s->conn || (s->conn && conn_ended(s->conn));
    if (s->connecting) return 0;
    if (s->rest || (s->conn && conn_readable(s->conn)) || ended || s->read_shut || s->error) r |= POLLIN;
    if (ended || s->read_shut) r |= POLLRDHUP;
    if (s->error) r |= POLLERR;
    if (s->closed || !s->conn || (s->read_shut && s->write_shut) || (ended && s->write_shut)) r |= POLLHUP;
    struct conn_opts o = {.mss = 0};
    if (s->conn) conn_get_opts(s->conn, &o);
    bool full = o.snd_buffer && conn_queued(s->conn) - conn_acked(s->conn) >= o.snd_buffer;
    full |= o.unsent_max && conn_queued(s->conn) - conn_sent(s->conn) >= o.unsent_max;
    if (!s->conn || s->closed || s->write_shut || !full) r |= POLLOUT;
    return r;
}

int host_poll(struct host *h, int fd, short events)
{
    const struct host_sock *s = host_sock(h, fd);
    int r = 0;
    if (!s) return POLLNVAL;
    if (s->kind == SOCK_LISTENER) r = s->acceptable ? POLLIN : 0;
    else if (s->kind == SOCK_CONN) r = poll_conn(s);
    else if (s->kind == SOCK_NEW) r = POLLOUT | POLLHUP;
    else r = POLLOUT;
    return r & (events | POLLERR | POLLHUP | POLLNVAL);
}
