/* SPDX-License-Identifier: MIT
 *
 * Socket options and names. There is no wire for options to act on: they are kept and told back, so that a program
 * written for kernel sockets runs; SO_LINGER alone has an effect.
 */
#include "libos/shm/sock.h"

#include "libos/runtime/ip_option.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

static const struct {
    int level, name, initial;
} kept[] = {
    {SOL_SOCKET, SO_REUSEADDR, 0},  {SOL_SOCKET, SO_REUSEPORT, 0},      {SOL_SOCKET, SO_KEEPALIVE, 0},
    {SOL_SOCKET, SO_SNDBUF, 0},     {SOL_SOCKET, SO_RCVBUF, 0},         {SOL_SOCKET, SO_PRIORITY, 0},
    {IPPROTO_TCP, TCP_NODELAY, 1},  {IPPROTO_TCP, TCP_KEEPIDLE, 0},     {IPPROTO_TCP, TCP_KEEPINTVL, 0},
    {IPPROTO_TCP, TCP_KEEPCNT, 0},  {IPPROTO_TCP, TCP_USER_TIMEOUT, 0}, {IPPROTO_TCP, TCP_CORK, 0},
    {IPPROTO_TCP, TCP_QUICKACK, 0}, {IPPROTO_TCP, TCP_DEFER_ACCEPT, 0}, {IPPROTO_IPV6, IPV6_V6ONLY, 0},
};
enum { KEPT = sizeof kept / sizeof kept[0], HOPS = KEPT, TOS, NAMED };
static_assert(NAMED <= SHM_OPTIONS, "a place each");

static int find(int level, int name)
{
    if (level != SOL_SOCKET && level != IPPROTO_TCP && level != IPPROTO_IPV6 && level != IPPROTO_IP) return -ENOTSUP;
    for (int i = 0; i < KEPT; i++)
        if (kept[i].level == level && kept[i].name == name) return i;
    return -ENOPROTOOPT;
}

/* Values are kept with what they begin as taken off: a new end has zeros. */
int shm_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len)
{
    struct shm_sock *s = shm_sock_of(q);
    enum ip_option ip = ip_option_of(s->domain, level, name);
    int32_t v;
    if (ip) {
        uint8_t n;
        int err = ip_option_read(ip, s->domain, val, len, &n);
        if (err) return err;
        s->options[ip == IP_OPTION_HOPS ? HOPS : TOS] = ip == IP_OPTION_HOPS ? n - IP_HOPS_DEFAULT : n;
        return 0;
    }
    if (level == SOL_SOCKET && name == SO_LINGER) {
        struct linger l;
        if (len < sizeof l) return -EINVAL;
        memcpy(&l, val, sizeof l);
        s->linger_s = !l.l_onoff ? -1 : l.l_linger < 0 ? INT32_MAX : l.l_linger;
        return 0;
    }
    int i = find(level, name);
    if (i < 0) return i;
    if (len < sizeof v) return -EINVAL;
    memcpy(&v, val, sizeof v);
    bool is_switch = kept[i].name == TCP_NODELAY || kept[i].name == SO_KEEPALIVE || kept[i].name == SO_REUSEADDR;
    if (is_switch && (level == IPPROTO_TCP || level == SOL_SOCKET)) v = v != 0;
    s->options[i] = (int32_t)((uint32_t)v - (uint32_t)kept[i].initial);
    return 0;
}

static int give(const void *p, socklen_t n, void *val, socklen_t *len)
{
    if (*len > n) *len = n;
    memcpy(val, p, *len);
    return 0;
}

static int read_only(const struct shm_sock *s, int name, int *out)
{
    switch (name) {
    case SO_ERROR: *out = 0; return 0;
    case SO_TYPE: *out = SOCK_STREAM; return 0;
    case SO_DOMAIN: *out = s->domain; return 0;
    case SO_PROTOCOL: *out = s->domain == AF_UNIX ? 0 : IPPROTO_TCP; return 0;
    case SO_ACCEPTCONN: *out = s->state == SHM_LISTENING; return 0;
    default: return -ENOPROTOOPT;
    }
}

int shm_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len)
{
    struct shm_sock *s = shm_sock_of(q);
    enum ip_option ip = ip_option_of(s->domain, level, name);
    int v;
    if (ip) {
        v = ip == IP_OPTION_HOPS ? s->options[HOPS] + IP_HOPS_DEFAULT : s->options[TOS];
        return give(&v, sizeof v, val, len);
    }
    if (level == SOL_SOCKET && name == SO_LINGER) {
        struct linger l = {s->linger_s >= 0, s->linger_s >= 0 ? s->linger_s : 0};
        return give(&l, sizeof l, val, len);
    }
    if (level == SOL_SOCKET && name == SO_PEERCRED) {
        if (s->watch.fd < 0) return -ENOTCONN;
        return getsockopt(s->watch.fd, level, name, val, len) ? -errno : 0;
    }
    if (level == SOL_SOCKET && !read_only(s, name, &v)) return give(&v, sizeof v, val, len);
    int i = find(level, name);
    if (i < 0) return i;
    v = (int)((uint32_t)s->options[i] + (uint32_t)kept[i].initial);
    return give(&v, sizeof v, val, len);
}

static int give_name(const struct sockaddr_storage *from, socklen_t n, struct sockaddr *addr, socklen_t *len)
{
    if (*len < n) return -EINVAL;
    memcpy(addr, from, n);
    *len = n;
    return 0;
}

int shm_getpeername(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    struct shm_sock *s = shm_sock_of(q);
    if (s->state != SHM_CONNECTED || s->st.flags & STREAM_FAILED) return -ENOTCONN;
    if (s->peer_size) return give_name(&s->peer, s->peer_size, addr, len);
    const struct sockaddr_storage none = {.ss_family = AF_UNIX};
    return give_name(&none, offsetof(struct sockaddr_un, sun_path), addr, len);
}

int shm_getsockname(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    struct shm_sock *s = shm_sock_of(q);
    if (s->local_size) return give_name(&s->local, s->local_size, addr, len);
    const struct sockaddr_storage none = {.ss_family = s->domain};
    socklen_t size = s->domain == AF_INET    ? (socklen_t)sizeof(struct sockaddr_in)
                     : s->domain == AF_INET6 ? (socklen_t)sizeof(struct sockaddr_in6)
                                             : (socklen_t)offsetof(struct sockaddr_un, sun_path);
    return give_name(&none, size, addr, len);
}

static size_t unsent(struct queue *q)
{
    struct shm_sock *s = shm_sock_of(q);
    return s->queued - s->sent;
}

static int cancel(struct queue *q, struct op *op)
{
    struct shm_sock *s = shm_sock_of(q);
    switch (op->opcode) {
    case DEMI_OPC_ACCEPT:
        op_list_remove(&s->accepts, op);
        op_fail(&q->rt->ops, op, ECANCELED);
        return 0;
    case DEMI_OPC_CONNECT: return shm_connect_cancel(s);
    default: return stream_cancel(&q->rt->ops, &s->st, op);
    }
}

const struct queue_ops shm_stream_ops = {
    .name = "shm stream",
    .bind = shm_bind,
    .listen = shm_listen,
    .accept = shm_accept,
    .connect = shm_connect,
    .push = shm_push,
    .push_copy = shm_push_copy,
    .pop = shm_pop,
    .cancel = cancel,
    .shutdown = shm_shutdown,
    .close = shm_close,
    .setsockopt = shm_setsockopt,
    .getsockopt = shm_getsockopt,
    .getpeername = shm_getpeername,
    .getsockname = shm_getsockname,
    .unsent = unsent,
};
