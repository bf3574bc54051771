/* SPDX-License-Identifier: MIT
 *
 * Life of a runtime and its libOSes, and the watching of descriptors. The loop itself is turn.c.
 */
#include "libos/runtime/runtime.h"

#include "alloc/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* How long a thread spins before it sleeps, where spinning has lately paid. Loopback answers
 * within 15 to 40 us of a reply when both cores are awake (Nov 2026, two Ice Lake cores): 60
 * catches nearly all of them; more only burns when a client pauses. */
#define SPIN_DEFAULT_NS 60000
#define SPIN_MAX_US     10000

__thread struct runtime *runtime_self __attribute__((tls_model("initial-exec")));

static uint64_t machine_now(void *arg)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct runtime *runtime_enter(struct runtime *rt)
{
    struct runtime *before = runtime_self;
    runtime_self = rt;
    return before;
}

static int add_counters(struct runtime *rt)
{
    const struct counter all[] = {
        {"libos.turns", &rt->turns},
        {"libos.sleeps", &rt->sleeps},
        {"libos.work_ns", &rt->work_ns},
        {"libos.spin_ns", &rt->spin_ns},
        {"libos.sleep_ns", &rt->sleep_ns},
        {"libos.spin_paid", &rt->spin_paid},
        {"libos.spin_wasted", &rt->spin_wasted},
        {"libos.ops_started", &rt->ops.started},
        {"libos.ops_completed", &rt->ops.completed},
        {"libos.ops_failed", &rt->ops.failed},
        {"libos.ops_outstanding", &rt->ops.outstanding},
        {"libos.queues", &rt->queues.open},
        {"libos.timers", &rt->wheel.count},
        {"libos.tasks_spawned", &rt->tasks.spawned},
        {"libos.task_switches", &rt->tasks.switches},
        {"libos.wake_rings", &rt->wakes.rings},
    };
    return counters_add_all(&rt->counters, all, sizeof all / sizeof *all);
}

/* With one processor, what is waited for could not happen while we spin. */
static uint64_t spin_default_ns(void) { return sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SPIN_DEFAULT_NS : 0; }

int runtime_new(struct runtime **out, const struct runtime_ops *time, uint32_t id)
{
    struct runtime *rt = calloc(1, sizeof *rt);
    if (!rt) return -ENOMEM;
    rt->time = time ? *time : (struct runtime_ops){.now_ns = machine_now};
    rt->epoll_fd = -1;
    rt->wakes.event_fd = -1;
    list_init(&rt->link);
    list_init(&rt->pipes);
    rt->spin.limit_ns = spin_default_ns();
    rt->now = rt->time.now_ns(rt->time.arg);
    rt->work_since = rt->now;
    wheel_init(&rt->wheel, rt->now);
    int err = op_table_init(&rt->ops, id);
    if (!err) err = tasks_init(&rt->tasks);
    if (!err) err = add_counters(rt);
    if (err) {
        runtime_free(rt);
        return err;
    }
    *out = rt;
    return 0;
}

static void close_queues(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->queues.used; i++) {
        struct queue *q = queue_find(&rt->queues, QUEUE_BASE + (int)i);
        if (!q) continue;
        queue_remove(q);
        q->ops->close(q);
    }
}

/* Results nobody took: what they hold goes, and so do the arrays that the program holds. */
static void drop_results(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->ops.chunk_count * OP_CHUNK; i++) {
        struct op *op = op_at(&rt->ops, i);
        if (op->state == OP_DONE && !op->failed && op->opcode == DEMI_OPC_POP) buf_unref(op->value.sga.sga_buf);
    }
}

void runtime_end(struct runtime *rt)
{
    rt->now_is_old = true;
    runtime_flush(rt);
    close_queues(rt);
    runtime_drain(rt);
    drop_results(rt); /* some of these bytes may be a device's */
    arrays_fini(&rt->ops.arrays);
    while (rt->libos_count) {
        struct libos *l = rt->libos[--rt->libos_count];
        l->ops->stop(l);
    }
}

void runtime_free(struct runtime *rt)
{
    struct runtime *before = runtime_enter(rt);
    runtime_end(rt);
    tasks_free(&rt->tasks);
    queue_table_free(&rt->queues);
    op_table_free(&rt->ops);
    counters_free(&rt->counters);
    if (rt->epoll_fd >= 0) close(rt->epoll_fd);
    if (rt->wakes.event_fd >= 0) close(rt->wakes.event_fd);
    runtime_enter(before == rt ? NULL : before);
    free(rt);
}

