/* SPDX-License-Identifier: MIT
 *
 * See name.h.
 */
#include "libos/shm/name.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX       "demikernel/shm/"
#define PIPE_CHARS   40 /* of a long name, in front of its hash */
#define PATH_AT      offsetof(struct sockaddr_un, sun_path)
#define PATH_MAX_LEN (sizeof((struct sockaddr_un *)0)->sun_path - 1)

static void set_abstract(struct name *n, const char *text)
{
    size_t len = strlen(text);
    memset(n, 0, sizeof *n);
    n->un.sun_family = AF_UNIX;
    memcpy(n->un.sun_path + 1, text, len);
    n->size = (socklen_t)(PATH_AT + 1 + len);
}

static const void *ip_of(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) return &((const struct sockaddr_in *)addr)->sin_addr;
    return &((const struct sockaddr_in6 *)addr)->sin6_addr;
}

void name_of(struct name *n, const struct sockaddr *addr, socklen_t size)
{
    char text[PATH_MAX_LEN], ip[INET6_ADDRSTRLEN];
    if (addr->sa_family == AF_UNIX) {
        memset(n, 0, sizeof *n);
        memcpy(&n->un, addr, size);
        n->size = size;
        return;
    }
    inet_ntop(addr->sa_family, ip_of(addr), ip, sizeof ip);
    snprintf(text, sizeof text, PREFIX "%c/%s:%u", addr->sa_family == AF_INET ? '4' : '6', ip, ntohs(name_port(addr)));
    set_abstract(n, text);
}

/* FNV-1a, twice: nobody but ourselves chooses these names. */
static uint64_t hash_text(const char *s, uint64_t h)
{
    for (; *s; s++) h = (h ^ (uint8_t)*s) * 0x100000001b3u;
    return h;
}

void name_of_pipe(struct name *n, const char *text)
{
    char full[PATH_MAX_LEN];
    int len = snprintf(full, sizeof full, PREFIX "pipe/%u/%s", (unsigned)getuid(), text);
    if (len >= (int)sizeof full)
        snprintf(full, sizeof full, PREFIX "pipe/%u/%.*s#%016llx%016llx", (unsigned)getuid(), PIPE_CHARS, text,
                 (unsigned long long)hash_text(text, 0xcbf29ce484222325u),
                 (unsigned long long)hash_text(text, 0x9ae16a3b2f90404fu));
    set_abstract(n, full);
}

bool name_parse(const struct name *n, int domain, struct sockaddr_storage *addr, socklen_t *size)
{
    memset(addr, 0, sizeof *addr);
    if (domain == AF_UNIX) {
        socklen_t len = n->size < PATH_AT ? (socklen_t)PATH_AT : n->size;
        memcpy(addr, &n->un, len < sizeof n->un ? len : sizeof n->un);
        addr->ss_family = AF_UNIX;
        *size = len < sizeof n->un ? len : (socklen_t)sizeof n->un;
        return true;
    }
    char text[sizeof n->un.sun_path + 1] = "";
    const char *prefix = domain == AF_INET ? PREFIX "4/" : PREFIX "6/";
    if (n->size <= PATH_AT + 1 || n->size > sizeof n->un || n->un.sun_path[0]) return false;
    memcpy(text, n->un.sun_path + 1, n->size - PATH_AT - 1);
    if (strncmp(text, prefix, strlen(prefix)) != 0) return false;
    char *ip = text + strlen(prefix), *colon = strrchr(ip, ':'), *end;
    if (!colon || colon[1] < '0' || colon[1] > '9') return false;
    *colon = 0;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end || !port || port > UINT16_MAX) return false;
    addr->ss_family = (sa_family_t)domain;
    if (inet_pton(domain, ip, (void *)(uintptr_t)ip_of((struct sockaddr *)addr)) != 1) return false;
    name_set_port((struct sockaddr *)addr, htons((uint16_t)port));
    *size = domain == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    return true;
}

bool name_is_wildcard(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) return ((const struct sockaddr_in *)addr)->sin_addr.s_addr == INADDR_ANY;
    return addr->sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)addr)->sin6_addr);
}

static bool is_loopback(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) return ntohl(((const struct sockaddr_in *)addr)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)addr)->sin6_addr);
}

bool name_is_local(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_UNIX || name_is_wildcard(addr) || is_loopback(addr)) return true;
    struct sockaddr_storage any = {0};
    socklen_t size = addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    memcpy(&any, addr, size);
    name_set_port((struct sockaddr *)&any, 0);
    int fd = socket(addr->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* the kernel knows its addresses */
    bool local = fd >= 0 && !bind(fd, (struct sockaddr *)&any, size);
    if (fd >= 0) close(fd);
    return local;
}

void name_set_loopback(struct sockaddr *addr)
{
    if (!name_is_wildcard(addr)) return;
    if (addr->sa_family == AF_INET) ((struct sockaddr_in *)addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else ((struct sockaddr_in6 *)addr)->sin6_addr = in6addr_loopback;
}

void name_set_wildcard(struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) ((struct sockaddr_in *)addr)->sin_addr.s_addr = htonl(INADDR_ANY);
    else ((struct sockaddr_in6 *)addr)->sin6_addr = in6addr_any;
}

in_port_t name_port(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) return ((const struct sockaddr_in *)addr)->sin_port;
    return addr->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)addr)->sin6_port : 0;
}

void name_set_port(struct sockaddr *addr, in_port_t port)
{
    if (addr->sa_family == AF_INET) ((struct sockaddr_in *)addr)->sin_port = port;
    else if (addr->sa_family == AF_INET6) ((struct sockaddr_in6 *)addr)->sin6_port = port;
}
