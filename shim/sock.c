/* SPDX-License-Identifier: MIT
 *
 * From socket() to a queue or to the kernel; names and options.
 *
 * Options are set on the shadow first, which says what is wrong with them, and are kept until there is a queue.
 */
#include "shim/sock.h"

#include "shim/engine.h"
#include "shim/fds.h"
#include "shim/log.h"
#include "shim/real.h"
#include "shim/route.h"

#include "demi/ext.h"
#include "demi/libos.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000u

socklen_t shim_addr_size(int family)
{
    return family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

/* As the kernel hands an address out: cut to the room there is, with its whole length. */
void shim_copy_addr(struct sockaddr *addr, socklen_t *size, const void *from, socklen_t from_size)
{
    if (!addr || !size) return;
    memcpy(addr, from, *size < from_size ? *size : from_size);
    *size = from_size;
}

int shim_take_error(struct shim_file *f)
{
    int err = f->error;
    f->error = 0;
    return err;
}

/* --- whose it is --- */

/* The program's number is another one of the queue's own socket, where it has one. */
static void share_socket(struct shim_file *f, int fd)
{
    int own = demi_queue_fd(f->qd);
    if (own < 0) return;
    int flags = REAL(fcntl)(fd, F_GETFD, 0);
    if (REAL(dup3)(own, fd, flags > 0 && flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0) return;
    f->shadow_is_real = f->numbers == 1;
}

int shim_open_queue(struct shim_file *f, int fd)
{
    if (f->qd >= 0) return 0;
    int err = shim_start();
    if (err) return err;
    err = demi_socket(&f->qd, f->domain, f->type, 0);
    if (err) {
        f->qd = -1;
        return -err;
    }
    for (unsigned i = 0; i < f->option_count; i++) {
        const struct shim_option *o = &f->options[i];
        if (demi_setsockopt(f->qd, o->level, o->name, o->value, o->size)) shim_count(COUNT_OPTIONS);
    }
    share_socket(f, fd);
    shim_count(COUNT_OURS);
    if (f->type == SOCK_DGRAM) f->kind = SHIM_DGRAM;
    return 0;
}

static int bind_queue(struct shim_file *f)
{
    f->bind_waits = false;
    int err = demi_bind(f->qd, (struct sockaddr *)&f->bind_addr, f->bind_size);
    if (!err) f->bound = true;
    if (!err && f->kind == SHIM_DGRAM) shim_ask(f);
    return -err;
}

int shim_decide_ours(struct shim_file *f, int fd)
{
    int err = shim_open_queue(f, fd);
    if (!err && f->bind_waits) err = bind_queue(f);
    return err;
}

int shim_decide_kernel(struct shim_file *f, int fd)
{
    int r = f->bind_waits ? REAL(bind)(fd, (struct sockaddr *)&f->bind_addr, f->bind_size) : 0;
    if (r) return -errno;
    shim_count(COUNT_KERNEL);
    shim_file_leave(f);
    return 0;
}

int shim_decide_by(struct shim_file *f, int fd, const struct sockaddr *addr, socklen_t size)
{
    if (f->qd >= 0) return 0;
    int err = -ENOTSUP;
    if (shim_route_is_ours(f->domain, f->type, addr, size)) err = shim_decide_ours(f, fd);
    if (!err) return 0;
    if (err == -EADDRINUSE || err == -EADDRNOTAVAIL || err == -EACCES) return err;
    err = shim_decide_kernel(f, fd);
    return err ? err : 1;
}

/* --- calls --- */

#define TYPE_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

WRAP(int, socket, (int domain, int type, int protocol))
{
    int fd = REAL(socket)(domain, type, protocol), kind = type & ~TYPE_FLAGS;
    if (fd < 0 || (unsigned)fd >= SHIM_FDS) return fd;
    if ((domain != AF_INET && domain != AF_INET6) || (kind != SOCK_STREAM && kind != SOCK_DGRAM)) return fd;
    if (protocol && protocol != (kind == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP)) return fd; /* MPTCP, UDP-Lite */
    if (!shim_lock()) return fd;
    int before = errno;
    struct shim_file *f = shim_file_new(SHIM_NEW, domain, kind, protocol);
    if (f) {
        f->nonblock = type & SOCK_NONBLOCK;
        shim_file_name(f, fd);
    }
    shim_unlock();
    errno = before;
    return fd;
}

static int do_bind(struct shim_file *f, int fd, const struct sockaddr *addr, socklen_t size)
{
    if (f->kind == SHIM_DEAD) return -EBADFD;
    if (f->bound || f->bind_waits || f->kind == SHIM_LISTENER || f->kind == SHIM_STREAM) return -EINVAL;
    if (!addr || size < shim_addr_size(f->domain)) return -EINVAL;
    if (addr->sa_family != f->domain) return f->domain == AF_INET6 ? -EINVAL : -EAFNOSUPPORT;
    memcpy(&f->bind_addr, addr, shim_addr_size(f->domain));
    f->bind_size = shim_addr_size(f->domain);
    f->bind_waits = true;
    if (f->kind == SHIM_NEW && shim_is_any(addr, size)) return 0;
    int r = shim_decide_by(f, fd, addr, size);
    if (r < 0) f->bind_waits = false;
    else if (!r && f->bind_waits) r = bind_queue(f);
    return r < 0 ? r : 0;
}

WRAP(int, bind, (int fd, const struct sockaddr *addr, socklen_t size))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return REAL(bind)(fd, addr, size);
    int r = f->set ? -ENOTSOCK : do_bind(f, fd, addr, size);
    shim_unlock();
    return (int)answer(r);
}

static int start_listening(struct shim_file *f, int fd, int backlog)
{
    struct sockaddr_storage any = {.ss_family = (sa_family_t)f->domain};
    if (!f->bound && !f->bind_waits) {
        memcpy(&f->bind_addr, &any, sizeof any);
        f->bind_size = shim_addr_size(f->domain);
        f->bind_waits = true;
    }
    int r = shim_decide_by(f, fd, (struct sockaddr *)&f->bind_addr, f->bind_size);
    if (r == 1) return REAL(listen)(fd, backlog) ? -errno : 0;
    if (!r && f->bind_waits) r = bind_queue(f);
    if (!r) r = -demi_listen(f->qd, backlog < 1 ? 1 : backlog > SOMAXCONN ? SOMAXCONN : backlog);
    if (r) return r;
    f->kind = SHIM_LISTENER;
    shim_ask_accept(f);
    shim_flush();
    return 0;
}

static int do_listen(struct shim_file *f, int fd, int backlog)
{
    if (f->set) return -ENOTSOCK;
    if (f->type != SOCK_STREAM) return -EOPNOTSUPP;
    if (f->kind == SHIM_LISTENER) return 0;
    return f->kind == SHIM_NEW ? start_listening(f, fd, backlog) : -EINVAL;
}

WRAP(int, listen, (int fd, int backlog))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return REAL(listen)(fd, backlog);
    int r = do_listen(f, fd, backlog);
    shim_unlock();
    return (int)answer(r);
}

