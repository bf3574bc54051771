/* SPDX-License-Identifier: MIT
 *
 * Bytes of stream sockets that come in.
 *
 * A receive goes on by itself (multishot): each completion is a buffer that the kernel has filled. Nobody may have
 * asked for it yet, so what comes is kept, up to URING_UNREAD_BUFS buffers; then the receive is taken back and the
 * kernel keeps the rest, until all has been popped.
 *
 * A buffer's size follows what a queue gets: one that fills it moves to the next larger ones, one that has used less
 * than a quarter SMALL_IN_A_ROW times to the smaller ones. That means taking the receive back, too, so it happens
 * between two of them.
 */
#include "libos/uring/sock.h"

#include "libos/runtime/handover.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define SMALL_IN_A_ROW 16

void uring_keep(struct uring_sock *s, struct buf *b)
{
    b->next = NULL;
    *s->unread_tail = b;
    s->unread_tail = &b->next;
    s->unread_count++;
    s->unread_bytes += b->len;
}

struct buf *uring_next_unread(struct uring_sock *s)
{
    struct buf *b = s->unread;
    s->unread = b->next;
    if (!s->unread) s->unread_tail = &s->unread;
    b->next = NULL;
    s->unread_count--;
    s->unread_bytes -= b->len;
    if (!s->receiving && !s->unread) uring_dirty(s);
    return b;
}

void uring_drop_unread(struct uring_sock *s)
{
    while (s->unread) buf_unref(uring_next_unread(s));
}

bool uring_wants_receive(const struct uring_sock *s)
{
    if (s->st.flags & (STREAM_ENDED | STREAM_FAILED) || s->error) return false;
    if (!s->receiving) return !s->unread;
    if (s->dgram) return s->unread_count < URING_UNREAD_DGRAM;
    return s->unread_count < URING_UNREAD_BUFS && s->unread_bytes < URING_UNREAD_BYTES;
}

static void adapt_group(struct uring_sock *s, uint32_t got)
{
    const uint32_t size = s->uring->groups[s->group].size;
    if (unlikely(got == size)) {
        s->group_small = 0;
        if (s->group < GROUP_BULK) s->group_wanted = (uint8_t)(s->group + 1);
    } else if (got >= size / 4) {
        s->group_small = 0;
    } else if (s->group > GROUP_SMALL && ++s->group_small >= SMALL_IN_A_ROW) {
        s->group_small = 0;
        s->group_wanted = (uint8_t)(s->group - 1);
    }
    if (unlikely(s->group_wanted != s->group)) uring_dirty(s);
}

/* Whether there will be nothing to pop but what is kept. */
static inline bool is_at_end(const struct uring_sock *s)
{
    const uint8_t flags = s->st.flags;
    return unlikely(flags & (STREAM_ENDED | STREAM_FAILED)) || (unlikely(flags & STREAM_READ_SHUT) && !s->wanted);
}

static void give_ends(struct uring_sock *s)
{
    if (!s->unread && is_at_end(s)) stream_give_ends(&s->q.rt->ops, &s->st);
}

void uring_stream_broke(struct uring_sock *s, int err)
{
    if (s->st.flags & STREAM_FAILED) return;
    s->uring->resets += err == ECONNRESET || err == EPIPE;
    if (err == EPIPE) s->st.flags |= STREAM_ENDED; /* the kernel's word for a reset behind the peer's FIN */
    s->broken = (int16_t)err;
    if (!s->sending) uring_stream_drop(s);
    stream_fail(&s->q.rt->ops, &s->st, err, s->unread);
    uring_dirty(s);
}

/* Shut down for reading: only what had come before. False: nothing of it is. */
static bool trim_to_wanted(struct uring_sock *s, struct buf *b)
{
    if (b->len > s->wanted) b->len = (uint32_t)s->wanted;
    s->wanted -= b->len;
    return b->len;
}

static void bytes_came(struct uring_sock *s, struct buf *b)
{
    if (unlikely(s->st.flags & STREAM_READ_SHUT) && !trim_to_wanted(s, b)) {
        buf_unref(b);
        return;
    }
    if (likely(s->st.pops.head)) {
        stream_give(&s->q.rt->ops, op_list_shift(&s->st.pops), b);
    } else {
        uring_keep(s, b);
        if (unlikely(!uring_wants_receive(s))) uring_dirty(s);
    }
    if (unlikely(s->st.flags & STREAM_READ_SHUT)) give_ends(s);
}

void uring_stream_received(struct uring_sock *s, int32_t res, struct buf *b)
{
    if (likely(res > 0)) {
        b->len = (uint32_t)res;
        s->uring->rx_bytes += (uint32_t)res;
        adapt_group(s, (uint32_t)res);
        if (likely(s->state != URING_CLOSING)) {
            bytes_came(s, b);
            return;
        }
        buf_unref(b);
        uring_sock_end(s, true); /* nobody waits for them: a reset, as of the kernel's own close() */
        return;
    }
    if (s->state == URING_CLOSING) {
        if (res < 0) uring_sock_end(s, true);
        else s->st.flags |= STREAM_ENDED;
        return;
    }
    s->wanted = 0;
    if (s->broken) {
        uring_stream_broke(s, s->broken);
    } else if (res < 0) {
        uring_stream_broke(s, -res);
    } else {
        s->st.flags |= STREAM_ENDED;
        give_ends(s);
    }
}

void uring_stream_trouble(struct uring_sock *s)
{
    int err = 0;
    socklen_t len = sizeof err;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err) uring_stream_mute(s, err);
}

int uring_stream_pop(struct queue *q, struct op *op)
{
    struct uring_sock *s = uring_sock_of(q);
    assert_op_given(q, op, DEMI_OPC_POP);
    if (unlikely(s->state != URING_CONNECTED)) return -ENOTCONN;
    if (s->unread) stream_give(&q->rt->ops, op, uring_next_unread(s));
    else if (is_at_end(s)) stream_give_end(&q->rt->ops, &s->st, op);
    else op_list_append(&s->st.pops, op);
    uring_debug(s);
    return 0;
}

/* What had come can still be popped. What comes from now on is thrown away: bytes nobody reads would make a reset of
 * our close. */
static void shutdown_read(struct uring_sock *s)
{
    int unread = 0;
    if (s->st.flags & STREAM_READ_SHUT) return;
    uring_submit(s->uring);
    uring_reap_of(s->uring, s);
    if (!ioctl(s->fd, FIONREAD, &unread) && unread > 0) s->wanted = (uint64_t)unread;
    s->st.flags |= STREAM_READ_SHUT;
    if (s->domain == AF_UNIX) shutdown(s->fd, SHUT_RD); /* there the peer hears of it */
    give_ends(s);
}

int uring_stream_shutdown(struct queue *q, int how)
{
    struct uring_sock *s = uring_sock_of(q);
    if (s->state != URING_CONNECTED) return -ENOTCONN;
    if (how != SHUT_WR) shutdown_read(s);
    int err = how != SHUT_RD && !(s->st.flags & STREAM_WRITE_SHUT) ? uring_shutdown_write(s) : 0;
    uring_debug(s);
    return err;
}
