/* SPDX-License-Identifier: MIT
 *
 * A pair of queues: commands go into the one, completions come out of the other.
 *
 *      submission   | done | done | fetched | waits | waits | free |      tail: where the next one goes; the doorbell
 *      completion   | new  | new  | old     | old   | old   | old  |      head: the next to read, if its phase is new
 *
 * The phase bit of a completion tells whether it is of this round: it is 1 in the first, and flips with each. How far
 * the device has fetched commands nobody has to know: as many as are out have room here (nvme.h), and a completed
 * command has been fetched.
 *
 * The device may write anything at any moment, so an entry is copied before it is looked at.
 */
#ifndef NVME_RING_H
#define NVME_RING_H

#include <stdbool.h>

#include "libos/nvme/spec.h"

struct nvme_ring {
    struct nvme_sqe *sq;
    struct nvme_cqe *cq;
    volatile uint32_t *sq_doorbell, *cq_doorbell;
    uint32_t mask;       /* entries of either, minus 1; their number is a power of two */
    uint32_t tail, head; /* below the number of entries */
    uint32_t phase;
    uint32_t out; /* commands that have not been completed */
};

/* Orders the entries' bytes before the doorbell that tells of them. x86 keeps the order of stores by itself, to memory
 * of a device, too. */
static inline void doorbell_barrier(void)
{
#if defined(__aarch64__)
    __asm__ volatile("dmb oshst" ::: "memory");
#else
    __atomic_signal_fence(__ATOMIC_RELEASE);
#endif
}

static inline struct nvme_sqe *nvme_ring_next(struct nvme_ring *r)
{
    struct nvme_sqe *s = &r->sq[r->tail];
    r->tail = (r->tail + 1) & r->mask;
    r->out++;
    return s;
}

/* Once a burst. */
static inline void nvme_ring_submit(struct nvme_ring *r)
{
    doorbell_barrier();
    __atomic_store_n(r->sq_doorbell, r->tail, __ATOMIC_RELEASE);
}

/* The acquire orders the phase before the rest of the entry. */
static inline bool nvme_ring_has_news(const struct nvme_ring *r)
{
    return (__atomic_load_n(&r->cq[r->head].status, __ATOMIC_ACQUIRE) & 1) == r->phase;
}

static inline bool nvme_ring_take(struct nvme_ring *r, struct nvme_cqe *out)
{
    if (!nvme_ring_has_news(r)) return false;
    const volatile struct nvme_cqe *c = &r->cq[r->head];
    *out = (struct nvme_cqe){.result = c->result, .sq_head = c->sq_head, .sq_id = c->sq_id, .cid = c->cid};
    out->status = c->status;
    r->head = (r->head + 1) & r->mask;
    if (r->head == 0) r->phase ^= 1;
    return true;
}

/* Whether a completed command's SQ head can be true: behind it are commands that are out still, r->out counting this
 * one no more. */
static inline bool nvme_ring_head_is_good(const struct nvme_ring *r, uint32_t head)
{
    return head <= r->mask && ((r->tail - head) & r->mask) <= r->out;
}

static inline void nvme_ring_taken(struct nvme_ring *r) { __atomic_store_n(r->cq_doorbell, r->head, __ATOMIC_RELEASE); }

#endif