/* --- accept --- */

static int take_accepted(struct shim_file *f, struct sockaddr *addr, socklen_t *size, int flags)
{
    struct shim_accepted *a = &f->accepted[f->accepted_head];
    int own = demi_queue_fd(a->qd), cloexec = flags & SOCK_CLOEXEC;
    int fd = own >= 0 ? REAL(fcntl)(own, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, 0)
                      : REAL(socket)(f->domain, SOCK_STREAM | flags, 0);
    if (fd < 0) return -errno;
    struct shim_file *c =
        (unsigned)fd < SHIM_FDS ? shim_file_new(SHIM_STREAM, f->domain, SOCK_STREAM, f->protocol) : NULL;
    if (!c) {
        REAL(close)(fd);
        return (unsigned)fd < SHIM_FDS ? -ENOMEM : -EMFILE;
    }
    c->qd = a->qd;
    c->nonblock = flags & SOCK_NONBLOCK;
    c->connected = c->connect_told = true;
    c->shadow_is_real = own >= 0;
    c->sndbuf = f->sndbuf;
    shim_file_name(c, fd);
    shim_copy_addr(addr, size, &a->addr, shim_addr_size(a->addr.sin6_family));
    f->accepted_head = (f->accepted_head + 1) % f->accepted_room;
    f->accepted_count--;
    shim_count(COUNT_ACCEPTED);
    shim_ask(c);
    shim_ask_accept(f);
    return fd;
}

