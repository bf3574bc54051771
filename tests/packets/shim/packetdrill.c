/* SPDX-License-Identifier: MIT
 *
 * libdemi-packetdrill.so: our stack as packetdrill wants one (--so_filename). Each call of the table becomes a request
 * to the engine's thread.
 *
 * Time: gettimeofday() moves the clock by a microsecond, since packetdrill spins the last 20 us before an event on it;
 * usleep() by as much as it says; netdev_receive() runs timers until a packet comes, and gives up (an empty packet,
 * which fails the script) after PATIENCE.
 *
 * Descriptors are real ones, of /dev/null: packetdrill closes those that a script leaves open by itself. Its assertions
 * about tcpi_... call getsockopt() directly: preloaded (LD_PRELOAD), this object answers that, too.
 *
 * Pointers are looked at before they are used: scripts hand bad ones over on purpose, to hear EFAULT.
 *
 * Nagle's algorithm is on and buffer sizes are doubled, as packetdrill's scripts expect of a socket. Left out:
 * ancillary data, pipe and splice (ENOSYS).
 */
#include "tests/packets/shim/interface.h"

#include "tests/packets/shim/engine.h"
#include "tests/packets/shim/epoll.h"
#include "tests/packets/shim/user.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/sockios.h>

#define PATIENCE    (200 * NSEC_PER_SEC)
#define EPOCH_USECS 1700000000000000ll /* of the clock that packetdrill sees */
#define IO_MAX      (1u << 22)
#define RCV_BUFFER  ((16u << 20) - 1) /* gives the window scale of 8 that the scripts expect */

#define FDS_MAX          1024
#define EPOLL_EVENTS_MAX 1024

struct shim {
    struct engine *engine;
    struct epoll_set sets[EPOLL_SETS];
    int host_fds[FDS_MAX]; /* by real descriptor; 0: not ours */
};

static long fail(long result)
{
    if (result >= 0) return result;
    errno = (int)-result;
    return -1;
}

/* --- descriptors -------------------------------------------------------------------------------------------------- */

static int host_fd(const struct shim *s, int fd)
{
    return fd >= 0 && fd < FDS_MAX && s->host_fds[fd] ? s->host_fds[fd] : -1;
}

/* A real descriptor for one of the host's (or its error). */
static int give_fd(struct shim *s, long of_host)
{
    if (of_host < 0) return (int)fail(of_host);
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0 || fd >= FDS_MAX) return (int)fail(-EMFILE);
    s->host_fds[fd] = (int)of_host;
    return fd;
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static int read_sockaddr(const struct sockaddr *a, socklen_t n, struct ip_port *e)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (!a || n < sizeof a->sa_family) return -EINVAL;
    if (!user_readable(a, n < sizeof in6 ? n : sizeof in6)) return -EFAULT;
    if (a->sa_family == AF_INET && n >= sizeof in) {
        memcpy(&in, a, sizeof in);
        *e = (struct ip_port){addr_v4(in.sin_addr.s_addr), ntohs(in.sin_port)};
        return 0;
    }
    if (a->sa_family != AF_INET6 || n < sizeof in6) return -EAFNOSUPPORT;
    memcpy(&in6, a, sizeof in6);
    memcpy(e->addr.b, &in6.sin6_addr, 16);
    e->port = ntohs(in6.sin6_port);
    return 0;
}

/* Whether write_sockaddr() may; NULL is nowhere to write to. */
static bool takes_sockaddr(struct sockaddr *a, socklen_t *n)
{
    return !a || (user_writable(n, sizeof *n) &&
                  user_writable(a, *n < sizeof(struct sockaddr_in6) ? *n : sizeof(struct sockaddr_in6)));
}

static void write_sockaddr(const struct ip_port *e, struct sockaddr *a, socklen_t *n)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(e->port), .sin_addr.s_addr = e->addr.w[3]};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};
    if (!a || !n) return;
    bool v4 = addr_is_v4(&e->addr);
    memcpy(&in6.sin6_addr, e->addr.b, 16);
    socklen_t size = v4 ? sizeof in : sizeof in6;
    memcpy(a, v4 ? (void *)&in : (void *)&in6, *n < size ? *n : size);
    *n = size;
}

/* --- one call each: arguments, and what the engine does with them ------------------------------------------------- */

struct args { /* of every call; each uses what it needs */
    struct shim *shim;
    int fd, a, b, c;
    void *p;
    const void *cp;
    size_t n;
    socklen_t len;
    socklen_t *plen;
    struct ip_port e;
    bool has_e;
    long long time;
    nsec until;
    struct pollfd *fds;
    struct epoll_event *events;
};

