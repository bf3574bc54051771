/* SPDX-License-Identifier: MIT
 *
 * Socket options and names.
 */
#include "libos/posix/sock.h"

int sock_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len)
{
    struct posix_sock *s = sock_of(q);
    return kernel_setsockopt(s->watch.fd, s->domain, level, name, val, len, &s->linger_s);
}

int sock_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len)
{
    struct posix_sock *s = sock_of(q);
    return kernel_getsockopt(s->watch.fd, s->domain, level, name, val, len);
}

int sock_getpeername(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    return kernel_name(sock_of(q)->watch.fd, getpeername, addr, len);
}

int sock_getsockname(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    return kernel_name(sock_of(q)->watch.fd, getsockname, addr, len);
}
