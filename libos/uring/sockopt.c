/* SPDX-License-Identifier: MIT
 *
 * Socket options and names.
 */
#include "libos/uring/sock.h"

int uring_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len)
{
    struct uring_sock *s = uring_sock_of(q);
    return kernel_setsockopt(s->fd, s->domain, level, name, val, len, &s->linger_s);
}

int uring_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len)
{
    struct uring_sock *s = uring_sock_of(q);
    return kernel_getsockopt(s->fd, s->domain, level, name, val, len);
}

int uring_getpeername(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    return kernel_name(uring_sock_of(q)->fd, getpeername, addr, len);
}

int uring_getsockname(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    return kernel_name(uring_sock_of(q)->fd, getsockname, addr, len);
}
