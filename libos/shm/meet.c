/* SPDX-License-Identifier: MIT
 *
 * How two ends come by one memory: the side that made it sends one message over the Unix socket, a hello and the
 * descriptor. Nothing is answered: a side that does not want it hangs up.
 *
 *     "demishm1" | ring size (32 bits) | 0 (32 bits)        with SCM_RIGHTS: one descriptor
 *
 * Who comes to a listener is looked at by the kernel (the permissions of the path) or by its user (shm_may_meet), has
 * SHM_HELLO_NS to say hello, and is one of SHM_GREETING_MAX at most; everything else about it hangs up.
 */
#include "libos/shm/sock.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char magic[8] = {'d', 'e', 'm', 'i', 's', 'h', 'm', '1'};

struct shm_hello {
    char magic[8];
    uint32_t ring_size, zero;
};

int shm_say_hello(int fd, int area_fd, uint32_t ring_size)
{
    struct shm_hello h = {.ring_size = ring_size};
    memcpy(h.magic, magic, sizeof magic);
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {&h, sizeof h};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &area_fd, sizeof area_fd);
    return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof h ? 0 : -errno;
}

/* The descriptor that came, or -1; more than one are closed, and then there is none. */
static int take_fd(struct msghdr *msg)
{
    int fd = -1;
    bool many = msg->msg_flags & MSG_CTRUNC;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int one;
            memcpy(&one, CMSG_DATA(c) + at, sizeof one);
            many |= fd >= 0;
            if (fd >= 0) close(fd);
            fd = one;
        }
    }
    if (!many) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

int shm_hear_hello(struct shm_sock *s)
{
    struct shm_hello h;
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct iovec iov = {&h, sizeof h};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(s->watch.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) return errno == EINTR ? -EAGAIN : -errno;
    int fd = take_fd(&msg);
    bool good = n == (ssize_t)sizeof h && !(msg.msg_flags & MSG_TRUNC) && !memcmp(h.magic, magic, sizeof magic) &&
                !h.zero && fd >= 0;
    struct area *a;
    int err = good ? area_map(fd, h.ring_size, &a) : n ? -EPROTO : -ECONNRESET;
    if (fd >= 0) close(fd);
    if (!err) shm_attach(s, a, h.ring_size, 1);
    return err;
}

void shm_greeting_drop(struct shm_sock *s)
{
    s->listener->greeting_count--;
    list_remove(&s->greeting);
    shm_sock_free(s);
}

void shm_greet(struct shm_sock *s, uint32_t events)
{
    int err = shm_hear_hello(s);
    if (err == -EAGAIN) {
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) shm_greeting_drop(s);
        return;
    }
    if (err) {
        s->shm->refused += err == -EPROTO;
        shm_greeting_drop(s);
        return;
    }
    wheel_stop(&s->q.rt->wheel, &s->timer);
    s->state = SHM_WAITING;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) shm_gone(s);
}
