/* SPDX-License-Identifier: MIT
 *
 * Datagrams. Those of a turn leave as one chain of linked requests, so that they stay in order; where one of them
 * fails, the kernel gives back those behind it, and they go again. Out: with the flush, or when a chain is full. In: a
 * receive that goes on (multishot), which puts header, sender and bytes into one buffer:
 *
 *     struct io_uring_recvmsg_out | sender, msg_namelen bytes | payload
 *
 * A short one is copied into a buffer of its size. Who sent it stands in front of its bytes until it is popped.
 */
#include "libos/uring/sock.h"

#include "libos/runtime/address.h"
#include "libos/runtime/handover.h"

#include "alloc/heap.h"
#include "demi/ext.h"

#include <errno.h>
#include <sys/un.h>

#define DGRAM_WAITING_MAX 1024 /* a socket, then EBUSY */
#define DGRAM_CHAIN_MAX   64

struct uring_dgram {
    struct uring_dgram *next;
    struct uring_sock *sock;
    struct op *op;           /* or NULL */
    struct sockaddr_un addr; /* the longest address there is */
    struct msghdr msg;
    uint32_t bytes;
    unsigned count;
    struct iovec iov[DEMI_PUSHV_MAX];
    struct seg segs[];
};
static_assert(sizeof(struct sockaddr_un) >= sizeof(struct sockaddr_in6), "any address fits");
static_assert(sizeof(struct sockaddr_in) <= BUF_HEADROOM, "a sender's address fits in front of the bytes");

struct uring_sock *uring_dgram_sock(const struct uring_dgram *d) { return d->sock; }

static void finish_dgram(struct uring_sock *s, struct op *op, int err)
{
    if (op) op_list_remove(&s->st.pushes, op);
    if (op && err) op_fail(&s->q.rt->ops, op, err);
    else if (op) op_complete_plain(&s->q.rt->ops, op, 0);
    else if (err) s->error = err;
}

int uring_dgram_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                     socklen_t size, unsigned flags)
{
    struct uring_sock *s = uring_sock_of(q);
    assert_push_given(q, op, segs, count, flags);
    int err = 0;
    if (addr) err = address_check(addr, size, s->domain);
    else if (s->state != URING_CONNECTED) err = -ENOTCONN;
    if (err) return err;
    if (s->dgram_count == DGRAM_WAITING_MAX) {
        s->uring->push_busy++;
        return -EBUSY;
    }
    struct uring_dgram *d = heap_alloc(sizeof *d + count * sizeof *segs);
    if (!d) return -ENOMEM;
    *d = (struct uring_dgram){.sock = s, .op = op, .count = count};
    d->msg = (struct msghdr){.msg_iov = d->iov, .msg_iovlen = count};
    if (addr) {
        memcpy(&d->addr, addr, size);
        d->msg.msg_name = &d->addr;
        d->msg.msg_namelen = size;
    }
    for (unsigned i = 0; i < count; i++) {
        d->segs[i] = segs[i];
        d->iov[i] = (struct iovec){.iov_base = (void *)(uintptr_t)segs[i].p, .iov_len = segs[i].n};
        d->bytes += segs[i].n;
    }
    *s->dgram_tail = d;
    s->dgram_tail = &d->next;
    s->dgram_count++;
    s->queued += d->bytes;
    if (op) {
        op->arg = 0; /* datagrams have no place in a stream */
        op_list_append(&s->st.pushes, op);
    }
    if (s->state == URING_NEW) s->state = URING_BOUND; /* the kernel gives it a port: answers may be popped */
    uring_dirty(s);
    if (s->dgram_count % DGRAM_CHAIN_MAX == 0) uring_settle(s);
    return 0;
}

bool uring_dgram_prepare(struct uring_sock *s)
{
    struct uring *u = s->uring;
    if (s->dgram_flight || !s->dgrams) return true;
    uint32_t count = s->dgram_count < DGRAM_CHAIN_MAX ? s->dgram_count : DGRAM_CHAIN_MAX;
    if (io_uring_sq_space_left(&u->ring) < count) uring_submit(u); /* a chain is submitted whole */
    if (io_uring_sq_space_left(&u->ring) < count) return false;
    for (struct uring_dgram *d = s->dgrams; count--; d = d->next) {
        struct io_uring_sqe *sqe = uring_sqe(u, URING_DGRAM, d);
        ASSERT(sqe);
        io_uring_prep_sendmsg(sqe, s->fd, &d->msg, MSG_NOSIGNAL);
        if (count) sqe->flags |= IOSQE_IO_LINK;
        s->flight++;
        s->dgram_flight++;
        u->tx_sends++;
    }
    return true;
}

/* It leaves the list; err 0: it was sent. */
static void leave(struct uring_sock *s, struct uring_dgram *d, int err)
{
    struct uring_dgram **at = &s->dgrams;
    while (*at != d) at = &(*at)->next; /* the first but where one behind it ended first */
    *at = d->next;
    if (s->dgram_tail == &d->next) s->dgram_tail = at;
    s->dgram_count--;
    s->sent += d->bytes;
    for (unsigned i = 0; i < d->count; i++) seg_release(&d->segs[i]);
    finish_dgram(s, d->op, err);
    heap_free(d);
}

