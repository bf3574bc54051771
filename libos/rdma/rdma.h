/* SPDX-License-Identifier: MIT
 *
 * The libOS "rdma": stream sockets over a device of messages (libos/msgdev.h), and the same over a device that connects
 * the ends of one thread among themselves ("rdma-loop"), for tests. README.md says what goes over the wire.
 */
#ifndef RDMA_RDMA_H
#define RDMA_RDMA_H

#include "libos/msgdev.h"
#include "libos/runtime/libos.h"

extern const struct libos_ops rdma_libos, rdma_loop_libos;

/* What a configuration says; demikernel.conf(5). */
struct rdma_options {
    uint32_t receives;     /* posted to the shared queue */
    uint32_t receive_size; /* bytes of each, head included */
    uint32_t window;       /* messages that a peer may have out */
    uint32_t send_depth;   /* requests that a connection may have out */
    uint64_t connect_ns, keepalive_ns, linger_ns;
};
#define RDMA_OPTIONS_DEFAULT                                                                                           \
    {                                                                                                                  \
        .receives = 512, .receive_size = 8192, .window = 32, .send_depth = 32, .connect_ns = 10000000000u,             \
        .keepalive_ns = 10000000000u, .linger_ns = 10000000000u                                                        \
    }

/* Starts on a device that is open, which the libOS closes at its end; on failure it stays the caller's. */
int rdma_start_on(struct runtime *rt, const struct libos_ops *ops, struct msgdev *dev, const struct rdma_options *o,
                  struct libos **out);

/* Invariants of all connections: debug builds and tests. */
void rdma_check(const struct libos *l);

#endif
