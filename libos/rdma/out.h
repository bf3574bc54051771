/* SPDX-License-Identifier: MIT
 *
 * What the files of sending share: push.c fills, flush.c says whose turn it is and what is to be said, send.c makes
 * messages of it, batch.c hands them to the device and lets go of what it has sent.
 */
#ifndef RDMA_OUT_H
#define RDMA_OUT_H

#include "libos/rdma/sock.h"

#define REQUEST_WORD ((uint64_t)1 << 32) /* a word is not 0 */

/* --- slots and credits -------------------------------------------------------------------------------------------- */

static inline struct rdma_slot *rdma_slot_at(struct rdma_conn *c, uint32_t wr)
{
    return &c->slots[wr & (c->depth - 1u)];
}

static inline uint32_t rdma_slots_free(const struct rdma_conn *c)
{
    /* A slot that was reported and has not passed cannot be: pass() goes up to what was reported. */
    return c->depth - (c->wr_built - c->wr_reported);
}

static inline uint64_t rdma_room(const struct rdma_conn *c) { return c->window_out - (c->sent - c->granted); }

/* Half a window of the peer's messages it has not heard of. */
static inline bool rdma_owes_much(const struct rdma_conn *c) { return c->consumed >= c->tell_at; }

/* One of so many requests is signalled at least. */
static inline uint32_t rdma_signal_after(const struct rdma_conn *c) { return c->depth / 2u; }

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* The next request of the batch, in the connection's next slot. */
static inline struct msgdev_request *rdma_request_new(struct rdma_conn *c, uint8_t verb, struct msgdev_piece **pieces,
                                                      uint8_t **head)
{
    struct rdma_batch *b = &c->r->batch;
    DASSERT(b->n < MSGDEV_BURST);
    DASSERT(rdma_slots_free(c));
    struct msgdev_request *q = &b->req[b->n];
    *pieces = b->pieces[b->n];
    *head = b->head[b->n];
    b->conn[b->n] = c;
    b->cell[b->n] = NULL;
    *q = (struct msgdev_request){.end = c->end, .word = REQUEST_WORD | c->wr_built, .verb = verb, .pieces = *pieces};
    return q;
}

/* It is as it goes. important: somebody waits for its being reported. */
static inline void rdma_request_add(struct rdma_conn *c, struct msgdev_request *q, bool important)
{
    c->wr_built++;
    c->wr_in_batch++;
    if (important || c->wr_built - c->wr_signalled >= rdma_signal_after(c) || rdma_slots_free(c) < 2) {
        q->flags |= MSGDEV_SIGNALLED;
        c->wr_signalled = c->wr_built;
    }
    c->r->batch.n++;
}

/* The next request's slot, which is to hold something. */
static inline void rdma_slot_set(struct rdma_conn *c, struct rdma_slot slot)
{
    *rdma_slot_at(c, c->wr_built) = slot;
    c->wr_slotted = c->wr_built + 1;
}

/* --- batch.c --- */

/* False: the device is full. */
bool rdma_batch_submit(struct rdma *r);

/* --- send.c: the next request, where there is a slot for it. False: no memory; it is tried again --- */

/* A message without bytes. */
bool rdma_build_plain(struct rdma_conn *c, uint8_t kind, bool important);
/* The count alone, into the peer's word: takes no place at the peer, and is what keepalive asks with. */
void rdma_build_count(struct rdma_conn *c, bool important);
/* What of the pushed bytes fits into one message. */
bool rdma_build_data(struct rdma_conn *c);
/* Of Valkey's framing: what is to be said; bytes, behind those that are in the peer's buffer; and a write of nothing,
 * which takes no receive of the peer: its device answers it, behind all that went before. */
bool rdma_build_word(struct rdma_conn *c);
bool rdma_build_written(struct rdma_conn *c);
void rdma_build_nothing(struct rdma_conn *c);

#endif