static long run_call(struct args *a, long (*fn)(struct request *r, struct host *h), bool blocks)
{
    return fail(engine_call(a->shim->engine, fn, a, blocks));
}

#define ARGS(r) struct args *a = (r)->args

static long do_blocks(struct request *r, struct host *h)
{
    ARGS(r);
    return host_is_open(h, a->fd) && !host_nonblock(h, a->fd, -1);
}
static bool may_block(struct shim *s, int fd, int flags)
{
    struct args a = {.shim = s, .fd = host_fd(s, fd)};
    return !(flags & MSG_DONTWAIT) && engine_call(s->engine, do_blocks, &a, false) == 1;
}

static long do_socket(struct request *r, struct host *h)
{
    ARGS(r);
    return host_socket(h, a->a, a->b, a->c);
}
static int shim_socket(void *ud, int domain, int type, int protocol)
{
    struct args a = {.shim = ud, .a = domain, .b = type, .c = protocol};
    return give_fd(ud, engine_call(a.shim->engine, do_socket, &a, false));
}

static long do_bind(struct request *r, struct host *h)
{
    ARGS(r);
    return host_bind(h, a->fd, &a->e);
}
static int shim_bind(void *ud, int fd, const struct sockaddr *sa, socklen_t n)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, fd)};
    int err = read_sockaddr(sa, n, &a.e);
    return err ? (int)fail(err) : (int)run_call(&a, do_bind, false);
}

static long do_listen(struct request *r, struct host *h)
{
    ARGS(r);
    return host_listen(h, a->fd, a->a);
}
static int shim_listen(void *ud, int fd, int backlog)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, fd), .a = backlog};
    return (int)run_call(&a, do_listen, false);
}

static long do_accept(struct request *r, struct host *h)
{
    ARGS(r);
    return host_accept(h, a->fd, &a->e);
}
static int shim_accept(void *ud, int fd, struct sockaddr *sa, socklen_t *n)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, fd)};
    if (!takes_sockaddr(sa, n)) return (int)fail(-EFAULT);
    long got = engine_call(a.shim->engine, do_accept, &a, may_block(ud, fd, 0));
    if (got >= 0) write_sockaddr(&a.e, sa, n);
    return give_fd(ud, got);
}

static long do_connect(struct request *r, struct host *h)
{
    ARGS(r);
    long got = host_connect(h, a->fd, &a->e);
    if (!r->blocks) return got;
    if (a->a++ && got == -EISCONN) return 0; /* it has come about */
    return got == -EINPROGRESS || got == -EALREADY ? -EAGAIN : got;
}
static int shim_connect(void *ud, int fd, const struct sockaddr *sa, socklen_t n)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, fd)};
    int err = read_sockaddr(sa, n, &a.e);
    return err ? (int)fail(err) : (int)run_call(&a, do_connect, may_block(ud, fd, 0));
}

static long do_recv(struct request *r, struct host *h)
{
    ARGS(r);
    int type = 0;
    socklen_t n = sizeof type;
    if (!host_getsockopt(h, a->fd, SOL_SOCKET, SO_TYPE, &type, &n) && type == SOCK_DGRAM) {
        long got = host_recvfrom(h, a->fd, a->p, a->n, &a->e);
        a->has_e = got >= 0;
        return got;
    }
    if (a->a & MSG_OOB) return -EINVAL;
    return host_read(h, a->fd, a->p, a->n, a->a & MSG_PEEK);
}
static ssize_t shim_recvfrom(void *ud, int fd, void *p, size_t n, int flags, struct sockaddr *sa, socklen_t *len)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, fd), .p = p, .n = n, .a = flags};
    if (!user_writable(p, n) || !takes_sockaddr(sa, len)) return fail(-EFAULT);
    ssize_t got = run_call(&a, do_recv, may_block(ud, fd, flags));
    if (a.has_e) write_sockaddr(&a.e, sa, len);
    return got;
}
static ssize_t shim_recv(void *ud, int fd, void *p, size_t n, int flags)
{
    return shim_recvfrom(ud, fd, p, n, flags, NULL, NULL);
}
static ssize_t shim_read(void *ud, int fd, void *p, size_t n) { return shim_recvfrom(ud, fd, p, n, 0, NULL, NULL); }