static int do_accept(struct shim_file *f, struct sockaddr *addr, socklen_t *size, int flags)
{
    if (flags & ~TYPE_FLAGS) return -EINVAL;
    if (f->set) return -ENOTSOCK;
    if (f->type != SOCK_STREAM) return -EOPNOTSUPP;
    if (f->kind != SHIM_LISTENER) return -EINVAL;
    uint64_t deadline = f->rcvtimeo_ns ? shim_now_ns() + f->rcvtimeo_ns : SHIM_FOREVER;
    for (bool looked = false;; looked = true) {
        if (f->in_shut) return -EINVAL;
        if (f->accepted_count) return take_accepted(f, addr, size, flags);
        if (!looked) {
            shim_turn();
            continue;
        }
        if (f->nonblock) return -EAGAIN;
        int r = shim_wait_file(f, deadline);
        if (r) return r == -ETIMEDOUT ? -EAGAIN : r;
    }
}

WRAP(int, accept4, (int fd, struct sockaddr *addr, socklen_t *size, int flags))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return SHARED(fd, POLLIN, 0, REAL(accept4)(fd, addr, size, flags));
    shim_file_hold(f);
    int r = do_accept(f, addr, size, flags);
    shim_file_unhold(f);
    shim_unlock();
    return (int)answer(r);
}

WRAP(int, accept, (int fd, struct sockaddr *addr, socklen_t *size))
{
    if (likely(!shim_file_at(fd))) return SHARED(fd, POLLIN, 0, REAL(accept)(fd, addr, size));
    return call_accept4(fd, addr, size, 0);
}

/* --- connect --- */

static int wait_connected(struct shim_file *f)
{
    uint64_t deadline = f->sndtimeo_ns ? shim_now_ns() + f->sndtimeo_ns : SHIM_FOREVER;
    if (f->nonblock) return -EINPROGRESS; /* whatever is known by now: the next poll tells */
    shim_turn();
    while (f->connecting) {
        int r = shim_wait_file(f, deadline);
        if (r && f->connecting) return r == -ETIMEDOUT ? -EINPROGRESS : r;
    }
    f->connect_told = true;
    return -shim_take_error(f);
}

static int connect_stream(struct shim_file *f, const struct sockaddr *addr, socklen_t size)
{
    demi_qtoken_t qt;
    int err = demi_connect(&qt, f->qd, addr, size);
    if (err) return -err;
    demi_set_data(qt, f);
    f->ops++;
    f->kind = SHIM_STREAM;
    f->connecting = true;
    f->connect_told = f->eof = f->out_shut = f->blocked = false;
    memcpy(&f->peer, addr, shim_addr_size(f->domain));
    f->peer_size = shim_addr_size(f->domain);
    shim_flush();
    return wait_connected(f);
}

static int connect_dgram(struct shim_file *f, const struct sockaddr *addr, socklen_t size)
{
    demi_qtoken_t qt;
    int err = demi_connect(&qt, f->qd, addr, size);
    if (err) return -err;
    demi_set_data(qt, f);
    f->ops++;
    f->connecting = true;
    bool nonblock = f->nonblock;
    f->nonblock = false; /* a name is noted, nobody is asked */
    int r = wait_connected(f);
    f->nonblock = nonblock;
    return r;
}

