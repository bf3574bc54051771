/* SPDX-License-Identifier: MIT
 *
 * Socket options and names. What may be set is a list: options that change what a queue is
 * (SO_RCVTIMEO, O_NONBLOCK's kin) are not in it.
 */
#include "libos/posix/sock.h"
#include "libos/runtime/ip_option.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static const struct {
    int level, name;
} allowed[] = {
    {SOL_SOCKET, SO_REUSEADDR},      {SOL_SOCKET, SO_REUSEPORT},    {SOL_SOCKET, SO_KEEPALIVE},
    {SOL_SOCKET, SO_LINGER},         {SOL_SOCKET, SO_SNDBUF},       {SOL_SOCKET, SO_RCVBUF},
    {SOL_SOCKET, SO_ERROR},          {SOL_SOCKET, SO_TYPE},         {SOL_SOCKET, SO_ACCEPTCONN},
    {SOL_SOCKET, SO_DOMAIN},         {SOL_SOCKET, SO_PROTOCOL},     {SOL_SOCKET, SO_BROADCAST},
    {SOL_SOCKET, SO_PEERCRED},       {SOL_SOCKET, SO_PRIORITY},     {SOL_SOCKET, SO_MARK},
    {SOL_SOCKET, SO_BINDTODEVICE},   {IPPROTO_TCP, TCP_NODELAY},    {IPPROTO_TCP, TCP_KEEPIDLE},
    {IPPROTO_TCP, TCP_KEEPINTVL},    {IPPROTO_TCP, TCP_KEEPCNT},    {IPPROTO_TCP, TCP_MAXSEG},
    {IPPROTO_TCP, TCP_USER_TIMEOUT}, {IPPROTO_TCP, TCP_CORK},       {IPPROTO_TCP, TCP_QUICKACK},
    {IPPROTO_TCP, TCP_INFO},         {IPPROTO_TCP, TCP_CONGESTION}, {IPPROTO_TCP, TCP_DEFER_ACCEPT},
    {IPPROTO_TCP, TCP_FASTOPEN},     {IPPROTO_IPV6, IPV6_V6ONLY},   {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
};

static int check(const struct posix_sock *s, int level, int name)
{
    if (level != SOL_SOCKET && level != IPPROTO_TCP && level != IPPROTO_IPV6 && level != IPPROTO_IP) return -ENOTSUP;
    if (ip_option_of(s->domain, level, name)) return 0;
    for (unsigned i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        if (allowed[i].level == level && allowed[i].name == name) return 0;
    return -ENOPROTOOPT;
}

/* close.c needs it, and asking the kernel at each close costs a call. val was taken by the kernel, so it is whole. */
static void note_linger(struct posix_sock *s, const void *val)
{
    struct linger l;
    memcpy(&l, val, sizeof l);
    s->linger_s = !l.l_onoff ? -1 : l.l_linger < 0 ? INT32_MAX : l.l_linger;
}

/* The kernel keeps the two families of an AF_INET6 socket apart; its IPv4 packets shall have the same. */
static int set_ip_option(struct posix_sock *s, enum ip_option option, const void *val, socklen_t len)
{
    uint8_t n;
    int err = ip_option_read(option, s->domain, val, len, &n), v = n;
    if (err) return err;
    int fd = s->watch.fd, hops = option == IP_OPTION_HOPS;
    if (setsockopt(fd, IPPROTO_IP, hops ? IP_TTL : IP_TOS, &v, sizeof v)) return -errno;
    if (s->domain == AF_INET) return 0;
    return setsockopt(fd, IPPROTO_IPV6, hops ? IPV6_UNICAST_HOPS : IPV6_TCLASS, &v, sizeof v) ? -errno : 0;
}

int sock_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len)
{
    struct posix_sock *s = sock_of(q);
    int err = check(s, level, name);
    if (err) return err;
    enum ip_option option = ip_option_of(s->domain, level, name);
    if (option) return set_ip_option(s, option, val, len);
    if (setsockopt(s->watch.fd, level, name, val, len)) return -errno;
    if (level == SOL_SOCKET && name == SO_LINGER) note_linger(s, val);
    return 0;
}

int sock_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len)
{
    int err = check(sock_of(q), level, name);
    if (err) return err;
    return getsockopt(sock_of(q)->watch.fd, level, name, val, len) ? -errno : 0;
}

typedef int (*name_fn)(int fd, struct sockaddr *addr, socklen_t *len);

static int get_name(struct posix_sock *s, name_fn fn, struct sockaddr *addr, socklen_t *len)
{
    struct sockaddr_storage full;
    socklen_t size = sizeof full;
    if (fn(s->watch.fd, (struct sockaddr *)&full, &size)) return -errno;
    if (*len < size) return -EINVAL;
    memcpy(addr, &full, size);
    *len = size;
    return 0;
}

int sock_getpeername(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    return get_name(sock_of(q), getpeername, addr, len);
}

int sock_getsockname(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    return get_name(sock_of(q), getsockname, addr, len);
}
