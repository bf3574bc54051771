/* SPDX-License-Identifier: MIT
 *
 * The short way out: on a connection where nothing else goes on, a short push begins a message at once, and the flush
 * has only its head to write. Nothing is asked of the connection then: that was done before, for a number of messages
 * (struct rdma_conn.prompt), so many as there is room for at the peer and in the queue, and the last of which will be
 * reported. Whoever changes what was asked ends it, and what has begun goes the long way (flush.c), in its place.
 *
 *     prompt   | begun by a push, its owner has cell_bytes in its cell | have a cell | have none |
 *              0                                                       next          end         RDMA_PROMPT
 *
 * A cell belongs to its place here, but for one that goes the long way and is the connection's from there on.
 */
#include "libos/rdma/out.h"

#include <errno.h>
#include <stdlib.h>

#define KEPT_ROOM  2 /* at the peer, and in the queue: for what is not data, and for who says that it waits */
#define KEPT_SLOTS 2

/* Places without a cell get those that are free. */
static void fill_places(struct rdma *r)
{
    for (struct rdma_cell *cell; r->prompt_end < r->prompt + RDMA_PROMPT && (cell = r->cells_free);) {
        r->cells_free = cell->next;
        (r->prompt_end++)->p = cell;
    }
}

int rdma_prompt_init(struct rdma *r)
{
    r->prompt = calloc(RDMA_PROMPT, sizeof *r->prompt);
    if (!r->prompt) return -ENOMEM;
    r->prompt_next = r->prompt_end = r->prompt;
    fill_places(r);
    return 0;
}

void rdma_prompt_fini(struct rdma *r) { free(r->prompt); }

/* The place's cell is somebody's. It gets another one, or that of the last place, which then has none. */
static void lose_cell(struct rdma *r, struct msgdev_short *place)
{
    struct rdma_cell *cell = r->cells_free;
    if (likely(cell)) {
        r->cells_free = cell->next;
        place->p = cell;
    } else {
        place->p = (--r->prompt_end)->p;
    }
}

static uint32_t least(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t n = a < b ? a : b;
    return (uint32_t)(n < c ? n : c);
}

void rdma_prompt_begin(struct rdma_conn *c)
{
    const struct rdma *r = c->r;
    const uint64_t room = rdma_room(c), slots = rdma_slots_free(c);
    const uint32_t unsignalled = c->wr_built - c->wr_signalled, often = rdma_signal_after(c);
    c->prompt = 0;
    if (c->state != CONN_UP || c->v || !c->sock || !r->cell_room || c->stalled) return;
    if (c->sock->st.flags & (STREAM_FAILED | STREAM_WRITE_SHUT)) return;
    if (rdma_has_data(c) || c->fin_due || c->fin_seen_due || c->probe_due) return;
    if ((int32_t)(c->wr_held - c->wr_signalled) > 0) return; /* the next one is to be reported */
    if (room <= KEPT_ROOM || slots <= KEPT_SLOTS || unsignalled >= often) return;
    c->prompt = least(room - KEPT_ROOM, slots - KEPT_SLOTS, often - unsignalled);
}

void rdma_prompt_cut(struct rdma_conn *c)
{
    struct rdma *r = c->r;
    c->prompt = 0;
    if (!c->cell_bytes) return;
    struct msgdev_short *m = r->prompt;
    while (m->owner != c) m++;
    ASSERT(m < r->prompt_next);
    struct msgdev_short *last = --r->prompt_next;
    m->end = last->end;
    m->owner = last->owner;
    m->p = last->p;
    lose_cell(r, last);
    rdma_send_mark(c);
}

/* The last of those that were allowed: it is reported, and others are allowed. */
__attribute__((noinline)) static void renew(struct rdma_conn *c, struct msgdev_short *m)
{
    m->word = REQUEST_WORD | (c->wr_built - 1);
    c->wr_signalled = c->wr_built;
    rdma_prompt_begin(c);
}

/* The device has not taken those from m on: they go the long way, as if they had not been made. */
__attribute__((noinline, cold)) static void take_back(struct rdma *r, struct msgdev_short *m)
{
    while (r->prompt_next > m) {
        struct msgdev_short *last = --r->prompt_next;
        struct rdma_conn *c = last->owner;
        c->cell_bytes = last->n - WIRE_HEAD_SIZE;
        c->prompt = 0;
        c->sent--;
        c->wr_built--;
        if (last->word) c->wr_signalled = c->wr_built;
        last->word = 0;
        r->tx_bytes -= c->cell_bytes;
        r->tx_messages--;
        r->tx_inline--;
        lose_cell(r, last);
        rdma_send_mark(c);
    }
}

bool rdma_prompt_flush(struct rdma *r)
{
    struct msgdev_short *const first = r->prompt, *const end = r->prompt_next;
    const unsigned n = (unsigned)(end - first);
    uint64_t bytes = 0;
    for (struct msgdev_short *m = first; m < end; m++) {
        struct rdma_conn *c = m->owner;
        const uint32_t len = c->cell_bytes;
        const uint64_t consumed = c->consumed;
        c->tell_at = consumed + c->window_half; /* rdma_recv_told() */
        wire_put_data(c->cell->head, len, consumed);
        c->cell_bytes = 0;
        c->sent++;
        c->wr_built++;
        m->n = WIRE_HEAD_SIZE + len;
        bytes += len;
        if (unlikely(!--c->prompt)) renew(c, m);
    }
    r->tx_bytes += bytes;
    r->tx_messages += n;
    r->tx_inline += n;
    const unsigned taken = n ? r->dev->ops->post_short(r->dev, first, n) : 0;
    ASSERT(taken <= n);
    if (unlikely(taken < n)) {
        take_back(r, first + taken);
        r->prompt_next = first;
        return false;
    }
    for (struct msgdev_short *m = first; m < end; m++) rdma_conn_debug(m->owner);
    r->prompt_next = first;
    if (unlikely(r->prompt_end < first + RDMA_PROMPT)) fill_places(r);
    return true;
}
