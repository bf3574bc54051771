/* SPDX-License-Identifier: MIT
 *
 * The libOS itself: start, stop, new sockets, the flush, and what completions are of.
 */
#include "libos/uring/sock.h"

#include "alloc/base/sanitize.h"
#include "alloc/heap.h"
#include "libos/runtime/config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHECKED_MAX   64 /* segments that uring_sock_check() looks at */
#define SETTLE_ROUNDS 16 /* sends of one socket in one go, while the kernel takes a part of each */
#define WORD_MASK     (((uint64_t)1 << 56) - 1)
#define KIND_SHIFT    56
#define STOP_ROUNDS   1000

/* Of 2 KiB, a power of two: as many as connections send something at the same moment. */
#define BUFFERS     256
#define BUFFERS_MIN 8
#define BUFFERS_MAX 32768

/* Pushes of so many bytes leave without a copy. Measured: README.md. */
#define ZERO_COPY_BYTES 65536

static int uring_cancel(struct queue *q, struct op *op);
static int uring_fd(struct queue *q) { return uring_sock_of(q)->fd; }
static size_t uring_unsent(struct queue *q) { return uring_sock_of(q)->queued - uring_sock_of(q)->sent; }

static const struct queue_ops uring_stream_ops = {
    .name = "uring stream",
    .bind = uring_bind,
    .listen = uring_listen,
    .accept = uring_accept,
    .connect = uring_connect,
    .push = uring_stream_push,
    .push_copy = uring_stream_push_copy,
    .pop = uring_stream_pop,
    .cancel = uring_cancel,
    .shutdown = uring_stream_shutdown,
    .close = uring_sock_close,
    .setsockopt = uring_setsockopt,
    .getsockopt = uring_getsockopt,
    .getpeername = uring_getpeername,
    .getsockname = uring_getsockname,
    .unsent = uring_unsent,
    .fd = uring_fd,
};
static const struct queue_ops uring_dgram_ops = {
    .name = "uring datagram",
    .bind = uring_bind,
    .connect = uring_connect,
    .push = uring_dgram_push,
    .pop = uring_dgram_pop,
    .cancel = uring_cancel,
    .shutdown = uring_dgram_shutdown,
    .close = uring_sock_close,
    .setsockopt = uring_setsockopt,
    .getsockopt = uring_getsockopt,
    .getpeername = uring_getpeername,
    .getsockname = uring_getsockname,
    .unsent = uring_unsent,
    .fd = uring_fd,
};

int uring_sock_new(struct uring *u, int fd, int domain, bool dgram, struct uring_sock **out)
{
    struct uring_sock *s = heap_calloc(1, sizeof *s);
    if (!s) return -ENOMEM;
    s->uring = u;
    s->fd = fd;
    s->domain = (uint16_t)domain;
    s->dgram = dgram;
    s->group = s->group_wanted = dgram ? GROUP_DGRAM : GROUP_SMALL;
    s->dgram_tail = &s->dgrams;
    s->unread_tail = &s->unread;
    s->linger_s = -1;
    list_init(&s->holds);
    int err = queue_add(u->base.rt, &s->q, dgram ? &uring_dgram_ops : &uring_stream_ops);
    if (err) {
        heap_free(s);
        return err;
    }
    list_push_back(&u->socks, &s->link);
    *out = s;
    return 0;
}

void uring_dirty(struct uring_sock *s)
{
    if (s->dirty_link) return;
    struct uring *u = s->uring;
    s->dirty_next = NULL;
    s->dirty_link = u->dirty_tail;
    *u->dirty_tail = s;
    u->dirty_tail = &s->dirty_next;
    runtime_need_flush(u->base.rt);
}

void uring_clean(struct uring_sock *s)
{
    if (!s->dirty_link) return;
    *s->dirty_link = s->dirty_next;
    if (s->dirty_next) s->dirty_next->dirty_link = s->dirty_link;
    else s->uring->dirty_tail = s->dirty_link;
    s->dirty_link = NULL;
}

/* --- requests --- */

