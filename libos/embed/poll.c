/* SPDX-License-Identifier: MIT
 *
 * Somebody's descriptor among what the runtime waits for.
 *
 * It is watched while operations wait for it, one watch for all of them, armed for one event (EPOLLONESHOT) and armed
 * anew for those that are left. What has happened is then asked of poll(), and only that completes anything: the kernel
 * keeps its watch on what a descriptor stood for, and a program may close it and open something else under the same
 * number. For the same reason the struct behind a number stays until the end: an old watch may still point to it.
 */
#include "libos/embed/embed.h"

#include "alloc/base/list.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static_assert(EPOLLIN == POLLIN && EPOLLPRI == POLLPRI && EPOLLOUT == POLLOUT && EPOLLRDHUP == POLLRDHUP &&
                  EPOLLERR == POLLERR && EPOLLHUP == POLLHUP,
              "one set of bits");

#define ALWAYS ((uint32_t)(POLLERR | POLLHUP)) /* told whether they were asked for or not */

struct polls {
    struct libos base;
    struct queue queue; /* of the operations; it has no descriptor */
    struct polled **fds;
    unsigned room;
};

/* A descriptor's number. The events an operation waits for are its arg, this its ptr. */
struct polled {
    struct fd_watch watch;
    struct polls *polls;
    struct op_list ops;
    bool watched;
};

static uint32_t wanted(const struct polled *p)
{
    uint32_t events = 0;
    for (const struct op *op = p->ops.head; op; op = op->next) events |= (uint32_t)op->arg;
    return events;
}

static void unwatch(struct polled *p)
{
    if (p->watched) runtime_unwatch(p->polls->base.rt, &p->watch);
    p->watched = false;
}

static void fail_all(struct polled *p, int err)
{
    unwatch(p);
    op_fail_all(&p->polls->base.rt->ops, &p->ops, err);
}

/* For the operations there are: what was closed meanwhile cannot be watched again. */
static void watch_again(struct polled *p)
{
    if (!p->ops.head) unwatch(p);
    else if (runtime_rewatch(p->polls->base.rt, &p->watch, wanted(p) | EPOLLONESHOT)) fail_all(p, EBADF);
}

static void complete(struct polled *p, uint32_t events)
{
    struct op *next;
    for (struct op *op = p->ops.head; op; op = next) {
        next = op->next;
        uint32_t got = events & ((uint32_t)op->arg | ALWAYS);
        if (!got) continue;
        op_list_remove(&p->ops, op);
        op_complete_plain(&p->polls->base.rt->ops, op, got);
    }
}

static void on_event(struct fd_watch *w, uint32_t events)
{
    struct polled *p = container_of(w, struct polled, watch);
    if (!p->ops.head) return; /* what the number once stood for */
    struct pollfd now = {.fd = w->fd, .events = (short)wanted(p)};
    if (poll(&now, 1, 0) < 0) now.revents = 0;
    complete(p, (uint32_t)(unsigned short)now.revents);
    watch_again(p);
}

static int poll_cancel(struct queue *q, struct op *op)
{
    struct polled *p = op->ptr;
    op_list_remove(&p->ops, op);
    op_fail(&q->rt->ops, op, ECANCELED);
    if (!p->ops.head) unwatch(p);
    return 0;
}

static const struct queue_ops poll_queue_ops = {.name = "poll", .cancel = poll_cancel};

static int poll_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct polls *ps = calloc(1, sizeof *ps);
    if (!ps) return -ENOMEM;
    ps->queue = (struct queue){.ops = &poll_queue_ops, .rt = rt};
    *out = &ps->base;
    return 0;
}

static void poll_stop(struct libos *l)
{
    struct polls *ps = (struct polls *)l;
    for (unsigned i = 0; i < ps->room; i++) {
        if (ps->fds[i]) unwatch(ps->fds[i]);
        free(ps->fds[i]);
    }
    free(ps->fds);
    free(ps);
}

static const struct libos_ops poll_libos = {.name = "poll", .start = poll_start, .stop = poll_stop};

/* The number's struct; NULL: no memory. fd is open, so the table is as large as the system lets numbers be. */
static struct polled *polled_of(struct polls *ps, unsigned fd)
{
    if (fd >= ps->room) {
        unsigned room = ps->room ? ps->room : 64;
        while (room <= fd) room *= 2;
        struct polled **fds = realloc(ps->fds, room * sizeof(struct polled *));
        if (!fds) return NULL;
        memset(fds + ps->room, 0, (room - ps->room) * sizeof(struct polled *));
        ps->fds = fds;
        ps->room = room;
    }
    if (ps->fds[fd]) return ps->fds[fd];
    struct polled *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->watch = (struct fd_watch){.fn = on_event, .fd = (int)fd};
    p->polls = ps;
    ps->fds[fd] = p;
    return p;
}

static int watch_for(struct polled *p, uint32_t events)
{
    struct runtime *rt = p->polls->base.rt;
    if (p->watched && !runtime_rewatch(rt, &p->watch, wanted(p) | events | EPOLLONESHOT)) return 0;
    if (p->watched) fail_all(p, EBADF); /* what they waited for was closed: this is another one */
    int err = runtime_watch(rt, &p->watch, events | EPOLLONESHOT);
    p->watched = !err;
    return err;
}

int embed_poll(struct runtime *rt, struct op *op, int fd, uint32_t events)
{
    struct libos *l;
    if (rt->time.idle) return -EOPNOTSUPP;
    if (fd < 0 || fcntl(fd, F_GETFD) < 0) return -EBADF;
    int err = runtime_get_libos(rt, &poll_libos, &l);
    if (err) return err;
    struct polled *p = polled_of((struct polls *)l, (unsigned)fd);
    if (!p) return -ENOMEM;
    err = watch_for(p, events);
    if (err) return err;
    op->queue = &p->polls->queue;
    op->ptr = p;
    op->arg = events;
    op_list_append(&p->ops, op);
    return 0;
}
