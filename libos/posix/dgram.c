/* SPDX-License-Identifier: MIT
 *
 * Datagrams. A push is handed to the kernel at once; only when its buffer is full does the datagram
 * wait, in order, for EPOLLOUT.
 */
#include "libos/posix/sock.h"

#include "libos/runtime/address.h"
#include "libos/runtime/handover.h"

#include "alloc/buf.h"
#include "alloc/heap.h"
#include "demi/ext.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define DGRAM_WAITING_MAX 1024 /* a socket, then EBUSY */
#define DGRAM_BYTES_MAX   65536u

struct posix_dgram {
    struct posix_dgram *next;
    struct op *op;              /* or NULL */
    struct sockaddr_un addr_un; /* the longest address there is */
    socklen_t size;             /* 0: the connected peer */
    uint32_t bytes;
    unsigned count;
    struct seg segs[];
};
static_assert(sizeof(struct sockaddr_un) >= sizeof(struct sockaddr_in6), "any address fits");

static int transmit(struct posix_sock *s, const struct sockaddr *addr, socklen_t size, const struct seg *segs,
                    unsigned count)
{
    struct iovec iov[DEMI_PUSHV_MAX];
    for (unsigned i = 0; i < count; i++)
        iov[i] = (struct iovec){.iov_base = (void *)(uintptr_t)segs[i].p, .iov_len = segs[i].n};
    struct msghdr msg = {
        .msg_name = size ? (void *)(uintptr_t)addr : NULL, .msg_namelen = size, .msg_iov = iov, .msg_iovlen = count};
    ssize_t n;
    do n = sendmsg(s->watch.fd, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    s->posix->tx_calls++;
    if (n < 0) return -errno;
    s->posix->tx_bytes += (uint64_t)n;
    return 0;
}

static void finish(struct posix_sock *s, struct op *op, int err)
{
    if (op && err) op_fail(&s->q.rt->ops, op, err);
    else if (op) op_complete_plain(&s->q.rt->ops, op, 0);
    else if (err) s->error = err;
}

static void release(struct seg *segs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) seg_release(&segs[i]);
}

static int park(struct posix_sock *s, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                socklen_t size)
{
    if (s->dgram_count == DGRAM_WAITING_MAX) {
        s->posix->push_busy++;
        return -EBUSY;
    }
    struct posix_dgram *d = heap_alloc(sizeof *d + count * sizeof *segs);
    if (!d) return -ENOMEM;
    *d = (struct posix_dgram){.op = op, .size = size, .count = count};
    if (size) memcpy(&d->addr_un, addr, size);
    memcpy(d->segs, segs, count * sizeof *segs);
    for (unsigned i = 0; i < count; i++) d->bytes += segs[i].n;
    *s->dgram_tail = d;
    s->dgram_tail = &d->next;
    s->dgram_count++;
    s->queued += d->bytes;
    if (op) {
        op->arg = 0; /* datagrams have no place in a stream */
        op_list_append(&s->st.pushes, op);
    }
    if (s->blocked) return 0;
    s->blocked = true;
    s->posix->tx_blocked++;
    sock_watch(s, EPOLLIN | EPOLLOUT);
    return 0;
}

int dgram_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
               socklen_t size, unsigned flags)
{
    struct posix_sock *s = sock_of(q);
    assert_push_given(q, op, segs, count, flags);
    int err = 0;
    if (addr) err = address_check(addr, size, s->domain);
    else if (s->state != SOCK_CONNECTED) err = -ENOTCONN;
    if (err) return err;
    if (!addr) size = 0;
    err = s->dgrams ? -EAGAIN : transmit(s, addr, size, segs, count);
    if (err == -EAGAIN) return park(s, op, segs, count, addr, size);
    if (s->state == SOCK_NEW && !err) { /* the kernel has given it a port: answers may be popped */
        err = sock_watch(s, EPOLLIN);
        s->state = SOCK_BOUND;
    }
    release(segs, count);
    finish(s, op, -err);
    return 0;
}

/* The oldest waiting one leaves the list; err 0: it was sent. */
static void unpark(struct posix_sock *s, int err)
{
    struct posix_dgram *d = s->dgrams;
    s->dgrams = d->next;
    if (!s->dgrams) s->dgram_tail = &s->dgrams;
    s->dgram_count--;
    s->sent += d->bytes;
    release(d->segs, d->count);
    if (d->op) op_list_remove(&s->st.pushes, d->op);
    finish(s, d->op, err);
    heap_free(d);
}