/* A second connect(): the first one's outcome is told once. */
static int connect_again(struct shim_file *f, bool *go_on)
{
    *go_on = false;
    if (f->connecting) shim_turn();
    if (f->connecting) return f->nonblock ? -EALREADY : wait_connected(f);
    if (f->connected) {
        int r = f->connect_told ? -EISCONN : 0;
        f->connect_told = true;
        return r;
    }
    int err = shim_take_error(f);
    if (!f->connect_told) {
        f->connect_told = true;
        return err ? -err : -ECONNABORTED;
    }
    *go_on = true;
    return 0;
}

static int do_connect(struct shim_file *f, int fd, const struct sockaddr *addr, socklen_t size)
{
    bool go_on = true;
    if (f->set) return -ENOTSOCK;
    if (f->kind == SHIM_DEAD) return -ECONNRESET;
    if (f->kind == SHIM_LISTENER) return -EISCONN;
    if (!addr || size < sizeof addr->sa_family) return -EINVAL;
    if (addr->sa_family == AF_UNSPEC) return f->kind == SHIM_NEW ? 0 : -EOPNOTSUPP;
    if (f->kind == SHIM_STREAM) {
        int r = connect_again(f, &go_on);
        if (!go_on) return r;
    }
    if (size < shim_addr_size(f->domain)) return -EINVAL;
    if (addr->sa_family != f->domain) return -EAFNOSUPPORT;
    int r = shim_decide_by(f, fd, addr, size);
    if (r < 0) return r;
    if (r == 1) return REAL(connect)(fd, addr, size) ? -errno : 0;
    return f->type == SOCK_STREAM ? connect_stream(f, addr, size) : connect_dgram(f, addr, size);
}

WRAP(int, connect, (int fd, const struct sockaddr *addr, socklen_t size))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return REAL(connect)(fd, addr, size);
    if (f->kind == SHIM_NEW && addr && size >= sizeof addr->sa_family && addr->sa_family == f->domain &&
        size >= shim_addr_size(f->domain) && !shim_route_is_ours(f->domain, f->type, addr, size) && f->qd < 0) {
        int err = shim_decide_kernel(f, fd); /* it may take its time: not under the lock */
        shim_unlock();
        return err ? (int)answer(err) : REAL(connect)(fd, addr, size);
    }
    shim_file_hold(f);
    int r = do_connect(f, fd, addr, size);
    shim_file_unhold(f);
    shim_unlock();
    return (int)answer(r);
}

/* --- shutdown, names --- */

static int stop_listening(struct shim_file *f)
{
    f->in_shut = true;
    shim_drop_input(f);
    demi_close(f->qd);
    f->qd = -1;
    return 0;
}

static int do_shutdown(struct shim_file *f, int how)
{
    if (f->set) return -ENOTSOCK;
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return -EINVAL;
    if (f->kind == SHIM_LISTENER && how != SHUT_WR) return stop_listening(f);
    if (!f->connected || f->qd < 0) return -ENOTCONN;
    int err = demi_shutdown(f->qd, how);
    if (err && err != ENOTCONN) return -err;
    f->in_shut |= how != SHUT_WR;
    f->out_shut |= how != SHUT_RD;
    shim_flush();
    return 0;
}

WRAP(int, shutdown, (int fd, int how))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return REAL(shutdown)(fd, how);
    int r = do_shutdown(f, how);
    if (!r) shim_notify(f, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
    shim_unlock();
    return (int)answer(r);
}

WRAP(int, getsockname, (int fd, struct sockaddr *addr, socklen_t *size))
{
    struct sockaddr_storage name;
    socklen_t n = sizeof name;
    struct shim_file *f = shim_enter(fd);
    if (!f) return REAL(getsockname)(fd, addr, size);
    if (f->qd < 0 && f->bind_waits) shim_decide_by(f, fd, (struct sockaddr *)&f->bind_addr, f->bind_size);
    if (f->qd >= 0 && f->bind_waits) bind_queue(f);
    int qd = f->qd, err = 0;
    if (qd >= 0) err = demi_getsockname(qd, (struct sockaddr *)&name, &n);
    shim_unlock();
    if (qd < 0 || err) return REAL(getsockname)(fd, addr, size);
    shim_copy_addr(addr, size, &name, n);
    return 0;
}

