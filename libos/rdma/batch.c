/* SPDX-License-Identifier: MIT
 *
 * Requests on their way: the batch that gathers them, which leaves at the end of the flush, and the slots of each
 * connection, in which what they hold stays until the device has let go of it. What the device does not take stays in
 * the batch and is offered first next time.
 */
#include "libos/rdma/out.h"

#include "alloc/heap.h"

/* --- what is held ------------------------------------------------------------------------------------------------- */

static inline void let_go_seg(struct seg *seg)
{
    if (seg->kind == SEG_OWN) buf_unref(seg->hold);
    else seg_release(seg);
}

static inline void pass_slot(struct rdma_conn *c, struct rdma_slot *slot)
{
    if (slot->hold) buf_unref(slot->hold);
    for (unsigned i = 0; i < slot->segs; i++) {
        let_go_seg(seg_ring_at(&c->out, 0));
        seg_ring_shift(&c->out);
    }
    DASSERT(c->cursor >= slot->segs);
    c->cursor -= slot->segs;
    c->passed += slot->bytes;
    *slot = (struct rdma_slot){0};
}

static inline uint32_t taken(const struct rdma_conn *c) { return c->wr_built - c->wr_in_batch; }

/* Lets go of what the device no longer needs, in the order of the requests. */
static void pass_slots(struct rdma_conn *c)
{
    const uint64_t before = c->passed;
    const uint32_t end = taken(c);
    while (c->wr_passed != end) {
        struct rdma_slot *slot = rdma_slot_at(c, c->wr_passed);
        if (slot->held && (int32_t)(c->wr_reported - c->wr_passed) <= 0) break;
        pass_slot(c, slot);
        c->wr_passed++;
    }
    if (c->passed != before && c->sock) stream_passed(ops_of(c->r), &c->sock->st, c->passed);
}

static inline void pass(struct rdma_conn *c)
{
    if (likely((int32_t)(c->wr_slotted - c->wr_passed) <= 0)) c->wr_passed = taken(c); /* none of them has anything */
    else pass_slots(c);
}

void rdma_send_reported(struct rdma_conn *c, uint32_t wr)
{
    if ((int32_t)(wr + 1 - c->wr_reported) <= 0 || (int32_t)(wr + 1 - taken(c)) > 0) return;
    c->wr_reported = wr + 1;
    pass(c);
    if (rdma_has_data(c) || c->fin_due || c->fin_seen_due) rdma_send_mark(c);
    if (likely(!c->fin_sent) || !c->v || c->wr_reported != c->wr_built) return;
    c->fin_confirmed = true; /* the peer's device has everything, and more than that nobody says in Valkey's framing */
    rdma_conn_settle(c);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void take(struct rdma *r, unsigned n)
{
    struct rdma_batch *b = &r->batch;
    for (unsigned i = 0; i < n; i++) {
        struct rdma_conn *c = b->conn[i];
        c->wr_in_batch--;
        if (b->cell[i]) rdma_cell_give(r, b->cell[i]);
        pass(c);
        rdma_conn_debug(c);
    }
}

/* Those that stay move to the front, with their pieces. */
static void keep(struct rdma *r, unsigned from)
{
    struct rdma_batch *b = &r->batch;
    unsigned n = 0;
    for (unsigned i = from; i < b->n; i++) {
        if (!b->conn[i]) {
            if (b->cell[i]) rdma_cell_give(r, b->cell[i]);
            continue;
        }
        if (n != i) {
            memcpy(b->pieces[n], b->pieces[i], sizeof b->pieces[n]);
            memcpy(b->head[n], b->head[i], sizeof b->head[n]);
            for (unsigned k = 0; k < b->req[i].piece_count; k++)
                if (b->pieces[n][k].p == b->head[i]) b->pieces[n][k].p = b->head[n];
            b->req[n] = b->req[i];
            b->req[n].pieces = b->pieces[n];
            b->conn[n] = b->conn[i];
            b->cell[n] = b->cell[i];
        }
        n++;
    }
    b->n = n;
}

bool rdma_batch_submit(struct rdma *r)
{
    struct rdma_batch *b = &r->batch;
    while (b->n) {
        unsigned n = r->dev->ops->post(r->dev, b->req, b->n);
        ASSERT(n <= b->n);
        take(r, n);
        if (unlikely(n < b->n)) {
            keep(r, n);
            return false;
        }
        b->n = 0;
    }
    return true;
}

void rdma_send_forget(struct rdma_conn *c)
{
    struct rdma_batch *b = &c->r->batch;
    for (unsigned i = 0; i < b->n; i++)
        if (b->conn[i] == c) b->conn[i] = NULL;
    keep(c->r, 0);
}

void rdma_send_drop(struct rdma_conn *c)
{
    for (uint32_t i = 0; i < c->depth; i++) {
        if (c->slots[i].hold) buf_unref(c->slots[i].hold);
        c->slots[i] = (struct rdma_slot){0};
    }
    DASSERT(!c->prompt);
    if (c->cell_bytes) rdma_cell_give(c->r, c->cell);
    c->cell_bytes = 0;
    for (; c->out.count; seg_ring_shift(&c->out)) let_go_seg(seg_ring_at(&c->out, 0));
    seg_ring_free(&c->out);
    c->cursor = c->cursor_off = 0;
    c->passed = c->built = c->queued;
    c->wr_passed = c->wr_reported = c->wr_slotted = c->wr_built;
    c->wr_in_batch = 0;
}
