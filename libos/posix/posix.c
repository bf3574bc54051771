/* SPDX-License-Identifier: MIT
 *
 * The libOS itself: start, stop, new sockets, the flush, and the events of a socket.
 */
#include "libos/posix/posix.h"

#include "alloc/heap.h"
#include "libos/posix/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHECKED_MAX 64 /* segments that sock_check() looks at */

static int sock_cancel(struct queue *q, struct op *op);
static int dgram_shutdown(struct queue *q, int how);
static size_t sock_unsent(struct queue *q);
static int sock_fd(struct queue *q) { return sock_of(q)->watch.fd; }

static const struct queue_ops stream_ops = {
    .name = "posix stream",
    .bind = sock_bind,
    .listen = sock_listen,
    .accept = sock_accept,
    .connect = sock_connect,
    .push = posix_stream_push,
    .push_copy = posix_stream_push_copy,
    .pop = posix_stream_pop,
    .cancel = sock_cancel,
    .shutdown = posix_stream_shutdown,
    .close = sock_close,
    .setsockopt = sock_setsockopt,
    .getsockopt = sock_getsockopt,
    .getpeername = sock_getpeername,
    .getsockname = sock_getsockname,
    .unsent = sock_unsent,
    .fd = sock_fd,
};
static const struct queue_ops dgram_ops = {
    .name = "posix datagram",
    .bind = sock_bind,
    .connect = sock_connect,
    .push = dgram_push,
    .pop = dgram_pop,
    .cancel = sock_cancel,
    .shutdown = dgram_shutdown,
    .close = sock_close,
    .setsockopt = sock_setsockopt,
    .getsockopt = sock_getsockopt,
    .getpeername = sock_getpeername,
    .getsockname = sock_getsockname,
    .unsent = sock_unsent,
    .fd = sock_fd,
};

/* Events of a socket that is not connected. False: they have been dealt with. */
static bool has_data_events(struct posix_sock *s, uint32_t events)
{
    switch (s->state) {
    case SOCK_LISTENING:
        s->readable = true;
        sock_accept_ready(s);
        return false;
    case SOCK_CONNECTING:
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) sock_connect_ready(s);
        return s->state == SOCK_CONNECTED;
    case SOCK_CLOSING: sock_closing_event(s, events); return false;
    default: return s->dgram; /* bound; a stream has lost its connection before it was one, and may try again */
    }
}

static void on_event(struct fd_watch *w, uint32_t events)
{
    struct posix_sock *s = (struct posix_sock *)((char *)w - offsetof(struct posix_sock, watch));
    if (unlikely(s->state != SOCK_CONNECTED) && !has_data_events(s, events)) return;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) s->hung_up = !s->dgram;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        s->readable = true;
        if (s->st.pops.head || unlikely(s->st.flags)) s->dgram ? dgram_receive(s) : posix_stream_receive(s);
    }
    if (unlikely(events & EPOLLERR) && !s->dgram) posix_stream_error(s);
    /* An error or a hang-up unblocks writers too: their send tells them. */
    if (s->blocked && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) s->dgram ? dgram_send(s) : posix_stream_send(s);
    sock_debug(s);
}

int sock_new(struct posix *p, int fd, int domain, bool dgram, struct posix_sock **out)
{
    struct posix_sock *s = heap_calloc(1, sizeof *s);
    if (!s) return -ENOMEM;
    s->posix = p;
    s->watch = (struct fd_watch){.fn = on_event, .fd = fd};
    s->domain = (uint16_t)domain;
    s->dgram = dgram;
    s->recv_size = POSIX_RECV_START;
    s->dgram_tail = &s->dgrams;
    s->linger_s = -1;
    list_init(&s->closing);
    int err = queue_add(p->base.rt, &s->q, dgram ? &dgram_ops : &stream_ops);
    if (err) {
        heap_free(s);
        return err;
    }
    *out = s;
    return 0;
}

int sock_watch(struct posix_sock *s, uint32_t events)
{
    if (s->watched) return runtime_rewatch(s->q.rt, &s->watch, events | EPOLLET);
    int err = runtime_watch(s->q.rt, &s->watch, events | EPOLLET);
    s->watched = !err;
    return err;
}

void sock_dirty(struct posix_sock *s)
{
    if (s->dirty_link) return;
    struct posix *p = s->posix;
    s->dirty_next = NULL;
    s->dirty_link = p->dirty_tail;
    *p->dirty_tail = s;
    p->dirty_tail = &s->dirty_next;
    runtime_need_flush(s->q.rt);
}

void sock_clean(struct posix_sock *s)
{
    if (!s->dirty_link) return;
    *s->dirty_link = s->dirty_next;
    if (s->dirty_next) s->dirty_next->dirty_link = s->dirty_link;
    else s->posix->dirty_tail = s->dirty_link;
    s->dirty_link = NULL;
}

