/* SPDX-License-Identifier: MIT
 *
 * TCP's part of struct net_stack: its tables and lists.
 */
#ifndef TCP_TCP_LAYER_H
#define TCP_TCP_LAYER_H

#include "alloc/base/list.h"
#include "alloc/base/wheel.h"
#include "tcp/addr.h"

struct conn;

/* Connections by addresses and ports: open addressing, grows by doubling; a slot's tag spares most looks at conns. conn_table.h. */
struct conn_table {
    struct conn **slots;
    uint32_t *tags; /* hash, 0: empty */
    uint32_t mask, count;
};

struct tcp_layer {
    struct conn_table conns;
    struct list all;         /* struct conn.all */
    struct list dirty;       /* struct conn.dirty: have something to send */
    struct list doomed;      /* freed at the end of the call: hooks may still hold them */
    struct synq *synq;       /* half-open passive opens: synq.h */
    struct timewait *tw;     /* connections in TIME-WAIT: timewait.h */
    struct listener_set *listeners;
    uint32_t conn_count;
    uint64_t port_clock;     /* RFC 6056's counter */
    uint32_t resets_left, challenges_left; /* in this second */
    uint64_t second;
    unsigned depth;          /* of calls into TCP that may run hooks */
};

#endif
