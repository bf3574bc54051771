/* SPDX-License-Identifier: MIT
 *
 * What the program pushes: segments, or short bytes that are copied behind each other, until send.c makes messages of
 * them at the end of the turn.
 */
#include "libos/rdma/sock.h"

#include "libos/runtime/handover.h"

#include <errno.h>

static inline int may_push(const struct rdma_sock *s)
{
    return likely(s->state == SOCK_CONNECTED) ? stream_may_push(&s->st) : -ENOTCONN;
}

int rdma_stream_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                     socklen_t size, unsigned flags)
{
    struct rdma_sock *s = sock_of(q);
    struct rdma_conn *c = s->conn;
    assert_push_given(q, op, segs, count, flags);
    int err = may_push(s);
    if (unlikely(err)) return err;
    if (unlikely(c->out.count + count > RDMA_UNSENT_MAX)) {
        s->r->push_busy++;
        return -EBUSY;
    }
    if (unlikely(c->cell) && !rdma_cell_move(c)) return -ENOMEM;
    if (unlikely(!seg_ring_reserve(&c->out, count))) return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        *seg_ring_at(&c->out, c->out.count++) = segs[i];
        c->queued += segs[i].n;
    }
    rdma_send_mark(c);
    if (!op) return 0;
    if (flags & DEMI_PUSH_HANDED_OVER) op_complete_plain(ops_of(s->r), op, 0);
    else stream_await(&s->st, op, c->queued);
    return 0;
}

/* --- copies ------------------------------------------------------------------------------------------------------- */

/* A buffer of ours behind the other segments. */
static int append_copy(struct rdma_conn *c, const void *p, uint32_t n)
{
    if (unlikely(!seg_ring_reserve(&c->out, 1))) return -ENOMEM;
    int before = errno;
    struct buf *b = buf_take(n);
    errno = before;
    if (unlikely(!b)) return -ENOMEM;
    memcpy(buf_put_back(b, n), p, n);
    *seg_ring_at(&c->out, c->out.count++) =
        (struct seg){.p = (const char *)b->data, .n = n, .kind = SEG_OWN, .hold = b};
    return 0;
}

bool rdma_cell_move(struct rdma_conn *c)
{
    if (append_copy(c, c->cell->bytes, c->cell_bytes)) return false;
    rdma_cell_give(c->r, c->cell);
    c->cell = NULL;
    c->cell_bytes = 0;
    return true;
}

/* Into the connection's cell, as long as everything before it is sent. */
static inline bool put_in_cell(struct rdma_conn *c, const void *p, uint32_t n)
{
    struct rdma *r = c->r;
    struct rdma_cell *cell = c->cell;
    if (n > r->cell_room - c->cell_bytes) return false;
    if (!cell) {
        cell = r->cells_free;
        if (unlikely(!cell || c->out.count != c->cursor)) return false;
        r->cells_free = cell->next;
        c->cell = cell;
    }
    memcpy(cell->bytes + c->cell_bytes, p, n);
    c->cell_bytes += n;
    return true;
}

/* The room behind the last segment, if it is a copy of ours that has not been begun. */
static bool extend(struct rdma_conn *c, const void *p, uint32_t n)
{
    if (c->out.count <= c->cursor || (c->out.count == c->cursor + 1 && c->cursor_off)) return false;
    struct seg *last = seg_ring_at(&c->out, c->out.count - 1);
    if (last->kind != SEG_OWN || buf_tailroom(last->hold) < n) return false;
    memcpy(buf_put_back(last->hold, n), p, n);
    last->n += n;
    return true;
}

/* Behind what is there, be it in a cell that is full. */
__attribute__((noinline)) static int put_behind(struct rdma_conn *c, const void *p, uint32_t n)
{
    if (c->cell && !rdma_cell_move(c)) return -ENOMEM;
    if (extend(c, p, n)) return 0;
    if (likely(c->out.count < RDMA_UNSENT_MAX)) return append_copy(c, p, n);
    c->r->push_busy++;
    return -EBUSY;
}

int rdma_stream_push_copy(struct queue *q, const void *p, uint32_t n)
{
    struct rdma_sock *s = sock_of(q);
    struct rdma_conn *c = s->conn;
    assert_copy_given(p, n);
    int err = may_push(s);
    if (unlikely(err)) return err;
    if (unlikely(!put_in_cell(c, p, n)) && (err = put_behind(c, p, n))) return err;
    c->queued += n;
    rdma_send_mark(c);
    return 0;
}

size_t rdma_stream_unsent(struct queue *q)
{
    const struct rdma_sock *s = sock_of(q);
    return s->state == SOCK_CONNECTED ? s->conn->queued - s->conn->built : 0;
}