static bool prepare_cancel(struct uring_sock *s, enum uring_kind kind)
{
    struct io_uring_sqe *sqe = uring_sqe(s->uring, URING_CANCEL, NULL);
    if (!sqe) return false;
    io_uring_prep_cancel64(sqe, (uint64_t)kind << KIND_SHIFT | (uintptr_t)s, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    s->cancelled = true;
    return true;
}

static const struct {
    uint32_t entries, size;
} group_sizes[URING_GROUPS] = {
    /* the small ones are there from the start */
    [GROUP_MIDDLE] = {32, BUF_LARGE_SIZE},
    [GROUP_BULK] = {16, 65536},
    [GROUP_DGRAM] = {16, 65536 + 512}, /* and the kernel's header, and an address */
};

static bool prepare_receive(struct uring_sock *s)
{
    struct uring *u = s->uring;
    unsigned g = s->group_wanted;
    if (unlikely(!u->groups[g].ring) &&
        provided_open(&u->groups[g], &u->ring, (uint16_t)g, group_sizes[g].entries, group_sizes[g].size)) {
        if (g == GROUP_DGRAM) {
            s->error = ENOMEM; /* the next pop tells, and it is tried again */
            return true;
        }
        s->group_wanted = g = GROUP_SMALL;
    }
    struct io_uring_sqe *sqe = uring_sqe(u, URING_RECV, s);
    if (!sqe) return false;
    if (s->dgram) {
        io_uring_prep_recvmsg_multishot(sqe, s->fd, &u->from, 0);
    } else {
        io_uring_prep_recv(sqe, s->fd, NULL, 0, 0);
        sqe->ioprio |= IORING_RECV_MULTISHOT;
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = (uint16_t)g;
    s->group = (uint8_t)g;
    s->receiving = true;
    s->cancelled = false;
    s->flight++;
    return true;
}

static bool prepare_accept(struct uring_sock *s)
{
    struct io_uring_sqe *sqe = uring_sqe(s->uring, URING_ACCEPT, s);
    if (!sqe) return false;
    io_uring_prep_multishot_accept(sqe, s->fd, NULL, NULL, SOCK_CLOEXEC);
    s->accepting = true;
    s->cancelled = false;
    s->flight++;
    return true;
}

static bool prepare_connect(struct uring_sock *s)
{
    struct io_uring_sqe *sqe = uring_sqe(s->uring, URING_CONNECT, s);
    if (!sqe) return false;
    io_uring_prep_poll_add(sqe, s->fd, POLLOUT);
    s->flight++;
    return true;
}

bool uring_prepare_end(struct uring_sock *s)
{
    if (s->cancelled) return true;
    struct io_uring_sqe *sqe = uring_sqe(s->uring, URING_CANCEL, NULL);
    if (!sqe) return false;
    io_uring_prep_cancel_fd(sqe, s->fd, IORING_ASYNC_CANCEL_ALL);
    s->cancelled = true;
    return true;
}

/* Nothing is received and so nothing heard: of a reset the ring is asked apart. */
static bool prepare_watch(struct uring_sock *s)
{
    struct io_uring_sqe *sqe = uring_sqe(s->uring, URING_TROUBLE, s);
    if (!sqe) return false;
    /* Errors and hang-ups are always told, and the peer's end among them: so it goes on after that. */
    io_uring_prep_poll_multishot(sqe, s->fd, 0);
    s->watched = true;
    s->flight++;
    return true;
}

static bool wants_watch(const struct uring_sock *s)
{
    return !s->dgram && !s->watched && !s->broken && s->state == URING_CONNECTED;
}

static bool prepare_listener(struct uring_sock *s)
{
    bool want = s->accepts.head && !timer_runs(&s->timer);
    if (want && !s->accepting) return prepare_accept(s);
    if (s->accepting && !s->cancelled && s->parked_count >= URING_PARKED_MAX) return prepare_cancel(s, URING_ACCEPT);
    return true;
}

bool sock_prepare(struct uring_sock *s)
{
    switch (s->state) {
    case URING_NEW: return true;
    case URING_BOUND:
        if (!s->dgram) return true; /* a connect was taken back */
        break;
    case URING_ENDING:
        if (s->flight) return uring_prepare_end(s);
        uring_sock_free(s);
        return true;
    case URING_LISTENING: return prepare_listener(s);
    case URING_CONNECTING: return s->flight || prepare_connect(s);
    default: break;
    }
    bool want = uring_wants_receive(s);
    if (!s->receiving) {
        if (want && !prepare_receive(s)) return false;
        if (!want && wants_watch(s) && !prepare_watch(s)) return false;
    } else if (unlikely(!want || s->group != s->group_wanted) && !s->cancelled) {
        if (!prepare_cancel(s, URING_RECV)) return false;
    }
    return s->dgram ? uring_dgram_prepare(s) : uring_stream_prepare(s);
}

/* --- completions --- */

static void received(struct uring_sock *s, int32_t res, uint32_t flags)
{
    struct uring *u = s->uring;
    struct provided *p = &u->groups[s->group];
    const unsigned slot = flags >> IORING_CQE_BUFFER_SHIFT;
    const bool filled = flags & IORING_CQE_F_BUFFER;
    if (unlikely(!(flags & IORING_CQE_F_MORE))) {
        s->receiving = s->cancelled = false;
        s->flight--;
        uring_dirty(s); /* it goes on, or it was the last one */
    }
    if (unlikely(res <= 0) && filled) provided_return(p, slot);
    if (unlikely(res == -ENOBUFS)) u->rx_starved++;
    if (unlikely(res == -ENOBUFS || res == -ECANCELED || res == -EINTR || res == -EAGAIN)) return;
    ASSERT(res <= 0 || filled);
    if (s->dgram) uring_dgram_received(s, res, p, slot);
    else uring_stream_received(s, res, res > 0 ? provided_take(p, slot) : NULL);
}

/* Of a socket that is closed: nobody hears of anything any more. */
static void ended_completed(struct uring_sock *s, enum uring_kind kind, int32_t res, uint32_t flags)
{
    if (kind == URING_RECV && flags & IORING_CQE_F_BUFFER)
        provided_return(&s->uring->groups[s->group], flags >> IORING_CQE_BUFFER_SHIFT);
    if (kind == URING_RECV && res > 0 && !s->dgram && !(s->st.flags & STREAM_READ_SHUT)) s->cut = true;
    if (kind == URING_ACCEPT && res >= 0) close(res);
    if (kind == URING_SEND) s->sending = false;
    if (flags & IORING_CQE_F_MORE) return;
    s->flight--;
    if (!s->flight) uring_dirty(s);
}

static void accepted(struct uring_sock *s, int32_t res, uint32_t flags)
{
    if (!(flags & IORING_CQE_F_MORE)) {
        s->accepting = s->cancelled = false;
        s->flight--;
        uring_dirty(s);
    }
    uring_accepted(s, res);
}

void sock_completed(struct uring *u, uint64_t word, int32_t res, uint32_t flags)
{
    struct uring_sock *s = (struct uring_sock *)(uintptr_t)(word & WORD_MASK);
    enum uring_kind kind = (enum uring_kind)(word >> KIND_SHIFT);
    switch (kind) {
    case URING_CANCEL: return; /* what was to be cancelled has ended by itself */
    case URING_HELD: uring_held_completed(u, (void *)s, res, flags); return;
    case URING_DGRAM: uring_dgram_sent(u, (void *)s, res); return;
    default: break;
    }
    if (unlikely(s->state == URING_ENDING)) {
        ended_completed(s, kind, res, flags);
        return;
    }
    switch (kind) {
    case URING_RECV: received(s, res, flags); break;
    case URING_SEND:
        s->flight--;
        s->sending = false;
        uring_stream_sent(s, res);
        break;
    case URING_ACCEPT: accepted(s, res, flags); break;
    case URING_TROUBLE:
        if (!(flags & IORING_CQE_F_MORE)) {
            s->flight--;
            s->watched = false;
            if (res >= 0) uring_dirty(s);
        }
        if (res > 0 && res & POLLERR) uring_stream_trouble(s);
        break;
    case URING_CONNECT:
        s->flight--;
        uring_connected(s);
        break;
    default: break;
    }
    uring_debug(s);
}

/* --- the turn --- */

static void prepare_all(struct uring *u)
{
    for (struct uring_sock *s; (s = u->dirty);) {
        uring_clean(s);
        if (likely(sock_prepare(s))) continue;
        uring_dirty(s);
        return;
    }
}

void uring_flush_now(struct uring *u)
{
    for (unsigned i = 0; i < URING_GROUPS; i++)
        if (unlikely(u->groups[i].empty_count)) provided_refill(&u->groups[i]);
    prepare_all(u);
    uring_submit(u);
}

void uring_settle(struct uring_sock *s)
{
    for (unsigned round = 0; s->dirty_link && round < SETTLE_ROUNDS; round++) {
        uring_clean(s);
        if (!sock_prepare(s)) uring_dirty(s);
        uring_hand_over(s->uring); /* and what others wait for stays where it is */
        uring_reap_of(s->uring, s);
    }
}

static void uring_flush(struct libos *l) { uring_flush_now((struct uring *)l); }

static void disarm(struct uring *u)
{
    u->armed = false;
    io_uring_cq_eventfd_toggle(&u->ring, false);
}

static unsigned uring_poll(struct libos *l)
{
    struct uring *u = (struct uring *)l;
    if (u->armed) disarm(u);
    if (likely(!uring_has_news(u))) return 0;
    if (!io_uring_cq_ready(&u->ring)) uring_submit(u);
    return uring_reap(u);
}

static void arm_barrier(void)
{ /* the switch above is written before the flags below are read; the kernel does it the other way round */
#if SANITIZE_THREAD
    atomic_uint word = 0;
    atomic_fetch_add(&word, 1); /* it knows no fences; a locked instruction is one */
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

static int uring_arm(struct libos *l)
{
    struct uring *u = (struct uring *)l;
    io_uring_cq_eventfd_toggle(&u->ring, true);
    arm_barrier();
    if (!u->dirty && !io_uring_sq_ready(&u->ring) && !uring_has_news(u)) {
        u->armed = true;
        return 0;
    }
    disarm(u);
    return -EAGAIN;
}

/* --- one socket --- */

static int uring_cancel(struct queue *q, struct op *op)
{
    struct uring_sock *s = uring_sock_of(q);
    switch (op->opcode) {
    case DEMI_OPC_ACCEPT:
        op_list_remove(&s->accepts, op);
        op_fail(&q->rt->ops, op, ECANCELED);
        return 0;
    case DEMI_OPC_CONNECT: return uring_connect_cancel(s);
    default: return stream_cancel(&q->rt->ops, &s->st, op);
    }
}

void uring_sock_check(const struct uring_sock *s)
{
    uint64_t bytes = 0, unread = 0;
    uint32_t count = 0;
    if (s->state == URING_ENDING) return;
    stream_check(&s->st, s->unread);
    ASSERT(s->out.count <= s->out.room);
    for (uint32_t i = 0; i < s->out.count && i < CHECKED_MAX; i++) bytes += seg_ring_at(&s->out, i)->n;
    ASSERT(s->dgram || s->out.count > CHECKED_MAX || bytes == s->queued - s->sent);
    ASSERT(!s->st.pushes.tail || s->dgram || s->st.pushes.tail->arg <= s->queued);
    ASSERT(!s->st.pushes.head || s->dgram || s->st.pushes.head->arg > s->sent);
    for (const struct buf *b = s->unread; b; b = b->next, count++) unread += b->len;
    ASSERT(count == s->unread_count);
    ASSERT(unread == s->unread_bytes);
    ASSERT(!s->accepts.head || s->state == URING_LISTENING);
    ASSERT(!s->connecting == (s->state != URING_CONNECTING));
    ASSERT(!s->fin_due || s->st.flags & STREAM_WRITE_SHUT);
    ASSERT(s->flight >= (uint32_t)s->receiving + s->accepting + s->watched + (s->sending && !s->dgram));
    /* What waits will be sent by the next flush, or is being sent. */
    ASSERT(!s->out.count || s->sending || s->dirty_link);
    ASSERT(!s->dgrams == !s->dgram_count);
    ASSERT(s->dgram_flight <= s->dgram_count);
}

static int uring_socket(struct libos *l, int domain, int type, int protocol, struct queue **out)
{
    struct uring *u = (struct uring *)l;
    int fd = kernel_socket(&u->defaults, domain, type, type == SOCK_STREAM ? SOCK_NONBLOCK : 0);
    if (fd < 0) return fd;
    struct uring_sock *s;
    int err = uring_sock_new(u, fd, domain, type == SOCK_DGRAM, &s);
    if (err) {
        close(fd);
        return err;
    }
    if (type == SOCK_STREAM && domain != AF_UNIX) s->linger_s = u->defaults.linger_s;
    *out = &s->q;
    return 0;
}

static int add_counters(struct uring *u)
{
    const struct counter all[] = {
        {"uring.enters", &u->enters},
        {"uring.completions", &u->completions},
        {"uring.rx_bytes", &u->rx_bytes},
        {"uring.rx_starved", &u->rx_starved},
        {"uring.tx_sends", &u->tx_sends},
        {"uring.tx_bytes", &u->tx_bytes},
        {"uring.tx_partial", &u->tx_partial},
        {"uring.zero_copies", &u->zero_copies},
        {"uring.copied_anyway", &u->copied_anyway},
        {"uring.accepted", &u->accepted},
        {"uring.connected", &u->connected},
        {"uring.accept_backoff", &u->accept_backoff},
        {"uring.resets", &u->resets},
        {"uring.push_busy", &u->push_busy},
        {"uring.close_drained", &u->close_drained},
        {"uring.close_cut", &u->close_cut},
    };
    return counters_add_all(&u->base.rt->counters, all, sizeof all / sizeof *all);
}

static int uring_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct uring *u = calloc(1, sizeof *u);
    if (!u) return -ENOMEM;
    u->base.rt = rt;
    u->dirty_tail = &u->dirty;
    list_init(&u->socks);
    list_init(&u->held);
    u->reports_copies = true;
    u->from.msg_namelen = sizeof(struct sockaddr_storage);
    kernel_defaults_read(&u->defaults, conf);
    int64_t buffers = config_int(conf, "uring.buffers", BUFFERS);
    u->small_buffers = (uint32_t)(buffers < BUFFERS_MIN ? BUFFERS_MIN : buffers > BUFFERS_MAX ? BUFFERS_MAX : buffers);
    while (u->small_buffers & (u->small_buffers - 1)) u->small_buffers &= u->small_buffers - 1; /* a power of two */
    int64_t least = config_int(conf, "uring.zero_copy_bytes", ZERO_COPY_BYTES);
    u->zero_copy_bytes = least > 0 ? (uint64_t)least : UINT64_MAX;
    int err = uring_open(u);
    if (err) goto free_uring;
    err = add_counters(u);
    if (!err) {
        *out = &u->base;
        return 0;
    }
    uring_close(u);
    counters_remove(&rt->counters, u, sizeof *u);
free_uring:
    free(u);
    return err;
}

static void uring_stop(struct libos *l)
{
    struct uring *u = (struct uring *)l;
    uring_close_all(u);
    for (unsigned i = 0; !list_is_empty(&u->socks) && i < STOP_ROUNDS; i++) {
        uring_flush_now(u);
        uring_reap(u);
        if (list_is_empty(&u->socks)) break;
        struct __kernel_timespec ms = {.tv_nsec = 1000000};
        struct io_uring_cqe *cqe;
        io_uring_wait_cqe_timeout(&u->ring, &cqe, &ms);
        uring_reap(u);
    }
    uring_close(u);
    list_for_each_safe(it, &u->socks)
    { /* the ring is closed, nobody answers any more */
        struct uring_sock *s = list_entry(it, struct uring_sock, link);
        s->flight = 0;
        uring_sock_free(s);
    }
    uring_held_abandon(u);
    counters_remove(&l->rt->counters, u, sizeof *u);
    cells_free(&u->cells);
    free(u);
}

static void uring_forget(struct libos *l)
{
    struct uring *u = (struct uring *)l;
    uring_close_copies(u);
    close(u->news.fd);
    close(u->ring.ring_fd);
}

static uint64_t uring_undrained(struct libos *l) { return uring_left((struct uring *)l); }

const struct libos_ops uring_libos = {
    .name = "uring",
    .start = uring_start,
    .stop = uring_stop,
    .forget = uring_forget,
    .undrained = uring_undrained,
    .socket = uring_socket,
    .poll = uring_poll,
    .flush = uring_flush,
    .arm = uring_arm,
};
