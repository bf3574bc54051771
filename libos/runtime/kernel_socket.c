/* SPDX-License-Identifier: MIT
 *
 * See kernel_socket.h.
 */
#include "libos/runtime/kernel_socket.h"

#include "libos/runtime/config.h"
#include "libos/runtime/ip_option.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define DGRAM_RCVBUF (8 << 20)

void kernel_defaults_read(struct kernel_defaults *d, const struct demi_config *conf)
{
    d->nodelay = config_bool(conf, "tcp_socket_options.nodelay", true);
    d->keepalive = config_bool(conf, "tcp_socket_options.keepalive.enabled", false);
    d->keepalive_idle_s = (int)(config_int(conf, "tcp_socket_options.keepalive.time_millis", 0) + 999) / 1000;
    d->keepalive_interval_s = (int)config_int(conf, "tcp_socket_options.keepalive.interval", 0);
    d->linger_s = config_bool(conf, "tcp_socket_options.linger.enabled", false)
                      ? (int)config_int(conf, "tcp_socket_options.linger.time_seconds", 0)
                      : -1;
}

static int set_option_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

/* Accepted sockets inherit these from their listener (Linux), so they cost nothing there. */
static void set_defaults(const struct kernel_defaults *d, int fd)
{
    if (d->nodelay) set_option_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (d->keepalive) {
        set_option_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        if (d->keepalive_idle_s) set_option_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, d->keepalive_idle_s);
        if (d->keepalive_interval_s) set_option_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, d->keepalive_interval_s);
    }
    if (d->linger_s >= 0) {
        struct linger l = {.l_onoff = 1, .l_linger = d->linger_s};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    }
}

/* Datagrams that find no room are lost, and the kernel's default holds some 270 small ones. More than
 * net.core.rmem_max is given only to who may administrate the network; others get that. */
static void widen(int fd)
{
    int size = 0;
    socklen_t len = sizeof size;
    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &len) || size >= DGRAM_RCVBUF) return;
    if (set_option_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, DGRAM_RCVBUF))
        set_option_int(fd, SOL_SOCKET, SO_RCVBUF, DGRAM_RCVBUF);
}

int kernel_socket(const struct kernel_defaults *d, int domain, int type, int flags)
{
    if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX) return -EAFNOSUPPORT;
    if (type != SOCK_STREAM && type != SOCK_DGRAM) return -ESOCKTNOSUPPORT;
    int fd = socket(domain, type | flags | SOCK_CLOEXEC, 0); /* protocol follows from type, whatever was said */
    if (fd < 0) return -errno;
    if (domain == AF_UNIX) return fd;
    if (type == SOCK_STREAM) set_defaults(d, fd);
    else widen(fd);
    return fd;
}

static int set_reuse(int fd, int on) { return set_option_int(fd, SOL_SOCKET, SO_REUSEADDR, on); }

int kernel_bind(int fd, int domain, bool dgram, const struct sockaddr *addr, socklen_t size)
{
    if (!bind(fd, addr, size)) return 0;
    if (errno != EADDRINUSE || dgram || domain == AF_UNIX) return -errno;
    set_reuse(fd, 1);
    if (!bind(fd, addr, size)) return 0;
    int err = -errno;
    set_reuse(fd, 0);
    return err;
}

int kernel_listen(int fd, int domain, int backlog)
{
    if (domain != AF_UNIX) set_reuse(fd, 1);
    return listen(fd, backlog) ? -errno : 0;
}

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

static int check_option(int domain, int level, int name)
{
    if (level != SOL_SOCKET && level != IPPROTO_TCP && level != IPPROTO_IPV6 && level != IPPROTO_IP) return -ENOTSUP;
    if (ip_option_of(domain, level, name)) return 0;
    for (unsigned i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        if (allowed[i].level == level && allowed[i].name == name) return 0;
    return -ENOPROTOOPT;
}

/* val was taken by the kernel, so it is whole. */
static int32_t linger_of(const void *val)
{
    struct linger l;
    memcpy(&l, val, sizeof l);
    return !l.l_onoff ? -1 : l.l_linger < 0 ? INT32_MAX : l.l_linger;
}

/* The kernel keeps the two families of an AF_INET6 socket apart; its IPv4 packets shall have the same. */
static int set_ip_option(int fd, int domain, enum ip_option option, const void *val, socklen_t len)
{
    uint8_t n;
    int err = ip_option_read(option, domain, val, len, &n), v = n;
    if (err) return err;
    int hops = option == IP_OPTION_HOPS;
    if (setsockopt(fd, IPPROTO_IP, hops ? IP_TTL : IP_TOS, &v, sizeof v)) return -errno;
    if (domain == AF_INET) return 0;
    return setsockopt(fd, IPPROTO_IPV6, hops ? IPV6_UNICAST_HOPS : IPV6_TCLASS, &v, sizeof v) ? -errno : 0;
}

int kernel_setsockopt(int fd, int domain, int level, int name, const void *val, socklen_t len, int32_t *linger_s)
{
    int err = check_option(domain, level, name);
    if (err) return err;
    enum ip_option option = ip_option_of(domain, level, name);
    if (option) return set_ip_option(fd, domain, option, val, len);
    if (setsockopt(fd, level, name, val, len)) return -errno;
    if (level == SOL_SOCKET && name == SO_LINGER) *linger_s = linger_of(val);
    return 0;
}

int kernel_getsockopt(int fd, int domain, int level, int name, void *val, socklen_t *len)
{
    int err = check_option(domain, level, name);
    if (err) return err;
    return getsockopt(fd, level, name, val, len) ? -errno : 0;
}

int kernel_name(int fd, kernel_name_fn fn, struct sockaddr *addr, socklen_t *len)
{
    struct sockaddr_storage full;
    socklen_t size = sizeof full;
    if (fn(fd, (struct sockaddr *)&full, &size)) return -errno;
    if (*len < size) return -EINVAL;
    memcpy(addr, &full, size);
    *len = size;
    return 0;
}

void kernel_set_linger(int fd, bool cut)
{
    struct linger l = {.l_onoff = cut};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}