void runtime_forget(struct runtime *rt)
{
    for (unsigned i = 0; i < rt->libos_count; i++)
        if (rt->libos[i]->ops->forget) rt->libos[i]->ops->forget(rt->libos[i]);
    for (uint32_t i = 0; i < rt->queues.used; i++) {
        struct queue *q = queue_find(&rt->queues, QUEUE_BASE + (int)i);
        int fd = q && q->ops->fd ? q->ops->fd(q) : -1;
        if (fd >= 0) close(fd);
    }
    if (rt->epoll_fd >= 0) close(rt->epoll_fd);
    if (rt->wakes.event_fd >= 0) close(rt->wakes.event_fd);
}

int runtime_add_libos(struct runtime *rt, const struct libos_ops *ops, const struct demi_config *conf)
{
    for (unsigned i = 0; i < rt->libos_count; i++)
        if (rt->libos[i]->ops == ops) return -EEXIST;
    if (rt->libos_count == RUNTIME_LIBOS_MAX) return -ENOSPC;
    ASSERT(ops->name && ops->start && ops->stop);
    struct libos *l = NULL;
    int err = ops->start(rt, conf, &l);
    ASSERT(err <= 0);
    if (err) return err;
    ASSERT(l);
    l->ops = ops;
    l->rt = rt;
    rt->libos[rt->libos_count++] = l;
    if (ops->poll) rt->polled = true;
    if (l->must_poll) rt->must_poll = true;
    return 0;
}

int runtime_get_libos(struct runtime *rt, const struct libos_ops *ops, struct libos **out)
{
    unsigned i = 0;
    while (i < rt->libos_count && rt->libos[i]->ops != ops) i++;
    int err = i < rt->libos_count ? 0 : runtime_add_libos(rt, ops, NULL);
    if (!err) *out = rt->libos[i];
    return err;
}

void runtime_flush(struct runtime *rt)
{
    rt->need_flush = rt->want_flush = false;
    for (unsigned i = rt->libos_count; i--;)
        if (rt->libos[i]->ops->flush) rt->libos[i]->ops->flush(rt->libos[i]);
}

int runtime_open_fds(struct runtime *rt)
{
    if (rt->epoll_fd >= 0) return 0;
    int ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep < 0) return -errno;
    int ev = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (ev < 0) goto close_ep;
    /* Edge-triggered and never read: each write is an edge. */
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e)) goto close_ev;
    rt->epoll_fd = ep;
    rt->wakes.event_fd = ev;
    return 0;
close_ev:
    close(ev);
close_ep:
    close(ep);
    return -errno;
}

void runtime_kick(struct runtime *rt)
{
    uint64_t one = 1;
    ssize_t n = write(rt->wakes.event_fd, &one, sizeof one);
    (void)n; /* full: it is readable already */
}

static int watch_ctl(struct runtime *rt, int what, struct fd_watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = w};
    return epoll_ctl(rt->epoll_fd, what, w->fd, &e) ? -errno : 0;
}

int runtime_watch(struct runtime *rt, struct fd_watch *w, uint32_t events)
{
    int err = runtime_open_fds(rt);
    if (!err) err = watch_ctl(rt, EPOLL_CTL_ADD, w, events);
    if (!err) rt->watched++;
    return err;
}

int runtime_rewatch(struct runtime *rt, struct fd_watch *w, uint32_t events)
{
    return watch_ctl(rt, EPOLL_CTL_MOD, w, events);
}

void runtime_unwatch(struct runtime *rt, struct fd_watch *w)
{
    watch_ctl(rt, EPOLL_CTL_DEL, w, 0);
    rt->watched--;
}

int runtime_set_option(struct runtime *rt, const char *name, const char *value)
{
    if (!strcmp(name, "spin-us") && !strcmp(value, "auto")) {
        rt->spin.limit_ns = spin_default_ns();
        return 0;
    }
    if (!strcmp(name, "spin-us")) {
        char *end;
        errno = 0;
        unsigned long us = strtoul(value, &end, 10);
        if (*value < '0' || *value > '9' || *end || errno || us > SPIN_MAX_US) return -EINVAL;
        rt->spin.limit_ns = us * 1000;
        return 0;
    }
    if (!strcmp(name, "files")) { /* the libOS of files starts with the first of them, and asks for it then */
        if (strcmp(value, "auto") != 0 && strcmp(value, "threads") != 0) return -EINVAL;
        rt->files_by_threads = *value == 't';
    }
    for (unsigned i = 0; i < rt->libos_count; i++) {
        struct libos *l = rt->libos[i];
        int err = l->ops->set_option ? l->ops->set_option(l, name, value) : -ENOPROTOOPT;
        if (err != -ENOPROTOOPT) return err;
    }
    return strcmp(name, "files") ? -ENOPROTOOPT : 0;
}