static long do_send(struct request *r, struct host *h)
{
    ARGS(r);
    return a->has_e ? host_sendto(h, a->fd, a->cp, a->n, &a->e) : host_write(h, a->fd, a->cp, a->n, a->a & MSG_MORE);
}
static ssize_t shim_sendto(void *ud, int fd, const void *p, size_t n, int flags, const struct sockaddr *sa,
                           socklen_t len)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, fd), .cp = p, .n = n, .a = flags};
    int err = sa ? read_sockaddr(sa, len, &a.e) : 0;
    a.has_e = sa && !err;
    if (err == -EFAULT || !user_readable(p, n)) return fail(-EFAULT);
    return run_call(&a, do_send, may_block(ud, fd, flags));
}
static ssize_t shim_send(void *ud, int fd, const void *p, size_t n, int flags)
{
    return shim_sendto(ud, fd, p, n, flags, NULL, 0);
}
static ssize_t shim_write(void *ud, int fd, const void *p, size_t n) { return shim_sendto(ud, fd, p, n, 0, NULL, 0); }

/* Vectors go through one piece of memory. */
static ssize_t gather(void *ud, int fd, const struct iovec *v, size_t count, int flags)
{
    size_t n = 0, total;
    int err = user_vector(v, count, false, IO_MAX, &total);
    if (err) return fail(err);
    uint8_t *all = malloc(total ? total : 1);
    if (!all) return fail(-ENOMEM);
    for (size_t i = 0; i < count; i++) {
        if (v[i].iov_len) memcpy(all + n, v[i].iov_base, v[i].iov_len);
        n += v[i].iov_len;
    }
    ssize_t got = shim_send(ud, fd, all, n, flags);
    free(all);
    return got;
}
static ssize_t scatter(void *ud, int fd, const struct iovec *v, size_t count, int flags, struct sockaddr *sa,
                       socklen_t *len)
{
    size_t n, at = 0;
    int err = user_vector(v, count, true, IO_MAX, &n);
    if (err) return fail(err);
    uint8_t *all = malloc(n ? n : 1);
    if (!all) return fail(-ENOMEM);
    ssize_t got = shim_recvfrom(ud, fd, all, n, flags, sa, len);
    for (size_t i = 0; i < count && got > 0 && at < (size_t)got; i++) {
        size_t part = (size_t)got - at < v[i].iov_len ? (size_t)got - at : v[i].iov_len;
        if (part) memcpy(v[i].iov_base, all + at, part);
        at += part;
    }
    free(all);
    return got;
}
static ssize_t shim_readv(void *ud, int fd, const struct iovec *v, int n)
{
    return scatter(ud, fd, v, (size_t)n, 0, NULL, NULL);
}
static ssize_t shim_writev(void *ud, int fd, const struct iovec *v, int n) { return gather(ud, fd, v, (size_t)n, 0); }
static ssize_t shim_sendmsg(void *ud, int fd, const struct msghdr *m, int flags)
{
    if (!user_readable(m, sizeof *m)) return fail(-EFAULT);
    return gather(ud, fd, m->msg_iov, m->msg_iovlen, flags);
}
static ssize_t shim_recvmsg(void *ud, int fd, struct msghdr *m, int flags)
{
    if (!user_writable(m, sizeof *m)) return fail(-EFAULT);
    m->msg_controllen = 0;
    m->msg_flags = 0;
    return scatter(ud, fd, m->msg_iov, m->msg_iovlen, flags, m->msg_name, m->msg_name ? &m->msg_namelen : NULL);
}

static long do_fcntl(struct request *r, struct host *h)
{
    ARGS(r);
    if (!host_is_open(h, a->fd)) return -EBADF;
    if (a->a == F_SETFL) host_nonblock(h, a->fd, a->b & O_NONBLOCK ? 1 : 0);
    else if (a->a != F_GETFL) return -EINVAL;
    return a->a == F_SETFL ? 0 : O_RDWR | (host_nonblock(h, a->fd, -1) ? O_NONBLOCK : 0);
}
static int shim_fcntl(void *ud, int fd, int cmd, ...)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, fd), .a = cmd};
    va_list ap;
    va_start(ap, cmd);
    if (cmd == F_SETFL) a.b = (int)va_arg(ap, long);
    va_end(ap);
    return (int)run_call(&a, do_fcntl, false);
}

