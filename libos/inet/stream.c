/* SPDX-License-Identifier: MIT
 *
 * Bytes of stream sockets, in and out. Nothing is copied (but see gather()): a pushed segment becomes a view of its
 * buffer or of its pinned object, and the connection keeps it until the peer has acknowledged it; what is popped are
 * the buffers the frames came in.
 *
 * A push's operation completes when the peer has acknowledged its last byte (programs written for Demikernel depend on
 * it), or, asked with DEMI_PUSH_HANDED_OVER, at once: the stack counts the buffers, so the caller may free what it
 * pushed; it may not change it before it has left (demi_is_pinned()).
 */
#include "libos/inet/sock.h"

#include "libos/runtime/handover.h"

#include "alloc/buf.h"
#include "demi/ext.h"

#include <errno.h>

#define GATHER_MIN 32768u /* bytes of small buffers that one pop gives together */

/* --- in ----------------------------------------------------------------------------------------------------------- */

static inline void complete_pop(struct inet_sock *s, struct op *op, struct buf *b)
{
    s->inet->rx_bytes += b->len;
    stream_give(ops_of(s), op, b);
}

/* The program is behind: what waits is given together. One copy costs less than a token a frame, and a program that
 * answers each pop, and waits for its answer's acknowledgement, must not do so for every 1,448 bytes. */
static struct buf *gather(struct inet_sock *s, struct buf *head)
{
    uint32_t total = head->len;
    struct buf **tail = &head->next;
    for (struct buf *b; total < GATHER_MIN && (b = conn_pop(s->conn)); tail = &b->next) {
        *tail = b;
        total += b->len;
    }
    struct buf *whole = buf_take(total);
    if (unlikely(!whole)) { /* one by one, then */
        s->rest = head->next;
        head->next = NULL;
        return head;
    }
    buf_chain_copy(head, 0, buf_put_back(whole, total), total);
    buf_unref(head);
    return whole;
}

static struct buf *stream_take(struct inet_sock *s)
{
    struct buf *b = s->rest;
    if (likely(!b)) {
        b = s->state == SOCK_CONNECTED ? conn_pop(s->conn) : NULL;
        if (!b || b->len >= GATHER_MIN || likely(!conn_readable(s->conn)) || s->st.pops.head) return b;
        return gather(s, b);
    }
    s->rest = b->next;
    b->next = NULL;
    return b;
}

static bool is_at_end(struct inet_sock *s)
{
    if (s->state == SOCK_CONNECTED && conn_ended(s->conn)) s->st.flags |= STREAM_ENDED;
    return stream_is_at_end(&s->st);
}

/* Answers op from what is there; false: nothing is. */
static bool answer(struct inet_sock *s, struct op *op)
{
    struct buf *b = stream_take(s);
    if (likely(b)) {
        complete_pop(s, op, b);
        return true;
    }
    if (!is_at_end(s)) return false;
    stream_give_end(ops_of(s), &s->st, op);
    return true;
}

void inet_stream_readable(struct inet_sock *s)
{
    for (struct op *op; (op = s->st.pops.head);) {
        op_list_remove(&s->st.pops, op);
        if (answer(s, op)) continue;
        op->next = s->st.pops.head; /* back to where it was */
        op->prev = NULL;
        if (s->st.pops.head) s->st.pops.head->prev = op;
        else s->st.pops.tail = op;
        s->st.pops.head = op;
        return;
    }
}

/* A pop that waits has found the queue empty, and s->rest. */
bool inet_stream_data(void *sock, struct buf *b)
{
    struct inet_sock *s = sock;
    struct op *op = s->st.pops.head;
    if (unlikely(!op)) return false;
    op_list_remove(&s->st.pops, op);
    complete_pop(s, op, b);
    return true;
}

int inet_stream_pop(struct queue *q, struct op *op)
{
    struct inet_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_POP);
    if (unlikely(s->state < SOCK_CONNECTED)) return -ENOTCONN;
    if (!s->st.pops.head && answer(s, op)) {
        /* a window to tell of */
        if (s->state == SOCK_CONNECTED && stack_wants_flush(s->inet->stack)) runtime_want_flush(q->rt);
        return 0;
    }
    op_list_append(&s->st.pops, op);
    return 0;
}

/* --- out ---------------------------------------------------------------------------------------------------------- */

/* A view of the segment, which has been let go of. NULL: no memory, and it is held as before. */
static struct buf *buf_of_seg(struct seg *seg)
{
    struct buf *b = seg->hold, *view;
    if (seg->kind != SEG_BUF) return seg_take_view(seg);
    if (b->refs == 1 && b->data == (const uint8_t *)seg->p && b->len == seg->n && !b->next) {
        seg->kind = SEG_NONE; /* a copy made for this push: the reference itself */
        return b;
    }
    view = buf_slice(b, (size_t)((const uint8_t *)seg->p - b->data), seg->n);
    if (view) seg_release(seg);
    return view;
}

