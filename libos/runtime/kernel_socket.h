/* SPDX-License-Identifier: MIT
 *
 * What every libOS on the kernel's sockets does alike with a descriptor: making and naming it, and its options. All
 * return 0 or -errno.
 */
#ifndef RUNTIME_KERNEL_SOCKET_H
#define RUNTIME_KERNEL_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct demi_config;

/* Of new streams, from the configuration. */
struct kernel_defaults {
    bool nodelay, keepalive;
    int keepalive_idle_s, keepalive_interval_s;
    int linger_s; /* -1: off */
};

void kernel_defaults_read(struct kernel_defaults *d, const struct demi_config *conf);

/* A descriptor with the defaults set. -EAFNOSUPPORT, -ESOCKTNOSUPPORT: not of a kind that is served here. flags:
 * SOCK_NONBLOCK. */
int kernel_socket(const struct kernel_defaults *d, int domain, int type, int flags);

/* SO_REUSEADDR is set when a socket begins to listen and not before it binds. Linux lets two sockets bind one address
 * if both have the option and none listens yet, and a caller is told EADDRINUSE then; but connections of a server that
 * has just ended must not keep its successor from the port. So a bind is tried without it first, and once more with it:
 * against a bound socket (which does not have it yet) and a listener that still fails, against leftovers in TIME_WAIT
 * (which inherited it) it succeeds. */
int kernel_bind(int fd, int domain, bool dgram, const struct sockaddr *addr, socklen_t size);
int kernel_listen(int fd, int domain, int backlog);

/* What may be set is a list: options that change what a queue is (SO_RCVTIMEO, O_NONBLOCK's kin) are not in it.
 * *linger_s follows SO_LINGER: who closes needs it, and asking the kernel at each close costs a call. */
int kernel_setsockopt(int fd, int domain, int level, int name, const void *val, socklen_t len, int32_t *linger_s);
int kernel_getsockopt(int fd, int domain, int level, int name, void *val, socklen_t *len);

typedef int (*kernel_name_fn)(int fd, struct sockaddr *addr, socklen_t *len);
/* fn: getpeername or getsockname. -EINVAL: *len is too short for the name. */
int kernel_name(int fd, kernel_name_fn fn, struct sockaddr *addr, socklen_t *len);

/* close() cuts the connection off with a reset, or does not wait for the time of SO_LINGER. */
void kernel_set_linger(int fd, bool cut);

#endif