static long do_ioctl(struct request *r, struct host *h)
{
    ARGS(r);
    struct conn_info i;
    struct conn *c = host_conn(h, a->fd);
    if (!host_is_open(h, a->fd)) return -EBADF;
    if (!c) return -EINVAL;
    conn_info(c, &i);
    int v = a->a == SIOCINQ    ? (int)i.rcv_queued
            : a->a == SIOCOUTQ ? (int)(conn_queued(c) - conn_acked(c))
                               : (int)i.unsent;
    memcpy(a->p, &v, sizeof v);
    return 0;
}
static int shim_ioctl(void *ud, int fd, unsigned long request, ...)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, fd), .a = (int)request};
    va_list ap;
    va_start(ap, request);
    a.p = va_arg(ap, void *);
    va_end(ap);
    if (request != SIOCINQ && request != SIOCOUTQ && request != SIOCOUTQNSD) return (int)fail(-ENOTTY);
    if (!user_writable(a.p, sizeof(int))) return (int)fail(-EFAULT);
    return (int)run_call(&a, do_ioctl, false);
}

static long do_close(struct request *r, struct host *h)
{
    ARGS(r);
    struct epoll_set *set = epoll_set_of(a->shim->sets, a->fd);
    if (set) {
        set->open = false;
        return 0;
    }
    epoll_set_forget(a->shim->sets, a->fd);
    return host_close(h, a->fd);
}
static int shim_close(void *ud, int fd)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, fd)};
    int got = (int)run_call(&a, do_close, false);
    if (a.fd < 0) return got;
    a.shim->host_fds[fd] = 0;
    close(fd);
    return got;
}

static long do_shutdown(struct request *r, struct host *h)
{
    ARGS(r);
    return host_shutdown(h, a->fd, a->a);
}
static int shim_shutdown(void *ud, int fd, int how)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, fd), .a = how};
    return (int)run_call(&a, do_shutdown, false);
}

/* Linux keeps, and tells, twice the size it was asked for. Here the half of it is for payload, as there. */
static bool is_buffer(const struct args *a) { return a->a == SOL_SOCKET && (a->b == SO_SNDBUF || a->b == SO_RCVBUF); }

static long do_getsockopt(struct request *r, struct host *h)
{
    ARGS(r);
    long got = host_getsockopt(h, a->fd, a->a, a->b, a->p, a->plen);
    if (got == 0 && is_buffer(a) && *a->plen == sizeof(int)) *(int *)a->p *= 2;
    return got;
}
static int shim_getsockopt(void *ud, int fd, int level, int name, void *p, socklen_t *n)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, fd), .a = level, .b = name, .p = p, .plen = n};
    if (!user_writable(n, sizeof *n) || !user_writable(p, *n)) return (int)fail(-EFAULT);
    return (int)run_call(&a, do_getsockopt, false);
}

static long do_setsockopt(struct request *r, struct host *h)
{
    ARGS(r);
    return host_setsockopt(h, a->fd, a->a, a->b, a->cp, a->len);
}
static int shim_setsockopt(void *ud, int fd, int level, int name, const void *p, socklen_t n)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, fd), .a = level, .b = name, .cp = p, .len = n};
    if (!user_readable(p, n)) return (int)fail(-EFAULT);
    return (int)run_call(&a, do_setsockopt, false);
}

/* --- readiness ---------------------------------------------------------------------------------------------------- */

static bool time_is_over(const struct request *r, struct host *h, int timeout_ms)
{
    return timeout_ms >= 0 && host_now(h) >= r->begun + (nsec)timeout_ms * NSEC_PER_MSEC;
}

static long do_poll(struct request *r, struct host *h)
{
    ARGS(r);
    long ready = 0;
    for (size_t i = 0; i < a->n; i++) {
        a->fds[i].revents =
            a->fds[i].fd < 0 ? 0 : (short)host_poll(h, host_fd(a->shim, a->fds[i].fd), a->fds[i].events);
        ready += a->fds[i].revents != 0;
    }
    return ready || time_is_over(r, h, a->a) ? ready : -EAGAIN;
}
static int shim_poll(void *ud, struct pollfd *fds, nfds_t n, int timeout)
{
    struct args a = {.shim = ud, .fds = fds, .n = n, .a = timeout};
    if (n > FDS_MAX) return (int)fail(-EINVAL);
    if (!user_writable(fds, n * sizeof *fds)) return (int)fail(-EFAULT);
    return (int)run_call(&a, do_poll, true);
}

static long do_epoll_create(struct request *r, struct host *h)
{
    ARGS(r);
    return epoll_set_open(a->shim->sets);
}
static int shim_epoll_create(void *ud, int size)
{
    struct args a = {.shim = ud};
    return give_fd(ud, engine_call(a.shim->engine, do_epoll_create, &a, false));
}

