/* SPDX-License-Identifier: MIT
 *
 * Where ends find each other: Unix sockets. An IP address and port is an abstract name of this network namespace, a
 * path is itself, a pipe's name is an abstract name of this user.
 *
 *     127.0.0.1:6379  ->  @demikernel/shm/4/127.0.0.1:6379
 *     [::1]:6379      ->  @demikernel/shm/6/::1:6379
 *     pipe "x"        ->  @demikernel/shm/pipe/UID/x
 */
#ifndef SHM_NAME_H
#define SHM_NAME_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

struct name {
    struct sockaddr_un un;
    socklen_t size;
};

/* addr has been checked: of a family there is, and as long as that says. */
void name_of(struct name *n, const struct sockaddr *addr, socklen_t size);
/* Long names are told apart by a hash. */
void name_of_pipe(struct name *n, const char *text);
/* The address that a socket's name stands for, of the family `domain`: *size bytes, at most sizeof(struct
 * sockaddr_storage). False: none that we would have given. */
bool name_parse(const struct name *n, int domain, struct sockaddr_storage *addr, socklen_t *size);

/* Whether an IP address is one of this host's (or of all of them: the wildcard). */
bool name_is_local(const struct sockaddr *addr);
bool name_is_wildcard(const struct sockaddr *addr);
/* The same address, with what the wildcard stands for in its place. */
void name_set_loopback(struct sockaddr *addr);
void name_set_wildcard(struct sockaddr *addr);
in_port_t name_port(const struct sockaddr *addr);
void name_set_port(struct sockaddr *addr, in_port_t port);

#endif
