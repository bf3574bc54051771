/* SPDX-License-Identifier: MIT
 *
 * The calls that the shim stands in front of, as the next library has them (libc, or another preload).
 *
 * All are looked up in one pass at the first call of any of them, which may come before our constructor, and no lock
 * is held over it: two threads that are first at once look up the same and write the same.
 *
 * A wrapper is a function of ours under libc's name. Its C name is call_NAME, since headers declare some of libc's
 * names with types that no definition can have (transparent unions) or under another symbol (fcntl64).
 */
#ifndef SHIM_REAL_H
#define SHIM_REAL_H

#include "alloc/base/assert.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

/* X(type, name, (parameters), (arguments)) */
#define SHIM_CALLS(X)                                                                                                  \
    X(int, socket, (int domain, int type, int protocol), (domain, type, protocol))                                     \
    X(int, bind, (int fd, const struct sockaddr *addr, socklen_t size), (fd, addr, size))                              \
    X(int, listen, (int fd, int backlog), (fd, backlog))                                                               \
    X(int, accept, (int fd, struct sockaddr *addr, socklen_t *size), (fd, addr, size))                                 \
    X(int, accept4, (int fd, struct sockaddr *addr, socklen_t *size, int flags), (fd, addr, size, flags))              \
    X(int, connect, (int fd, const struct sockaddr *addr, socklen_t size), (fd, addr, size))                           \
    X(int, shutdown, (int fd, int how), (fd, how))                                                                     \
    X(int, getsockname, (int fd, struct sockaddr *addr, socklen_t *size), (fd, addr, size))                            \
    X(int, getpeername, (int fd, struct sockaddr *addr, socklen_t *size), (fd, addr, size))                            \
    X(int, getsockopt, (int fd, int level, int name, void *val, socklen_t *size), (fd, level, name, val, size))        \
    X(int, setsockopt, (int fd, int level, int name, const void *val, socklen_t size), (fd, level, name, val, size))   \
    X(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))                                                          \
    X(ssize_t, readv, (int fd, const struct iovec *iov, int count), (fd, iov, count))                                  \
    X(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags))                                        \
    X(ssize_t, recvfrom, (int fd, void *p, size_t n, int flags, struct sockaddr *addr, socklen_t *size),               \
      (fd, p, n, flags, addr, size))                                                                                   \
    X(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags))                                     \
    X(int, recvmmsg, (int fd, struct mmsghdr *msgs, unsigned count, int flags, struct timespec *timeout),              \
      (fd, msgs, count, flags, timeout))                                                                               \
    X(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))                                                   \
    X(ssize_t, writev, (int fd, const struct iovec *iov, int count), (fd, iov, count))                                 \
    X(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))                                  \
    X(ssize_t, sendto, (int fd, const void *p, size_t n, int flags, const struct sockaddr *addr, socklen_t size),      \
      (fd, p, n, flags, addr, size))                                                                                   \
    X(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))                               \
    X(int, sendmmsg, (int fd, struct mmsghdr *msgs, unsigned count, int flags), (fd, msgs, count, flags))              \
    X(ssize_t, sendfile, (int out, int in, off_t *offset, size_t n), (out, in, offset, n))                             \
    X(ssize_t, splice, (int in, off_t *in_at, int out, off_t *out_at, size_t n, unsigned flags),                       \
      (in, in_at, out, out_at, n, flags))                                                                              \
    X(int, close, (int fd), (fd))                                                                                      \
    X(int, close_range, (unsigned first, unsigned last, int flags), (first, last, flags))                              \
    X(int, dup, (int fd), (fd))                                                                                        \
    X(int, dup2, (int fd, int to), (fd, to))                                                                           \
    X(int, dup3, (int fd, int to, int flags), (fd, to, flags))                                                         \
    X(int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))                                      \
    X(int, ppoll, (struct pollfd * fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask),               \
      (fds, n, timeout, mask))                                                                                         \
    X(int, select, (int n, fd_set *in, fd_set *out, fd_set *pri, struct timeval *timeout), (n, in, out, pri, timeout)) \
    X(int, pselect,                                                                                                    \
      (int n, fd_set *in, fd_set *out, fd_set *pri, const struct timespec *timeout, const sigset_t *mask),             \
      (n, in, out, pri, timeout, mask))                                                                                \
    X(int, epoll_create, (int size), (size))                                                                           \
    X(int, epoll_create1, (int flags), (flags))                                                                        \
    X(int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *ev), (ep, op, fd, ev))                              \
    X(int, epoll_wait, (int ep, struct epoll_event *evs, int max, int timeout), (ep, evs, max, timeout))               \
    X(int, epoll_pwait, (int ep, struct epoll_event *evs, int max, int timeout, const sigset_t *mask),                 \
      (ep, evs, max, timeout, mask))                                                                                   \
    X(int, epoll_pwait2,                                                                                               \
      (int ep, struct epoll_event *evs, int max, const struct timespec *timeout, const sigset_t *mask),                \
      (ep, evs, max, timeout, mask))                                                                                   \
    X(FILE *, fdopen, (int fd, const char *mode), (fd, mode))                                                          \
    X(int, fcntl, (int fd, int cmd, long arg), (fd, cmd, arg))                                                         \
    X(int, ioctl, (int fd, unsigned long request, void *arg), (fd, request, arg))

struct real_calls {
    bool known;
#define SHIM_POINTER(type, name, params, args) type(*name) params;
    SHIM_CALLS(SHIM_POINTER)
#undef SHIM_POINTER
};
extern struct real_calls real_calls;
void real_look_up(void);

/* REAL(read)(fd, p, n) */
#define REAL(name)                                                                                                     \
    (*({                                                                                                               \
        if (unlikely(!__atomic_load_n(&real_calls.known, __ATOMIC_ACQUIRE))) real_look_up();                           \
        real_calls.name;                                                                                               \
    }))

/* WRAP(int, close, (int fd)) { … } defines what programs call as close(). */
#define WRAP(type, name, params)                                                                                       \
    __attribute__((visibility("default"))) type call_##name params __asm__(#name);                                     \
    __attribute__((visibility("default"))) type call_##name params

/* -errno or a result, as libc hands it out. */
static inline long answer(long r)
{
    if (likely(r >= 0)) return r;
    errno = (int)-r;
    return -1;
}
/* And the reverse, of a call of libc's. */
static inline long asked(long r) { return r < 0 ? -errno : r; }

#endif