void uring_dgram_sent(struct uring *u, struct uring_dgram *d, int32_t res)
{
    struct uring_sock *s = d->sock;
    ASSERT(s->dgram_flight > 0 && s->flight > 0);
    s->dgram_flight--;
    s->flight--;
    if (s->state == URING_ENDING) {
        leave(s, d, ECANCELED);
        if (!s->flight) uring_dirty(s);
        return;
    }
    if (res >= 0) {
        u->tx_bytes += (uint32_t)res;
        leave(s, d, 0);
    } else if (res != -ECANCELED && res != -EAGAIN && res != -EINTR) {
        leave(s, d, -res);
    } /* else one in front of it has failed: it goes again */
    if (s->dgrams && !s->dgram_flight) uring_dirty(s);
    if (s->state == URING_CLOSING) uring_closing_moved(s);
    uring_debug(s);
}

void uring_dgram_drop(struct uring_sock *s)
{
    ASSERT(!s->dgram_flight);
    while (s->dgrams) leave(s, s->dgrams, ECANCELED);
}

void uring_dgram_cancel(struct uring_sock *s)
{
    for (struct uring_dgram *d = s->dgrams; d; d = d->next) {
        if (!d->op) continue;
        op_list_remove(&s->st.pushes, d->op);
        op_fail(&s->q.rt->ops, d->op, ECANCELED);
        d->op = NULL;
    }
}

int uring_dgram_shutdown(struct queue *q, int how)
{
    struct uring_sock *s = uring_sock_of(q);
    if (s->state != URING_CONNECTED) return -ENOTCONN;
    if (how != SHUT_RD && s->dgrams) uring_settle(s);
    return shutdown(s->fd, how) ? -errno : 0;
}

/* --- in --- */

static struct sockaddr_in *sender_of(const struct buf *b) { return (struct sockaddr_in *)b->base; }

static void complete_pop(struct op_table *ops, struct op *op, struct buf *b)
{
    memset(&op->value, 0, sizeof op->value);
    op->value.sga = (demi_sgarray_t){.sga_buf = b, .sga_numsegs = 1, .sga_segs = {{b->data, b->len}}};
    memcpy(&op->value.sga.sga_addr, sender_of(b), sizeof op->value.sga.sga_addr);
    op_complete(ops, op);
}

/* The program learns a sender's address where that is of IPv4, and its family else. */
static void note_sender(struct buf *b, const struct io_uring_recvmsg_out *o)
{
    struct sockaddr_in from = {0};
    const void *name = o + 1;
    if (o->namelen >= sizeof from.sin_family) memcpy(&from.sin_family, name, sizeof from.sin_family);
    if (from.sin_family == AF_INET && o->namelen >= sizeof from) memcpy(&from, name, sizeof from);
    memcpy(sender_of(b), &from, sizeof from);
}

/* NULL: no memory. */
static struct buf *payload_of(const struct uring *u, uint32_t got, struct provided *p, unsigned slot)
{
    const struct buf *whole = p->slots[slot];
    const struct io_uring_recvmsg_out *o = (const void *)whole->data;
    const uint32_t front = sizeof *o + u->from.msg_namelen;
    ASSERT(got >= front && got <= p->size);
    const uint32_t n = o->payloadlen < got - front ? o->payloadlen : got - front;
    struct buf *b;
    if (n <= BUF_SMALL_SIZE) {
        b = buf_take(n);
        if (b && n) memcpy(b->data, whole->data + front, n);
        if (b) note_sender(b, o);
        provided_return(p, slot);
    } else {
        b = provided_take(p, slot);
        note_sender(b, o);
        b->data += front;
    }
    if (b) b->len = n;
    return b;
}

static void failed(struct uring_sock *s, int err)
{
    struct op *op = op_list_shift(&s->st.pops);
    if (op) op_fail(&s->q.rt->ops, op, err);
    else s->error = err;
}

void uring_dgram_received(struct uring_sock *s, int32_t res, struct provided *p, unsigned slot)
{
    if (res < 0) {
        failed(s, -res);
        return;
    }
    struct buf *b = res ? payload_of(s->uring, (uint32_t)res, p, slot) : NULL;
    if (!b) {
        if (res) failed(s, ENOMEM);
        return;
    }
    s->uring->rx_bytes += b->len;
    if (s->state == URING_CLOSING) {
        buf_unref(b);
    } else if (s->st.pops.head) {
        complete_pop(&s->q.rt->ops, op_list_shift(&s->st.pops), b);
    } else {
        uring_keep(s, b);
        if (s->unread_count >= URING_UNREAD_DGRAM) uring_dirty(s);
    }
}

int uring_dgram_pop(struct queue *q, struct op *op)
{
    struct uring_sock *s = uring_sock_of(q);
    assert_op_given(q, op, DEMI_OPC_POP);
    if (s->state == URING_NEW) return -EDESTADDRREQ;
    if (s->error) {
        op_fail(&q->rt->ops, op, s->error);
        s->error = 0;
        uring_dirty(s);
        return 0;
    }
    if (s->unread) complete_pop(&q->rt->ops, op, uring_next_unread(s));
    else op_list_append(&s->st.pops, op);
    return 0;
}
