/* SPDX-License-Identifier: MIT
 *
 * Names of the system's constants as scripts write them.
 */
#include "tests/packets/runner/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

struct symbol {
    const char *name;
    long value;
};
#define S(name)                                                                                                        \
    {                                                                                                                  \
#name, name                                                                                                    \
    }

static const struct symbol errnos[] = {
    S(EPERM),           S(EINTR),        S(EIO),          S(EBADF),        S(EAGAIN),        S(ENOMEM),
    S(EACCES),          S(EFAULT),       S(EBUSY),        S(EINVAL),       S(EMFILE),        S(ENFILE),
    S(EPIPE),           S(ENOTSOCK),     S(EDESTADDRREQ), S(EMSGSIZE),     S(EPROTOTYPE),    S(ENOPROTOOPT),
    S(EPROTONOSUPPORT), S(EOPNOTSUPP),   S(EAFNOSUPPORT), S(EADDRINUSE),   S(EADDRNOTAVAIL), S(ENETDOWN),
    S(ENETUNREACH),     S(ECONNABORTED), S(ECONNRESET),   S(ENOBUFS),      S(EISCONN),       S(ENOTCONN),
    S(ETIMEDOUT),       S(ECONNREFUSED), S(EHOSTDOWN),    S(EHOSTUNREACH), S(EALREADY),      S(EINPROGRESS),
    S(EPROTO),          S(ENOENT),       S(EWOULDBLOCK),  S(ENOTSUP),      S(ENOSYS),
};

static const struct symbol symbols[] = {
    S(AF_INET),           S(AF_INET6),         S(PF_INET),
    S(PF_INET6),          S(SOCK_STREAM),      S(SOCK_DGRAM),
    S(SOCK_NONBLOCK),     S(IPPROTO_TCP),      S(IPPROTO_UDP),
    S(IPPROTO_IP),        S(IPPROTO_IPV6),     S(SOL_SOCKET),
    S(SOL_TCP),           S(SOL_IP),           S(SOL_IPV6),
    S(SO_REUSEADDR),      S(SO_REUSEPORT),     S(SO_ERROR),
    S(SO_LINGER),         S(SO_KEEPALIVE),     S(SO_RCVBUF),
    S(SO_SNDBUF),         S(SO_TYPE),          S(SO_BROADCAST),
    S(SO_OOBINLINE),      S(TCP_NODELAY),      S(TCP_MAXSEG),
    S(TCP_CORK),          S(TCP_KEEPIDLE),     S(TCP_KEEPINTVL),
    S(TCP_KEEPCNT),       S(TCP_INFO),         S(TCP_QUICKACK),
    S(TCP_CONGESTION),    S(TCP_USER_TIMEOUT), S(TCP_SYNCNT),
    S(TCP_LINGER2),       S(TCP_DEFER_ACCEPT), S(TCP_WINDOW_CLAMP),
    S(TCP_NOTSENT_LOWAT), S(IP_TTL),           S(IP_TOS),
    S(IP_MTU_DISCOVER),   S(IP_PMTUDISC_DO),   S(IPV6_V6ONLY),
    S(IPV6_UNICAST_HOPS), S(IPV6_TCLASS),      S(SHUT_RD),
    S(SHUT_WR),           S(SHUT_RDWR),        S(F_GETFL),
    S(F_SETFL),           S(O_RDWR),           S(O_NONBLOCK),
    S(MSG_DONTWAIT),      S(MSG_PEEK),         S(MSG_MORE),
    S(MSG_NOSIGNAL),      S(MSG_TRUNC),        S(MSG_OOB),
    S(MSG_WAITALL),       S(POLLIN),           S(POLLOUT),
    S(POLLERR),           S(POLLHUP),          S(POLLRDHUP),
    S(POLLPRI),           S(POLLNVAL),
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool find_in(const struct symbol *s, size_t n, const char *name, long *out)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(s[i].name, name)) continue;
        *out = s[i].value;
        return true;
    }
    return false;
}

bool symbol_find(const char *name, long *out)
{
    return find_in(symbols, COUNT(symbols), name, out) || find_in(errnos, COUNT(errnos), name, out);
}

const char *symbol_of_errno(int err)
{
    for (size_t i = 0; i < COUNT(errnos); i++)
        if (errnos[i].value == err) return errnos[i].name;
    return NULL;
}
