/* SPDX-License-Identifier: MIT
 *
 * The runtime as one descriptor in somebody else's poll() or epoll.
 *
 * The runtime sleeps on an epoll instance itself, and an epoll instance is readable while it has events. What is not a
 * descriptor becomes one here: the earliest deadline is a timerfd, and a ring from another thread is written to the
 * eventfd as long as the owner is said to sleep. Work that is there already when the program asks (results that nobody
 * took, tasks that can run) is told through the same eventfd. Both are edge-triggered and never read: the turn that
 * follows takes the edges, and nothing is left readable.
 *
 *     program's epoll -> runtime's epoll -> kernel sockets, devices' descriptors, those of poll.c
 *                                        -> eventfd: rings, work that is there
 *                                        -> timerfd: the earliest deadline
 *
 * Armed lasts until the next wait. That begins with a flush if one is due, so arming makes one due, and this libOS's
 * flush() is where the sleep ends: the loop itself does not know that it is embedded.
 */
#include "libos/embed/embed.h"

#include "libos/runtime/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct embed_event {
    struct libos base;
    struct fd_watch timer;
    uint64_t timer_at; /* UINT64_MAX: not set */
    uint64_t since;    /* when it was armed; 0: it is not */
};

static void timer_edge(struct fd_watch *w, uint32_t events)
{ /* It has ended the sleep; the turn does the rest. */
}

static int event_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct embed_event *e = calloc(1, sizeof *e);
    if (!e) return -ENOMEM;
    int err = 0;
    e->timer_at = UINT64_MAX;
    e->timer = (struct fd_watch){.fn = timer_edge, .fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)};
    if (e->timer.fd < 0) err = -errno;
    if (!err) err = runtime_watch(rt, &e->timer, EPOLLIN | EPOLLET);
    if (!err) {
        *out = &e->base;
        return 0;
    }
    if (e->timer.fd >= 0) close(e->timer.fd);
    free(e);
    return err;
}

static void event_stop(struct libos *l)
{
    struct embed_event *e = (struct embed_event *)l;
    runtime_unwatch(l->rt, &e->timer);
    close(e->timer.fd);
    free(e);
}

static void event_forget(struct libos *l) { close(((struct embed_event *)l)->timer.fd); }

/* The program is back. What it has slept is not the library's work. */
static void event_flush(struct libos *l)
{
    struct embed_event *e = (struct embed_event *)l;
    struct runtime *rt = l->rt;
    if (!e->since) return;
    uint64_t now = rt->time.now_ns(rt->time.arg);
    rt->sleep_ns += now - e->since;
    rt->work_since = now;
    e->since = 0;
    atomic_store_explicit(&rt->wakes.sleeping, false, memory_order_relaxed);
}

static const struct libos_ops event_libos = {
    .name = "event", .start = event_start, .stop = event_stop, .forget = event_forget, .flush = event_flush};

static int set_timer(struct embed_event *e, uint64_t deadline)
{
    if (deadline == e->timer_at) return 0;
    struct itimerspec at = {0}; /* none */
    if (deadline != UINT64_MAX) {
        at.it_value.tv_sec = (time_t)(deadline / 1000000000u);
        at.it_value.tv_nsec = (long)(deadline % 1000000000u);
    }
    if (timerfd_settime(e->timer.fd, TFD_TIMER_ABSTIME, &at, NULL)) return -errno;
    e->timer_at = deadline;
    return 0;
}

int embed_event_fd(struct runtime *rt, int *fd_out)
{
    struct libos *l;
    uint64_t deadline;
    if (rt->time.idle || rt->must_poll) return -EOPNOTSUPP;
    int err = runtime_get_libos(rt, &event_libos, &l);
    if (err) return err;
    struct embed_event *e = (struct embed_event *)l;
    err = runtime_park(rt, &deadline);
    if (!err) err = set_timer(e, deadline);
    if (err && err != -EAGAIN) {
        atomic_store_explicit(&rt->wakes.sleeping, false, memory_order_relaxed);
        return err;
    }
    rt->work_ns += rt->now - rt->work_since;
    e->since = rt->work_since = rt->now;
    if (err) runtime_kick(rt);
    else rt->sleeps++;
    runtime_want_flush(rt);
    *fd_out = rt->epoll_fd;
    return 0;
}
