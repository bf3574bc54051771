/* SPDX-License-Identifier: MIT
 *
 * What the files of the device of loop.h share: ends (loop.c) and the moving of requests between them (loop_move.c).
 */
#ifndef RDMA_LOOP_PARTS_H
#define RDMA_LOOP_PARTS_H

#include "alloc/base/list.h"
#include "alloc/base/rng.h"
#include "libos/rdma/loop.h"

#include <netinet/in.h>

#define LOOP_INLINE_MAX   512
#define LOOP_SILENT_POLLS 200 /* after which a silent connection fails */

struct loop_request {
    struct loop_request *next;
    struct msgdev_request r;
    struct msgdev_piece pieces[MSGDEV_PIECES_MAX];
    uint8_t bytes[LOOP_INLINE_MAX]; /* of one that is inline */
};

struct loop_report {
    struct loop_report *next;
    struct msgdev_completion c;
    uint8_t private_data[MSGDEV_ANSWER];
};

struct loop_receive {
    uint64_t word;
    struct msgdev_piece piece;
};

struct loop_lent {
    struct list link;
    uint8_t *base;
    size_t len;
    uint32_t key;
};

enum loop_state { LOOP_NEW, LOOP_LISTENING, LOOP_ASKING, LOOP_ASKED, LOOP_UP, LOOP_OVER, LOOP_RELEASED };

struct loop_end {
    struct list link; /* in loop.ends */
    struct loop *loop;
    uint64_t word;
    struct loop_end *peer; /* ASKING, ASKED, UP: who lives */
    uint8_t state;
    bool told_over, silent, breaks;
    uint32_t silent_polls;
    struct sockaddr_in6 local, remote; /* or struct sockaddr_in */
    unsigned backlog, asking;          /* of a listener */
    struct loop_end *listener;         /* ASKED */
    struct loop_request *out, **out_tail;
    unsigned out_count, depth;
    struct loop_report *reports, **reports_tail;
    struct loop_receive *own; /* its own receive queue, a ring of own_room; NULL: the shared one */
    uint32_t own_room, own_head, own_count;
};

struct loop {
    struct msgdev d;
    struct list ends, lent;
    struct rng rng;
    struct rdma_loop_faults faults;
    struct loop_receive *shared; /* what is posted, a ring */
    struct msgdev_piece *last;   /* by words less 1: as it was posted last */
    uint32_t shared_head, shared_count;
    struct loop_report *given; /* by the last poll, for their private_data */
    uint32_t key;
    uint16_t port;
};

/* As the library knows it. */
static inline struct loop_end *loop_end_of(struct msgdev_end *e) { return (struct loop_end *)(void *)e; }
static inline struct msgdev_end *loop_end_ptr(struct loop_end *e) { return (struct msgdev_end *)(void *)e; }
static inline struct loop *loop_of(struct msgdev *d) { return (struct loop *)d; }

/* One in a million such chances. */
static inline bool loop_chance(struct loop *l, uint32_t of_a_million)
{
    return of_a_million && l->faults.seed && rng_u64(&l->rng) % 1000000 < of_a_million;
}
static inline uint32_t loop_pick(struct loop *l, uint32_t n)
{
    return l->faults.seed ? (uint32_t)(rng_u64(&l->rng) % n) : 0;
}

/* --- loop_move.c --- */

/* For the end's next poll. */
struct loop_report *loop_report(struct loop_end *e, uint8_t event, uint8_t status, int err);
/* The connection is over: what was posted is flushed, and both hear of it, e with this event. */
void loop_end_over(struct loop_end *e, uint8_t event, uint8_t status, int err);
unsigned loop_poll(struct msgdev *d, struct msgdev_completion *out, unsigned max);
unsigned loop_post(struct msgdev *d, const struct msgdev_request *in, unsigned n);
unsigned loop_post_short(struct msgdev *d, struct msgdev_short *in, unsigned n);
unsigned loop_again(struct msgdev *d, const uint32_t *words, unsigned n);
void loop_drop_reports(struct loop_report *r);

#endif
