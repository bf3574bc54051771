/* SPDX-License-Identifier: MIT
 *
 * Connections of Valkey's framing (valkey_wire.h): a listener that was asked to (DEMI_RDMA_VALKEY of demi/ext.h) takes
 * them beside our own, and to the program they are sockets like any other. Requests are made in send.c, as ours are.
 *
 * Each has a buffer of its own that its peer writes into. What is popped is copied out of it, because the peer can
 * write there at any time.
 */
#ifndef RDMA_VALKEY_H
#define RDMA_VALKEY_H

#include "alloc/base/list.h"
#include "libos/msgdev.h"
#include "libos/rdma/valkey_wire.h"

struct buf;
struct rdma;
struct rdma_conn;

#define VALKEY_WRITE_MAX 65536u /* bytes of one write: then other connections have their turn */

struct valkey {
    struct valkey_wire w;
    uint8_t *base; /* our buffer, w.size bytes */
    struct msgdev_lent lent;
    bool is_lent;
    bool is_stranger; /* the program does not know it yet */
    struct list stranger;
    struct rdma_conn *conn; /* of a stranger */
    uint64_t since_ns;
};

/* NULL, and *err is -ENOMEM or what the device says against lending it. */
struct valkey *valkey_new(struct rdma *r, uint32_t size, int *err);
/* The device has let go of the connection. What was written and is not popped stays. */
void valkey_take_back(struct rdma *r, struct valkey *v);
void valkey_free(struct rdma *r, struct valkey *v);

/* A receive of the shared queue has come back: with a number, or with a message in b. */
void valkey_received(struct rdma_conn *c, struct buf *b, const struct msgdev_completion *m);
/* The next bytes; there are some. NULL: no memory. */
struct buf *valkey_shift(struct rdma_conn *c);
/* What is there is thrown away. */
void valkey_drop(struct rdma_conn *c);

#endif
