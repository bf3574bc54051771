/* SPDX-License-Identifier: MIT
 *
 * What a program gives as the address of a socket on the kernel's families, looked at before it is used: the same
 * answers on every libOS that has all three of them.
 */
#ifndef RUNTIME_ADDRESS_H
#define RUNTIME_ADDRESS_H

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* 0; -EINVAL: of another family than the socket's, or not as long as its family says; -ENOTSUP: of a family that there
 * is not here. addr may lie anywhere. */
static inline int address_check(const struct sockaddr *addr, socklen_t size, int domain)
{
    sa_family_t family;
    if (size < sizeof family) return -EINVAL;
    memcpy(&family, addr, sizeof family);
    switch (family) {
    case AF_INET:
        if (size != sizeof(struct sockaddr_in)) return -EINVAL;
        break;
    case AF_INET6:
        if (size != sizeof(struct sockaddr_in6)) return -EINVAL;
        break;
    case AF_UNIX:
        if (size > sizeof(struct sockaddr_un)) return -EINVAL;
        break;
    default: return -ENOTSUP;
    }
    return family == domain ? 0 : -EINVAL;
}

#endif