void dgram_send(struct posix_sock *s)
{
    while (s->dgrams) {
        struct posix_dgram *d = s->dgrams;
        int err = transmit(s, (struct sockaddr *)&d->addr_un, d->size, d->segs, d->count);
        if (err == -EAGAIN) return;
        unpark(s, -err);
    }
    s->blocked = false;
    sock_watch(s, EPOLLIN);
}

void dgram_drop(struct posix_sock *s)
{
    while (s->dgrams) unpark(s, ECANCELED);
}

void dgram_cancel(struct posix_sock *s)
{
    for (struct posix_dgram *d = s->dgrams; d; d = d->next) {
        if (!d->op) continue;
        op_list_remove(&s->st.pushes, d->op);
        op_fail(&s->q.rt->ops, d->op, ECANCELED);
        d->op = NULL;
    }
}

static void complete_pop(struct posix_sock *s, struct buf *b, const struct sockaddr_storage *from)
{
    struct op *op = op_list_shift(&s->st.pops);
    memset(&op->value, 0, sizeof op->value);
    op->value.sga = (demi_sgarray_t){.sga_buf = b, .sga_numsegs = 1, .sga_segs = {{b->data, b->len}}};
    if (from->ss_family == AF_INET) memcpy(&op->value.sga.sga_addr, from, sizeof op->value.sga.sga_addr);
    else op->value.sga.sga_addr.sin_family = from->ss_family;
    op_complete(&s->q.rt->ops, op);
}

/* A datagram of unknown length: the first 2 KiB straight into the buffer that will be popped, the
 * rest, rarely any, aside. */
static struct buf *receive(struct posix_sock *s, struct sockaddr_storage *from, int *err)
{
    struct posix *p = s->posix;
    *err = ENOMEM;
    if (!p->overflow) p->overflow = malloc(DGRAM_BYTES_MAX);
    struct buf *b = p->overflow ? buf_take(BUF_SMALL_SIZE) : NULL;
    if (!b) return NULL;
    struct iovec iov[2] = {{b->data, BUF_SMALL_SIZE}, {p->overflow, DGRAM_BYTES_MAX}};
    struct msghdr msg = {.msg_name = from, .msg_namelen = sizeof *from, .msg_iov = iov, .msg_iovlen = 2};
    ssize_t n = recvmsg(s->watch.fd, &msg, 0);
    p->rx_calls++;
    if (n < 0) {
        *err = errno;
        buf_unref(b);
        return NULL;
    }
    p->rx_bytes += (uint64_t)n;
    if (n <= (ssize_t)BUF_SMALL_SIZE) {
        b->len = (uint32_t)n;
        return b;
    }
    struct buf *whole = buf_take((size_t)n);
    if (whole) {
        memcpy(buf_put_back(whole, BUF_SMALL_SIZE), b->data, BUF_SMALL_SIZE);
        memcpy(buf_put_back(whole, (size_t)n - BUF_SMALL_SIZE), p->overflow, (size_t)n - BUF_SMALL_SIZE);
    }
    buf_unref(b);
    return whole;
}

static bool receive_one(struct posix_sock *s)
{
    struct sockaddr_storage from = {0};
    int err;
    struct buf *b = receive(s, &from, &err);
    if (b) {
        complete_pop(s, b, &from);
        return true;
    }
    if (err == EINTR) return true;
    if (err == EAGAIN) {
        s->posix->rx_empty++;
        s->readable = false;
        return false;
    }
    op_fail(&s->q.rt->ops, op_list_shift(&s->st.pops), err);
    return true;
}

void dgram_receive(struct posix_sock *s)
{
    while (s->st.pops.head && s->readable && receive_one(s))
        ;
}

int dgram_pop(struct queue *q, struct op *op)
{
    struct posix_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_POP);
    if (s->state == SOCK_NEW) return -EDESTADDRREQ;
    if (s->error) {
        op_fail(&q->rt->ops, op, s->error);
        s->error = 0;
        return 0;
    }
    op_list_append(&s->st.pops, op);
    if (s->readable) dgram_receive(s);
    return 0;
}
