/* SPDX-License-Identifier: MIT
 *
 * A device of messages that connects the ends of one thread among themselves: the libOS "rdma-loop", and what the tests
 * of libos/rdma stand on. It keeps to libos/msgdev.h as a real one does, and no better: bytes that are not inline move
 * when the request is carried out, in a later poll; between ends there is no order; and it can be told to go wrong,
 * from a seed.
 */
#ifndef RDMA_LOOP_H
#define RDMA_LOOP_H

#include "libos/msgdev.h"

/* Each is a chance in a million, 0: never. */
struct rdma_loop_faults {
    uint64_t seed;       /* 0: no chance at all, and everything in turn */
    uint32_t slow;       /* of an end in a poll: nothing moves of it */
    uint32_t post_short; /* of a post: it takes fewer than it is given */
    uint32_t broken;     /* of a request: it fails by a status of chance, and its connection */
    uint32_t silent;     /* of a request: its connection falls silent, for good, and fails much later */
    uint32_t vanish;     /* of an end in a poll: its peer disconnects it without a word */
    uint32_t connect;    /* of a connect: it fails by a status of chance */
    uint32_t call;       /* of make, accept, lend: no memory */
    bool rnr_breaks;     /* as on iWARP: a message without a receive breaks the connection; sent is not delivered */
    uint16_t inline_max; /* 65535: 0 bytes; 0: what is wanted */
};

int rdma_loop_open(const struct netdev_env *env, const struct msgdev_wants *wants, struct msgdev **out);

/* For tests; the device is rdma_loop_open()'s. Faults are from now on. */
void rdma_loop_set_faults(struct msgdev *d, const struct rdma_loop_faults *f);
/* The device goes (or is there again): every end hears of it, and no new one is made. */
void rdma_loop_set_link(struct msgdev *d, enum netdev_link link);
/* Ends that are not RELEASED yet. */
unsigned rdma_loop_ends(const struct msgdev *d);

#endif
