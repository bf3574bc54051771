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
    rdma_prompt_end(c);
    if (unlikely(c->cell_bytes) && !rdma_cell_move(c)) return -ENOMEM;
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
    c->queued += c->cell_bytes;
    c->cell_bytes = 0;
    return true;
}

/* Into the connection's cell, as long as everything before it is sent. */
static inline bool put_in_cell(struct rdma_conn *c, const void *p, uint32_t n)
{
    struct rdma *r = c->r;
    if (n > r->cell_room - c->cell_bytes) return false;
    if (!c->cell_bytes) {
        struct rdma_cell *cell = r->cells_free;
        if (unlikely(!cell || c->out.count != c->cursor)) return false;
        r->cells_free = cell->next;
        c->cell = cell;
    }
    memcpy(c->cell->bytes + c->cell_bytes, p, n);
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
static int put_behind(struct rdma_conn *c, const void *p, uint32_t n)
{
    if (c->cell_bytes && !rdma_cell_move(c)) return -ENOMEM;
    if (!extend(c, p, n)) {
        if (unlikely(c->out.count >= RDMA_UNSENT_MAX)) {
            c->r->push_busy++;
            return -EBUSY;
        }
        int err = append_copy(c, p, n);
        if (unlikely(err)) return err;
    }
    c->queued += n;
    return 0;
}

__attribute__((noinline)) static int push_long_way(struct rdma_sock *s, const void *p, uint32_t n)
{
    struct rdma_conn *c = s->conn;
    int err = may_push(s);
    if (unlikely(err)) return err;
    rdma_prompt_end(c);
    if (unlikely(!put_in_cell(c, p, n)) && (err = put_behind(c, p, n))) return err;
    rdma_send_mark(c);
    return 0;
}

int rdma_stream_push_copy(struct queue *q, const void *p, uint32_t n)
{
    struct rdma_sock *s = sock_of(q);
    struct rdma_conn *c = s->conn;
    struct rdma *r = s->r;
    assert_copy_given(p, n);
    if (unlikely(!c) || unlikely(!c->prompt)) return push_long_way(s, p, n);
    const uint32_t have = c->cell_bytes;
    struct rdma_cell *cell = c->cell;
    if (unlikely(n > r->cell_room - have)) return push_long_way(s, p, n);
    if (likely(!have)) {
        struct msgdev_short *m = r->prompt_next;
        if (unlikely(m == r->prompt_end)) return push_long_way(s, p, n);
        r->prompt_next = m + 1;
        m->end = c->end;
        m->owner = c;
        c->cell = cell = (struct rdma_cell *)(uintptr_t)m->p;
        runtime_need_flush(r->base.rt);
    }
    c->cell_bytes = have + n; /* before, so that nothing has to be kept over the copying */
    memcpy(cell->bytes + have, p, n);
    return 0;
}

size_t rdma_stream_unsent(struct queue *q)
{
    const struct rdma_sock *s = sock_of(q);
    return s->state == SOCK_CONNECTED ? s->conn->queued - s->conn->built + s->conn->cell_bytes : 0;
}
