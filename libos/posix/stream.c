/* SPDX-License-Identifier: MIT
 *
 * Bytes of stream sockets, in and out. sock.h says how both are thought.
 */
#include "libos/posix/sock.h"

#include "libos/runtime/handover.h"

#include "alloc/base/sanitize.h"
#include "alloc/buf.h"
#include "alloc/heap.h"
#include "demi/ext.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GATHER_MAX     256 /* pieces a call; the kernel's own limit is 1,024 */
#define SMALL_IN_A_ROW 16

/* --- in --- */

/* A queue that fills its buffer gets a bigger one at once; one that has used less than a quarter
 * of it SMALL_IN_A_ROW times, a smaller one. Small ones come from the heap's cache and touch
 * fewer pages. */
static void adapt(struct posix_sock *s, size_t got)
{
    if (got == s->recv_size) {
        s->recv_small = 0;
        if (s->recv_size < POSIX_RECV_START) s->recv_size = POSIX_RECV_START;
        else if (s->recv_size < POSIX_RECV_MAX) s->recv_size *= 2;
    } else if (got >= s->recv_size / 4) {
        s->recv_small = 0;
    } else if (s->recv_size > POSIX_RECV_MIN && ++s->recv_small >= SMALL_IN_A_ROW) {
        s->recv_small = 0;
        s->recv_size = got < POSIX_RECV_MIN / 2 ? POSIX_RECV_MIN : s->recv_size / 2;
    }
}

/* The bare system calls: in a process with threads libc's recv() and send() are cancellation points, which costs as
 * much as the library does for a request (4 % of one over a Unix socket, 2026-11-21). ThreadSanitizer has to see
 * libc's. */
static inline ssize_t kernel_recv(int fd, void *p, size_t n)
{
#if SANITIZE_THREAD
    return recv(fd, p, n, 0);
#else
    return syscall(SYS_recvfrom, fd, p, n, 0, NULL, NULL);
#endif
}

static inline ssize_t kernel_send(int fd, const void *p, size_t n, int flags)
{
#if SANITIZE_THREAD
    return send(fd, p, n, flags);
#else
    return syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
#endif
}

static void stream_broke(struct posix_sock *s, int err);
static void receive_rest(struct posix_sock *s);

/* How much the next receive may ask for: shut down for reading, what had come before and no more. */
static inline uint32_t receive_size(const struct posix_sock *s)
{
    if (likely(!(s->st.flags & STREAM_READ_SHUT)) || s->unread > s->recv_size) return s->recv_size;
    return s->unread;
}

/* Answers one pop. False: nothing there any more. */
static bool receive_one(struct posix_sock *s)
{
    struct posix *p = s->posix;
    struct op_table *ops = &s->q.rt->ops;
    uint32_t size = receive_size(s);
    struct buf *b = buf_take(size);
    if (unlikely(!b)) {
        op_fail(ops, op_list_shift(&s->st.pops), ENOMEM);
        return true;
    }
    ssize_t n = kernel_recv(s->watch.fd, b->data, size);
    p->rx_calls++;
    if (likely(n > 0)) {
        p->rx_bytes += (uint64_t)n;
        b->len = (uint32_t)n;
        if ((size_t)n < size && !s->hung_up) s->readable = false;
        if (unlikely(s->unread)) s->unread -= (uint32_t)n;
        adapt(s, (size_t)n);
        stream_give(ops, op_list_shift(&s->st.pops), b);
        return true;
    }
    int err = errno;
    buf_unref(b);
    if (n == 0) {
        s->hung_up = true;
        s->st.flags |= STREAM_ENDED;
        stream_give_ends(ops, &s->st);
        return false;
    }
    if (err == EAGAIN || err == EINTR) {
        p->rx_empty++;
        s->readable = err == EINTR;
        return s->readable;
    }
    stream_broke(s, err);
    return false;
}

/* Whether a pop is answered without asking the kernel. */
static inline bool is_at_end(const struct posix_sock *s)
{
    const uint8_t flags = s->st.flags;
    return unlikely(flags & (STREAM_ENDED | STREAM_FAILED)) || (unlikely(flags & STREAM_READ_SHUT) && !s->unread);
}

/* Shut down for reading, the kernel keeps what comes: bytes nobody reads would make a reset of our close. As many
 * rounds as its largest buffer has. */
