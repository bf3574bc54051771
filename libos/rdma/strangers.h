/* SPDX-License-Identifier: MIT
 *
 * Clients of Valkey's framing that the program does not know yet. Each costs a locked buffer from its first moment,
 * before it has said a word, and whoever reaches the port could have as many as there may be connections. So a listener
 * can be told how many bytes all strangers may hold together (DEMI_RDMA_STRANGERS of demi/ext.h); whom the program
 * trusts (DEMI_RDMA_TRUSTED) is none any more.
 *
 * A client that has a password says so within a round trip or two, so it is the oldest stranger that goes when room is
 * short, and nobody's that has come less than STRANGER_NS ago. Who finds no room is refused.
 */
#ifndef RDMA_STRANGERS_H
#define RDMA_STRANGERS_H

#include "alloc/base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct rdma;
struct rdma_conn;

struct strangers {
    struct list all; /* struct valkey.stranger, the oldest first */
    uint64_t bytes;  /* that they hold, and those that were cut off until the device has let go */
    uint64_t refused, cut;
};

/* Whether another one may have n bytes, where there may be `most` (0: no bound). */
bool strangers_have_room(struct rdma *r, uint32_t n, uint32_t most);
/* The connection has been lent its buffer, and is one. */
void strangers_add(struct rdma_conn *c);
/* It is none any more, trusted or gone. */
void strangers_remove(struct rdma_conn *c);

#endif