struct buf *inet_chain_of_segs(struct seg *segs, unsigned count)
{
    struct buf *head = NULL, **tail = &head;
    for (unsigned i = 0; i < count; i++) {
        struct buf *b = buf_of_seg(&segs[i]);
        if (unlikely(!b)) {
            if (head) buf_unref(head);
            for (; i < count; i++) seg_release(&segs[i]);
            return NULL;
        }
        *tail = b;
        tail = &b->next;
    }
    return head;
}

static uint64_t total_of(const struct seg *segs, unsigned count)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < count; i++) n += segs[i].n;
    return n;
}

static inline int may_push(const struct inet_sock *s)
{
    return likely(s->state >= SOCK_CONNECTED) ? stream_may_push(&s->st) : -ENOTCONN;
}

static int push_refuse(struct inet_sock *s)
{
    s->inet->push_busy++;
    return -EBUSY;
}

int inet_stream_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                     socklen_t size, unsigned flags)
{
    struct inet_sock *s = sock_of(q);
    assert_push_given(q, op, segs, count, flags);
    int err = may_push(s);
    if (unlikely(err)) return err;
    uint64_t end, total = total_of(segs, count);
    if (unlikely(conn_queued(s->conn) - conn_acked(s->conn) + total > INET_PUSHED_MAX)) return push_refuse(s);
    struct buf *chain = inet_chain_of_segs(segs, count);
    if (unlikely(!chain)) return -ENOMEM;
    err = conn_push(s->conn, chain, &end);
    if (unlikely(err)) {
        buf_unref(chain);
        return err == -EBUSY ? push_refuse(s) : err;
    }
    s->inet->tx_bytes += total;
    if (unlikely(flags & DEMI_PUSH_MORE)) conn_expect_more(s->conn);
    runtime_need_flush(q->rt);
    if (!op) return 0;
    if (flags & DEMI_PUSH_HANDED_OVER) {
        op_complete_plain(ops_of(s), op, 0);
        return 0;
    }
    stream_await(&s->st, op, end);
    inet_sock_debug(s);
    return 0;
}

int inet_stream_push_copy(struct queue *q, const void *p, uint32_t n)
{
    struct inet_sock *s = sock_of(q);
    assert_copy_given(p, n);
    int err = may_push(s);
    if (unlikely(err)) return err;
    int before = errno;
    err = conn_push_copy(s->conn, p, n, NULL);
    errno = before;
    if (unlikely(err)) return err == -EBUSY ? push_refuse(s) : err;
    s->inet->tx_bytes += n;
    runtime_need_flush(q->rt);
    return 0;
}

void inet_stream_acked(struct inet_sock *s) { stream_passed(ops_of(s), &s->st, conn_acked(s->conn)); }

/* --- ends --------------------------------------------------------------------------------------------------------- */

/* What was received and not popped becomes ours. */
static void keep_rest(struct inet_sock *s)
{
    struct buf **tail = &s->rest;
    while (*tail) tail = &(*tail)->next;
    for (struct buf *b; (b = conn_pop(s->conn));) {
        *tail = b;
        tail = &b->next;
    }
}

/* The last that is heard of the connection; err 0: both sides have ended in order. */
void inet_stream_closed(struct inet_sock *s, int err)
{
    inet_stream_acked(s);
    inet_stream_readable(s);
    keep_rest(s);
    if (!err || conn_ended(s->conn)) s->st.flags |= STREAM_ENDED;
    conn_set_user(s->conn, NULL);
    conn_close(s->conn, NSEC_NEVER);
    s->conn = NULL;
    s->state = SOCK_ENDED;
    s->inet->resets += err == ECONNRESET || err == EPIPE;
    stream_fail(ops_of(s), &s->st, err ? err : EPIPE, s->rest);
    inet_sock_debug(s);
}

int inet_stream_shutdown(struct queue *q, int how)
{
    struct inet_sock *s = sock_of(q);
    if (s->state != SOCK_CONNECTED) return -ENOTCONN;
    if (how != SHUT_WR && !(s->st.flags & STREAM_READ_SHUT)) {
        keep_rest(s); /* can still be popped; what comes from now on is dropped */
        conn_shutdown_read(s->conn);
        s->st.flags |= STREAM_READ_SHUT;
        inet_stream_readable(s);
    }
    if (how == SHUT_RD || s->st.flags & STREAM_WRITE_SHUT) return 0;
    int err = conn_shutdown(s->conn);
    if (err) return err;
    s->st.flags |= STREAM_WRITE_SHUT;
    runtime_need_flush(q->rt);
    inet_sock_debug(s);
    return 0;
}

size_t inet_stream_unsent(struct queue *q)
{
    struct inet_sock *s = sock_of(q);
    return s->state == SOCK_CONNECTED ? conn_queued(s->conn) - conn_sent(s->conn) : 0;
}