static void discard(struct posix_sock *s)
{
    for (int i = 0; i < 64 && s->readable; i++) {
        char some[4096];
        ssize_t n = recv(s->watch.fd, s->domain == AF_UNIX ? some : NULL, s->domain == AF_UNIX ? sizeof some : 1 << 20,
                         MSG_DONTWAIT | (s->domain == AF_UNIX ? 0 : MSG_TRUNC));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) s->readable = false;
        if (n < 0 && errno != EAGAIN) stream_broke(s, errno);
    }
}

void posix_stream_receive(struct posix_sock *s)
{
    if (unlikely(is_at_end(s))) {
        if (s->tail) receive_rest(s);
        stream_give_ends(&s->q.rt->ops, &s->st);
        if ((s->st.flags & (STREAM_READ_SHUT | STREAM_ENDED | STREAM_FAILED)) == STREAM_READ_SHUT) discard(s);
        return;
    }
    while (s->st.pops.head && s->readable && receive_one(s))
        ;
}

int posix_stream_pop(struct queue *q, struct op *op)
{
    struct posix_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_POP);
    if (unlikely(s->state != SOCK_CONNECTED)) return -ENOTCONN;
    op_list_append(&s->st.pops, op);
    if (s->readable || unlikely(s->st.flags)) posix_stream_receive(s);
    sock_debug(s);
    return 0;
}

/* --- out --- */

static inline void let_go(struct posix_sock *s, struct seg *seg)
{
    if (seg->kind == SEG_OWN) cell_give(&s->posix->cells, seg->hold);
    else seg_release(seg);
}

/* n bytes have gone. */
static void consume(struct posix_sock *s, size_t n)
{
    struct seg_ring *r = &s->out;
    while (n) {
        struct seg *seg = seg_ring_at(r, 0);
        if (n < seg->n) {
            seg->p += n;
            seg->n -= (uint32_t)n;
            return;
        }
        n -= seg->n;
        let_go(s, seg);
        seg_ring_shift(r);
    }
}

void posix_stream_drop(struct posix_sock *s)
{
    for (; s->out.count; seg_ring_shift(&s->out)) let_go(s, seg_ring_at(&s->out, 0));
    seg_ring_free(&s->out);
    s->sent = s->queued;
}

int posix_stream_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                      socklen_t size, unsigned flags)
{
    struct posix_sock *s = sock_of(q);
    assert_push_given(q, op, segs, count, flags);
    if (unlikely(s->state != SOCK_CONNECTED)) return -ENOTCONN;
    int err = stream_may_push(&s->st);
    if (unlikely(err)) return err;
    if (unlikely(s->out.count + count > POSIX_UNSENT_MAX)) {
        s->posix->push_busy++;
        return -EBUSY;
    }
    if (!seg_ring_reserve(&s->out, count)) return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        *seg_ring_at(&s->out, s->out.count++) = segs[i];
        s->queued += segs[i].n;
    }
    if (unlikely(flags & DEMI_PUSH_MORE)) s->more_at = s->queued;
    if (op) stream_await(&s->st, op, s->queued);
    if (!s->blocked) sock_dirty(s);
    sock_debug(s);
    return 0;
}

int posix_stream_push_copy(struct queue *q, const void *p, uint32_t n)
{
    struct posix_sock *s = sock_of(q);
    assert_copy_given(p, n);
    if (unlikely(s->state != SOCK_CONNECTED)) return -ENOTCONN;
    int err = stream_may_push(&s->st);
    if (unlikely(err)) return err;
    if (!cell_extend(&s->out, p, n)) {
        if (unlikely(s->out.count >= POSIX_UNSENT_MAX)) {
            s->posix->push_busy++;
            return -EBUSY;
        }
        err = cell_append(&s->posix->cells, &s->out, p, n);
        if (unlikely(err)) return err;
    }
    s->queued += n;
    if (!s->blocked) sock_dirty(s);
    return 0;
}

static ssize_t send_some(struct posix_sock *s)
{
    struct seg_ring *r = &s->out;
    int flags = MSG_NOSIGNAL | (unlikely(s->more_at == s->queued) ? MSG_MORE : 0);
    s->posix->tx_calls++;
    if (r->count == 1) return kernel_send(s->watch.fd, seg_ring_at(r, 0)->p, seg_ring_at(r, 0)->n, flags);
    struct iovec iov[GATHER_MAX];
    struct msghdr msg = {.msg_iov = iov};
    for (uint32_t i = 0; i < r->count && i < GATHER_MAX; i++) {
        struct seg *seg = seg_ring_at(r, i);
        iov[msg.msg_iovlen++] = (struct iovec){.iov_base = (void *)(uintptr_t)seg->p, .iov_len = seg->n};
    }
    return sendmsg(s->watch.fd, &msg, flags);
}