static long do_epoll_ctl(struct request *r, struct host *h)
{
    ARGS(r);
    struct epoll_set *s = epoll_set_of(a->shim->sets, a->fd);
    return s ? epoll_set_ctl(s, h, a->a, a->b, a->events) : -EBADF;
}
static int shim_epoll_ctl(void *ud, int epfd, int op, int fd, struct epoll_event *e)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, epfd), .a = op, .b = host_fd(ud, fd), .events = e};
    if (op != EPOLL_CTL_DEL && !user_readable(e, sizeof *e)) return (int)fail(-EFAULT);
    return (int)run_call(&a, do_epoll_ctl, false);
}

static long do_epoll_wait(struct request *r, struct host *h)
{
    ARGS(r);
    struct epoll_set *s = epoll_set_of(a->shim->sets, a->fd);
    if (!s) return -EBADF;
    int n = epoll_set_collect(s, h, a->events, a->a);
    return n || time_is_over(r, h, a->b) ? n : -EAGAIN;
}
static int shim_epoll_wait(void *ud, int epfd, struct epoll_event *e, int max, int timeout)
{
    struct args a = {.shim = ud, .fd = host_fd(ud, epfd), .events = e, .a = max, .b = timeout};
    if (max < 1) return (int)fail(-EINVAL);
    if (max > EPOLL_EVENTS_MAX) a.a = EPOLL_EVENTS_MAX; /* no set has more */
    if (!user_writable(e, (size_t)a.a * sizeof *e)) return (int)fail(-EFAULT);
    return (int)run_call(&a, do_epoll_wait, true);
}

/* --- the wire and the clock --------------------------------------------------------------------------------------- */

static long do_netdev_send(struct request *r, struct host *h)
{
    ARGS(r);
    static struct wire w; /* the engine's alone */
    if (a->n > sizeof w.bytes || a->n < 1) return -EMSGSIZE;
    memcpy(w.bytes, a->cp, a->n);
    w.n = (uint32_t)a->n;
    host_input(h, &w);
    return 0;
}
static int shim_netdev_send(void *ud, const void *p, size_t n)
{
    struct args a = {.shim = ud, .cp = p, .n = n};
    if (!user_readable(p, n)) return (int)fail(-EFAULT);
    return (int)run_call(&a, do_netdev_send, false);
}

static long do_netdev_receive(struct request *r, struct host *h)
{
    ARGS(r);
    if (!a->until) a->until = host_now(h) + PATIENCE;
    nsec end = a->until;
    if (!host_output(h) && host_now(h) < end) { /* one timer; then calls that wait are tried, and we are again */
        nsec next = host_deadline(h), now = host_now(h);
        if (next <= now) next = now + 1;
        host_advance(h, next < end ? next : end);
        if (!host_output(h) && host_now(h) < end) return -EAGAIN;
    }
    struct host_packet *p = host_output(h);
    size_t n = p ? p->w.n : 0;
    if (n > a->n) n = a->n;
    if (n) memcpy(a->p, p->w.bytes, n);
    a->n = n;
    a->time = EPOCH_USECS + (long long)((p ? p->at : host_now(h)) / NSEC_PER_USEC);
    if (p) host_drop_output(h);
    return 0;
}
static int shim_netdev_receive(void *ud, void *p, size_t *n, long long *time_usecs)
{
    if (!user_writable(n, sizeof *n) || !user_writable(time_usecs, sizeof *time_usecs) || !user_writable(p, *n))
        return (int)fail(-EFAULT);
    struct args a = {.shim = ud, .p = p, .n = *n};
    long got;
    do got = engine_call(a.shim->engine, do_netdev_receive, &a, false);
    while (got == -EAGAIN);
    *n = a.n;
    *time_usecs = a.time;
    return (int)fail(got);
}

static long do_sleep(struct request *r, struct host *h)
{
    ARGS(r);
    host_advance(h, host_now(h) + (nsec)a->time * NSEC_PER_USEC);
    a->time = EPOCH_USECS + (long long)(host_now(h) / NSEC_PER_USEC);
    return 0;
}
static int shim_usleep(void *ud, useconds_t usecs)
{
    struct args a = {.shim = ud, .time = usecs};
    return (int)run_call(&a, do_sleep, false);
}
static int shim_gettimeofday(void *ud, struct timeval *tv, struct timezone *tz)
{
    struct args a = {.shim = ud, .time = 1};
    if ((tv && !user_writable(tv, sizeof *tv)) || (tz && !user_writable(tz, sizeof *tz))) return (int)fail(-EFAULT);
    long got = run_call(&a, do_sleep, false);
    if (tv) *tv = (struct timeval){.tv_sec = a.time / 1000000, .tv_usec = a.time % 1000000};
    if (tz) memset(tz, 0, sizeof *tz);
    return (int)got;
}