static void posix_flush(struct libos *l)
{
    struct posix *p = (struct posix *)l;
    for (struct posix_sock *s; (s = p->dirty);) {
        sock_clean(s);
        posix_stream_send(s);
    }
}

static int sock_cancel(struct queue *q, struct op *op)
{
    struct posix_sock *s = sock_of(q);
    switch (op->opcode) {
    case DEMI_OPC_ACCEPT:
        op_list_remove(&s->accepts, op);
        op_fail(&q->rt->ops, op, ECANCELED);
        return 0;
    case DEMI_OPC_CONNECT: return sock_connect_cancel(s);
    default: return stream_cancel(&q->rt->ops, &s->st, op);
    }
}

static int dgram_shutdown(struct queue *q, int how)
{
    struct posix_sock *s = sock_of(q);
    if (s->state != SOCK_CONNECTED) return -ENOTCONN;
    return shutdown(s->watch.fd, how) ? -errno : 0;
}

void sock_check(const struct posix_sock *s)
{
    uint64_t bytes = 0;
    stream_check(&s->st, false);
    ASSERT(s->out.count <= s->out.room);
    for (uint32_t i = 0; i < s->out.count && i < CHECKED_MAX; i++) bytes += seg_ring_at(&s->out, i)->n;
    ASSERT(s->dgram || s->out.count > CHECKED_MAX || bytes == s->queued - s->sent);
    ASSERT(!s->st.pushes.tail || s->dgram || s->st.pushes.tail->arg <= s->queued);
    ASSERT(!s->st.pushes.head || s->dgram || s->st.pushes.head->arg > s->sent);
    ASSERT(!s->accepts.head || s->state == SOCK_LISTENING);
    ASSERT(!s->connecting == (s->state != SOCK_CONNECTING));
    ASSERT(!s->fin_due || s->st.flags & STREAM_WRITE_SHUT);
    ASSERT(list_is_empty(&s->closing) == (s->state != SOCK_CLOSING));
    /* What waits will be sent by the next flush, or when the kernel has room. */
    ASSERT(!s->out.count || s->blocked || s->dirty_link);
    ASSERT(!s->dgrams == !s->dgram_count);
}

static size_t sock_unsent(struct queue *q)
{
    struct posix_sock *s = sock_of(q);
    return s->queued - s->sent;
}

static int posix_socket(struct libos *l, int domain, int type, int protocol, struct queue **out)
{
    struct posix *p = (struct posix *)l;
    int fd = kernel_socket(&p->defaults, domain, type, SOCK_NONBLOCK);
    if (fd < 0) return fd;
    struct posix_sock *s;
    int err = sock_new(p, fd, domain, type == SOCK_DGRAM, &s);
    if (err) {
        close(fd);
        return err;
    }
    if (type == SOCK_STREAM && domain != AF_UNIX) s->linger_s = p->defaults.linger_s;
    *out = &s->q;
    return 0;
}

static int posix_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct posix *p = calloc(1, sizeof *p);
    if (!p) return -ENOMEM;
    p->base.rt = rt;
    p->dirty_tail = &p->dirty;
    list_init(&p->closing);
    kernel_defaults_read(&p->defaults, conf);
    const struct counter all[] = {
        {"posix.rx_calls", &p->rx_calls},
        {"posix.rx_bytes", &p->rx_bytes},
        {"posix.rx_empty", &p->rx_empty},
        {"posix.tx_calls", &p->tx_calls},
        {"posix.tx_bytes", &p->tx_bytes},
        {"posix.tx_partial", &p->tx_partial},
        {"posix.tx_blocked", &p->tx_blocked},
        {"posix.accepted", &p->accepted},
        {"posix.connected", &p->connected},
        {"posix.accept_backoff", &p->accept_backoff},
        {"posix.resets", &p->resets},
        {"posix.push_busy", &p->push_busy},
        {"posix.close_drained", &p->close_drained},
        {"posix.close_cut", &p->close_cut},
    };
    int err = runtime_open_fds(rt);
    if (!err) err = counters_add_all(&rt->counters, all, sizeof all / sizeof *all);
    if (err) {
        counters_remove(&rt->counters, p, sizeof *p);
        free(p);
        return err;
    }
    *out = &p->base;
    return 0;
}

static uint64_t posix_undrained(struct libos *l) { return sock_undrained((struct posix *)l); }

static void posix_forget(struct libos *l) { sock_close_copies((struct posix *)l); }

static void posix_stop(struct libos *l)
{
    sock_close_all((struct posix *)l);
    counters_remove(&l->rt->counters, l, sizeof(struct posix));
    free(((struct posix *)l)->overflow);
    cells_free(&((struct posix *)l)->cells);
    free(l);
}

const struct libos_ops posix_libos = {
    .name = "posix",
    .start = posix_start,
    .stop = posix_stop,
    .forget = posix_forget,
    .undrained = posix_undrained,
    .socket = posix_socket,
    .flush = posix_flush,
};