/* What the peer had sent before it broke the connection goes to who waits: the kernel keeps it. */
static void receive_rest(struct posix_sock *s)
{
    s->tail = !(s->st.flags & STREAM_READ_SHUT);
    while (s->st.pops.head && s->tail) {
        struct buf *b = buf_take(s->recv_size);
        ssize_t n = b ? kernel_recv(s->watch.fd, b->data, s->recv_size) : -1;
        if (n <= 0) {
            buf_unref(b);
            s->tail = false;
            return;
        }
        b->len = (uint32_t)n;
        s->posix->rx_bytes += (uint64_t)n;
        stream_give(&s->q.rt->ops, op_list_shift(&s->st.pops), b);
    }
}

/* By a reset, or what else a call has told us: everybody who waits hears of it. EPIPE is the kernel's word for a reset
 * behind the peer's FIN. */
static void stream_broke(struct posix_sock *s, int err)
{
    s->posix->resets += err == ECONNRESET || err == EPIPE;
    s->hung_up = true;
    if (err == EPIPE) s->st.flags |= STREAM_ENDED;
    posix_stream_drop(s);
    stream_fail(&s->q.rt->ops, &s->st, err, false);
}

/* Pushes and pops to come hear of it although nobody has asked the kernel meanwhile, as on every libOS. */
void posix_stream_error(struct posix_sock *s)
{
    int err = 0;
    socklen_t len = sizeof err;
    if (s->st.flags & STREAM_FAILED) return;
    if (getsockopt(s->watch.fd, SOL_SOCKET, SO_ERROR, &err, &len) || !err) return;
    receive_rest(s);
    stream_broke(s, err);
}

static void set_blocked(struct posix_sock *s, bool blocked)
{
    if (s->blocked == blocked) return;
    s->blocked = blocked;
    s->posix->tx_blocked += blocked;
    sock_watch(s, EPOLLIN | EPOLLRDHUP | (blocked ? (uint32_t)EPOLLOUT : 0));
}

void posix_stream_send(struct posix_sock *s)
{
    struct op_table *ops = &s->q.rt->ops;
    while (s->out.count) {
        ssize_t n = send_some(s);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) {
                set_blocked(s, true);
                return;
            }
            int err = errno;
            receive_rest(s);
            stream_broke(s, err);
            break;
        }
        s->posix->tx_bytes += (uint64_t)n;
        s->sent += (uint64_t)n;
        consume(s, (size_t)n);
        stream_passed(ops, &s->st, s->sent);
        s->posix->tx_partial += s->out.count != 0;
    }
    set_blocked(s, false);
    if (unlikely(s->fin_due)) {
        s->fin_due = false;
        shutdown(s->watch.fd, SHUT_WR);
    }
}

static int shutdown_write(struct posix_sock *s)
{
    s->st.flags |= STREAM_WRITE_SHUT;
    if (s->out.count) posix_stream_send(s);
    s->fin_due = s->out.count; /* posix_stream_send() ends the direction once the rest is gone */
    return s->fin_due || !shutdown(s->watch.fd, SHUT_WR) ? 0 : -errno;
}

/* What had come can still be popped. What comes from now on is thrown away, on the kernel's side by us. */
static void shutdown_read(struct posix_sock *s)
{
    int unread = 0;
    if (s->st.flags & STREAM_READ_SHUT) return;
    if (!ioctl(s->watch.fd, FIONREAD, &unread) && unread > 0) s->unread = (uint32_t)unread;
    s->st.flags |= STREAM_READ_SHUT;
    s->readable = true;
    if (s->domain == AF_UNIX) shutdown(s->watch.fd, SHUT_RD); /* there the peer hears of it */
    posix_stream_receive(s);
}

int posix_stream_shutdown(struct queue *q, int how)
{
    struct posix_sock *s = sock_of(q);
    if (s->state != SOCK_CONNECTED) return -ENOTCONN;
    if (how != SHUT_WR) shutdown_read(s);
    int err = how != SHUT_RD && !(s->st.flags & STREAM_WRITE_SHUT) ? shutdown_write(s) : 0;
    sock_debug(s);
    return err;
}
