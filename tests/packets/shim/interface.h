/* SPDX-License-Identifier: MIT
 *
 * What packetdrill asks of a stack that it loads with --so_filename: one exported function that fills a table of calls.
 * The table is its userdata and then pointers in this order (264 bytes on x86-64); each is given userdata first. Calls
 * return what the POSIX call of their name does, -1 with errno when it fails.
 */
#ifndef PACKETS_SHIM_INTERFACE_H
#define PACKETS_SHIM_INTERFACE_H

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>

struct packetdrill_interface {
    void *ud;
    void (*free)(void *ud);
    int (*socket)(void *ud, int domain, int type, int protocol);
    int (*bind)(void *ud, int fd, const struct sockaddr *a, socklen_t n);
    int (*listen)(void *ud, int fd, int backlog);
    int (*accept)(void *ud, int fd, struct sockaddr *a, socklen_t *n);
    int (*connect)(void *ud, int fd, const struct sockaddr *a, socklen_t n);
    ssize_t (*read)(void *ud, int fd, void *p, size_t n);
    ssize_t (*readv)(void *ud, int fd, const struct iovec *v, int n);
    ssize_t (*recv)(void *ud, int fd, void *p, size_t n, int flags);
    ssize_t (*recvfrom)(void *ud, int fd, void *p, size_t n, int flags, struct sockaddr *a, socklen_t *an);
    ssize_t (*recvmsg)(void *ud, int fd, struct msghdr *m, int flags);
    ssize_t (*write)(void *ud, int fd, const void *p, size_t n);
    ssize_t (*writev)(void *ud, int fd, const struct iovec *v, int n);
    ssize_t (*send)(void *ud, int fd, const void *p, size_t n, int flags);
    ssize_t (*sendto)(void *ud, int fd, const void *p, size_t n, int flags, const struct sockaddr *a, socklen_t an);
    ssize_t (*sendmsg)(void *ud, int fd, const struct msghdr *m, int flags);
    int (*fcntl)(void *ud, int fd, int cmd, ...);
    int (*ioctl)(void *ud, int fd, unsigned long request, ...);
    int (*close)(void *ud, int fd);
    int (*shutdown)(void *ud, int fd, int how);
    int (*getsockopt)(void *ud, int fd, int level, int name, void *p, socklen_t *n);
    int (*setsockopt)(void *ud, int fd, int level, int name, const void *p, socklen_t n);
    int (*poll)(void *ud, struct pollfd *fds, nfds_t n, int timeout);
    int (*netdev_send)(void *ud, const void *p, size_t n);                      /* one IP packet into the stack */
    int (*netdev_receive)(void *ud, void *p, size_t *n, long long *time_usecs); /* the next one out of it */
    int (*usleep)(void *ud, useconds_t usecs);
    int (*gettimeofday)(void *ud, struct timeval *tv, struct timezone *tz);
    int (*epoll_create)(void *ud, int size);
    int (*epoll_ctl)(void *ud, int epfd, int op, int fd, struct epoll_event *e);
    int (*epoll_wait)(void *ud, int epfd, struct epoll_event *e, int max, int timeout);
    int (*pipe)(void *ud, int fds[2]);
    int (*splice)(void *ud, int in, loff_t *in_at, int out, loff_t *out_at, size_t n, unsigned flags);
};

_Static_assert(sizeof(void *) != 8 || sizeof(struct packetdrill_interface) == 264, "as packetdrill lays it out");

__attribute__((visibility("default"))) void packetdrill_interface_init(const char *flags,
                                                                       struct packetdrill_interface *out);

#endif
