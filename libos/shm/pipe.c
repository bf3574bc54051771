/* SPDX-License-Identifier: MIT
 *
 * Named pipes: a connection of two ends that have no addresses. The first end makes the memory and writes into it at
 * once; the second one gets it when it comes. There is one second end: when it is there the name is kept, and refuses
 * others, until the first end is closed.
 *
 * "Refuses": nobody listens there any more, as nobody listens where no pipe is, or where one is being made. What tells
 * the two apart is a mark, a socket of another type bound to the same name, which the second end's coming leaves. So
 * whoever asks changes nothing, and does not come between others.
 */
#include "libos/shm/sock.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int named_fd(int *out, int type)
{
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *out = fd;
    return fd < 0 ? -errno : 0;
}

static int create(struct shm_sock *s, const struct name *n)
{
    struct area *a;
    int err = named_fd(&s->watch.fd, SOCK_SEQPACKET);
    if (err) return err;
    if (bind(s->watch.fd, (const struct sockaddr *)&n->un, n->size)) return errno == EADDRINUSE ? -EEXIST : -errno;
    if (listen(s->watch.fd, 1)) return -errno;
    err = area_make(s->ring_size, &a, &s->area_fd);
    if (err) return err;
    shm_attach(s, a, s->ring_size, 0);
    s->state = SHM_MEETING;
    return shm_sock_watch(s, EPOLLIN);
}

/* Nobody listens: has it been opened already, or was it never created? */
static int why_refused(const struct name *n)
{
    int fd, err = named_fd(&fd, SOCK_DGRAM);
    if (err) return err;
    err = connect(fd, (const struct sockaddr *)&n->un, n->size) ? -ENOENT : -EBUSY;
    close(fd);
    return err;
}

/* Without a descriptor for it, or when another one's mark is there still, who comes later is told ENOENT. */
static void leave_mark(struct shm_sock *s)
{
    struct name n = {.size = sizeof n.un};
    if (getsockname(s->watch.fd, (struct sockaddr *)&n.un, &n.size) || named_fd(&s->mark_fd, SOCK_DGRAM)) return;
    if (!bind(s->mark_fd, (const struct sockaddr *)&n.un, n.size)) return;
    close(s->mark_fd);
    s->mark_fd = -1;
}

static int open_second(struct shm_sock *s, const struct name *n)
{
    int err = named_fd(&s->watch.fd, SOCK_SEQPACKET);
    if (err) return err;
    if (connect(s->watch.fd, (const struct sockaddr *)&n->un, n->size))
        return errno == ECONNREFUSED ? why_refused(n) : errno == EAGAIN ? -EBUSY : -errno;
    if (!shm_may_meet(s->shm, s->watch.fd, false)) return -EACCES;
    s->state = SHM_CONNECTED;
    return shm_sock_watch(s, EPOLLIN | EPOLLRDHUP);
}

int shm_pipe(struct libos *l, const char *text, bool first, struct queue **out)
{
    struct name n;
    struct shm_sock *s = shm_sock_new((struct shm *)l, AF_UNIX);
    if (!s) return -ENOMEM;
    s->pipe = true;
    name_of_pipe(&n, text);
    int err = first ? create(s, &n) : open_second(s, &n);
    if (!err) err = queue_add(l->rt, &s->q, &shm_stream_ops);
    if (err) {
        shm_sock_free(s);
        return err;
    }
    *out = &s->q;
    return 0;
}

void shm_pipe_event(struct shm_sock *s)
{
    int fd = accept4(s->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (!shm_may_meet(s->shm, fd, true) || shm_say_hello(fd, s->area_fd, s->ring_size)) {
        s->shm->refused++;
        close(fd);
        return;
    }
    runtime_unwatch(s->q.rt, &s->watch);
    s->watched = false;
    leave_mark(s);
    s->name_fd = s->watch.fd;
    shutdown(s->name_fd, SHUT_RDWR); /* others are refused from here on */
    close(s->area_fd);
    s->area_fd = -1;
    s->watch.fd = fd;
    s->state = SHM_CONNECTED;
    s->shm->accepted++;
    if (shm_sock_watch(s, EPOLLIN | EPOLLRDHUP)) shm_broken(s);
    else shm_heat(s);
}

bool shm_pipe_opened(struct shm_sock *s)
{
    int err = shm_hear_hello(s);
    if (err == -EAGAIN) return true;
    if (err) {
        if (s->state == SHM_CLOSING) shm_close_end(s, true);
        else if (err == -ECONNRESET) shm_gone(s);
        else shm_broken(s);
        return false;
    }
    s->shm->connected++;
    shm_heat(s);
    if (s->state == SHM_CLOSING) {
        shm_closing_go_on(s);
        return false;
    }
    shm_send(s);
    return true;
}