WRAP(int, getpeername, (int fd, struct sockaddr *addr, socklen_t *size))
{
    struct sockaddr_storage name;
    socklen_t n = sizeof name;
    struct shim_file *f = shim_enter(fd);
    if (!f) return REAL(getpeername)(fd, addr, size);
    int r = f->set ? -ENOTSOCK : -ENOTCONN;
    if (f->connected && f->qd >= 0 && !(f->eof && f->out_shut))
        r = -demi_getpeername(f->qd, (struct sockaddr *)&name, &n);
    shim_unlock();
    if (!r) shim_copy_addr(addr, size, &name, n);
    return (int)answer(r);
}

/* --- options --- */

static uint64_t time_of(const void *val, socklen_t size)
{
    struct timeval t;
    if (size < sizeof t) return 0;
    memcpy(&t, val, sizeof t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_usec * 1000;
}

static void keep_option(struct shim_file *f, int level, int name, const void *val, socklen_t size)
{
    if (size > sizeof f->options->value || f->option_count == SHIM_OPTIONS) return;
    if (!f->options) f->options = calloc(SHIM_OPTIONS, sizeof *f->options);
    if (!f->options) return;
    struct shim_option *o = &f->options[f->option_count++];
    *o = (struct shim_option){.level = level, .name = name, .size = size};
    memcpy(o->value, val, size);
}

static void set_option(struct shim_file *f, int level, int name, const void *val, socklen_t size)
{
    if (level == SOL_SOCKET && name == SO_RCVTIMEO) f->rcvtimeo_ns = time_of(val, size);
    else if (level == SOL_SOCKET && name == SO_SNDTIMEO) f->sndtimeo_ns = time_of(val, size);
    else if (f->qd < 0) keep_option(f, level, name, val, size);
    else if (!f->shadow_is_real || (level == SOL_SOCKET && name == SO_LINGER)) {
        if (demi_setsockopt(f->qd, level, name, val, size)) shim_count(COUNT_OPTIONS);
    }
}

WRAP(int, setsockopt, (int fd, int level, int name, const void *val, socklen_t size))
{
    int r = REAL(setsockopt)(fd, level, name, val, size);
    if (r || !val) return r;
    struct shim_file *f = shim_enter(fd);
    if (!f) return r;
    if (!f->set && f->kind != SHIM_DEAD) set_option(f, level, name, val, size);
    shim_unlock();
    return r;
}

static int put_int(int value, void *val, socklen_t *size)
{
    if (*size > sizeof value) *size = sizeof value;
    memcpy(val, &value, *size);
    return 0;
}

/* 1: the shadow knows. */
static int do_getsockopt(struct shim_file *f, int level, int name, void *val, socklen_t *size)
{
    if (f->set || f->kind == SHIM_DEAD || !val || !size || (int)*size < 0) return 1;
    if (level == SOL_SOCKET && name == SO_ERROR) {
        shim_turn();
        return put_int(shim_take_error(f), val, size);
    }
    if (level == SOL_SOCKET && name == SO_ACCEPTCONN) return put_int(f->kind == SHIM_LISTENER, val, size);
    if (f->qd < 0 || f->shadow_is_real) return 1;
    if (level == SOL_SOCKET && name != SO_SNDBUF && name != SO_RCVBUF) return 1;
    return demi_getsockopt(f->qd, level, name, val, size) ? 1 : 0;
}

WRAP(int, getsockopt, (int fd, int level, int name, void *val, socklen_t *size))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return REAL(getsockopt)(fd, level, name, val, size);
    shim_file_hold(f);
    int r = do_getsockopt(f, level, name, val, size);
    shim_file_unhold(f);
    shim_unlock();
    return r == 1 ? REAL(getsockopt)(fd, level, name, val, size) : (int)answer(r);
}