static int shim_pipe(void *ud, int fds[2]) { return (int)fail(-ENOSYS); }
static int shim_splice(void *ud, int in, loff_t *in_at, int out, loff_t *out_at, size_t n, unsigned flags)
{
    return (int)fail(-ENOSYS);
}

/* For LD_PRELOAD. The one global: a call of libc has no userdata. */
static struct shim *the_shim;

__attribute__((visibility("default"))) int getsockopt(int fd, int level, int name, void *p, socklen_t *n)
{
    if (!the_shim || host_fd(the_shim, fd) < 0) return (int)syscall(SYS_getsockopt, fd, level, name, p, n);
    if (!user_writable(n, sizeof *n) || !user_writable(p, *n)) return (int)fail(-EFAULT);
    /* nothing to tell */
    if ((level == SOL_SOCKET && name == SO_MEMINFO) || (level == IPPROTO_TCP && name == TCP_CC_INFO)) {
        memset(p, 0, *n);
        return 0;
    }
    return shim_getsockopt(the_shim, fd, level, name, p, n);
}

static void shim_free(void *ud)
{
    struct shim *s = ud;
    the_shim = NULL;
    engine_stop(s->engine);
}

/* mtu=1520: scripts of IPv6 count with segments of 1,460 bytes behind headers that are longer by 20. */
static uint16_t mtu_of(const char *flags, uint16_t otherwise)
{
    const char *at = strstr(flags, "mtu=");
    unsigned long mtu = at ? strtoul(at + 4, NULL, 10) : 0;
    return mtu >= 68 && mtu <= UINT16_MAX ? (uint16_t)mtu : otherwise;
}

/* "cc=newreno,no_timestamps": what a run may want otherwise. */
static void read_flags(const char *flags, struct host_config *c)
{
    if (!flags) return;
    if (strstr(flags, "cc=newreno")) c->stack.cc = "newreno";
    if (strstr(flags, "no_timestamps")) c->stack.no_timestamps = true;
    if (strstr(flags, "ask_ecn")) c->stack.ask_ecn = true;
    if (strstr(flags, "nodelay")) c->nagle = false;
    c->stack.mtu = mtu_of(flags, c->stack.mtu);
}

void packetdrill_interface_init(const char *flags, struct packetdrill_interface *out)
{
    struct host_config c;
    struct shim *s = calloc(1, sizeof *s);
    the_shim = s;
    host_defaults(&c);
    c.nagle = true;
    c.stack.limits.rcv_buffer = RCV_BUFFER;
    read_flags(flags, &c);
    if (s) s->engine = engine_start(&c);
    if (!s || !s->engine) {
        fprintf(stderr, "libdemi-packetdrill: out of memory\n");
        exit(EXIT_FAILURE);
    }
    *out = (struct packetdrill_interface){
        .ud = s,
        .free = shim_free,
        .socket = shim_socket,
        .bind = shim_bind,
        .listen = shim_listen,
        .accept = shim_accept,
        .connect = shim_connect,
        .read = shim_read,
        .readv = shim_readv,
        .recv = shim_recv,
        .recvfrom = shim_recvfrom,
        .recvmsg = shim_recvmsg,
        .write = shim_write,
        .writev = shim_writev,
        .send = shim_send,
        .sendto = shim_sendto,
        .sendmsg = shim_sendmsg,
        .fcntl = shim_fcntl,
        .ioctl = shim_ioctl,
        .close = shim_close,
        .shutdown = shim_shutdown,
        .getsockopt = shim_getsockopt,
        .setsockopt = shim_setsockopt,
        .poll = shim_poll,
        .netdev_send = shim_netdev_send,
        .netdev_receive = shim_netdev_receive,
        .usleep = shim_usleep,
        .gettimeofday = shim_gettimeofday,
        .epoll_create = shim_epoll_create,
        .epoll_ctl = shim_epoll_ctl,
        .epoll_wait = shim_epoll_wait,
        .pipe = shim_pipe,
        .splice = shim_splice,
    };
}
