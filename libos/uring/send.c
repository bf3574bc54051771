/* SPDX-License-Identifier: MIT
 *
 * Bytes of stream sockets that go out. Pushes append to `out`; the flush makes one request of what all pushes of the
 * turn left there, and the next one when that is answered: so order is kept, and a part that the kernel did not take
 * goes first. A request that finds no room waits in the kernel. What it points to stays until it is answered.
 */
#include "libos/uring/sock.h"

#include "libos/runtime/handover.h"

#include "demi/ext.h"

#include <errno.h>
#include <sys/socket.h>

static inline void let_go_of(struct uring_sock *s, struct seg *seg)
{
    if (unlikely(s->held)) uring_held_finish(s);
    else if (seg->kind == SEG_OWN) cell_give(&s->uring->cells, seg->hold);
    else seg_release(seg);
}

/* n bytes have gone. */
static void consume(struct uring_sock *s, size_t n)
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
        let_go_of(s, seg);
        seg_ring_shift(r);
    }
}

void uring_stream_drop(struct uring_sock *s)
{
    DASSERT(!s->sending);
    for (; s->out.count; seg_ring_shift(&s->out)) let_go_of(s, seg_ring_at(&s->out, 0));
    seg_ring_free(&s->out);
    s->sent = s->queued;
}

static int may_push(const struct uring_sock *s)
{
    if (unlikely(s->state != URING_CONNECTED)) return -ENOTCONN;
    int err = stream_may_push(&s->st);
    return err || likely(!s->broken) ? err : -s->broken;
}

int uring_stream_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                      socklen_t size, unsigned flags)
{
    struct uring_sock *s = uring_sock_of(q);
    assert_push_given(q, op, segs, count, flags);
    int err = may_push(s);
    if (unlikely(err)) return err;
    if (unlikely(s->out.count + count > URING_UNSENT_MAX)) {
        s->uring->push_busy++;
        return -EBUSY;
    }
    if (!seg_ring_reserve(&s->out, count)) return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        *seg_ring_at(&s->out, s->out.count++) = segs[i];
        s->queued += segs[i].n;
    }
    if (unlikely(flags & DEMI_PUSH_MORE)) s->more_at = s->queued;
    if (op) stream_await(&s->st, op, s->queued);
    if (!s->sending) uring_dirty(s);
    uring_debug(s);
    return 0;
}

int uring_stream_push_copy(struct queue *q, const void *p, uint32_t n)
{
    struct uring_sock *s = uring_sock_of(q);
    assert_copy_given(p, n);
    int err = may_push(s);
    if (unlikely(err)) return err;
    if (!cell_extend(&s->out, p, n)) {
        if (unlikely(s->out.count >= URING_UNSENT_MAX)) {
            s->uring->push_busy++;
            return -EBUSY;
        }
        err = cell_append(&s->uring->cells, &s->out, p, n);
        if (unlikely(err)) return err;
    }
    s->queued += n;
    if (!s->sending) uring_dirty(s);
    return 0;
}

/* Whether its bytes may leave without a copy: they lie still until somebody lets go of them. */
static inline bool is_worth_holding(const struct uring_sock *s, const struct seg *seg)
{
    return unlikely(seg->n >= s->uring->zero_copy_bytes) && seg->kind != SEG_OWN && !s->copies;
}

static unsigned gather(const struct uring_sock *s)
{
    unsigned count = 1;
    while (count < s->out.count && count < URING_GATHER_MAX && !is_worth_holding(s, seg_ring_at(&s->out, count)))
        count++;
    return count;
}

static bool prepare_message(struct uring_sock *s, unsigned count, int flags)
{
    struct msghdr *m = uring_msg(s->uring, count);
    struct io_uring_sqe *sqe = m ? uring_sqe(s->uring, URING_SEND, s) : NULL;
    if (!sqe) return false;
    for (unsigned i = 0; i < count; i++) {
        const struct seg *seg = seg_ring_at(&s->out, i);
        m->msg_iov[i] = (struct iovec){.iov_base = (void *)(uintptr_t)seg->p, .iov_len = seg->n};
    }
    m->msg_iovlen = count;
    io_uring_prep_sendmsg(sqe, s->fd, m, (unsigned)flags);
    return true;
}

static bool prepare_one(struct uring_sock *s, const struct seg *seg, int flags)
{
    struct io_uring_sqe *sqe = uring_sqe(s->uring, URING_SEND, s);
    if (!sqe) return false;
    io_uring_prep_send(sqe, s->fd, seg->p, seg->n, flags);
    return true;
}

bool uring_stream_prepare(struct uring_sock *s)
{
    if (s->sending || !s->out.count || s->broken) return true;
    struct seg *first = seg_ring_at(&s->out, 0);
    int flags = MSG_NOSIGNAL | (unlikely(s->more_at == s->queued) ? MSG_MORE : 0);
    unsigned count = gather(s);
    bool prepared = is_worth_holding(s, first) ? uring_held_prepare(s, first, flags)
                    : count == 1               ? prepare_one(s, first, flags)
                                               : prepare_message(s, count, flags);
    if (!prepared) return false;
    s->uring->tx_sends++;
    s->sending = true;
    s->flight++;
    return true;
}

/* What the peer had sent before it broke the connection goes to who waits: the receive brings it and then its end, by
 * which readers are told (uring_stream_received). Writers hear of it now. */
void uring_stream_mute(struct uring_sock *s, int err)
{
    if (s->state == URING_CLOSING) {
        uring_sock_end(s, true);
        return;
    }
    if (!s->broken) s->broken = (int16_t)err;
    if (s->st.flags & (STREAM_ENDED | STREAM_FAILED)) {
        if (!s->sending) uring_stream_drop(s);
        uring_stream_broke(s, s->broken);
        return;
    }
    if (!s->sending) uring_stream_drop(s);
    op_fail_all(&s->q.rt->ops, &s->st.pushes, s->broken);
    shutdown(s->fd, SHUT_RD); /* whatever failed: the receive ends */
    uring_dirty(s);
}

void uring_stream_sent(struct uring_sock *s, int32_t res)
{
    if (unlikely(res < 0)) {
        if (res == -EINTR || res == -EAGAIN) uring_dirty(s);
        else uring_stream_mute(s, -res);
        return;
    }
    s->uring->tx_bytes += (uint32_t)res;
    s->sent += (uint32_t)res;
    consume(s, (uint32_t)res);
    stream_passed(&s->q.rt->ops, &s->st, s->sent);
    if (unlikely(s->broken)) {
        uring_stream_drop(s); /* it broke meanwhile */
    } else if (unlikely(s->out.count)) {
        s->uring->tx_partial++;
        uring_dirty(s);
    } else if (unlikely(s->fin_due)) {
        s->fin_due = false;
        shutdown(s->fd, SHUT_WR);
    }
    if (unlikely(s->state == URING_CLOSING)) uring_closing_moved(s);
}

int uring_shutdown_write(struct uring_sock *s)
{
    s->st.flags |= STREAM_WRITE_SHUT;
    if (!s->out.count) return shutdown(s->fd, SHUT_WR) ? -errno : 0;
    s->fin_due = true; /* uring_stream_sent() ends the direction once the rest is gone */
    uring_settle(s);
    return 0;
}
